r"""The token list of any model, as the bytes that each of its tokens stands for.

Notable:

- A special token stands for no text and so has no bytes; neither has an id that nobody uses.
- Read are ``tokenizer.json`` (tokenizers), ``tokenizer.model`` (SentencePiece), Mistral's
  ``tekken.json``, ``vocab.json``, a JSON list, a list of lines such as ``vocab.txt``, and
  tiktoken's rank files. Nothing is executed; sizes are limited.
- How strings are written stands in `schemes`, what a list of lines may be in `lines`.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kronviz.predictor import InputError
from kronviz.probes.cross_model.schemes import (
    RANKS,
    Scheme,
    scheme_of_strings,
    scheme_of_tokenizer,
)

MAX_FILE_BYTES = 64_000_000
MAX_TOKENS = 400_000
MAX_TOKEN_BYTES = 4_096
MAX_OBJECTS, MAX_LISTS = 500_000, 2_000_000
"""In a JSON file: the largest vocabularies list 600,000 merges as pairs, and few objects."""

UNUSED = re.compile(
    r"\[unused\d+\]|<\|?unused_?\d+\|?>|<\|?reserved_\w+\|?>|<extra_id_\d+>|madeupword\d+|"
    r"<\|extra_\d+\|>|\[control_\d+\]|<SPECIAL_\d+>"
)
SPECIAL = re.compile(
    r"\[(?:PAD|UNK|CLS|SEP|MASK|BOS|EOS)\]|<\|[^|<>\s]+\|>|<｜[^｜<>]+｜>|</?s>|"
    r"<(?:pad|unk|mask|bos|eos|sep|cls|start_of_turn|end_of_turn)>"
)


@dataclass(frozen=True)
class TokenList:
    """The tokens of a model, in order of id.

    Attributes:
        tokens: bytes of each id; empty for a special token and for an id without a token.
        starts: whether a token begins a word, as its vocabulary writes it.
        scheme: how the strings were written.
        special: how many tokens are special.
        tail: how many ids at the end are special, added or without a token; a table may lack them.
        notes: a sentence for everything that was read otherwise than it stands.
    """

    tokens: tuple[bytes, ...]
    starts: tuple[bool, ...]
    scheme: str
    special: int
    tail: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)


def read_tokens(data: bytes, filename: str = "tokenizer.json") -> TokenList:
    """Read the tokens in the bytes of a file.

    Raises:
        InputError: the file is too large, no list of tokens, or one that is not understood.
    """
    # These read by what is here, so they are imported late.
    from kronviz.probes.cross_model.lines import read_lines
    from kronviz.probes.cross_model.sentencepiece_model import is_model, read_model

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
            "The token list is no text but an archive or a binary file; give tokenizer.json, "
            "vocab.json or vocab.txt."
        )
    # BERT's vocab.txt begins with the token [PAD], which is no JSON.
    first = data.split(b"\n", 1)[0].strip().decode("utf-8", "replace")
    listed = (filename.endswith(".txt") and not _is_json(data)) or SPECIAL.fullmatch(first)
    if data.lstrip()[:1] in (b"{", b"[") and not listed:
        return _from_json(_parsed(data))
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InputError(f"{name} is not UTF-8 text; save the token list as UTF-8.") from None
    # One token a line and nothing else: U+2028 and its like are tokens, not line ends.
    return read_lines(text.replace("\r\n", "\n").removesuffix("\n").split("\n"), name)


def from_strings(
    strings: Sequence[str | None], scheme: Scheme | None = None, notes: tuple[str, ...] = ()
) -> TokenList:
    """Make a bare list of strings into tokens; the way they are written shows in themselves."""
    special = {i for i, string in enumerate(strings) if string and SPECIAL.fullmatch(string)}
    return built(strings, scheme or scheme_of_strings(strings), {}, special, notes)


def from_ranks(ranks: Mapping[int, bytes], special: int = 0) -> TokenList:
    """Make tokens that are given as their bytes into a list.

    Args:
        special: how many ids in front have no bytes.
    """
    size = max(ranks, default=-1) + 1 + special
    check_count(size)
    found = [b""] * size
    for rank, token in ranks.items():
        found[rank + special] = token
    return TokenList(checked(found), tuple(token[:1] == b" " for token in found), RANKS, special)


def built(
    strings: Sequence[str | None],
    scheme: Scheme,
    literal: Mapping[int, str],
    special: Collection[int],
    notes: tuple[str, ...] = (),
) -> TokenList:
    """Make strings into tokens.

    Args:
        strings: of the vocabulary, by id.
        literal: added tokens by id, which are cut from the text as they stand.
        special: ids that stand for no text.
    """
    size = max(len(strings), max(literal, default=-1) + 1)
    check_count(size)
    tokens, starts = [], []
    unused = body = 0
    for number in range(size):
        own = strings[number] if number < len(strings) else None
        string = literal.get(number, own)
        data, start = b"", False
        if string is None or number in special:
            pass
        elif UNUSED.fullmatch(string):
            unused += 1
        elif own is not None:
            data, start, body = scheme.decode(own), scheme.starts(own), number + 1
        else:
            data = scheme.literal(string)
            start = data[:1] == b" "
        tokens.append(data)
        starts.append(start)
    special_tokens = len(set(special)) + unused
    return TokenList(
        checked(tokens), tuple(starts), scheme.name, special_tokens, size - body, notes
    )


def checked(tokens: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the tokens, or refuse them where they are too many or one is too long."""
    check_count(len(tokens))
    long = next((i for i, token in enumerate(tokens) if len(token) > MAX_TOKEN_BYTES), None)
    if long is not None:
        raise InputError(
            f"Token {long} has {len(tokens[long]):,} bytes; the limit is {MAX_TOKEN_BYTES:,}. Is "
            "this a list of tokens?"
        )
    return tuple(tokens)


