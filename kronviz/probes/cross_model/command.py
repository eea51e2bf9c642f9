"""The cross-model probe on the command line: its arguments, its run and its printout."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from kronviz.predictor import Predictor
from kronviz.probes.cross_model.files import read_files
from kronviz.probes.cross_model.finding import headline
from kronviz.probes.cross_model.hub import fetch
from kronviz.probes.cross_model.own import own_table
from kronviz.probes.cross_model.probe import TableSettings
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
        help=".safetensors, .npy, .gguf or text of words and vectors; else the pair’s bpe",
    )
    parser.add_argument(
        "--tokens",
        type=Path,
        help="tokenizer.json, tokenizer.model, vocab.json or vocab.txt; not for .gguf and text",
    )
    parser.add_argument("--model", help="public model on the Hugging Face Hub, fetched in part")
    parser.add_argument("--revision", default="main", help="of that model")
    parser.add_argument("--tensor", default="", help="name of the table, where it is not found")
    add_settings(parser, TableSettings)


def run(
    predictor: Predictor,
    options: argparse.Namespace,
    progress: Progress | None = None,
) -> CrossModelReport:
    """Read what the arguments name and run the probe on it."""
    source, table, tokens = _given(predictor, options, progress)
    return run_on(table, tokens, from_options(TableSettings, options), source, progress)


def _given(
    predictor: Predictor, options: argparse.Namespace, progress: Progress | None
) -> tuple[str, VectorTable, TokenList]:
    if options.model:
        found = fetch(options.model, options.tensor, revision=options.revision, progress=progress)
        return found.name, found.table, found.tokens
    if options.vectors or options.tokens:
        named = options.vectors or options.tokens
        return (named.name, *read_files(options.vectors, options.tokens, options.tensor))
    return (f"{predictor.pair}, bpe", *own_table(predictor))


def lines(result: CrossModelReport) -> Iterator[str]:
    """Yield the figures of a report, for printing."""
    yield from (f"WARNING: {warning}" for warning in result.warnings)
    yield from headline(result)
    yield from result.problems
    yield (
        f"{result.source}: {result.tensor}, {result.rows:,} × {result.dims:,} {result.dtype}, "
        f"{result.scheme}; {result.used:,} of {result.tokens:,} tokens looked at, "
        f"{result.words:,} whole words, seed {result.seed}"
    )
    for found in result.buckets:
        paper = CROSS_MODEL[found.bucket]
        theirs = f"the paper's {paper['table'].text} / {paper['code'].text}"
        yield (
            f"{found.bucket}: {found.pairs} pairs ({found.same_bytes} of the same bytes)  "
            f"table {_shown(found.table)}  centred {_shown(found.centred)}  "
            f"code {_shown(found.code)}  {theirs}"
        )
    for share in result.shares:
        yield (
            f"ten nearest in the {share.space}, {share.words} words: typographic "
            f"{_shown(share.typographic)}  morphological {_shown(share.morphological)}  other "
            f"{_shown(share.other)}"
        )
    if found_ := result.anisotropy:
        yield (
            f"anisotropy: mean cosine {_shown(found_.cosine)}, mean row {found_.mean_share:.3f} of "
            f"a row's length, first axis {found_.first_axis:.1%}, ten axes {found_.ten_axes:.1%}"
        )
    for word in result.asked:
        used = f"{word.word} (token {word.id}, {word.text!r})"
        yield f"{used} in the table: {' '.join(repr(n.text) for n in word.table)}"
        yield f"{used} in the code:  {' '.join(repr(n.text) for n in word.code)}"
    yield f"{result.seconds:.1f} s"


def _shown(found: Interval | None) -> str:
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]" if found else "none"
