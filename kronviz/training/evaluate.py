"""Compute the validation loss of a checkpoint over every token of a validation text.

    python -m kronviz.training.evaluate checkpoints/tiny --text val.jsonl.xz
    python -m kronviz.training.evaluate checkpoints/mine --data data/mine

The second command reads the validation text of a folder of token files. The model cards and
``config.json`` quote the printed losses, which are those of the files that the app loads. The text
is read in windows of ``n_ctx`` tokens without overlap; losses are in float32 on the CPU.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kronviz import cli
from kronviz.checkpoint import load_arm
from kronviz.checkpoint_files import PAIR
from kronviz.errors import InputError
from kronviz.lines import documents, short_name
from kronviz.model import GPT
from kronviz.tokenizer import load_tokenizer
from kronviz.training.data import read_manifest, validation_ids
from kronviz.training.prepare import encode, no_ids

TOKENS_AT_ONCE = 2048
"""Tokens in a batch: its logits, 400 MB with GPT-2's vocabulary, are in memory several times."""


@dataclass(frozen=True)
class Validation:
    """A validation loss.

    Attributes:
        loss: nats per token.
        bits_per_byte: the same in bits per byte of text, comparable between vocabularies. The
            end-of-text token is predicted, so it costs bits, but it has no bytes.
        tokens: number of predicted tokens.
    """

    loss: float
    bits_per_byte: float
    tokens: int


def validation_tokens(text: Path, vocabulary: str) -> NDArray[np.integer]:
    """Return the ids of a text, document after document; `InputError` if it cannot be read."""
    tokenizer = load_tokenizer(vocabulary)
    return np.concatenate([*encode(documents(text), tokenizer, text.name), no_ids(tokenizer)])


@torch.inference_mode()
def validate(model: GPT, tokens: NDArray[np.integer]) -> Validation:
    """Return the validation loss of a model over all whole windows of ``n_ctx`` ids."""
    windows = validation_windows(tokens, model.config.n_ctx)
    total = 0.0
    for rows in batches(windows):
        batch = torch.from_numpy(rows).to(model.device)
        total += model.loss(batch[:, :-1], batch[:, 1:]).double().item() * len(batch)
    loss = total / len(windows)
    targets = windows[:, 1:].ravel()
    tokenizer = load_tokenizer(model.config.vocabulary)
    lengths = np.diff(tokenizer.vocabulary.offsets)
    lengths[tokenizer.eot_id] = 0
    size = int(lengths[targets].sum())
    return Validation(loss, loss * len(targets) / size / np.log(2).item(), len(targets))


def validation_windows(tokens: NDArray[np.integer], length: int) -> NDArray[np.int64]:
    """Return all whole windows: int64, ``(windows, length + 1)``. The last id of a window is the
    first of the next. `InputError` if the ids do not fill one.
    """
    if len(tokens) <= length:
        raise InputError(
            f"The validation text has {len(tokens):,} tokens; one window takes {length + 1:,}. "
            "Give a longer text."
        )
    starts = np.arange((len(tokens) - 1) // length) * length
    return tokens[starts[:, None] + np.arange(length + 1)].astype(np.int64)


def batches(windows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield windows ``(…, n_ctx + 1)`` in batches of `TOKENS_AT_ONCE` tokens, or of one window."""
    count = max(1, TOKENS_AT_ONCE // (windows.shape[1] - 1))
    for start in range(0, len(windows), count):
        yield windows[start : start + count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pair", type=Path, help="a folder with bpe/ and kron/")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--text", type=Path, help="validation text")
    given.add_argument("--data", type=Path, help="token files, whose validation text is read")
    arguments = parser.parse_args()
    for arm in PAIR:
        model = load_arm(arguments.pair / arm)
        vocabulary = model.config.vocabulary
        if arguments.text:
            tokens = validation_tokens(arguments.text, vocabulary)
        else:
            made = read_manifest(arguments.data).get("vocabulary", vocabulary)
            if made != vocabulary:
                raise InputError(
                    f"{short_name(str(arguments.data))} was prepared with {made}; this pair reads "
                    f"{vocabulary}."
                )
            tokens = validation_ids(arguments.data)
        print(json.dumps({"arm": arm, **asdict(validate(model, tokens))}), flush=True)


if __name__ == "__main__":
    cli.run(main)
