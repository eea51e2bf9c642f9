r"""`TokenList`: the bytes of each token of a vocabulary.

Notable:

- Special tokens and unused ids have no text, and so no bytes.
- `schemes` decodes token strings; `token_files` reads files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kronviz.errors import InputError
from kronviz.probes.cross_model.schemes import (
    MAX_TOKEN_BYTES,
    RANKS,
    Scheme,
    scheme_of_strings,
)

MAX_TOKENS = 400_000

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
        tokens: bytes of each id; empty for special tokens and unused ids.
        starts: whether each token begins a word.
        scheme: how the strings were written.
        special: number of special tokens.
        tail: number of ids at the end that are special, added or unused; a table may lack them.
        notes: a sentence for everything that was not taken literally.
    """

    tokens: tuple[bytes, ...]
    starts: tuple[bool, ...]
    scheme: str
    special: int
    tail: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)


def from_strings(
    strings: Sequence[str | None], scheme: Scheme | None = None, notes: tuple[str, ...] = ()
) -> TokenList:
    """Make tokens from a bare list of strings; by default the scheme is inferred from them."""
    special = {i for i, string in enumerate(strings) if string and SPECIAL.fullmatch(string)}
    return built(strings, scheme or scheme_of_strings(strings), {}, special, notes)


def from_ranks(ranks: Mapping[int, bytes], special: int = 0) -> TokenList:
    """Make a list from the tokens' bytes by rank.

    Args:
        special: number of special tokens, whose ids come before the ranks.
    """
    size = max(ranks, default=-1) + 1 + special
    check_count(size)
    tokens = [b""] * size
    for rank, token in ranks.items():
        tokens[rank + special] = token
    return TokenList(checked(tokens), tuple(token[:1] == b" " for token in tokens), RANKS, special)


def built(
    strings: Sequence[str | None],
    scheme: Scheme,
    literal: Mapping[int, str],
    special: Collection[int],
    notes: tuple[str, ...] = (),
) -> TokenList:
    """Make tokens from strings.

    Args:
        strings: the vocabulary's strings, by id.
        literal: added tokens by id, which are matched in the text literally.
        special: ids without text.
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
    """Return the tokens; `InputError` if there are too many or one is too long."""
    check_count(len(tokens))
    long = next((i for i, token in enumerate(tokens) if len(token) > MAX_TOKEN_BYTES), None)
    if long is not None:
        raise InputError(
            f"Token {long} has {len(tokens[long]):,} bytes; the limit is {MAX_TOKEN_BYTES:,}. "
            "Check that this is a list of tokens."
        )
    return tuple(tokens)


def check_count(size: int) -> None:
    """Raise `InputError` if a list has too many tokens."""
    if size > MAX_TOKENS:
        raise InputError(f"The token list goes up to id {size - 1:,}; the limit is {MAX_TOKENS:,}.")


def ordered(numbered: Iterable[tuple[str, int]]) -> list[str | None]:
    """Return strings in the order of their ids; ``None`` for an id without a string."""
    entries = list(numbered)
    size = max((number for _, number in entries), default=-1) + 1
    check_count(size)
    strings: list[str | None] = [None] * size
    for string, number in entries:
        strings[number] = string
    return strings
