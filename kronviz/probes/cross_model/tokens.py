r"""The token list of any model, as the bytes that each of its tokens stands for.

Notable:

- Token strings are not text. Byte-level BPE writes a byte as a printable character (``Ġ`` is a
  blank), SentencePiece writes a blank as ``▁`` and a byte without a piece as ``<0x0A>``, WordPiece
  marks the middle of a word by ``##``. Each becomes the bytes of the text that it covers.
- A special token stands for no text and so has no bytes; neither has an id that nobody uses.
- Read are ``tokenizer.json`` (tokenizers), ``vocab.json``, a JSON list, a list of lines such as
  ``vocab.txt``, and tiktoken's rank files. Nothing is executed; sizes are limited.

>>> decode_token("Ġrun", BYTE_LEVEL), decode_token("▁run", SENTENCEPIECE)
(b' run', b' run')
>>> decode_token("<0x0A>", SENTENCEPIECE), decode_token("##ing", WORDPIECE)
(b'\n', b'ing')
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kronviz.predictor import InputError, clean_text

BYTE_LEVEL, SENTENCEPIECE, WORDPIECE = "byte-level BPE", "SentencePiece", "WordPiece"
PLAIN, RANKS = "plain text", "tiktoken ranks"
MAX_FILE_BYTES = 64_000_000
MAX_TOKENS = 400_000
MAX_TOKEN_BYTES = 4_096

_BLANK = "▁"
_MIDDLE = "##"
_WORD_END = "</w>"
_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_UNUSED = re.compile(r"\[unused\d+\]|<unused\d+>|<reserved_\w+>")
_SPECIAL = re.compile(
    r"\[(?:PAD|UNK|CLS|SEP|MASK|BOS|EOS)\]|<\|[^|<>]+\|>|</?s>|<(?:pad|unk|mask)>"
)
_RANK = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+")


@dataclass(frozen=True)
class TokenList:
    """The tokens of a model, in order of id.

    Attributes:
        tokens: bytes of each id; empty for a special token and for an id without a token.
        starts: whether a token begins a word, as its vocabulary writes it.
        scheme: how the strings were written.
        special: how many tokens are special.
    """

    tokens: tuple[bytes, ...]
    starts: tuple[bool, ...]
    scheme: str
    special: int

    def __len__(self) -> int:
        return len(self.tokens)


def read_tokens(data: bytes, filename: str = "tokenizer.json") -> TokenList:
    """The tokens in the bytes of a file.

    Raises:
        InputError: the file is too large, no list of tokens, or one that is not understood.
    """
    if len(data) > MAX_FILE_BYTES:
        raise InputError(
            f"The token list is larger than the limit of {MAX_FILE_BYTES / 1e6:g} MB; give the "
            "tokenizer.json of the model."
        )
    if not data.strip():
        raise InputError("The token list is empty; give the tokenizer.json of the model.")
    if data[:2] in (b"PK", b"\x1f\x8b") or b"\0" in data[:4096]:
        raise InputError(
            "The token list is no text but an archive or a binary file; give tokenizer.json, "
            "vocab.json or vocab.txt."
        )
    lines = data.splitlines()
    # BERT's vocab.txt begins with the token «[PAD]», which is no JSON.
    listed = filename.endswith(".txt") or _SPECIAL.fullmatch(lines[0].decode("latin-1"))
    if data.lstrip()[:1] in (b"{", b"[") and not listed:
        return _from_json(_parsed(data))
    if all(_RANK.fullmatch(line) for line in islice(filter(None, lines), 20)):
        return _from_ranks(lines)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"{filename[:60]} is not UTF-8 text; save the token list as UTF-8."
        ) from None
    # One token a line and nothing else: U+2028 and its like are tokens, not line ends.
    found = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return _guessed(found)


def decode_token(string: str, scheme: str) -> bytes:
    """The bytes of the text that a token string stands for.

    Args:
        scheme: `BYTE_LEVEL`, `SENTENCEPIECE`, `WORDPIECE` or `PLAIN`.
    """
    if scheme == BYTE_LEVEL:
        table = _byte_characters()
        return b"".join(
            bytes((table[char],)) if char in table else _utf8(char)
            for char in string.removesuffix(_WORD_END)
        )
    if scheme == SENTENCEPIECE:
        fallback = _FALLBACK.fullmatch(string)
        if fallback:
            return bytes.fromhex(fallback[1])
        return _utf8(string.replace(_BLANK, " "))
    if scheme == WORDPIECE:
        return _utf8(string.removeprefix(_MIDDLE) if len(string) > len(_MIDDLE) else string)
    return _utf8(string)


def _from_json(found: Any) -> TokenList:
    if isinstance(found, list):
        if not all(isinstance(token, str) for token in found):
            raise InputError("The token list must be a JSON list of strings, in order of id.")
        return _guessed(found)
    if isinstance(found.get("model"), dict):
        return _from_tokenizer(found)
    numbered = {k: v for k, v in found.items() if _is_id(v)}
    if len(numbered) < len(found) or not numbered:
        raise InputError(
            "The token list is a JSON object of another kind; give tokenizer.json, a vocab.json "
            "(token to id) or a JSON list of tokens."
        )
    return _guessed(_ordered(numbered.items()))


def _from_tokenizer(found: dict[str, Any]) -> TokenList:
    model = found["model"]
    vocab = model.get("vocab")
    if isinstance(vocab, dict) and all(map(_is_id, vocab.values())):
        strings = _ordered(vocab.items())
    elif isinstance(vocab, list) and all(
        isinstance(entry, list) and entry and isinstance(entry[0], str) for entry in vocab
    ):
        strings = [entry[0] for entry in vocab]
    else:
        raise InputError("The tokenizer.json holds no vocabulary under model.vocab.")
    added = [entry for entry in _listed(found.get("added_tokens")) if isinstance(entry, dict)]
    literal: dict[int, str] = {}
    special: set[int] = set()
    for entry in added:
        number, content = entry.get("id"), entry.get("content")
        if isinstance(number, int) and _is_id(number) and isinstance(content, str):
            literal[number] = content
            if entry.get("special"):
                special.add(number)
    return _built(strings, _scheme(found), literal, special)


def _scheme(found: dict[str, Any]) -> str:
    """How the strings of a tokenizer.json are written, from what it says about itself."""
    model = found["model"]
    if model.get("type") == "WordPiece":
        return WORDPIECE
    kinds = set(_kinds(found.get("pre_tokenizer"))) | set(_kinds(found.get("decoder")))
    if "ByteLevel" in kinds:
        return BYTE_LEVEL
    blanks = _BLANK in json.dumps(
        [found.get("normalizer"), found.get("decoder")], ensure_ascii=False
    )
    if {"Metaspace", "ByteFallback"} & kinds or model.get("byte_fallback") or blanks:
        return SENTENCEPIECE
    if model.get("type") in ("Unigram", "BPE"):
        return SENTENCEPIECE if model.get("type") == "Unigram" else PLAIN
    return PLAIN


def _kinds(part: Any, depth: int = 4) -> Iterator[str]:
    """Types of a part of the tokenizer and of the parts inside it."""
    if not isinstance(part, dict) or not depth:
        return
    yield str(part.get("type"))
    for name in ("pretokenizers", "decoders"):
        for inner in _listed(part.get(name)):
            yield from _kinds(inner, depth - 1)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _guessed(strings: Sequence[str | None]) -> TokenList:
    """A bare list, whose way of writing shows in the strings themselves."""
    known = [string for string in strings if string]
    count = max(len(known), 1)
    if sum(string.startswith(_MIDDLE) for string in known) > 0.01 * count:
        scheme = WORDPIECE
    elif sum(_BLANK in string for string in known) > 0.01 * count:
        scheme = SENTENCEPIECE
    elif sum(string.startswith("Ġ") for string in known) > 0.01 * count:
        scheme = BYTE_LEVEL
    else:
        scheme = PLAIN
    special = {i for i, string in enumerate(strings) if string and _SPECIAL.fullmatch(string)}
    return _built(strings, scheme, {}, special)


def _from_ranks(lines: Iterable[bytes]) -> TokenList:
    ranks: dict[str, int] = {}
    tokens: dict[int, bytes] = {}
    for line in filter(None, lines):
        string, _, rank = line.partition(b" ")
        try:
            number = int(rank)
            tokens[number] = base64.b64decode(string, validate=True)
        except (ValueError, binascii.Error):
            raise InputError("A line of the rank file is no base64 token with its rank.") from None
        ranks[str(number)] = number
    ordered = _ordered(ranks.items())
    found = tuple(tokens[int(entry)] if entry else b"" for entry in ordered)
    return TokenList(_checked(found), tuple(token[:1] == b" " for token in found), RANKS, 0)


def _built(
    strings: Sequence[str | None], scheme: str, literal: dict[int, str], special: set[int]
) -> TokenList:
    size = max(len(strings), max(literal, default=-1) + 1)
    _check_count(size)
    tokens, starts = [], []
    unused = 0
    for number in range(size):
        string = strings[number] if number < len(strings) else None
        if number in special:
            data, start = b"", False
        elif number in literal:
            # An added token is cut from the text as it stands, whatever the scheme.
            data = _utf8(literal[number])
            start = data[:1] == b" "
        elif string is None or _UNUSED.fullmatch(string):
            unused += string is not None
            data, start = b"", False
        else:
            data, start = decode_token(string, scheme), _starts(string, scheme)
        tokens.append(data)
        starts.append(start)
    return TokenList(_checked(tokens), tuple(starts), scheme, len(special) + unused)


def _starts(string: str, scheme: str) -> bool:
    if scheme == WORDPIECE:
        return not string.startswith(_MIDDLE)
    if scheme == SENTENCEPIECE:
        return string.startswith(_BLANK)
    if scheme == BYTE_LEVEL:
        return string.startswith("Ġ") or string.endswith(_WORD_END)
    return True


def _ordered(numbered: Iterable[tuple[str, int]]) -> list[str | None]:
    entries = list(numbered)
    size = max((number for _, number in entries), default=-1) + 1
    _check_count(size)
    strings: list[str | None] = [None] * size
    for string, number in entries:
        strings[number] = string
    return strings


def _checked(tokens: Sequence[bytes]) -> tuple[bytes, ...]:
    _check_count(len(tokens))
    long = next((i for i, token in enumerate(tokens) if len(token) > MAX_TOKEN_BYTES), None)
    if long is not None:
        raise InputError(
            f"Token {long} has {len(tokens[long]):,} bytes; the limit is {MAX_TOKEN_BYTES:,}. Is "
            "this a list of tokens?"
        )
    return tuple(tokens)


def _check_count(size: int) -> None:
    if size > MAX_TOKENS:
        raise InputError(f"The token list goes up to id {size - 1:,}; the limit is {MAX_TOKENS:,}.")


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except RecursionError:
        raise InputError("The token list is JSON nested too deeply.") from None
    except ValueError as error:
        reason = str(error).partition(";")[0][:80]
        raise InputError(f"The token list is not valid JSON: {reason}.") from None


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _utf8(text: str) -> bytes:
    return clean_text(text).encode()


@functools.cache
def _byte_characters() -> dict[str, int]:
    """The printable character that byte-level BPE writes for each byte, as GPT-2 chose them."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in plain}
    others = (byte for byte in range(256) if byte not in set(plain))
    return table | {chr(256 + place): byte for place, byte in enumerate(others)}
