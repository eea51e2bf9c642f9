"""A typed string's bytes, characters, tokens and vectors, for every probe that reads strings.

Notable:

- All checks of strings and of ``pos_dim`` are here, with their messages.
- An arm does not have a vector for every string: kron embeds any bytes, at the ``pos_dim`` that it
  was trained with; bpe has a row only for a string that is one token.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from kronviz import codec
from kronviz.embedding import KroneckerEmbedding
from kronviz.model import GPT, versions
from kronviz.predictor import InputError, Predictor, TokenView, clean_text
from kronviz.tokenizer import VOCABULARIES, Tokenizer, VocabularyError, load_tokenizer

MAX_BYTES = 200
MIN_POS_DIM, MAX_POS_DIM = 4, 64
DEFAULT_POS_DIM = 16
CHUNK = 8192


SPACE_MARKS = "␣▁Ġ"
"""Characters that people write for the space before a word."""


def string_bytes(text: str | bytes, label: str = "string") -> bytes:
    """Return the bytes of a typed string; `InputError` if it has none or too many."""
    if not isinstance(text, str | bytes):
        raise InputError(f"The {label} is not text but {type(text).__name__}; give a text.")
    data = text if isinstance(text, bytes) else clean_text(text).encode()
    if not data:
        raise InputError(f"The {label} is empty, and an empty string lights no cell; type one.")
    if len(data) > MAX_BYTES:
        raise InputError(
            f"The {label} has {len(data):,} bytes; this view takes {MAX_BYTES}. Shorten it."
        )
    return data


def positions(pos_dim: int | None, predictor: Predictor | None = None) -> int:
    """Return a checked ``pos_dim``; for ``None``, that of the pair, or else 16."""
    if pos_dim is None:
        kron = kron_embedding(predictor)
        return kron.pos_dim if kron else DEFAULT_POS_DIM
    return whole_number(pos_dim, "pos_dim", MIN_POS_DIM, MAX_POS_DIM)


def whole_number(value: object, name: str, low: int, high: int) -> int:
    """Return a value as a whole number from ``low`` to ``high``; `InputError` if it is not one."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and value % 1 == 0 and low <= value <= high:  # type: ignore[operator]
        return int(value)  # type: ignore[call-overload]
    raise InputError(
        f"{name} is {shown(value)}; it must be a whole number from {low:,} to {high:,}."
    )


def one_of(value: object, name: str, choices: Iterable[str]) -> str:
    """Return a value if it is one of ``choices``; `InputError` if not. ``name`` says what it is."""
    names = list(choices)
    if isinstance(value, str) and value in names:
        return value
    raise InputError(f"There is no {name} called {shown(value)}; choose from {', '.join(names)}.")


def shown(value: object) -> str:
    """Return a value's repr for an error message, shortened."""
    return reprlib.repr(value)


def known_tokenizer(name: str) -> Tokenizer:
    """Return a tokenizer by its name, GPT-2's for an empty one; `InputError` for unknown names."""
    base = name.partition(":")[0] if isinstance(name, str) else name
    one_of(base or next(iter(VOCABULARIES)), "vocabulary", VOCABULARIES)
    try:
        return load_tokenizer(name or next(iter(VOCABULARIES)))
    except VocabularyError as error:
        raise InputError(str(error)) from None


def kron_embedding(predictor: Predictor | None) -> KroneckerEmbedding | None:
    """Return the input embedding of a pair's kron arm, if it has one."""
    model = predictor.arms.get("kron") if predictor else None
    wte = model.wte if model else None
    return wte if isinstance(wte, KroneckerEmbedding) else None


def embeds_bytes(predictor: Predictor, arm: str) -> bool:
    """Return whether an arm embeds any string of bytes, or only the tokens of its vocabulary."""
    return hasattr(predictor.arms[arm].wte, "embed_bytes")


@torch.inference_mode()
def summands(kron: KroneckerEmbedding, data: bytes) -> tuple[Tensor, Tensor, Tensor]:
    """Return an embedding split into its summands (paper, section 3), all float64.

    Args:
        data: one to ``pos_dim`` bytes.

    Returns:
        What each cell adds, ``(len(data), d_model)``; what all strings of this length have in
        common, ``(d_model,)``; and their sum, the embedding, ``(d_model,)``.
    """
    whole = kron.embed_bytes([data])[0].double()
    _, deviation = codec.moments(len(data), kron.pos_dim)
    cells = torch.from_numpy(codec.cells(data, kron.pos_dim)).to(kron.weight.device)
    rows = kron.weight[cells].double() / (math.sqrt(len(data)) * deviation)
    return rows, whole - rows.sum(0), whole


