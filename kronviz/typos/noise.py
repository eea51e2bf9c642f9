"""The five perturbations of the byte-model papers, applied to a whole text, seeded.

Definitions as in BLT (arXiv 2412.09871, section 6.1) and H-Net (arXiv 2507.07955, section 3.2).
Where these are not specific, a character is a code point, spaces and line ends are characters, and
the shares of `Drop` and `Repeat` are exact up to rounding.

>>> perturb("ant speak", "AntSpeak")
'A N T   S P E A K'
"""

from __future__ import annotations

import random
from collections.abc import Callable

DROPPED = 0.1
REPEATED, MOST_TIMES = 0.2, 4


def perturb(text: str, name: str, seed: int = 0) -> str:
    """Perturb a text in the way named, one of `PERTURBATIONS`.

    Raises:
        ValueError: there is no perturbation of that name.
    """
    if name not in PERTURBATIONS:
        raise ValueError(f"There is no perturbation {name!r}; choose from {listed()}.")
    return PERTURBATIONS[name](text, random.Random(seed))


def listed() -> str:
    """Return the names, comma-separated."""
    return ", ".join(PERTURBATIONS)


def _ant_speak(text: str, rng: random.Random) -> str:
    return " ".join(text.upper())


def _drop(text: str, rng: random.Random) -> str:
    gone = set(rng.sample(range(len(text)), round(DROPPED * len(text))))
    return "".join(char for i, char in enumerate(text) if i not in gone)


def _random_case(text: str, rng: random.Random) -> str:
    return "".join(char.upper() if rng.random() < 0.5 else char.lower() for char in text)


def _repeat(text: str, rng: random.Random) -> str:
    again = set(rng.sample(range(len(text)), round(REPEATED * len(text))))
    return "".join(
        char * rng.randint(2, MOST_TIMES) if i in again else char for i, char in enumerate(text)
    )


def _upper_case(text: str, rng: random.Random) -> str:
    return text.upper()


PERTURBATIONS: dict[str, Callable[[str, random.Random], str]] = {
    "AntSpeak": _ant_speak,
    "Drop": _drop,
    "RandomCase": _random_case,
    "Repeat": _repeat,
    "UpperCase": _upper_case,
}
