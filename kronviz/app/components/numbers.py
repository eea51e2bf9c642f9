"""Numbers that the browser can write in the reader's locale: ``0.193`` in English, ``0,193`` in
French.

The server writes English, which stays if no script runs; ``assets/numbers.js`` rewrites it in the
reader's locale, also on figures and in accessible names. The exact value stays in the markup, for
copying and saving.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from kronviz.app.components.html import Markup, element, join, words

NO_BREAK = "\u00a0"
DASH = "–"

_WRITTEN = re.compile(
    r"(?<![\w.,-])([+−-]?)(\d{1,3}(?:,\d{3})+|\d+(?=\.\d))(?:\.(\d+))?(?!\w|\.\d)"
)
_QUOTED = re.compile(r"“.*”|'(?:\\.|[^'\\])*'" r'|"(?:\\.|[^"\\])*"', re.DOTALL)


def written(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """Return a number as text with a true minus sign; a dash for ``None``.

    A value that rounds to zero has no sign.
    """
    if value is None:
        return DASH
    shown = f"{value:{'+' if sign else ''},.{digits}f}"
    if not float(shown.replace(",", "")):
        shown = shown.lstrip("+-")
    return shown.replace("-", "−")


def number(
    value: float,
    digits: int = 0,
    *,
    percent: bool = False,
    sign: bool = False,
    tag: str = "data",
) -> Markup:
    """Return a number as an element.

    Args:
        value: the number; a share if ``percent`` is set.
        digits: digits after the decimal point.
        percent: write the share in percent.
        sign: also write a plus sign.
        tag: the element; ``tspan`` inside a drawing.
    """
    shown = written(value * 100 if percent else value, digits, sign=sign)
    return element(
        tag,
        shown + ("%" if percent else ""),
        value=f"{value:.10g}",
        data_digits=digits,
        data_percent=percent,
        data_sign=sign,
    )


def millions(count: float) -> Markup:
    """Return a number of parameters or tokens in the form ``38.6 M``, as on every tab."""
    return join([number(count / 1e6, 1), " M"])


def marked(text: str) -> Markup:
    """Return a sentence or a figure with its numbers as elements.

    This covers only numbers with a decimal point or a thousands separator, which locales write
    differently; names such as ``GPT-2`` or ``o200k`` have neither. Markup is returned unchanged.
    """
    if isinstance(text, Markup):
        return text
    parts: list[object] = []
    end = 0
    for match in _WRITTEN.finditer(text):
        sign, whole, fraction = match.groups()
        value = float(f"{whole.replace(',', '')}.{fraction or 0}") * (
            -1 if sign in "−-" and sign else 1
        )
        parts += [text[end : match.start()], number(value, len(fraction or ""), sign=sign == "+")]
        end = match.end()
    return join([*parts, text[end:]])


def quoting(said: str) -> Markup:
    """Return `marked` text of a sentence, but leave what it quotes unchanged."""
    parts: list[object] = []
    end = 0
    for quoted in _QUOTED.finditer(said):
        parts += [marked(said[end : quoted.start()]), quoted[0]]
        end = quoted.end()
    return join([*parts, marked(said[end:])])


def sentence(parts: Iterable[object]) -> Markup:
    """Concatenate the parts of a sentence, with the numbers in plain text as elements."""
    return join(marked(part if isinstance(part, str) else str(part)) for part in parts)


def label(said: str) -> dict[str, object]:
    """Return the attributes that give an element its accessible name, with its numbers separate.

    Args:
        said: the name; text that a visitor typed must be escaped in it, so that numbers in that
            text are not rewritten.
    """
    marks = marked(said)
    return {"aria_label": words(marks), "data_said": str(marks) if "<data" in marks else None}
