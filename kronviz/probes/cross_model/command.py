"""The cross-model probe on the command line: its arguments, its run and its printout."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from kronviz.predictor import InputError, Predictor
from kronviz.probes.cross_model.hub import fetch
from kronviz.probes.cross_model.own import own_table
from kronviz.probes.cross_model.probe import WORDS, compare_table
from kronviz.probes.cross_model.report import CrossModelReport
from kronviz.probes.cross_model.tokens import MAX_FILE_BYTES, TokenList, read_tokens
from kronviz.probes.cross_model.vectors import VectorTable, read_vectors
from kronviz.probes.intervals import Interval
from kronviz.published import CROSS_MODEL
from kronviz.strings import DEFAULT_POS_DIM


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the probe."""
    parser.add_argument("--vectors", type=Path, help=".safetensors or .npy; else the pair’s bpe")
    parser.add_argument("--tokens", type=Path, help="tokenizer.json, vocab.json or vocab.txt")
    parser.add_argument("--model", help="public model on the Hugging Face Hub, fetched in part")
    parser.add_argument("--revision", default="main", help="of that model")
    parser.add_argument("--tensor", default="", help="name of the table, where it is not found")
    parser.add_argument("--words", nargs="+", default=list(WORDS), help="whose neighbours to list")
    parser.add_argument("--pos-dim", type=int, default=DEFAULT_POS_DIM)
    parser.add_argument("--map", type=int, default=0, metavar="TOKENS", help="lay out so many")


def run(
    predictor: Predictor,
    options: argparse.Namespace,
    progress: Callable[[int, int], None] | None = None,
) -> CrossModelReport:
    """Read what the arguments name and run the probe on it."""
    source, table, tokens = _given(predictor, options, progress)
    return compare_table(
        table,
        tokens,
        source=source,
        words=options.words,
        pos_dim=options.pos_dim,
        seed=options.seed,
        map_tokens=options.map,
    )


def read_files(vectors: Path, tokens: Path, tensor: str = "") -> tuple[VectorTable, TokenList]:
    """A table and its tokens out of two files.

    Raises:
        InputError: one of them cannot be used.
    """
    try:
        with tokens.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise InputError(f"{tokens.name[:60]} cannot be read: {reason}.") from None
    listed = read_tokens(data, tokens.name)
    return read_vectors(vectors, tensor), listed


def _given(
    predictor: Predictor, options: argparse.Namespace, progress: Callable[[int, int], None] | None
) -> tuple[str, VectorTable, TokenList]:
    if options.model:
        found = fetch(options.model, options.tensor, revision=options.revision, progress=progress)
        return found.name, found.table, found.tokens
    if bool(options.vectors) != bool(options.tokens):
        raise InputError("Give both, --vectors and --tokens, or neither for the pair’s own table.")
    if options.vectors:
        return (options.vectors.name, *read_files(options.vectors, options.tokens, options.tensor))
    return (f"{predictor.pair}, bpe", *own_table(predictor))


def lines(result: CrossModelReport) -> Iterator[str]:
    """The figures of a report, for printing."""
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
        yield f"{word.word} in the table: {' '.join(repr(n.text) for n in word.table)}"
        yield f"{word.word} in the code:  {' '.join(repr(n.text) for n in word.code)}"
    yield f"{result.seconds:.1f} s"


def _shown(found: Interval | None) -> str:
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]" if found else "none"
