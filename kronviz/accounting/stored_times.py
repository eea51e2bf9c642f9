"""Stored times, measured once, so that the page opens with a result.

    python -m kronviz.accounting.stored_times

They name the machine on which they were measured. An unreadable file counts as missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kronviz import cli
from kronviz.accounting.timing import Measurement, measure
from kronviz.paths import ASSETS
from kronviz.results import from_json, to_json

FILE = ASSETS / "times.json"
COMMAND = "python -m kronviz.accounting --measure 1024"


@dataclass(frozen=True)
class StoredTimes:
    """A measurement, and the command that repeats it."""

    command: str
    measurement: Measurement


def stored_times(path: Path = FILE) -> StoredTimes | None:
    """Return the stored times; ``None`` if there are none."""
    try:
        return from_json(StoredTimes, path.read_bytes())
    except (OSError, ValidationError):
        return None


def main() -> None:
    """Measure for ten seconds on this machine and write the file."""
    cli.check_output(FILE)
    times = StoredTimes(COMMAND, measure(seconds=10.0))
    FILE.write_text(to_json(times, indent=1) + "\n", encoding="utf-8")
    print(to_json(times, indent=1))


if __name__ == "__main__":
    cli.run(main)
