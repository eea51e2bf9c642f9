"""Where the gap between the arms lies: losses by how often a token was read in training.

Everything is read from ``rarity.json``, which `kronviz.training.rarity` writes beside a pair.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kronviz.checkpoint import RARITY, RARITY_EDGES, CheckpointError, fingerprints
from kronviz.lines import read_bytes
from kronviz.results import from_json


@dataclass(frozen=True)
class RarityClass:
    """The validation tokens of one class.

    Attributes:
        low: the least times that a token of the class was read in training; a class ends where
            the next of `RARITY_EDGES` begins.
        tokens: validation tokens in it.
        bpe, kron: mean losses, nats.
        gap: bpe's − kron's; above zero, kron is better. ``gap_low`` and ``gap_high`` are its
            95% bootstrap interval, drawn by windows.
        share: what the class adds to the gap over all tokens, nats.
    """

    low: int
    tokens: int
    bpe: float
    kron: float
    gap: float
    gap_low: float
    gap_high: float
    share: float


@dataclass(frozen=True)
class Rarity:
    """Losses by rarity.

    Attributes:
        trained_tokens: tokens read in training.
        n_vocab, never_read: tokens of the vocabulary, and how many of them training never read.
        read: classes by the token just read, which the input embedding has to represent.
        predicted: classes by the token to be predicted, which the output head has to know.
    """

    trained_tokens: int
    n_vocab: int
    never_read: int
    read: tuple[RarityClass, ...]
    predicted: tuple[RarityClass, ...]


def rarity(pair_dir: Path) -> Rarity | None:
    """Read ``rarity.json`` of a pair's folder; ``None`` where there is none.

    Raises:
        CheckpointError: it is damaged, or was measured on other weights.
    """
    path = pair_dir / RARITY
    if not path.is_file():
        return None
    try:
        stored = read_bytes(path)
        weights, found = json.loads(stored)["weights"], from_json(Rarity, stored)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(
            f"The file {RARITY} of {pair_dir.name} is damaged; restore it from the repository."
        ) from None
    if weights != fingerprints(pair_dir):
        raise CheckpointError(
            f"The file {RARITY} of {pair_dir.name} was measured on other weights; measure it again "
            "with python -m kronviz.training.rarity."
        )
    return found


def names(lows: Sequence[int]) -> list[str]:
    """Return what to call classes that begin at these counts: ``never``, ``1–9``, …, ``10,000
    on``.
    """
    found = []
    for low in lows:
        # A class with too few tokens is left out; the one before it ends where it always does.
        after = next((edge for edge in RARITY_EDGES if edge > low), None)
        if low == 0:
            found.append("never")
        elif after is None:
            found.append(f"{low:,} on")
        else:
            found.append(f"{low:,}–{after - 1:,}")
    return found
