"""Measure the models of a study: the loss on the true continuations of misspelled contexts.

    python -m kronviz.training.measure --config tiny-seeds --runs runs --out checkpoints/arms \
        --text books-2.jsonl.xz --documents 60

Notable:

- Every finished run of `study` gets a file ``<run>.npy`` beside its result: float16, one row per
  condition, one column per passage, nats per token. All runs read the same passages, so differences
  between arms are paired; ``passages.json`` describes the passages.
- The precision is that of the validation in training: bfloat16 on CPUs with fast bfloat16, where
  it changes a mean by less than 0.001 nats and takes a fifth of the time.
- Choose a text that the runs were neither trained nor compared on. Runs that are measured already
  are skipped, so the same command continues.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import torch

from kronviz import cli
from kronviz.errors import InputError
from kronviz.lines import documents
from kronviz.passages import CLEAN, MISSPELLED, PERTURBED, Passages, losses, passages
from kronviz.training.configs import config_of, load_config
from kronviz.training.export import trained_model
from kronviz.training.train import has_fast_bfloat16

PASSAGES = "passages.json"
CONDITIONS = (CLEAN, *MISSPELLED, *PERTURBED)
"""The conditions in the order of a file's rows."""


def describe(made: Passages, text: Path, count: int | None) -> dict[str, object]:
    """Describe passages for ``passages.json``; equal descriptions mean equal passages."""
    return {
        "text": text.name,
        "documents": count,
        "texts": made.texts,
        "seed": made.seed,
        "passages": len(made),
        "conditions": [str(condition) for condition in CONDITIONS],
        "misspelled": [made.misspelled[condition] for condition in CONDITIONS],
        "bytes": int(made.bytes.sum()),
        "tokens": int(made.targets.size),
    }


def measure(config: str, runs: Path, out: Path, text: Path, count: int | None, limit: int) -> None:
    """Measure every finished run of a configuration that has not been measured yet.

    Raises:
        InputError: the existing files were measured on other passages.
    """
    folder = out / config
    waiting = [
        path
        for path in sorted(folder.glob("*-s*.json"))
        if not path.with_suffix(".npy").exists() and (runs / config / path.stem).is_dir()
    ]
    if not waiting:
        return
    made = passages(
        itertools.islice(documents(text), count),
        load_config(config).vocabulary,
        count=limit,
        conditions=CONDITIONS,
    )
    about = json.dumps(describe(made, text, count), indent=1) + "\n"
    if (folder / PASSAGES).exists() and (folder / PASSAGES).read_text() != about:
        raise InputError(
            f"{PASSAGES} describes other passages; remove the .npy files to start again."
        )
    (folder / PASSAGES).write_text(about)
    for path in waiting:
        result = json.loads(path.read_text())
        settings = config_of(result["config"])
        model = trained_model(settings, result["arm"], runs / config / path.stem)
        fast = settings.bf16 and has_fast_bfloat16()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=fast):
            table = np.stack([losses(model, made, condition) for condition in CONDITIONS])
        np.save(path.with_suffix(".npy"), table.astype(np.float16), allow_pickle=False)
        print(path.stem, *(f"{value:.4f}" for value in table.mean(1)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", required=True, help="a name in configs.py")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder with the states")
    parser.add_argument("--out", type=Path, required=True, help="folder with the results")
    parser.add_argument("--text", type=Path, required=True, help="text that no run has read")
    parser.add_argument("--documents", type=int, help="read only this many of its documents")
    parser.add_argument("--passages", type=int, default=2_000)
    arguments = parser.parse_args()
    measure(
        arguments.config,
        arguments.runs,
        arguments.out,
        arguments.text,
        arguments.documents,
        arguments.passages,
    )


if __name__ == "__main__":
    cli.run(main)
