"""Numbers that the browser may write the reader's way: ``0.193`` where English is read, ``0,193``
where French is.

The server writes English, which stands where no script runs; ``assets/ui/numbers.js`` rewrites it
in the reader's locale. The exact value stays in the markup, for whoever copies or saves it.
"""

from __future__ import annotations

from kronviz.ui.html import Markup, element


def number(value: float, digits: int = 0, *, percent: bool = False, sign: bool = False) -> Markup:
    """A number as an element.

    Args:
        value: what is written; a share where ``percent`` is set.
        digits: how many stand behind the decimal point.
        percent: write hundredths, with the sign for it.
        sign: write a plus, too.
    """
    form = f"{'+' if sign else ''},.{digits}{'%' if percent else 'f'}"
    return element(
        "data",
        f"{value:{form}}".replace("-", "−"),
        value=f"{value:.10g}",
        data_digits=digits,
        data_percent=percent,
        data_sign=sign,
    )
