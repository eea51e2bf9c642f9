"""Reads the sources of a model's training text from its card.

The card is the ``README.md`` beside the weights; the sources are the table under “Data”.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kronviz.errors import InputError
from kronviz.lines import decode_text, read_bytes

_COLUMNS = 3


@dataclass(frozen=True)
class Source:
    """One source of training text, as on the card: its name, what it is, and its licence."""

    name: str
    what: str
    licence: str


def training_sources(arm_dir: Path) -> tuple[Source, ...]:
    """Return the sources that a card lists; none if there is no card or no such table."""
    try:
        card = decode_text(read_bytes(arm_dir / "README.md"), "README.md")
    except InputError:
        return ()
    section = card.partition("\n## Data\n")[2].partition("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.strip().startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return tuple(Source(*row) for row in rows if len(row) == _COLUMNS)
