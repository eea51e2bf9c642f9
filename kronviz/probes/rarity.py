"""Reads the losses of both arms by how often training read a token, which locate their gap.

They are stored in ``rarity.json``, which `kronviz.training.rarity` writes to a pair's folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kronviz.checkpoint_files import RARITY, RARITY_EDGES, CheckpointError, fingerprints
from kronviz.lines import read_bytes
from kronviz.results import from_json


@dataclass(frozen=True)
class RarityClass:
    """The validation tokens of one class.

    Attributes:
        low: the smallest count of a token in training; the class ends where the next of
            `RARITY_EDGES` begins.
        tokens: number of validation tokens in it.
        bpe, kron: mean losses in nats.
        gap: kron − bpe, negative if kron is better. ``gap_low`` and ``gap_high`` are its 95%
            bootstrap interval, resampled by window.
        share: the class's contribution to the gap over all tokens, in nats.
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
        trained_tokens: number of tokens read in training.
        n_vocab, never_read: size of the vocabulary, and how many of its tokens training never read.
        read: classes by the token just read, which the input embedding must represent.
        predicted: classes by the token to predict, which the output head must know.
    """

    trained_tokens: int
    n_vocab: int
    never_read: int
    read: tuple[RarityClass, ...]
    predicted: tuple[RarityClass, ...]


def rarity(pair_dir: Path) -> Rarity | None:
    """Read ``rarity.json`` from a pair's folder; ``None`` if there is none.

    Raises:
        CheckpointError: it is damaged, or was measured on other weights.
    """
    path = pair_dir / RARITY
    if not path.is_file():
        return None
    try:
        stored = read_bytes(path)
        weights, result = json.loads(stored)["weights"], from_json(Rarity, stored)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(
            f"The file {RARITY} of {pair_dir.name} is damaged; restore it from the repository."
        ) from None
    if weights != fingerprints(pair_dir):
        raise CheckpointError(
            f"The file {RARITY} of {pair_dir.name} was measured on other weights; measure it again "
            "with python -m kronviz.training.rarity."
        )
    return result


def names(lows: Sequence[int]) -> list[str]:
    """Return the names of classes that begin at these counts, such as ``never`` and ``1–9``."""
    names = []
    for low in lows:
        # A class with too few tokens may be missing; the others keep their bounds.
        after = next((edge for edge in RARITY_EDGES if edge > low), None)
        if low == 0:
            names.append("never")
        elif after is None:
            names.append(f"{low:,}+")
        else:
            names.append(f"{low:,}–{after - 1:,}")
    return names
