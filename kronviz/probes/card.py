"""What the card of a model says about the text that it was trained on.

The card is the ``README.md`` beside the weights; this reads the table under its heading “Data”.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kronviz.errors import InputError
from kronviz.lines import decode_text, read_bytes

_COLUMNS = 3


@dataclass(frozen=True)
class Source:
    """One source of training text: its name, what it is, and its licence, as the card has them."""

    name: str
    what: str
    licence: str


def training_sources(arm_dir: Path) -> tuple[Source, ...]:
    """Return the sources that a card names; none where there is no card or no such table in it."""
    try:
        card = decode_text(read_bytes(arm_dir / "README.md"), "README.md")
    except InputError:
        return ()
    section = card.partition("\n## Data\n")[2].partition("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.strip().startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return tuple(Source(*row) for row in rows if len(row) == _COLUMNS)
