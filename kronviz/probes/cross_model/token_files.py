r"""Reads a list of tokens from a file in any common format.

Notable:

- The formats are ``tokenizer.json`` (tokenizers), ``tokenizer.model`` (SentencePiece), Mistral's
  ``tekken.json``, ``vocab.json``, a JSON list, a list of lines such as ``vocab.txt``, and
  tiktoken's rank files. Nothing is executed; sizes are limited.
"""

from __future__ import annotations

import base64
import binascii
import codecs
from itertools import chain
from pathlib import Path
from typing import Any

from kronviz.errors import InputError
from kronviz.probes.cross_model.json_file import SLOW_BYTES, TooManyParts, check_marks, parse
from kronviz.probes.cross_model.lines import read_lines
from kronviz.probes.cross_model.schemes import scheme_of_tokenizer
from kronviz.probes.cross_model.sentencepiece_model import is_model, read_model
from kronviz.probes.cross_model.tokens import (
    SPECIAL,
    TokenList,
    built,
    check_count,
    from_ranks,
    from_strings,
    ordered,
)

MAX_FILE_BYTES = 64_000_000
_BLOCK = 1_000_000
_TOO_MANY = "The token list is JSON of far more parts than a vocabulary has; give tokenizer.json."


def read_tokens(data: bytes, filename: str = "tokenizer.json") -> TokenList:
    """Read the tokens in the bytes of a file.

    Raises:
        InputError: the file is too large, or not a list of tokens in a known format.
    """
    name = filename[:60]
    if len(data) > MAX_FILE_BYTES:
        raise InputError(
            f"The token list is larger than the limit of {MAX_FILE_BYTES / 1e6:g} MB; give the "
            "tokenizer.json of the model."
        )
    data = _as_utf8(data)
    if not data.strip():
        raise InputError("The token list is empty; give the tokenizer.json of the model.")
    if is_model(data):
        return read_model(data)
    if data[:2] in (b"PK", b"\x1f\x8b") or b"\0" in data[:4096]:
        raise InputError(
            "The token list is not text but an archive or a binary file; give tokenizer.json, "
            "vocab.json or vocab.txt."
        )
    # BERT's vocab.txt begins with the token [PAD], which looks like JSON.
    first = data.split(b"\n", 1)[0].strip().decode("utf-8", "replace")
    listed = (filename.endswith(".txt") and not _is_json(data)) or SPECIAL.fullmatch(first)
    if data.lstrip()[:1] in (b"{", b"[") and not listed:
        return _from_json(_parsed(data))
    # Checked before splitting, because no one else is served while millions of lines are split.
    check_count(data.count(b"\n"))
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InputError(f"{name} is not UTF-8 text; save the token list as UTF-8.") from None
    # Lines end at line feeds only: U+2028 and the like are tokens.
    return read_lines(text.replace("\r\n", "\n").removesuffix("\n").split("\n"), name)


def _from_json(content: Any) -> TokenList:
    if isinstance(content, list):
        if not all(isinstance(token, str) for token in content):
            raise InputError("The token list must be a JSON list of strings, in order of id.")
        return from_strings(content)
    if isinstance(content.get("model"), dict):
        return _from_tokenizer(content)
    if isinstance(content.get("vocab"), list) and isinstance(content.get("config"), dict):
        return _from_tekken(content)
    if isinstance(content.get("vocab"), dict):
        content = content["vocab"]
    if content and all(_is_number(key) and isinstance(text, str) for key, text in content.items()):
        return from_strings(ordered((text, int(key)) for key, text in content.items()))
    numbered = {key: number for key, number in content.items() if _is_id(number)}
    if len(numbered) < len(content) or not numbered:
        raise InputError(
            "The token list is a JSON object of another kind; give tokenizer.json, a vocab.json "
            "(token to id) or a JSON list of tokens."
        )
    first = min(numbered.values())
    if first > len(numbered):
        raise InputError(
            f"The token list begins at id {first:,}, so it has added tokens only; give "
            "tokenizer.json or vocab.json."
        )
    return from_strings(ordered(numbered.items()))


