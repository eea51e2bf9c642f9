"""Run the app with injected errors for `fuzz.py --faults`: one batch in ten of long runs raises."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app import main
from kronviz import cli
from kronviz.probes import layers, outcomes, recovery

KINDS = (MemoryError, RuntimeError, KeyboardInterrupt, SystemExit)


def broken(function: Callable[..., Any], chance: random.Random) -> Callable[..., Any]:
    """Return a function that raises instead of returning in one of ten calls."""
    turn = itertools.cycle(KINDS)

    def answer(*arguments: Any, **named: Any) -> Any:
        if chance.random() < 0.1:
            raise next(turn)("injected")
        return function(*arguments, **named)

    return answer


def break_probes(seed: int = 1) -> None:
    """Make the steps of the long runs raise sometimes."""
    chance = random.Random(seed)
    for module, name in (
        (outcomes, "_read_batch"),
        (recovery, "_read_passage"),
        (layers, "_shares"),
    ):
        setattr(module, name, broken(getattr(module, name), chance))


if __name__ == "__main__":
    break_probes()
    cli.run(main)
