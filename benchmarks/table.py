"""Print tables for all benchmarks, as plain text or Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> None:
    """Print one table under its title."""
    print(f"\n{title}\n")
    if markdown:
        lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
        print("\n".join(f"| {' | '.join(line)} |" for line in lines))
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for first, *rest in [head, *rows]:
        cells = (text.rjust(width) for text, width in zip(rest, widths[1:], strict=True))
        print(first.ljust(widths[0]), *cells, sep="  ")