def _from_tokenizer(tokenizer: dict[str, Any]) -> TokenList:
    model = tokenizer["model"]
    vocab = model.get("vocab")
    strings: list[str | None]
    if isinstance(vocab, dict) and all(map(_is_id, vocab.values())):
        strings = ordered(vocab.items())
    elif isinstance(vocab, list) and all(
        isinstance(entry, list) and entry and isinstance(entry[0], str) for entry in vocab
    ):
        strings = [entry[0] for entry in vocab]
    else:
        raise InputError(
            "The tokenizer.json has no vocabulary under model.vocab; save it again with tokenizers."
        )
    added = tokenizer.get("added_tokens")
    literal: dict[int, str] = {}
    special: set[int] = set()
    for entry in added if isinstance(added, list) else ():
        if not isinstance(entry, dict):
            continue
        number, content = entry.get("id"), entry.get("content")
        if isinstance(number, int) and _is_id(number) and isinstance(content, str):
            literal[number] = content
            if entry.get("special"):
                special.add(number)
    if not special:
        # A hand-made file may not declare its special tokens; recognise them by their names.
        unknown = model.get("unk_token")
        special = {
            i
            for i, string in enumerate(strings)
            if string and (SPECIAL.fullmatch(string) or string == unknown)
        }
    return built(strings, scheme_of_tokenizer(tokenizer, strings), literal, special)


def _from_tekken(tekken: dict[str, Any]) -> TokenList:
    """Read Mistral's own format: ranks follow the special tokens."""
    config = tekken["config"]
    special, size = config.get("default_num_special_tokens"), config.get("default_vocab_size")
    if not (_is_id(special) and _is_id(size) and isinstance(special, int)):
        raise InputError(
            "The tekken.json does not say how many special tokens it has; give tokenizer.json."
        )
    check_count(max(special, size))
    ranks: dict[int, bytes] = {}
    for entry in tekken["vocab"][: max(0, size - special)]:
        try:
            ranks[int(entry["rank"])] = base64.b64decode(entry["token_bytes"], validate=True)
        except (TypeError, KeyError, ValueError, OverflowError, binascii.Error):
            raise InputError(
                "An entry of the tekken.json has no rank and bytes; give tokenizer.json."
            ) from None
    if min(ranks, default=0) < 0:
        raise InputError("A rank in the tekken.json is below 0; give tokenizer.json.")
    return from_ranks(ranks, special)


def _as_utf8(data: bytes) -> bytes:
    """Return the data as UTF-8 without a byte-order mark."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            try:
                return data.removeprefix(mark).decode(encoding).encode()
            except UnicodeError:
                raise InputError(
                    "The token list is damaged after its byte-order mark; save it as UTF-8."
                ) from None
    return data


def _is_json(data: bytes) -> bool:
    """Return whether a file named as text is JSON."""
    return data.lstrip()[:2] in (b'{"', b'["') and data.rstrip()[-1:] in (b"}", b"]")


def check_size(path: Path) -> None:
    """Check without parsing that a JSON file is not too large for a vocabulary.

    Raises:
        InputError: it has far more parts than any vocabulary.
    """
    with path.open("rb") as file:
        block = file.read(_BLOCK)
        if block.lstrip()[:1] not in (b"{", b"["):
            return
        try:
            check_marks(chain([block], iter(lambda: file.read(_BLOCK), b"")))
        except TooManyParts:
            raise InputError(_TOO_MANY) from None


def _parsed(data: bytes) -> Any:
    try:
        return parse(data)
    except TooManyParts:
        raise InputError(_TOO_MANY) from None
    except RecursionError:
        raise InputError("The token list is JSON nested too deeply; give tokenizer.json.") from None
    except ValueError as error:
        if len(data) > SLOW_BYTES:
            raise InputError("The token list is not valid JSON; give tokenizer.json.") from None
        reason = str(error).partition(";")[0][:80]
        raise InputError(f"The token list is not valid JSON: {reason}.") from None


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < 12
