r"""Text to token files: JSONL, JSONL.xz, plain text, or FineWeb-Edu streamed from the Hub.

    python -m kronviz.training.prepare --vocabulary r50k_base:8192 --out data/tiny \
        textbooks.jsonl.xz books-1.jsonl.xz val.jsonl.xz

writes ``data/tiny/textbooks.npy`` and so on: one row of ids, uint16 or uint32, every document
followed by the end-of-text token. ``--fineweb-edu MILLIONS`` streams that many million tokens
through the optional package ``datasets``, the first of them as validation text.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from kronviz.tokenizer import Tokenizer, load_tokenizer

DOCUMENTS_AT_ONCE = 256


def documents(path: Path) -> Iterator[str]:
    """The documents of a file: a JSON Lines record's ``text``, or a plain text file as one.

    Raises:
        ValueError: a JSON Lines record has no ``text``.
    """
    name = path.name.removesuffix(".xz")
    with (lzma.open if path.name.endswith(".xz") else open)(path, "rt", encoding="utf-8") as file:
        if not name.endswith(".jsonl"):
            yield file.read()
            return
        for number, line in enumerate(file, start=1):
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get("text"), str):
                raise ValueError(f'{path.name}, line {number}: a record needs a string "text"')
            yield record["text"]


def fineweb_edu() -> Iterator[str]:
    """FineWeb-Edu's 10-billion-token sample, streamed. Needs the network and ``datasets``."""
    from datasets import load_dataset  # an optional extra

    rows = load_dataset("HuggingFaceFW/fineweb-edu", "sample-10BT", split="train", streaming=True)
    return (row["text"] for row in rows)


def encode(texts: Iterable[str], tokenizer: Tokenizer, label: str) -> Iterator[NDArray]:
    """Ids of each text and the end-of-text id, as uint16 where the vocabulary allows."""
    dtype = np.uint16 if tokenizer.n_vocab <= 1 << 16 else np.uint32
    texts = iter(texts)
    with tqdm(desc=label, unit=" tokens", unit_scale=True) as bar, ThreadPoolExecutor() as pool:
        while batch := list(islice(texts, DOCUMENTS_AT_ONCE)):
            for ids in pool.map(tokenizer.encode, batch):
                bar.update(len(ids) + 1)
                yield np.array([*ids, tokenizer.eot_id], dtype)


def source_name(path: Path) -> str:
    """``books-1.jsonl.xz`` is the source ``books-1``."""
    return path.name.split(".")[0]


def prepare(paths: Iterable[Path], vocabulary: str, out: Path) -> None:
    """Write one token file for each text file; one that is already there is kept."""
    tokenizer = load_tokenizer(vocabulary)
    out.mkdir(parents=True, exist_ok=True)
    for path in paths:
        target = out / f"{source_name(path)}.npy"
        if not target.exists():
            _write(target, np.concatenate([*encode(documents(path), tokenizer, target.stem)]))


def prepare_fineweb_edu(millions: int, vocabulary: str, out: Path, val_millions: int = 4) -> None:
    """Stream ``val_millions`` and then ``millions`` million tokens of FineWeb-Edu."""
    tokenizer = load_tokenizer(vocabulary)
    out.mkdir(parents=True, exist_ok=True)
    stream = encode(fineweb_edu(), tokenizer, "fineweb-edu")
    for name, limit in (("val", val_millions * 10**6), ("fineweb-edu", millions * 10**6)):
        parts, total = [], 0
        while total < limit and (part := next(stream, None)) is not None:
            parts.append(part)
            total += len(part)
        _write(out / f"{name}.npy", np.concatenate(parts))


def _write(target: Path, tokens: NDArray) -> None:
    partial = target.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, tokens, allow_pickle=False)
    partial.rename(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--vocabulary", default="r50k_base")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fineweb-edu", type=int, metavar="MILLIONS")
    arguments = parser.parse_args()
    prepare(arguments.files, arguments.vocabulary, arguments.out)
    if arguments.fineweb_edu:
        prepare_fineweb_edu(arguments.fineweb_edu, arguments.vocabulary, arguments.out)


if __name__ == "__main__":
    main()
