"""Compare the memory of a vocabulary's bytes: ours, and padded as in the reference implementation.

    python benchmarks/storage.py [--markdown]

“Ours” is the size of a `KroneckerEmbedding`'s tensors: the bytes of all tokens end to end, and a
4-byte offset for each. Megabytes are 10^6 bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.accounting import input_cost
from kronviz.embedding import KroneckerEmbedding
from kronviz.published import STORAGE
from kronviz.tokenizer import TokenBytes, load_tokenizer

ROWS = (
    ("r50k_base", None, 16),
    ("cl100k_base", None, 16),
    ("o200k_base", None, 16),
    ("r50k_base", None, 32),
    ("cl100k_base", None, 32),
    ("o200k_base", None, 32),
    ("o200k_base", 131_072, 32),
)
HEAD = (
    "vocabulary",
    "tokens",
    "P",
    "cut",
    "text MB",
    "offsets MB",
    "ours MB",
    "padded MB",
    "ratio",
)


def row(name: str, count: int | None, pos_dim: int) -> tuple[str, ...]:
    """Return one row, checked against the tensors of a module."""
    vocabulary = load_tokenizer(name).vocabulary
    if count:
        vocabulary = TokenBytes.of([vocabulary[i] for i in range(count)])
    module = KroneckerEmbedding(vocabulary, 1, pos_dim)
    cost = input_cost(count or name, pos_dim)
    held = module.data.nbytes + module.offsets.nbytes
    assert held == cost.ragged_bytes, (held, cost.ragged_bytes)
    return (
        f"{name}, the first" if count else name,
        f"{cost.n_vocab:,}",
        str(pos_dim),
        f"{cost.cut_tokens:,}",
        f"{cost.text_bytes / 1e6:.3f}",
        f"{cost.offset_bytes / 1e6:.3f}",
        f"{held / 1e6:.3f}",
        f"{cost.padded_bytes / 1e6:.3f}",
        f"{held / cost.padded_bytes:.2f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--markdown", action="store_true")
    markdown = parser.parse_args().markdown
    rows = [HEAD, *(row(*arguments) for arguments in ROWS)]
    if markdown:
        rows.insert(1, ("---", *["---:"] * (len(HEAD) - 1)))
        print("\n".join(f"| {' | '.join(cells)} |" for cells in rows))
    else:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for first, *rest in rows:
            cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
            print(first.ljust(widths[0]), *cells, sep="  ")
    print(f"\nThe paper ({STORAGE.where}): {STORAGE.text}.")


if __name__ == "__main__":
    main()