@torch.inference_mode()
def kron_cosines(
    predictor: Predictor | None,
    data: bytes,
    others: Sequence[bytes],
    pos_dim: int,
    *,
    centred: bool = False,
) -> list[float | None]:
    """Return the cosines of a string's kron embedding with those of others; ``None`` for each if
    the pair has no kron arm at this ``pos_dim``.

    With ``centred``, the mean embedding of all tokens is subtracted first, which removes what all
    vectors of an arm have in common.
    """
    kron = kron_embedding(predictor)
    if predictor is None or kron is None or kron.pos_dim != pos_dim:
        return [None] * len(others)
    embedded = kron.embed_bytes([data, *others]).double()
    if centred:
        embedded = embedded - mean_embedding(predictor.arms["kron"])
    return list(cosines(embedded[1:], embedded[0]))


@torch.inference_mode()
def bpe_cosines(
    predictor: Predictor | None, data: bytes, others: Sequence[bytes], *, centred: bool = False
) -> list[float | None]:
    """Return the cosines of a string's row in bpe's table with those of others; ``None`` where
    either string is not a single token. ``centred`` as for `kron_cosines`.
    """
    model = predictor.arms.get("bpe") if predictor else None
    ids = [single_token(predictor, string) for string in (data, *others)]
    result: list[float | None] = [None] * len(others)
    single = [(place, token) for place, token in enumerate(ids[1:]) if token is not None]
    if model is None or ids[0] is None or not single:
        return result
    in_table = torch.tensor([ids[0], *(token for _, token in single)], device=model.device)
    rows = model.wte(in_table).double()
    if centred:
        rows = rows - mean_embedding(model)
    for (place, _), cosine in zip(single, cosines(rows[1:], rows[0]), strict=True):
        result[place] = cosine
    return result


_means: WeakKeyDictionary[GPT, tuple[object, Tensor]] = WeakKeyDictionary()


@torch.inference_mode()
def mean_embedding(model: GPT) -> Tensor:
    """Return the mean input embedding of all tokens of a model: float64, ``(d_model,)``.

    It is computed again only if `versions` of the embedding has changed.
    """
    state = versions(model.wte)
    known, mean = _means.get(model, (None, None))
    if mean is None or known != state:
        ids = torch.arange(model.n_vocab, device=model.device)
        total = sum(model.wte(part).double().sum(0) for part in ids.split(CHUNK))
        mean = total / model.n_vocab
        _means[model] = state, mean
    return mean


def tokens(predictor: Predictor | None, data: bytes) -> tuple[TokenView, ...]:
    """Return the tokens of a string; none without a pair, or if it is not UTF-8."""
    if predictor is None:
        return ()
    tokenizer = predictor.tokenizer
    return tuple(
        TokenView(token, tokenizer.token_text(token), tokenizer.token_bytes(token).hex(" "), ())
        for token in token_ids(predictor, data)
    )


def token_ids(predictor: Predictor | None, data: bytes) -> list[int]:
    """Return the ids of a string's tokens; none without a pair, or if it is not UTF-8."""
    if predictor is None or not codec.is_utf8(data):
        return []
    return predictor.tokenizer.encode(data.decode())


def owners(data: bytes) -> list[tuple[str, int, int]]:
    """Return, for each byte, its character, its place in the character from 1, and the character's
    number of bytes.

    A byte that belongs to no whole character is ``("", 1, 1)``.
    """
    result: list[tuple[str, int, int]] = []
    for character in data.decode("utf-8", "surrogateescape"):
        if "\udc80" <= character <= "\udcff":
            result.append(("", 1, 1))
            continue
        size = len(character.encode())
        result += [(character, part, size) for part in range(1, size + 1)]
    return result


def readable(data: bytes) -> str:
    r"""Return bytes as text; bytes that are not a whole character are written like ``\xe2``."""
    return data.decode("utf-8", "backslashreplace")


def spellings(word: str) -> tuple[bytes, ...]:
    """Return the strings under which a word is looked up: as typed, after a space, in other cases.

    >>> spellings("nAsa")[:4]
    (b'nAsa', b' nAsa', b'nasa', b' nasa')
    """
    if word[:1] in SPACE_MARKS and len(word) > 1:
        word = " " + word[1:]
    bare = word.lstrip(" ")
    cases = dict.fromkeys((bare, bare.lower(), bare.capitalize(), bare.upper(), bare.title()))
    first = [word] if word != bare else []
    return tuple(
        dict.fromkeys(
            text.encode() for text in (*first, *(s + c for c in cases for s in ("", " "))) if text
        )
    )


def single_token(predictor: Predictor | None, data: bytes) -> int | None:
    """Return the id of a string that is one token of a pair's vocabulary, else ``None``."""
    ids = token_ids(predictor, data)
    return ids[0] if len(ids) == 1 else None


def cosines(vectors: Tensor, other: Tensor) -> list[float]:
    """Return the cosines of the rows of ``(n, d)`` with one vector ``(d,)``."""
    return torch.nn.functional.cosine_similarity(vectors, other[None], dim=-1).tolist()
