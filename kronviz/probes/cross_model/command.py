"""The cross-model probe on the command line: its arguments, its run and its printed lines."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from kronviz.predictor import Predictor
from kronviz.probes.cross_model.files import read_files
from kronviz.probes.cross_model.finding import headline
from kronviz.probes.cross_model.hub import fetch
from kronviz.probes.cross_model.own import own_table
from kronviz.probes.cross_model.probe import ModelTableSettings
from kronviz.probes.cross_model.probe import run as run_on
from kronviz.probes.cross_model.report import CrossModelReport
from kronviz.probes.cross_model.table import VectorTable
from kronviz.probes.cross_model.tokens import TokenList
from kronviz.probes.intervals import Interval
from kronviz.progress import Progress
from kronviz.published import CROSS_MODEL
from kronviz.settings import add_arguments as add_settings
from kronviz.settings import from_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the probe."""
    parser.add_argument(
        "--vectors",
        type=Path,
        help=".safetensors, .npy, .gguf, or text of words and vectors (default: the pair's bpe)",
    )
    parser.add_argument(
        "--tokens",
        type=Path,
        help="tokenizer.json, tokenizer.model, vocab.json or vocab.txt; not needed for .gguf, text",
    )
    parser.add_argument("--revision", default="main", help="revision of the --model")
    add_settings(parser, ModelTableSettings)


def run(
    predictor: Predictor,
    options: argparse.Namespace,
    progress: Progress | None = None,
) -> CrossModelReport:
    """Read the table that the arguments name and run the probe on it."""
    asked = from_options(ModelTableSettings, options)
    source, table, tokens = _given(predictor, asked, options, progress)
    return run_on(table, tokens, asked, source, progress)


def _given(
    predictor: Predictor,
    asked: ModelTableSettings,
    options: argparse.Namespace,
    progress: Progress | None,
) -> tuple[str, VectorTable, TokenList]:
    if asked.model:
        model = fetch(asked.model, asked.tensor, revision=options.revision, progress=progress)
        return model.name, model.table, model.tokens
    if options.vectors or options.tokens:
        named = options.vectors or options.tokens
        return (named.name, *read_files(options.vectors, options.tokens, asked.tensor))
    return (f"{predictor.pair}, bpe", *own_table(predictor))


def lines(result: CrossModelReport) -> Iterator[str]:
    """Yield the figures of a report, for printing."""
    yield from (f"WARNING: {warning}" for warning in result.warnings)
    yield from headline(result)
    yield from result.problems
    yield (
        f"{result.source}: {result.tensor}, {result.rows:,} × {result.dims:,} {result.dtype}, "
        f"{result.scheme}; {result.used:,} of {result.tokens:,} tokens used, "
        f"{result.words:,} whole words, seed {result.seed}"
    )
    for bucket in result.buckets:
        paper = CROSS_MODEL[bucket.bucket]
        yield (
            f"{bucket.bucket}: {bucket.pairs} pairs ({bucket.same_bytes} with the same bytes)  "
            f"table {_shown(bucket.table)}  centred {_shown(bucket.centred)}  "
            f"code {_shown(bucket.code)}  paper {paper['table'].text} / {paper['code'].text}"
        )
    for share in result.shares:
        yield (
            f"ten nearest in the {share.space}, {share.words} words: typographic "
            f"{_shown(share.typographic)}  morphological {_shown(share.morphological)}  other "
            f"{_shown(share.other)}"
        )
    if measured := result.anisotropy:
        yield (
            f"anisotropy: mean cosine {_shown(measured.cosine)}, mean row "
            f"{measured.mean_share:.3f} of a row's length, first axis {measured.first_axis:.1%}, "
            f"ten axes {measured.ten_axes:.1%}"
        )
    for word in result.asked:
        used = f"{word.word} (token {word.id}, {word.text!r})"
        yield f"{used} in the table: {' '.join(repr(n.text) for n in word.table)}"
        yield f"{used} in the code:  {' '.join(repr(n.text) for n in word.code)}"
    yield f"{result.seconds:.1f} s"


def _shown(value: Interval | None) -> str:
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]" if value else "none"
