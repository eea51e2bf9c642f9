"""Define the colours of kronviz, once for the page and for every figure.

Notable:

- Only models have a colour; everything else is ink on paper. Blue always means ``bpe`` and
  vermilion always means ``kron``, a pair of Okabe and Ito's that the colour-blind can tell apart.
- Every colour has a light and a dark value. Text colours have a contrast of at least 4.5:1 with
  every background they are used on.
- Within an arm, clean is hatched and misspelled is solid: colour alone never carries a meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

from kronviz import arms


@dataclass(frozen=True)
class Colour:
    """One colour of the page, as ``#rrggbb``, in both themes."""

    light: str
    dark: str


ARMS = {name: Colour(arm.light, arm.dark) for name, arm in arms.ARMS.items()}
"""Colour of each arm by name."""

NEUTRALS = {
    "paper": Colour("#F7F6F2", "#131518"),
    "surface": Colour("#FFFFFF", "#1B1E22"),
    "sunken": Colour("#F2F0EB", "#24282D"),
    "line": Colour("#DDD9D0", "#33383E"),
    "edge": Colour("#8C877D", "#767B82"),
    "muted": Colour("#5F5B53", "#A6A29A"),
    "ink": Colour("#1C1B19", "#ECE9E2"),
    "mark": Colour("#FFE08A", "#5C4A12"),
    "alarm": Colour("#A4262C", "#FF9A9A"),
}
"""The rest of the page: backgrounds, rules, borders of controls (contrast 3:1), text, the highlight
of changed bytes, and error messages."""

CLASSES = {
    f"class-{place}": colour
    for place, colour in enumerate(
        (
            Colour("#4477AA", "#77AADD"),
            Colour("#BB5566", "#EE8866"),
            Colour("#228833", "#44BB99"),
            Colour("#AA8800", "#DDCC77"),
            Colour("#AA3377", "#FFAABB"),
            Colour("#117799", "#99DDFF"),
            Colour("#6B5B95", "#BBA8E8"),
            Colour("#5B6B2A", "#BBCC33"),
        )
    )
}
"""Classes of tokens, used on maps only: eight hues after Paul Tol's colour-blind-safe schemes."""

SCALE = {
    f"scale-{place}": colour
    for place, colour in enumerate(
        (
            Colour("#C9B458", "#2B3F6B"),
            Colour("#8FA05B", "#4A6A94"),
            Colour("#4F8A6B", "#6C9A9B"),
            Colour("#23667A", "#A9C08C"),
            Colour("#1B2F66", "#F3E47A"),
        )
    )
}
"""Low to high values on a map: darker and darker on light paper, lighter and lighter on dark."""

SANS = "'IBM Plex Sans', system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
MONO = "'IBM Plex Mono', ui-monospace, 'SF Mono', Menlo, Consolas, 'Noto Sans Mono', monospace"


def arm_colour(arm: str) -> Colour:
    """Return the colour of an arm; ink for one that has none of its own."""
    return ARMS.get(arm, NEUTRALS["ink"])
