"""Reads a list of tokens from lines of text, and recognises other text files that are no such list.

Notable:

- A line is a token. Also read are lines of a token and its id, tiktoken's ranks, SentencePiece's
  ``.vocab`` and the metadata of TensorFlow's Embedding Projector; the report then says so.
- Counts, merge rules and vectors are refused, with what to give instead: read as a list of tokens
  they would cause no error, but every figure would be wrong.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from itertools import islice

from kronviz.predictor import InputError
from kronviz.probes.cross_model.tokens import (
    TokenList,
    check_count,
    from_ranks,
    from_strings,
    ordered,
)

_RANK = re.compile(r"([A-Za-z0-9+/]+={0,2}) (\d{1,12})")
_NUMBERED = re.compile(r"(.*\S)[ \t](\d{1,12})", re.DOTALL)
_NUMBERED_FIRST = re.compile(r"(\d{1,12})[ \t](\S.*)", re.DOTALL)
_SCORED = re.compile(r"(.+)\t(-?\d+(?:\.\d+)?(?:e-?\d+)?)", re.DOTALL)
_RWKV = re.compile(r"\d+ b?['\"].*['\"] \d+", re.DOTALL)
_NUMBER = r"-?(?:\d++(?:\.\d++)?|\.\d++)(?:e[+-]?\d++)?"
_VECTOR = re.compile(rf"\S+(?:[ \t]{_NUMBER}){{5,}}[ \t]?", re.IGNORECASE)
_NAMES = ("token", "word", "label", "text", "term", "piece", "name", "title", "string")
_SHOWN = 200
"""Lines that are checked first; the rest is checked only if these match."""


def read_lines(lines: Sequence[str], name: str) -> TokenList:
    """Read a list of lines.

    Args:
        name: the file's name, for error messages.

    Raises:
        InputError: the lines are not tokens.
    """
    check_count(len(lines))
    given = [line for line in lines if line]
    if ranks := _ranks(given):
        return ranks
    if given[0].startswith("#version"):
        raise InputError(
            f"{name} has the merge rules of a BPE rather than its tokens; give vocab.json or "
            "tokenizer.json."
        )
    if _most(_RWKV, given):
        raise InputError(
            f"{name} is a vocabulary in RWKV's format, which cannot be read; give a JSON list of "
            "its tokens in order of id."
        )
    if _most(_VECTOR, given[1:] or given):
        raise InputError(
            f"{name} has vectors after its words, like GloVe and word2vec; give it as the vectors, "
            "without a file of tokens: it has both."
        )
    tokens = _scored(given) or _metadata(given) or _numbered(given, name)
    if not tokens and (width := _columns(given)) > 1:
        raise InputError(
            f"{name} has {width} columns, like a Projector’s metadata, and none is called word or "
            "token; give only the tokens, one per line, without the header."
        )
    return tokens or from_strings(lines)


def _ranks(lines: Sequence[str]) -> TokenList | None:
    """Read tiktoken's ranks: a token in base64, a space, its rank."""
    if not all(_RANK.fullmatch(line) for line in islice(lines, 20)):
        return None
    ranks: dict[int, bytes] = {}
    for line in lines:
        string, _, rank = line.partition(" ")
        try:
            ranks[int(rank)] = base64.b64decode(string, validate=True)
        except (ValueError, binascii.Error):
            return None
    # Four-letter words with counts are valid base64, too; but ranks are distinct, with few gaps.
    dense = len(ranks) == len(lines) and 0 <= min(ranks) <= max(ranks) < 2 * len(ranks) + 256
    return from_ranks(ranks) if dense else None


def _scored(lines: Sequence[str]) -> TokenList | None:
    """Read SentencePiece's ``.vocab``: a piece, a tab, its score."""
    if not _most(_SCORED, lines) or not any("▁" in line for line in islice(lines, 2000)):
        return None
    pairs = [_SCORED.fullmatch(line) for line in lines]
    scores = [float(pair[2]) if pair else 0.0 for pair in pairs]
    if min(scores) >= 0:
        return None
    pieces = [pair[1] if pair else line for pair, line in zip(pairs, lines, strict=True)]
    return from_strings(pieces, notes=("The numbers after the tokens were read as scores.",))


def _numbered(lines: Sequence[str], name: str) -> TokenList | None:
    """Read lines of a token and its id; refuse lines of a token and its count."""
    for pattern, word, number in ((_NUMBERED, 1, 2), (_NUMBERED_FIRST, 2, 1)):
        if not _most(pattern, lines):
            continue
        pairs = [pair for line in lines if (pair := pattern.fullmatch(line))]
        ids = [int(pair[number]) for pair in pairs]
        first = min(ids)
        if (
            len(pairs) == len(lines)
            and first < 2
            and sorted(ids) == list(range(first, first + len(ids)))
        ):
            strings = ordered((pair[word], int(pair[number]) - first) for pair in pairs)
            note = "The numbers beside the tokens were read as their ids."
            if first:
                note = "The numbers beside the tokens were read as their ids + 1."
            return from_strings(strings, notes=(note,))
        if word == 1 and len(pairs) >= len(lines) - 1 and _columns(lines) < 3:
            raise InputError(
                f"{name} has a number after every word, like a list of counts; give only the "
                "tokens, one per line, in the order of the rows (use cut -f1 or cut -d' ' -f1)."
            )
    return None


def _metadata(lines: Sequence[str]) -> TokenList | None:
    """Read the metadata of the Embedding Projector: tab-separated columns with a header."""
    header = [cell.strip().lower() for cell in lines[0].split("\t")]
    column = next((header.index(known) for known in _NAMES if known in header), None)
    numeric = any(cell.replace(".", "").isdigit() for cell in header)
    if _columns(lines) < 2 or column is None or numeric:
        return None
    strings = [cells[column] if column < len(cells := line.split("\t")) else "" for line in lines]
    note = f"The column {header[column]}, one of {len(header)}, was read, without its header."
    return from_strings(strings[1:], notes=(note,))


def _columns(lines: Sequence[str]) -> int:
    """Return the number of tab-separated columns that nearly all lines have, or 1."""
    tabs = lines[0].count("\t")
    same = sum(line.count("\t") == tabs for line in lines)
    return tabs + 1 if same >= 0.99 * len(lines) else 1


def _most(pattern: re.Pattern[str], lines: Sequence[str]) -> bool:
    """Return whether nearly all lines match a pattern; the first lines are checked first."""
    for some in (lines[:_SHOWN], lines):
        if sum(bool(pattern.fullmatch(line)) for line in some) < max(1, 0.98 * len(some) - 1):
            return False
    return bool(lines)
