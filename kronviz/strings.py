"""What every look at a typed string needs: its bytes, its characters, its tokens, its vectors.

Notable:

- Everything that can be wrong with a string or with ``pos_dim`` is said here, once.
- A vector is asked of an arm only where it exists: kron embeds any bytes at the ``pos_dim`` that
  it was trained with, bpe has a row for a string that is one token and none for any other.
"""

from __future__ import annotations

import functools
import math
import reprlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from kronviz import codec
from kronviz.embedding import KroneckerEmbedding
from kronviz.model import GPT
from kronviz.predictor import InputError, Predictor, TokenView, clean_text
from kronviz.tokenizer import VOCABULARIES, Tokenizer, VocabularyError, load_tokenizer

MAX_BYTES = 200
MIN_POS_DIM, MAX_POS_DIM = 4, 64
DEFAULT_POS_DIM = 16
CHUNK = 8192


SPACE_MARKS = "␣▁Ġ"
"""What people write for the space before a word."""


def string_bytes(text: str | bytes, label: str = "string") -> bytes:
    """Return the bytes of a typed string; `InputError` if there are none, or more than
    `MAX_BYTES`.
    """
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
    """Return a checked ``pos_dim``; the pair's own, else 16, where it is left open."""
    if pos_dim is None:
        kron = kron_embedding(predictor)
        return kron.pos_dim if kron else DEFAULT_POS_DIM
    return whole_number(pos_dim, "pos_dim", MIN_POS_DIM, MAX_POS_DIM)


def whole_number(value: object, name: str, low: int, high: int) -> int:
    """Return a checked whole number from ``low`` to ``high``; `InputError` by its name if it is
    none.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and value % 1 == 0 and low <= value <= high:  # type: ignore[operator]
        return int(value)  # type: ignore[call-overload]
    raise InputError(
        f"{name} is {shown(value)}; it must be a whole number from {low:,} to {high:,}."
    )


def one_of(value: object, name: str, choices: Iterable[str]) -> str:
    """Return a checked name out of several; `InputError` by what it names if it is none of them."""
    names = list(choices)
    if isinstance(value, str) and value in names:
        return value
    raise InputError(f"There is no {name} called {shown(value)}; choose from {', '.join(names)}.")


def shown(value: object) -> str:
    """Return a value as a refusal quotes it: short, whatever was sent."""
    return reprlib.repr(value)


def known_tokenizer(name: str) -> Tokenizer:
    """Return a vocabulary by its name, GPT-2's for an empty one; `InputError` if there is none
    such.
    """
    base = name.partition(":")[0] if isinstance(name, str) else name
    one_of(base or next(iter(VOCABULARIES)), "vocabulary", VOCABULARIES)
    try:
        return load_tokenizer(name or next(iter(VOCABULARIES)))
    except VocabularyError as error:
        raise InputError(str(error)) from None


def kron_embedding(predictor: Predictor | None) -> KroneckerEmbedding | None:
    """Return the input embedding of a pair's kron arm, if there is one."""
    model = predictor.arms.get("kron") if predictor else None
    wte = model.wte if model else None
    return wte if isinstance(wte, KroneckerEmbedding) else None


def embeds_bytes(predictor: Predictor, arm: str) -> bool:
    """Return whether an arm embeds any string of bytes, or only the tokens of its vocabulary."""
    return hasattr(predictor.arms[arm].wte, "embed_bytes")


@torch.inference_mode()
def summands(kron: KroneckerEmbedding, kept: bytes) -> tuple[Tensor, Tensor, Tensor]:
    """Return an embedding as the sum that it is (paper, section 3), all float64.

    Args:
        kept: bytes that the code keeps, at least one.

    Returns:
        What each lit cell adds, ``(len(kept), d_model)``; what all strings of this length have in
        common, ``(d_model,)``; and the embedding, ``(d_model,)``.
    """
    whole = kron.embed_bytes([kept])[0].double()
    _, deviation = codec.moments(len(kept), kron.pos_dim)
    cells = torch.from_numpy(codec.cells(kept, kron.pos_dim)).to(kron.weight.device)
    rows = kron.weight[cells].double() / (math.sqrt(len(kept)) * deviation)
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
    """Return the cosines of a string's embedding with those of others; all ``None`` without a
    trained arm.

    With ``centred``, after the mean embedding of all tokens is taken away, so that what all vectors
    of an arm have in common counts no longer.
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
    """Return the cosines of a string's row in the bpe arm's table; ``None`` where a string is no
    one token.

    ``centred`` as for `kron_cosines`.
    """
    model = predictor.arms.get("bpe") if predictor else None
    ids = [single_token(predictor, string) for string in (data, *others)]
    found: list[float | None] = [None] * len(others)
    whole = [(place, token) for place, token in enumerate(ids[1:]) if token is not None]
    if model is None or ids[0] is None or not whole:
        return found
    ids_there = torch.tensor([ids[0], *(token for _, token in whole)], device=model.device)
    rows = model.wte(ids_there).double()
    if centred:
        rows = rows - mean_embedding(model)
    for (place, _), cosine in zip(whole, cosines(rows[1:], rows[0]), strict=True):
        found[place] = cosine
    return found


@functools.lru_cache(maxsize=8)
@torch.inference_mode()
def mean_embedding(model: GPT) -> Tensor:
    """Return the mean input embedding of all tokens of a model: float64, ``(d_model,)``."""
    ids = torch.arange(model.n_vocab, device=model.device)
    return sum(model.wte(part).double().sum(0) for part in ids.split(CHUNK)) / model.n_vocab  # type: ignore[return-value]


def tokens(predictor: Predictor | None, data: bytes) -> tuple[TokenView, ...]:
    """Return how a pair's tokenizer cuts a string; nothing without a pair, or if it is not
    UTF-8.
    """
    if predictor is None:
        return ()
    tokenizer = predictor.tokenizer
    return tuple(
        TokenView(token, tokenizer.token_text(token), tokenizer.token_bytes(token).hex(" "), ())
        for token in token_ids(predictor, data)
    )


def token_ids(predictor: Predictor | None, data: bytes) -> list[int]:
    """Return the ids alone of `tokens`."""
    if predictor is None or not codec.is_utf8(data):
        return []
    return predictor.tokenizer.encode(data.decode())


def owners(data: bytes) -> list[tuple[str, int, int]]:
    """Return, for each byte, its character, its place in it from 1, and how many bytes that has.

    A byte that belongs to no whole character is ``("", 1, 1)``.
    """
    found: list[tuple[str, int, int]] = []
    for character in data.decode("utf-8", "surrogateescape"):
        if "\udc80" <= character <= "\udcff":
            found.append(("", 1, 1))
            continue
        size = len(character.encode())
        found += [(character, part, size) for part in range(1, size + 1)]
    return found


def readable(data: bytes) -> str:
    r"""Return the bytes as text; those that are not a whole character are written ``\xe2``."""
    return data.decode("utf-8", "backslashreplace")


def spellings(word: str) -> tuple[bytes, ...]:
    """Return the strings that a word is looked up as: as typed, after a space, in other cases.

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