def check_count(size: int) -> None:
    """Refuse a list of too many tokens."""
    if size > MAX_TOKENS:
        raise InputError(f"The token list goes up to id {size - 1:,}; the limit is {MAX_TOKENS:,}.")


def ordered(numbered: Iterable[tuple[str, int]]) -> list[str | None]:
    """Return strings in the order of their ids, ``None`` where an id has none."""
    entries = list(numbered)
    size = max((number for _, number in entries), default=-1) + 1
    check_count(size)
    strings: list[str | None] = [None] * size
    for string, number in entries:
        strings[number] = string
    return strings


def _from_json(found: Any) -> TokenList:
    if isinstance(found, list):
        if not all(isinstance(token, str) for token in found):
            raise InputError("The token list must be a JSON list of strings, in order of id.")
        return from_strings(found)
    if isinstance(found.get("model"), dict):
        return _from_tokenizer(found)
    if isinstance(found.get("vocab"), list) and isinstance(found.get("config"), dict):
        return _from_tekken(found)
    if isinstance(found.get("vocab"), dict):
        found = found["vocab"]
    if found and all(_is_number(key) and isinstance(text, str) for key, text in found.items()):
        return from_strings(ordered((text, int(key)) for key, text in found.items()))
    numbered = {key: number for key, number in found.items() if _is_id(number)}
    if len(numbered) < len(found) or not numbered:
        raise InputError(
            "The token list is a JSON object of another kind; give tokenizer.json, a vocab.json "
            "(token to id) or a JSON list of tokens."
        )
    first = min(numbered.values())
    if first > len(numbered):
        raise InputError(
            f"The token list begins at id {first:,}, so it holds added tokens only; give "
            "tokenizer.json or vocab.json."
        )
    return from_strings(ordered(numbered.items()))


def _from_tokenizer(found: dict[str, Any]) -> TokenList:
    model = found["model"]
    vocab = model.get("vocab")
    strings: list[str | None]
    if isinstance(vocab, dict) and all(map(_is_id, vocab.values())):
        strings = ordered(vocab.items())
    elif isinstance(vocab, list) and all(
        isinstance(entry, list) and entry and isinstance(entry[0], str) for entry in vocab
    ):
        strings = [entry[0] for entry in vocab]
    else:
        raise InputError("The tokenizer.json holds no vocabulary under model.vocab.")
    added = found.get("added_tokens")
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
        # A file made by hand may leave out what is special; no text is ever cut into these.
        unknown = {model.get("unk_token")}
        special = {
            i
            for i, string in enumerate(strings)
            if string and (SPECIAL.fullmatch(string) or string in unknown)
        }
    return built(strings, scheme_of_tokenizer(found, strings), literal, special)


def _from_tekken(found: dict[str, Any]) -> TokenList:
    """Read Mistral's own format: ids are ranks behind the special tokens."""
    config = found["config"]
    special, size = config.get("default_num_special_tokens"), config.get("default_vocab_size")
    if not (_is_id(special) and _is_id(size) and isinstance(special, int)):
        raise InputError("The tekken.json does not say how many special tokens it has.")
    check_count(max(special, size))
    ranks: dict[int, bytes] = {}
    for entry in found["vocab"][: max(0, size - special)]:
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
    """Return a text without its byte-order mark, as UTF-8."""
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
                    "The token list begins with a byte-order mark and is damaged behind it; save "
                    "it as UTF-8."
                ) from None
    return data


def _is_json(data: bytes) -> bool:
    """Return whether a file with a name for text holds JSON all the same."""
    return data.lstrip()[:2] in (b'{"', b'["') and data.rstrip()[-1:] in (b"}", b"]")


def _parsed(data: bytes) -> Any:
    if data.count(b"{") > MAX_OBJECTS or data.count(b"[") > MAX_LISTS:
        raise InputError(
            "The token list is JSON of far more parts than a vocabulary has; give tokenizer.json."
        )
    try:
        return json.loads(data)
    except RecursionError:
        raise InputError("The token list is JSON nested too deeply.") from None
    except ValueError as error:
        reason = str(error).partition(";")[0][:80]
        raise InputError(f"The token list is not valid JSON: {reason}.") from None


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < 12
