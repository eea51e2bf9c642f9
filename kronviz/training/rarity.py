"""Locate the gap: the validation loss by how often training has seen a token.

    python -m kronviz.training.rarity --config small --data data/small \
        --text val.jsonl.xz --pair checkpoints/small

A learned table has a row for each token and learns it only when the token occurs; a byte code
shares its projection among all tokens. Does sharing help most after a rare token? The losses of all
validation tokens are grouped twice: by the token just read, and by the token to be predicted.

Notable:

- The counts are exact: a step's number determines its rows, so the training text is counted as
  the run read it.
- Intervals resample whole windows, because the losses within a window are not independent.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from kronviz import cli
from kronviz.checkpoint import load_arm
from kronviz.checkpoint_files import PAIR, RARITY, RARITY_EDGES, fingerprints, read_config
from kronviz.model import GPT
from kronviz.tokenizer import load_tokenizer
from kronviz.training.configs import TrainConfig, add_config_arguments
from kronviz.training.data import TokenFiles, run_config
from kronviz.training.evaluate import batches, validation_tokens, validation_windows

LEAST_TOKENS = 100
"""Classes with fewer validation tokens are left out, because they tell nothing."""
RESAMPLES = 2_000


def times_read(config: TrainConfig, data: Path) -> NDArray[np.int64]:
    """Count how often a whole run reads each token as input: int64, shape ``(n_vocab,)``."""
    files = TokenFiles(data, config)
    counts = np.zeros(load_tokenizer(config.vocabulary).n_vocab, np.int64)
    for step in range(config.steps):
        counts += np.bincount(files.rows(step)[:, :-1].ravel(), minlength=len(counts))
    return counts


@torch.inference_mode()
def token_losses(model: GPT, windows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the loss in nats of each next token: ``(windows, n_ctx)`` for windows of
    ``n_ctx + 1`` ids.
    """
    parts = []
    for rows in batches(windows):
        batch = torch.from_numpy(rows).to(model.device)
        logits = model(batch[:, :-1]).logits.float().flatten(0, 1)
        losses = F.cross_entropy(logits, batch[:, 1:].flatten(), reduction="none")
        parts.append(losses.view(len(batch), -1).cpu().numpy())
    return np.concatenate(parts)


def by_count(
    counts: NDArray[np.int64], bpe: NDArray[np.floating], kron: NDArray[np.floating], seed: int = 1
) -> list[dict[str, float]]:
    """Return the mean losses of both arms in each class of counts, and their difference.

    Args:
        counts: the count that decides a loss's class; all three of shape ``(windows, n_ctx)``.

    Returns:
        For each class with `LEAST_TOKENS` or more: ``low`` (its smallest count), ``tokens``, mean
        losses ``bpe`` and ``kron``, ``gap`` (kron's − bpe's) and its 95% bootstrap interval
        ``gap_low``, ``gap_high``, and ``share``: the class's part of the gap over all tokens.
    """
    random = np.random.default_rng(seed)
    weights = random.multinomial(len(counts), [1 / len(counts)] * len(counts), RESAMPLES)
    classes = np.searchsorted(RARITY_EDGES, counts, side="right") - 1
    rows = []
    for number, low in enumerate(RARITY_EDGES):
        inside = classes == number
        sizes = inside.sum(1)
        if sizes.sum() < LEAST_TOKENS:
            continue
        sums = np.where(inside, kron - bpe, 0).sum(1, dtype=np.float64)
        drawn = (weights @ sums) / np.maximum(weights @ sizes, 1)
        gap_low, gap_high = np.quantile(drawn, [0.025, 0.975])
        rows.append(
            {
                "low": low,
                "tokens": int(sizes.sum()),
                "bpe": float(bpe[inside].mean(dtype=np.float64)),
                "kron": float(kron[inside].mean(dtype=np.float64)),
                "gap": float(sums.sum() / sizes.sum()),
                "gap_low": float(gap_low),
                "gap_high": float(gap_high),
                "share": float(sums.sum() / counts.size),
            }
        )
    return rows


def measure(
    config: TrainConfig, data: Path, tokens: NDArray[np.integer], pair: Path
) -> dict[str, Any]:
    """Return the contents of `RARITY` for a pair: the run's size, and the classes by the token read
    and by the token predicted.

    Args:
        tokens: ids of the validation text.
    """
    counts = times_read(config, data)
    windows = validation_windows(tokens, config.n_ctx)
    bpe, kron = (token_losses(load_arm(pair / arm), windows) for arm in PAIR)
    return {
        "trained_tokens": config.steps * config.tokens_per_step,
        "never_read": int((counts == 0).sum()),
        "n_vocab": len(counts),
        "weights": fingerprints(pair),
        "read": by_count(counts[windows[:, :-1]], bpe, kron),
        "predicted": by_count(counts[windows[:, 1:]], bpe, kron),
    }


def write_rarity(
    config: TrainConfig, data: Path, tokens: NDArray[np.integer], pair: Path
) -> dict[str, Any]:
    """Measure a pair, write ``rarity.json`` to its folder and return what was written."""
    result = measure(config, data, tokens, pair)
    (pair / RARITY).write_text(json.dumps(result, indent=2) + "\n")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_config_arguments(parser, "--data")
    parser.add_argument("--text", type=Path, required=True, help="the validation text")
    parser.add_argument("--pair", type=Path, required=True, help=f"{RARITY} is written here")
    arguments = parser.parse_args()
    config = run_config(arguments.config, arguments.set, arguments.data)
    # The run that made the pair may have had other steps than the configuration has now.
    trained = read_config(arguments.pair / PAIR[0])["training"]
    config = dataclasses.replace(config, steps=trained["steps"], seed=trained["seed"])
    tokens = validation_tokens(arguments.text, config.vocabulary)
    result = write_rarity(config, arguments.data, tokens, arguments.pair)
    for side in ("read", "predicted"):
        for row in result[side]:
            print(json.dumps({"by": side, **row}))


if __name__ == "__main__":
    cli.run(main)
