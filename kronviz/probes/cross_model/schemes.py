r"""The schemes by which vocabularies write the bytes of a token as a string.

Notable:

- Token strings are not text. Byte-level BPE writes a byte as a printable character (``Ġ`` is a
  space), SentencePiece writes a space as ``▁`` and a byte without a piece as ``<0x0A>``, WordPiece
  marks a piece inside a word by ``##``, other BPEs mark the end of a word by ``</w>``.
- A ``tokenizer.json`` declares its scheme in its decoder, pre-tokenizer, normalizer and model; for
  a bare list it is inferred from the strings (`scheme_of_strings`).

>>> BYTE_LEVEL.decode("Ġrun"), SENTENCEPIECE.decode("▁run"), WORDPIECE.decode("##ing")
(b' run', b' run', b'ing')
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kronviz.errors import InputError
from kronviz.predictor import clean_text
from kronviz.vocabulary import byte_characters

MAX_TOKEN_BYTES = 4_096
_MAX_REPLACED, _MAX_CONTENT = 16, 64
"""Replacements that a decoder makes in each token, and characters that each may put in."""

_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SHARE = 0.01
"""Smallest share of strings with a mark for the mark to count."""
_ALPHABET = 250
"""Fewest of byte-level BPE's 256 characters among the tokens for a list to be byte-level."""
_MAX_DEPTH = 4


@dataclass(frozen=True)
class Scheme:
    """A way to write tokens as strings.

    Attributes:
        name: its name on the page.
        byte_level: whether each character stands for a byte, as in GPT-2.
        blank: the string for a space; empty if there is none.
        fallback: whether ``<0x0A>`` is a byte.
        prefix: the mark of a piece inside a word, such as ``##``.
        suffix: the mark of the last piece of a word, such as ``</w>``.
        joiner: the mark of every piece of a word except the last, such as ``@@``.
        replaced: other strings that the decoder replaces, in order.
    """

    name: str
    byte_level: bool = False
    blank: str = ""
    fallback: bool = False
    prefix: str = ""
    suffix: str = ""
    joiner: str = ""
    replaced: tuple[tuple[str, str], ...] = ()

    def decode(self, string: str) -> bytes:
        """Return the bytes of the text that a token string stands for."""
        if self.suffix:
            string = string.removesuffix(self.suffix)
        if self.joiner and len(string) > len(self.joiner):
            string = string.removesuffix(self.joiner)
        if self.prefix and len(string) > len(self.prefix):
            string = string.removeprefix(self.prefix)
        if self.byte_level:
            table = byte_characters()
            # As in the tokenizers library: one character outside the alphabet makes it all text.
            if all(char in table for char in string):
                return bytes(table[char] for char in string)
            return utf8(string)
        return self.literal(string)

    def literal(self, string: str) -> bytes:
        """Return the bytes of an added token, which is matched in the text literally."""
        if self.byte_level:
            return utf8(string)
        for old, new in self.replaced:
            string = _short(_short(string).replace(old, new))
        if self.blank:
            string = string.replace(self.blank, " ")
        if self.fallback and (byte := _FALLBACK.fullmatch(string)):
            return bytes.fromhex(byte[1])
        return utf8(string)

    def starts(self, string: str) -> bool:
        """Return whether a token begins a word (in a scheme that marks ends: ends one)."""
        if self.prefix:
            return not string.startswith(self.prefix)
        if self.suffix:
            return string.endswith(self.suffix)
        if self.joiner:
            return not string.endswith(self.joiner)
        if self.byte_level:
            return string.startswith("Ġ")
        if self.blank:
            return string.startswith(self.blank)
        return True


PLAIN = Scheme("plain text")
BYTE_LEVEL = Scheme("byte-level BPE", byte_level=True)
SENTENCEPIECE = Scheme("SentencePiece", blank="▁", fallback=True)
WORDPIECE = Scheme("WordPiece", prefix="##")
WORD_ENDS = Scheme("BPE that marks the ends of words", suffix="</w>")
JOINED = Scheme("BPE that marks what goes on", joiner="@@")
RANKS = "tiktoken ranks"


