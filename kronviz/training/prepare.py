r"""Turn text into token files: JSONL, JSONL.xz, plain text, or FineWeb-Edu from the Hub.

    python -m kronviz.training.prepare --vocabulary r50k_base:8192 --out data/tiny \
        textbooks.jsonl.xz books-1.jsonl.xz val.jsonl.xz

writes ``data/tiny/textbooks.npy`` and so on: one row of ids, uint16 or uint32, with the end-of-text
token after every document. Files may have any name; one called ``val`` is read only for
validation. Files that have not changed since they were prepared are skipped.
``--fineweb-edu MILLIONS`` streams that many million tokens with the optional package
``datasets``, after those of the validation text.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from kronviz import cli
from kronviz.errors import InputError
from kronviz.lines import check_file, documents, file_name, short_name
from kronviz.tokenizer import Tokenizer, load_tokenizer
from kronviz.training.data import MANIFEST, VALIDATION, read_manifest

DOCUMENTS_AT_ONCE = 256
MAX_NAME = 200
"""Bytes of a source's name: file systems allow 255, and a token file's name is longer."""


def fineweb_edu() -> Iterator[str]:
    """Stream the texts of FineWeb-Edu's 10-billion-token sample; needs a network."""
    from datasets import load_dataset  # an optional extra

    rows = load_dataset("HuggingFaceFW/fineweb-edu", "sample-10BT", split="train", streaming=True)
    return (row["text"] for row in rows)


def encode(texts: Iterable[str], tokenizer: Tokenizer, label: str) -> Iterator[NDArray]:
    """Yield the ids of each text and the end-of-text id, as uint16 if the vocabulary allows it."""
    dtype = no_ids(tokenizer).dtype
    texts = iter(texts)
    bar = tqdm(desc=short_name(label), unit=" tokens", unit_scale=True)
    with bar, ThreadPoolExecutor() as pool:
        while batch := list(islice(texts, DOCUMENTS_AT_ONCE)):
            for ids in pool.map(tokenizer.encode, batch):
                bar.update(len(ids) + 1)
                yield np.array([*ids, tokenizer.eot_id], dtype)


def source_name(path: Path) -> str:
    """Return the name of a file's source: the file name without endings such as ``.jsonl.xz``.

    A name too long for a token file is cut, and a hash appended.
    """
    name = Path(path.name.removesuffix(".xz")).stem
    written = os.fsencode(name)
    if len(written) <= MAX_NAME:
        return name
    start = written[: MAX_NAME - 20].decode(errors="ignore")
    return f"{start}-{hashlib.sha256(written).hexdigest()[:16]}"


def prepare(paths: Iterable[Path], vocabulary: str, out: Path) -> None:
    """Write one token file for each text file, and a record of the texts to ``data.json``.

    A token file made from the same text is kept.

    Raises:
        InputError: a file cannot be used, two have the same name, or ``out`` holds token files of
            another vocabulary.
    """
    tokenizer = load_tokenizer(vocabulary)
    cli.check_output_folder(out)
    by_name: dict[str, Path] = {}
    for path in paths:
        if (name := source_name(path)) in by_name:
            raise InputError(f"Two files are called {short_name(name)}; rename one of them.")
        check_file(path)
        by_name[name] = path
    made = read_manifest(out)
    if made.get("vocabulary", vocabulary) != vocabulary:
        raise InputError(
            f"{short_name(str(out))} was prepared with {made['vocabulary']}; give another --out, "
            "or delete it."
        )
    out.mkdir(parents=True, exist_ok=True)
    texts = made["texts"] if isinstance(made.get("texts"), dict) else {}
    for name, path in by_name.items():
        target = out / f"{name}.npy"
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            reason = (error.strerror or "it is damaged").lower()
            raise InputError(f"{file_name(path)} cannot be read: {reason}.") from None
        if target.exists() and texts.get(name, digest) == digest:
            continue
        ids = np.concatenate([*encode(documents(path), tokenizer, name), no_ids(tokenizer)])
        if len(ids) < 2:
            raise InputError(f"{file_name(path)} is empty; give a file with text.")
        _write(target, ids)
        texts[name] = digest
    _write_manifest(out, vocabulary, texts)
    if by_name and VALIDATION not in texts and not (out / f"{VALIDATION}.npy").exists():
        print("No file is called val: the last tenth of each text is kept for validation.")


def no_ids(tokenizer: Tokenizer) -> NDArray:
    """Return an empty array of the type that stores a vocabulary's ids."""
    return np.empty(0, np.uint16 if tokenizer.n_vocab <= 1 << 16 else np.uint32)


def _write_manifest(out: Path, vocabulary: str, texts: dict[str, str]) -> None:
    about = {"vocabulary": vocabulary, "texts": texts}
    (out / MANIFEST).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def prepare_fineweb_edu(millions: int, vocabulary: str, out: Path, val_millions: int = 4) -> None:
    """Write ``val_millions``, then ``millions`` million tokens of FineWeb-Edu to token files."""
    tokenizer = load_tokenizer(vocabulary)
    out.mkdir(parents=True, exist_ok=True)
    stream = encode(fineweb_edu(), tokenizer, "fineweb-edu")
    for name, limit in (("val", val_millions * 10**6), ("fineweb-edu", millions * 10**6)):
        parts, total = [], 0
        while total < limit and (part := next(stream, None)) is not None:
            parts.append(part)
            total += len(part)
        _write(out / f"{name}.npy", np.concatenate(parts))
    _write_manifest(out, vocabulary, {})


def _write(target: Path, tokens: NDArray) -> None:
    partial = target.with_name(".partial")
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
    if not arguments.files and not arguments.fineweb_edu:
        raise InputError("Name at least one file of text.")
    prepare(arguments.files, arguments.vocabulary, arguments.out)
    if arguments.fineweb_edu:
        prepare_fineweb_edu(arguments.fineweb_edu, arguments.vocabulary, arguments.out)


if __name__ == "__main__":
    cli.run(main)
