r"""The bytes of every token of any tokenizer, for an embedding.

Notable:

- By default these are the true bytes: what a token adds to the decoded text in the middle of a
  sentence. ``Ġrun``, ``▁run`` and WordPiece's ``run`` are ``" run"``, ``##ing`` is ``"ing"``,
  ``<0x0A>`` is a line end, and a piece of a character is that piece.
- A special token has no text. It gets the bytes of its name or, if another token has the same bytes
  when cut at ``pos_dim``, the byte FF, which never occurs in UTF-8, and its id in three bytes. So
  special tokens differ from each other and from all text.
- The reference implementation reads ``tokenizer.decode([id])`` instead, which loses the space
  before a word and turns every piece of a character into U+FFFD. This is also available, for models
  that were trained so.

>>> token_bytes({"model": {"type": "WordPiece", "vocab": {"run": 0, "##ing": 1}}}, 16)
[b' run', b'ing']
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from kronviz import codec

MARK = b"\xff"
"""A byte that UTF-8 does not use."""
_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_BLANK = "▁"
Pieces = dict[int, str]
Literal = dict[int, tuple[str, bool]]
"""Added tokens: the text of each id, and whether it is special."""


def token_bytes(
    tokenizer: Any, pos_dim: int, *, bytes: str = "true", num_embeddings: int | None = None
) -> list[bytes]:
    """Return the bytes of every id, to be cut by `codec.truncate`.

    Args:
        tokenizer: a tiktoken encoding, a ``tokenizers.Tokenizer``, a tokenizer of transformers
            (fast or slow), the path of a ``tokenizer.json`` or of its folder, or the parsed
            contents of such a file.
        pos_dim: positions of the code, P; it takes 4 or more to tell special tokens apart.
        bytes: ``true``, or ``reference`` for the bytes that the reference implementation reads.
        num_embeddings: number of ids, if the model has more than the tokenizer; the extra ids have
            no bytes.

    Raises:
        TypeError: the tokenizer is of another kind.
        ValueError: ``bytes`` is neither, the file is not a tokenizer.json, or the tokenizer has
            a negative id or more ids than ``num_embeddings``.
        ImportError: ``bytes`` is ``reference``, the tokenizer is a file, and ``tokenizers`` is not
            installed.
    """
    codec.dimension(pos_dim)
    if bytes not in ("true", "reference"):
        raise ValueError(f"bytes is {bytes!r}; it must be 'true' or 'reference'")
    if isinstance(tokenizer, str | PathLike):
        tokenizer = _read(Path(tokenizer))
    tokens = _reference(tokenizer, pos_dim) if bytes == "reference" else _true(tokenizer, pos_dim)
    if num_embeddings is not None:
        if num_embeddings < len(tokens):
            raise ValueError(
                f"num_embeddings is {num_embeddings:,}; the tokenizer has {len(tokens):,} ids"
            )
        tokens += [b""] * (num_embeddings - len(tokens))
    return tokens


def _read(path: Path) -> dict[str, Any]:
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        definition = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as a tokenizer.json: {error}") from None
    if not isinstance(definition, dict) or not isinstance(definition.get("model"), dict):
        raise ValueError(f"{file} is not a tokenizer.json: it has no model")
    return definition


def _true(tokenizer: Any, pos_dim: int) -> list[bytes]:
    if hasattr(tokenizer, "decode_single_token_bytes"):
        tokens, special = _of_tiktoken(tokenizer)
    elif isinstance(tokenizer, Mapping):
        tokens, special = _of_definition(tokenizer)
    elif hasattr(getattr(tokenizer, "backend_tokenizer", tokenizer), "to_str"):
        backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
        tokens, special = _of_definition(json.loads(backend.to_str()))
    elif hasattr(tokenizer, "convert_ids_to_tokens"):
        tokens, special = _of_slow(tokenizer)
    else:
        raise TypeError(
            f"tokenizer is {type(tokenizer).__name__}; it must be a tiktoken encoding, a tokenizer "
            "of tokenizers or transformers, or the path of a tokenizer.json"
        )
    return _distinct(tokens, special, pos_dim)


def _distinct(tokens: list[bytes], special: Iterable[int], pos_dim: int) -> list[bytes]:
    """Replace the bytes of special tokens that share them with another token."""
    counts = Counter(codec.truncate(token, pos_dim) for token in tokens)
    distinct = list(tokens)
    for number in special:
        cut = codec.truncate(tokens[number], pos_dim)
        if not cut or counts[cut] > 1:
            distinct[number] = MARK + number.to_bytes(3, "big")
            if counts[distinct[number]]:
                # A byte-level vocabulary may contain exactly these bytes.
                distinct[number] = MARK + distinct[number]
    return distinct


def _of_tiktoken(encoding: Any) -> tuple[list[bytes], list[int]]:
    def bytes_of(number: int) -> bytes:
        try:
            return encoding.decode_single_token_bytes(number)
        except KeyError:
            return b""

    special = [encoding.encode_single_token(name) for name in encoding.special_tokens_set]
    return [bytes_of(number) for number in range(encoding.n_vocab)], sorted(special)


def _of_definition(definition: Mapping[str, Any]) -> tuple[list[bytes], list[int]]:
    """Read the contents of a tokenizer.json."""
    model = definition["model"]
    vocab = model.get("vocab")
    pieces: Pieces
    if isinstance(vocab, Mapping):
        pieces = {number: piece for piece, number in vocab.items()}
    elif isinstance(vocab, list):
        pieces = {number: entry[0] for number, entry in enumerate(vocab)}
    else:
        raise ValueError("the tokenizer.json has no vocabulary under model.vocab")
    literal: Literal = {
        entry["id"]: (entry["content"], bool(entry.get("special")))
        for entry in definition.get("added_tokens") or []
    }
    return _built(pieces, literal, _decoder(definition))


def _built(
    pieces: Pieces, literal: Literal, decode: Callable[[str], bytes]
) -> tuple[list[bytes], list[int]]:
    if (least := min([*pieces, *literal], default=0)) < 0:
        raise ValueError(f"the tokenizer has the id {least}; ids must be 0 or more")
    tokens = [b""] * (max([*pieces, *literal], default=-1) + 1)
    for number, piece in pieces.items():
        tokens[number] = decode(piece)
    for number, (content, special) in literal.items():
        # Added tokens are matched in the text literally, except for SentencePiece's space.
        tokens[number] = _encoded(content if special else content.replace(_BLANK, " "))
    return tokens, sorted(number for number, (_, special) in literal.items() if special)


def _decoder(definition: Mapping[str, Any]) -> Callable[[str], bytes]:
    """Return the function from pieces to bytes that a tokenizer.json's decoder describes."""
    model = definition["model"]
    parts = list(_parts(definition.get("decoder"))) or list(_parts(definition.get("pre_tokenizer")))
    kinds = {part.get("type"): part for part in parts}
    prefix = kinds.get("WordPiece", {}).get("prefix") or model.get("continuing_subword_prefix")
    if model.get("type") == "WordPiece":
        prefix = prefix or "##"
    suffix = kinds.get("BPEDecoder", {}).get("suffix") or model.get("end_of_word_suffix")
    blanks = [_BLANK] if not kinds or model.get("type") == "Unigram" else []
    for part in parts:
        if part.get("type") == "Metaspace":
            blanks.append(part.get("replacement", _BLANK))
        elif part.get("type") == "Replace" and part.get("content") == " ":
            blanks.append(part.get("pattern", {}).get("String", _BLANK))
    if "ByteLevel" in kinds:
        return functools.partial(_from_byte_level, suffix=suffix or "")
    fallback = "ByteFallback" in kinds or bool(model.get("byte_fallback"))
    return functools.partial(
        _from_text, blanks=blanks, prefix=prefix or "", suffix=suffix or "", fallback=fallback
    )