def scheme_of_tokenizer(definition: dict[str, Any], strings: Sequence[str | None]) -> Scheme:
    """Return the scheme that a ``tokenizer.json`` declares.

    Args:
        definition: the parsed file, with an object under ``model``.
        strings: its vocabulary, used only for what the file does not declare.
    """
    model = definition["model"]
    parts = {name: list(_parts(definition.get(name))) for name in _STEPS}
    kinds = {str(part.get("type")) for steps in parts.values() for part in steps}
    decoder = parts["decoder"]
    prefix, suffix = _text(model, "continuing_subword_prefix"), _text(model, "end_of_word_suffix")
    if model.get("type") == "WordPiece":
        prefix = prefix or _first(decoder, "WordPiece", "prefix") or "##"
    suffix = suffix or _first(decoder, "BPEDecoder", "suffix")
    byte_level = "ByteLevel" in kinds
    replaced = [pair for part in decoder if (pair := _replacement(part))]
    if len(replaced) > _MAX_REPLACED or any(len(new) > _MAX_CONTENT for _, new in replaced):
        raise InputError(
            f"The decoder of the tokenizer replaces more than {_MAX_REPLACED} strings, or one by "
            f"more than {_MAX_CONTENT} characters; check that this is the tokenizer.json of a "
            "model."
        )
    if word_end := _first(decoder, "CTC", "word_delimiter_token"):
        replaced.append((word_end, " "))
    blank = _blank(parts)
    fallback = "ByteFallback" in kinds or bool(model.get("byte_fallback"))
    if not (byte_level or prefix or suffix or blank or replaced):
        shown = scheme_of_strings(strings)
        if shown.blank or fallback or model.get("type") == "Unigram":
            return replace(SENTENCEPIECE, fallback=fallback)
        return PLAIN if parts["decoder"] or model.get("type") == "WordLevel" else shown
    base = next(
        scheme
        for scheme, holds in (
            (BYTE_LEVEL, byte_level),
            (WORDPIECE, prefix),
            (WORD_ENDS, suffix),
            (SENTENCEPIECE, True),
        )
        if holds
    )
    return Scheme(base.name, byte_level, blank, fallback, prefix, suffix, replaced=tuple(replaced))


def scheme_of_strings(strings: Sequence[str | None]) -> Scheme:
    """Return the scheme inferred from the strings of a bare list."""
    known = [string for string in strings if string]
    enough = _SHARE * max(len(known), 1)

    def many(holds: Callable[[str], object]) -> bool:
        return sum(bool(holds(string)) for string in known) > enough

    ends = many(lambda string: string.endswith("</w>"))
    if many(lambda string: "▁" in string):
        return SENTENCEPIECE
    for mark in ("##", "@@"):
        if many(re.compile(re.escape(mark) + r"\w").match):
            return replace(WORDPIECE, prefix=mark)
    bare = {string.removesuffix("</w>") if ends else string for string in known}
    alphabet = sum(char in bare for char in byte_characters())
    if alphabet >= _ALPHABET or many(lambda string: string.startswith("Ġ")):
        return replace(BYTE_LEVEL, suffix="</w>" if ends else "")
    if ends:
        return WORD_ENDS
    if many(re.compile(r".*\w@@", re.DOTALL).fullmatch):
        return JOINED
    if sum(bool(_FALLBACK.fullmatch(string)) for string in known) >= 200:
        return SENTENCEPIECE
    return PLAIN


def _short(string: str) -> str:
    """Return a token's string; `InputError` if it is too long for a token."""
    if len(string) > MAX_TOKEN_BYTES:
        raise InputError(
            f"A token has {len(string):,} characters; the limit is {MAX_TOKEN_BYTES:,} bytes. "
            "Check that this is a list of tokens."
        )
    return string


def utf8(text: str) -> bytes:
    """Return text as UTF-8, with lone surrogates replaced."""
    return clean_text(text).encode()


_STEPS = ("normalizer", "pre_tokenizer", "decoder")


def _parts(part: Any, depth: int = _MAX_DEPTH) -> Iterator[dict[str, Any]]:
    """Yield a step of the tokenizer and all steps inside it, in order."""
    if not isinstance(part, dict) or not depth:
        return
    yield part
    for name in ("normalizers", "pretokenizers", "decoders"):
        steps = part.get(name)
        for inner in steps if isinstance(steps, list) else ():
            yield from _parts(inner, depth - 1)


def _blank(parts: dict[str, list[dict[str, Any]]]) -> str:
    """Return the string for a space, from the decoder or else from the steps that encode."""
    for part in parts["decoder"]:
        pair = _replacement(part, "")
        if pair and pair[1] == " ":
            return pair[0]
    for name in ("decoder", "pre_tokenizer"):
        for part in parts[name]:
            if part.get("type") == "Metaspace":
                return _text(part, "replacement") or "▁"
    for part in parts["normalizer"]:
        pair = _replacement(part, "")
        if pair and pair[0] == " ":
            return pair[1]
        if part.get("type") == "Prepend" and len(_text(part, "prepend")) == 1:
            return _text(part, "prepend")
    return ""


def _replacement(part: dict[str, Any], other_than: str = " ") -> tuple[str, str] | None:
    """Return the string that a step replaces, and its replacement; ``None`` for other steps."""
    pattern = part.get("pattern")
    old = pattern.get("String") if isinstance(pattern, dict) else None
    new = part.get("content")
    if part.get("type") != "Replace" or not isinstance(old, str) or not isinstance(new, str):
        return None
    return (old, new) if old and new != other_than else None


def _first(parts: Sequence[dict[str, Any]], kind: str, name: str) -> str:
    return next((_text(part, name) for part in parts if part.get("type") == kind), "")


def _text(part: dict[str, Any], name: str) -> str:
    value = part.get(name)
    return value if isinstance(value, str) else ""
