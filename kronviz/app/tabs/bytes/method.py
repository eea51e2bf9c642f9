"""The method in one picture, drawn from what the models on the page computed.

Four panels that read from left to right, or on a phone from top to bottom: a token's bytes, the
grid, the rows of the projection that its cells pick, their sum. All bars share one scale, so that
the last panel can be checked against the one before it by eye.
"""

from __future__ import annotations

from collections.abc import Sequence

from kronviz.app.components import Markup, count, element, glyphs, join, marked, number
from kronviz.probes.method import Method

WIDTH, HEIGHT, LOW = 260, 224, 118
_LEFT, _TOP, _BOTTOM = 26, 8, 20
_MOST_CELLS = 9


def picture(method: Method) -> Markup:
    """Return the whole picture."""
    shown, numbers = len(method.cells), len(method.vector)
    first = "its first " if shown < len(method.text.encode()) else ""
    panels = (
        (
            "A token is its bytes",
            f"“{_visible(method)}”: {first}{count(shown, 'byte')}, written in two "
            "hexadecimal digits each, in order, at positions from 1.",
            _bytes(method),
        ),
        (
            "Each byte lights a cell",
            f"256 byte values by {method.pos_dim} positions: {method.dimension:,} cells, {shown} "
            "of them lit. This code is fixed; nothing in it is learned.",
            _grid(method),
        ),
        (
            "Each cell picks a row",
            f"One learned matrix has a row for every cell. The last row here is what all tokens of "
            f"{count(shown, 'byte')} share. The first {numbers} of {method.d_model} numbers.",
            _rows(method),
        ),
        (
            "The sum is the vector",
            "The rows added up, on the same scale: what the first block of kron reads. bpe looks "
            "its vector up in a table instead.",
            _vector(method),
        ),
    )
    figures = [
        element(
            "figure",
            element("figcaption", element("b", f"{place}. {title}")),
            drawing,
            element("p", marked(words), class_="kv-caption"),
        )
        for place, (title, words, drawing) in enumerate(panels, start=1)
    ]
    return element("div", *figures, class_="kv-method", data_arm="kron")


def _visible(method: Method) -> str:
    return "".join(glyph.text for glyph in glyphs(method.text.encode()))


def _svg(label: str, *parts: object, height: int = HEIGHT) -> Markup:
    box = f"0 0 {WIDTH} {height}"
    return element("svg", *parts, viewBox=box, role="img", aria_label=label)


def _bytes(method: Method) -> Markup:
    cells = method.cells[:_MOST_CELLS]
    step = min(42, (WIDTH - 4) / len(cells))
    parts = []
    for place, cell in enumerate(cells):
        middle = 2 + step * (place + 0.5)
        parts += [
            _text(middle, 30, _sign(cell.byte), "kv-method-letter"),
            element("rect", x=f"{middle - step / 2 + 2:.1f}", y=44, width=f"{step - 4:.1f}",
                    height=36, rx=4, class_="kv-method-cell"),
            _text(middle, 67, cell.hex, "kv-method-hex"),
            _text(middle, 98, str(cell.position), "kv-method-small"),
        ]  # fmt: skip
    spoken = ", ".join(f"{cell.hex} at position {cell.position}" for cell in cells)
    return _svg(f"Bytes: {spoken}", *parts, height=LOW)


def _grid(method: Method) -> Markup:
    high = HEIGHT - _TOP - _BOTTOM
    column = (WIDTH - _LEFT - 2) / method.pos_dim
    parts = [
        element("rect", x=_LEFT, y=_TOP, width=WIDTH - _LEFT - 2, height=high,
                class_="kv-method-field"),
        *[
            _line(_LEFT + column * place, _TOP, _LEFT + column * place, _TOP + high)
            for place in range(1, method.pos_dim)
        ],
        *[
            element(
                "rect",
                element("title", f"byte {cell.hex}, position {cell.position}"),
                x=f"{_LEFT + column * (cell.position - 1):.1f}",
                y=f"{_TOP + high * cell.byte / 256 - 2:.1f}",
                width=f"{column:.1f}",
                height=5,
                class_="kv-method-lit",
            )
            for cell in method.cells
        ],
        _text(_LEFT - 5, _TOP + 9, "00", "kv-method-end"),
        _text(_LEFT - 5, _TOP + high, "ff", "kv-method-end"),
        _text(_LEFT + column / 2, HEIGHT - 5, "1", "kv-method-small"),
        _text(WIDTH - 2 - column / 2, HEIGHT - 5, str(method.pos_dim), "kv-method-small"),
        _text((WIDTH + _LEFT) / 2, HEIGHT - 5, "position", "kv-method-small"),
    ]  # fmt: skip
    return _svg(f"{len(method.cells)} lit cells in a grid of 256 by {method.pos_dim}", *parts)


def _rows(method: Method) -> Markup:
    lines = [*method.rows, method.common]
    step = (HEIGHT - _TOP) / len(lines)
    names = [_sign(cell.byte) for cell in method.cells] + ["all"]
    parts: list[object] = []
    for place, (name, line) in enumerate(zip(names, lines, strict=True)):
        middle = _TOP + step * (place + 0.5)
        parts += [_text(_LEFT - 5, middle + 4, name, "kv-method-end"), _bars(method, line, middle)]
    return _svg("What each lit cell adds, a row of bars for each", *parts)


def _vector(method: Method) -> Markup:
    bars = _bars(method, method.vector, LOW / 2)
    return _svg("The vector: the sum of the rows, as bars", bars, height=LOW)


def _bars(method: Method, values: Sequence[float], middle: float) -> Markup:
    """Return bars over and under a line; negative ones are outlined, so that shape shows it too."""
    tallest = max(abs(value) for row in (*method.rows, method.common) for value in row) or 1.0
    highest = max(abs(value) for value in method.vector) or 1.0
    room = (HEIGHT - _TOP) / (len(method.rows) + 1) / 2 - 1
    unit = min(room / tallest, (LOW / 2 - 2) / highest)
    step = (WIDTH - _LEFT - 2) / len(values)
    bars = [
        element(
            "rect",
            element("title", number(value, 2, sign=True)),
            x=f"{_LEFT + step * place + 1:.1f}",
            y=f"{middle - max(value, 0) * unit:.1f}",
            width=f"{step - 2:.1f}",
            height=f"{max(abs(value) * unit, 0.4):.1f}",
            class_="kv-method-bar" if value >= 0 else "kv-method-bar kv-method-below",
        )
        for place, value in enumerate(values)
    ]
    return join([_line(_LEFT, middle, WIDTH - 2, middle), *bars])


def _sign(byte: int) -> str:
    """Return a byte's character; a dot for part of one or none, whose two digits stand below."""
    sign = glyphs(bytes([byte]))[0].text
    return sign if len(sign) == 1 else "·"


def _line(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}")


def _text(x: float, y: float, words: str, kind: str) -> Markup:
    return element("text", words, x=f"{x:.1f}", y=f"{y:.1f}", class_=kind)
