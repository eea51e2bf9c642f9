"""Counts the tokens of a vocabulary that share their code with another, and tells why.

Notable:

- Two rules for a token's bytes can be compared: its true bytes, and the reference implementation's
  ``decode([id]).encode()``, which turns every piece of a character into U+FFFD.
- Tokens without text (end of text, unused ids) are not counted.

>>> [collisions("r50k_base", rule=rule).n_codes for rule in RULES]
[50226, 49893]
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from kronviz import codec
from kronviz.predictor import TokenView
from kronviz.settings import check, setting
from kronviz.strings import DEFAULT_POS_DIM, MAX_POS_DIM, MIN_POS_DIM, known_tokenizer, positions
from kronviz.tokenizer import VOCABULARIES, load_tokenizer

TOKENS_SHOWN = 12
REPLACEMENT = "\ufffd".encode()


@dataclass(frozen=True)
class Rule:
    """A rule for the bytes of a token: its label on the page, and what it does."""

    label: str
    description: str


RULES = {
    "true": Rule("True bytes", "the bytes that the token stands for"),
    "reference": Rule(
        "Reference rule", "decode([id]).encode(): a piece of a character becomes U+FFFD"
    ),
}


@dataclass(frozen=True)
class CollisionSettings:
    """The settings of a count of shared codes."""

    vocabulary: str = setting(next(iter(VOCABULARIES)), ", ".join(VOCABULARIES))
    pos_dim: int = setting(
        DEFAULT_POS_DIM, "Positions of the code", low=MIN_POS_DIM, high=MAX_POS_DIM
    )
    rule: str = setting(
        "true",
        "true for the bytes that a token stands for, reference for decode([id]).encode()",
        choices=RULES,
    )
    limit: int = setting(20, "Number of groups to list, largest first", low=0, high=500)


@dataclass(frozen=True)
class CollisionGroup:
    """Tokens that share one code.

    Attributes:
        text, hex: the bytes in the code, as text and in hexadecimal.
        cause: ``cut`` if longer tokens were cut to the same bytes, ``replacement`` if U+FFFD
            replaced different bytes.
        n_tokens: number of tokens that share the code.
        tokens: the first `TOKENS_SHOWN` of them, with their true bytes.
    """

    text: str
    hex: str
    cause: str
    n_tokens: int
    tokens: tuple[TokenView, ...]


@dataclass(frozen=True)
class Collisions:
    """How many tokens of a vocabulary share their code with another.

    Attributes:
        n_tokens: number of tokens with text.
        n_codes: number of distinct codes among them.
        n_colliding: number of tokens that share their code with another.
        n_groups: number of shared codes; ``groups`` lists the largest of them.
    """

    vocabulary: str
    pos_dim: int
    rule: str
    n_tokens: int
    n_codes: int
    n_colliding: int
    n_groups: int
    groups: tuple[CollisionGroup, ...]


def collisions(
    vocabulary: str,
    *,
    pos_dim: int | None = None,
    rule: str = CollisionSettings.rule,
    limit: int = CollisionSettings.limit,
) -> Collisions:
    """Count the tokens that share a code, and list the largest groups.

    Args:
        vocabulary: name for `tokenizer.load_tokenizer`.
        pos_dim, rule, limit: as in `CollisionSettings`.

    Raises:
        InputError: an argument is unknown or out of range.
    """
    tokenizer = known_tokenizer(vocabulary)
    asked = CollisionSettings(vocabulary, positions(pos_dim), rule, limit)
    check(asked)
    pos_dim, rule, limit = asked.pos_dim, asked.rule, asked.limit
    n_tokens, n_codes, groups = _grouped(tokenizer.name, pos_dim, rule)

    def view(token: int) -> TokenView:
        true = tokenizer.token_bytes(token)
        return TokenView(token, tokenizer.token_text(token), true.hex(" "), ())

    return Collisions(
        vocabulary=tokenizer.name,
        pos_dim=pos_dim,
        rule=rule,
        n_tokens=n_tokens,
        n_codes=n_codes,
        n_colliding=sum(len(ids) for _, ids in groups),
        n_groups=len(groups),
        groups=tuple(
            CollisionGroup(
                text=data.decode("utf-8", "backslashreplace"),
                hex=data.hex(),
                cause=_cause(data, [tokenizer.token_bytes(token) for token in ids]),
                n_tokens=len(ids),
                tokens=tuple(view(token) for token in ids[:TOKENS_SHOWN]),
            )
            for data, ids in groups[:limit]
        ),
    )


@functools.lru_cache(maxsize=24)
def _grouped(
    vocabulary: str, pos_dim: int, rule: str
) -> tuple[int, int, tuple[tuple[bytes, tuple[int, ...]], ...]]:
    """Return the numbers of tokens and of codes, and the ids of each shared code, largest group
    first.
    """
    tokenizer = load_tokenizer(vocabulary)
    packed = tokenizer.vocabulary
    everything, ends = packed.data.tobytes(), packed.offsets.tolist()
    by_code: dict[bytes, list[int]] = {}
    count = 0
    for token in range(len(packed)):
        data = everything[ends[token] : ends[token + 1]]
        if not data or token in tokenizer.special_ids:
            continue
        count += 1
        if rule == "reference":
            data = data.decode("utf-8", "replace").encode()
        if len(data) > pos_dim:
            data = codec.truncate(data, pos_dim)
        by_code.setdefault(data, []).append(token)
    shared = [(data, tuple(ids)) for data, ids in by_code.items() if len(ids) > 1]
    shared.sort(key=lambda group: (-len(group[1]), group[1]))
    return count, len(by_code), tuple(shared)


def _cause(data: bytes, members: list[bytes]) -> str:
    pieces = REPLACEMENT in data and any(not member.startswith(data) for member in members)
    return "replacement" if pieces else "cut"