def _parts(part: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(part, dict):
        return
    for inner in part.get("decoders") or part.get("pretokenizers") or [part]:
        if inner is part:
            yield part
        else:
            yield from _parts(inner)


def _from_byte_level(piece: str, suffix: str = "") -> bytes:
    ends = bool(suffix) and piece.endswith(suffix)
    table = byte_characters()
    text = piece.removesuffix(suffix) if ends else piece
    data = bytes(table[char] for char in text) if all(c in table for c in text) else _encoded(text)
    return data + b" " if ends else data


def _from_text(
    piece: str, blanks: Iterable[str], prefix: str, suffix: str, fallback: bool
) -> bytes:
    byte = _FALLBACK.fullmatch(piece) if fallback else None
    if byte:
        return bytes.fromhex(byte[1])
    text = piece
    if prefix:
        text = piece.removeprefix(prefix) if piece.startswith(prefix) else " " + piece
    if suffix and text.endswith(suffix):
        text = text.removesuffix(suffix) + " "
    for blank in blanks:
        text = text.replace(blank, " ")
    return _encoded(text)


def _encoded(text: str) -> bytes:
    # Lone surrogates cannot be encoded; no tokenizer ever reads one.
    return text.encode(errors="replace")


def _of_slow(tokenizer: Any) -> tuple[list[bytes], list[int]]:
    """Read a slow tokenizer of transformers, one written in Python."""
    count = max(tokenizer.get_vocab().values(), default=-1) + 1
    strings = tokenizer.convert_ids_to_tokens(list(range(count)))
    added = getattr(tokenizer, "added_tokens_decoder", {})
    literal: Literal = {
        number: (token.content, bool(token.special)) for number, token in added.items()
    }
    literal |= {number: (strings[number], True) for number in tokenizer.all_special_ids}
    pieces = {number: piece for number, piece in enumerate(strings) if piece is not None}
    return _built(pieces, literal, _slow_decoder(tokenizer))


def _slow_decoder(tokenizer: Any) -> Callable[[str], bytes]:
    if hasattr(tokenizer, "byte_decoder"):
        return _from_byte_level
    if hasattr(tokenizer, "_utf_vocab_size"):
        # ByT5 writes each byte as the character of the same number.
        return lambda piece: piece.encode("latin-1", errors="replace")
    plain = functools.partial(_from_text, blanks=(), prefix="", suffix="", fallback=False)
    if hasattr(tokenizer, "sp_model") or hasattr(tokenizer, "spm"):
        return functools.partial(plain, blanks=(_BLANK,), fallback=True)
    if hasattr(tokenizer, "wordpiece_tokenizer"):
        return functools.partial(plain, prefix="##")

    def decode(piece: str) -> bytes:
        # Take what a third piece adds to two: marks and spaces are special at the ends of a text.
        twice, thrice = (tokenizer.convert_tokens_to_string([piece] * n) for n in (2, 3))
        added = thrice.removeprefix(twice) if thrice.startswith(twice) else None
        return _encoded(added or thrice.removesuffix(twice))

    return decode


def _reference(tokenizer: Any, pos_dim: int) -> list[bytes]:
    """Return the bytes that ``kronecker_embeddings.tokenizer_utils`` reads, cut as it cuts them."""
    piece_of, decode, special, count = _reference_parts(tokenizer)
    tokens = []
    for number in range(count):
        piece = piece_of(number)
        byte = _FALLBACK.fullmatch(piece or "")
        if byte:
            data = bytes.fromhex(byte[1])
        elif number in special:
            data = (piece or "").encode()
        else:
            data = decode(number).encode()
        tokens.append(_reference_cut(data, pos_dim))
    return tokens


def _reference_parts(
    tokenizer: Any,
) -> tuple[Callable[[int], str | None], Callable[[int], str], set[int], int]:
    """Return functions to an id's piece and to its text, the special ids and the number of ids."""
    if hasattr(tokenizer, "decode_single_token_bytes"):
        special = {tokenizer.encode_single_token(name) for name in tokenizer.special_tokens_set}

        def text(number: int) -> str:
            try:
                return tokenizer.decode([number])
            except KeyError:
                return ""

        return text, text, special, tokenizer.n_vocab
    if isinstance(tokenizer, Mapping):
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(json.dumps(tokenizer))
    if hasattr(tokenizer, "convert_ids_to_tokens"):
        options: dict[str, Any] = {
            "skip_special_tokens": False,
            "clean_up_tokenization_spaces": False,
        }
        piece_of, special = tokenizer.convert_ids_to_tokens, set(tokenizer.all_special_ids)
    elif hasattr(tokenizer, "id_to_token"):
        options = {"skip_special_tokens": False}
        added = tokenizer.get_added_tokens_decoder()
        piece_of = tokenizer.id_to_token
        special = {number for number, token in added.items() if token.special}
    else:
        raise TypeError(
            f"tokenizer is {type(tokenizer).__name__}; it must be a tiktoken encoding, a tokenizer "
            "of tokenizers or transformers, or the path of a tokenizer.json"
        )

    def decode(number: int) -> str:
        try:
            return tokenizer.decode([number], **options) or ""
        except Exception:
            # As in the reference: for unused ids every tokenizer fails in its own way.
            return piece_of(number) or ""

    count = max(tokenizer.get_vocab().values(), default=-1) + 1
    return piece_of, decode, special, count


def _reference_cut(data: bytes, pos_dim: int) -> bytes:
    if len(data) <= pos_dim:
        return data
    for end in range(pos_dim, max(pos_dim - 4, -1), -1):
        if codec.is_utf8(data[:end]):
            return data[:end]
    return b""


@functools.cache
def byte_characters() -> dict[str, int]:
    """Return the byte for each printable character of GPT-2's byte-level BPE."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in plain}
    others = (byte for byte in range(256) if byte not in set(plain))
    return table | {chr(256 + place): byte for place, byte in enumerate(others)}
