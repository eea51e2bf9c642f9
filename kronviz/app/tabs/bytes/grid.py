"""The first picture of the byte view: letters, their parts of kron's vector, and their cells.

Notable:

- The sheet has one column per position, with a letter, its bar and its cell below each other.
- Rows of byte values without a cell are drawn as one strip. The page can unfold all strips to the
  height of their rows, which gives the whole grid of 256 rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from kronviz.app.components import (
    DASH,
    Markup,
    arm_name,
    count,
    element,
    join,
    percent,
    piece,
    sentence,
    short_piece,
    sign,
    spoken,
    term,
    token_list,
    told,
    visible,
    written,
)
from kronviz.probes.byteview import ByteView, Cell, Contribution

BAR_PIXELS = 72
HEADER_ROWS = 4
COMMON = 0.05
"""Smallest share common to all strings that the headline mentions."""


def view(result: ByteView) -> Markup:
    """Return the view of one string: the finding, the sheet and the numbers."""
    return element(
        "div",
        element("p", _finding(result), class_="kv-finding", role="status"),
        _cut_note(result),
        element("div", _sheet(result), _facts(result), class_="kv-sheet-and-facts"),
        class_="kv-result kv-bytes",
        data_title="code",
        data_of=result.text,
        data_positions=result.pos_dim,
    )


def _finding(result: ByteView) -> Markup:
    kept = bytes(cell.byte for cell in result.cells)
    parts: list[object] = [
        short_piece(bytes.fromhex(result.hex)),
        f" lights {result.length:,} of {result.dimension:,} cells",
    ]
    if len(kept) < result.n_bytes:
        parts.append(f", for {result.length} of its {result.n_bytes} bytes")
    shares = _character_shares(result)
    if len(shares) > 1 and result.background:
        best, share = max(shares, key=lambda entry: entry[1])
        parts += [". ", piece(best), f" carries {percent(share)} of ", arm_name("kron")]
        parts.append("’s vector")
        if result.background.share >= COMMON:
            parts.append(f"; {percent(result.background.share)} is the same for any ")
            parts.append(count(result.length, "byte"))
    return sentence([*parts, "."])


def _character_shares(result: ByteView) -> list[tuple[bytes, float]]:
    """Return each character's bytes with its share of the embedding."""
    shares: list[tuple[bytes, float]] = []
    for group in _characters(result.cells):
        if any(cell.contribution is None for cell in group):
            return []
        data = bytes(cell.byte for cell in group)
        shares.append((data, sum(c.contribution.share for c in group if c.contribution)))
    return shares


def _characters(cells: tuple[Cell, ...]) -> Iterator[list[Cell]]:
    """Yield the cells of each character together."""
    group: list[Cell] = []
    for cell in cells:
        if group and cell.part == 1:
            yield group
            group = []
        group.append(cell)
    if group:
        yield group


def _cut_note(result: ByteView) -> Markup:
    if not result.cut_hex:
        return Markup("")
    lost = bytes.fromhex(result.cut_hex)
    why = (
        "so that no character is split" if result.cut_inside else "because the positions end there"
    )
    return element(
        "p",
        f"Cut after byte {result.length} of {result.n_bytes}, {why}.",
        f" The last {count(len(lost), 'byte')}, ",
        piece(lost),
        ", leave no trace: any two strings that begin alike are the same to the code.",
        class_="kv-cut-note",
    )


def _sheet(result: ByteView) -> Markup:
    rows = sorted({cell.byte for cell in result.cells})
    body: list[Markup] = []
    line = HEADER_ROWS + (2 if result.embedding_norm is not None else 1)
    previous = -1
    for byte in [*rows, 256]:
        if byte - previous > 1:
            body.append(_empty_rows(previous + 1, byte - 1, line))
            line += 1
        if byte < 256:
            body += _row(result, byte, line)
            line += 1
        previous = byte
    cut = Markup("")
    if result.cut_hex:
        cut = element(
            "span",
            element("span", "cut", class_="kv-cut-word"),
            class_="kv-cut-line",
            style=f"grid-column: {result.length + 1}; grid-row: 1 / {line}",
            aria_hidden="true",
        )
    return element(
        "div",
        element(
            "div",
            *_header(result),
            *_bars(result),
            *body,
            cut,
            class_="kv-sheet",
            style=f"--cols: {result.pos_dim}",
            role="group",
            aria_label=f"The grid of {result.text}: {count(result.length, 'lit cell')}, one a "
            "position. Arrow keys move from cell to cell.",
            data_keys=True,
        ),
        class_="kv-sheet-box",
    )


def _header(result: ByteView) -> Iterator[Markup]:
    for row, word in enumerate(("character", "byte", "position"), start=1):
        yield element("span", word, class_="kv-row-name", style=f"grid-row: {row}")
    for group in _characters(result.cells):
        first, last = group[0].position, group[-1].position
        character = group[0].character
        shown: object = visible(character.encode()) if character else DASH
        yield element(
            "bdi",
            shown,
            class_="kv-letter kv-letter-wide" if last > first else "kv-letter",
            style=f"grid-column: {first + 1} / {last + 2}",
        )
    for cell in result.cells:
        yield element("span", cell.hex, class_="kv-hex", style=f"grid-column: {cell.position + 1}")
    for position in range(1, result.pos_dim + 1):
        used = "kv-position" if position <= result.length else "kv-position kv-unused"
        yield element("span", position, class_=used, style=f"grid-column: {position + 1}")


def _bars(result: ByteView) -> Iterator[Markup]:
    parts = [cell.contribution for cell in result.cells if cell.contribution]
    if not parts:
        return
    top = max(0.0, *(part.share for part in parts))
    bottom = max(0.0, *(-part.share for part in parts))
    scale = BAR_PIXELS / max(top + bottom, 1e-9)
    yield element(
        "span",
        term(
            join(["share of ", arm_name("kron"), ", %"]),
            "how much of the trained embedding each cell carries, in percent: the length of its "
            "vector along the whole. A bar below the line pulls the other way.",
            called="share of kron",
        ),
        class_="kv-row-name",
        style=f"grid-row: {HEADER_ROWS}",
    )
    for cell in result.cells:
        part = cell.contribution
        if part is None:
            continue
        height = abs(part.share) * scale
        above = (top - max(part.share, 0.0)) * scale
        label = written(part.share * 100, 0)
        yield told(
            join(
                [
                    element("span", label, class_="kv-share-number"),
                    element(
                        "span",
                        class_="kv-share-bar" if part.share >= 0 else "kv-share-bar kv-negative",
                        style=f"margin-top: {above:.1f}px; height: {max(height, 1):.1f}px",
                    ),
                ]
            ),
            _contribution_words(cell, part),
            class_="kv-share",
            data_arm="kron",
            style=f"grid-column: {cell.position + 1}; --base: {top * scale:.1f}px",
        )


def _contribution_words(cell: Cell, part: Contribution) -> str:
    return (
        f"Position {cell.position}, {_name(cell)}: carries {percent(part.share)} of kron’s "
        f"embedding. Its vector has length {written(part.norm, 2)} and cosine "
        f"{written(part.cosine, 2)} with the whole."
    )


def _row(result: ByteView, byte: int, line: int) -> list[Markup]:
    cells = [cell for cell in result.cells if cell.byte == byte]
    one = cells[0].parts == 1 and bool(cells[0].character)
    label = [
        element("bdi", visible(bytes([byte])) if one else "", class_="kv-row-sign"),
        element("span", f"{byte:02x}", class_="kv-hex"),
    ]
    return [
        element("span", *label, class_="kv-row-name kv-used-row", style=f"grid-row: {line}"),
        element("span", class_="kv-strip", style=f"grid-row: {line}", aria_hidden="true"),
        *(
            told(
                join(
                    [
                        sign(cell.character, cell.hex, cell.parts),
                        element("span", cell.hex, class_="kv-cell-hex") if one else "",
                    ]
                ),
                _cell_words(result, cell),
                class_="kv-lit",
                style=f"grid-column: {cell.position + 1}; grid-row: {line}",
                data_byte=cell.hex,
                data_position=cell.position,
            )
            for cell in cells
        ),
    ]


def _cell_words(result: ByteView, cell: Cell) -> str:
    return (
        f"Position {cell.position}, {_name(cell)}: cell {cell.index:,} of {result.dimension:,} "
        f"({cell.byte} × {result.pos_dim} + {cell.position - 1}). It holds 1/√{result.length} = "
        f"{written(result.value)}; {written(result.lit, 2)} once normalised."
    )


def _name(cell: Cell) -> str:
    if not cell.character:
        return f"byte {cell.hex}, part of no whole character"
    name = spoken(cell.character.encode())
    if cell.parts == 1:
        return f"{name}, byte {cell.hex}"
    return f"byte {cell.hex}, part {cell.part} of {cell.parts} of {name}"


def _empty_rows(first: int, last: int, line: int) -> Markup:
    rows = last - first + 1
    return join(
        [
            element(
                "span",
                element("span", f"{rows} empty", class_="kv-folded"),
                element(
                    "span",
                    f"{first:02x}" if rows == 1 else f"{first:02x} … {last:02x}",
                    class_="kv-unfolded kv-hex",
                ),
                class_="kv-row-name kv-gap-name",
                style=f"grid-row: {line}",
            ),
            element(
                "span",
                class_="kv-gap",
                style=f"grid-row: {line}; --rows: {rows}",
                aria_hidden="true",
            ),
        ]
    )


def _facts(result: ByteView) -> Markup:
    kept = bytes(cell.byte for cell in result.cells)
    rows: list[tuple[Markup, object]] = [
        (
            term(
                "Bytes kept, L",
                "the bytes of the string that fit the positions of the code.",
            ),
            f"{result.length} of {result.n_bytes}",
        ),
        (
            term(
                "A lit cell, 1/√L",
                "what each lit cell holds; all other cells hold 0.",
            ),
            written(result.value),
        ),
        (
            term("Mean", f"of all {result.dimension:,} cells; it depends on L alone."),
            written(result.mean, 6),
        ),
        (
            term(
                "Deviation",
                f"the standard deviation of all {result.dimension:,} cells; it depends on L alone.",
            ),
            written(result.deviation, 6),
        ),
        (
            term(
                "After normalising",
                "minus the mean, divided by the deviation: what a lit cell and every other cell "
                "hold when the projection reads them.",
            ),
            f"{written(result.lit, 2)} lit, {written(result.unlit, 3)} not",
        ),
    ]
    if result.embedding_norm is not None and result.background is not None:
        rows += [
            (
                term(
                    "Length of kron’s vector",
                    "Euclidean length of the embedding that the trained projection makes.",
                ),
                written(result.embedding_norm, 2),
            ),
            (
                term(
                    "Common to all",
                    f"the share of it that all strings of {count(result.length, 'byte')} have: "
                    "what normalising makes of the cells that are not lit.",
                ),
                percent(result.background.share),
            ),
        ]
    elif result.trained_pos_dim:
        rows.append(
            (
                term(
                    "Shares of kron",
                    "what each cell adds to the trained embedding.",
                ),
                f"only at {result.trained_pos_dim} positions, as it was trained",
            )
        )
    back = [piece(bytes.fromhex(result.decoded_hex))] if kept else []
    rows.append(
        (
            term(
                "Round trip",
                "the bytes read from the vector of all cells, just now. The code is invertible.",
            ),
            join([*back, " exact" if result.exact else " not the same"]),
        )
    )
    if result.tokens:
        rows.append(
            (
                term("Tokens", "how the tokenizer cuts the string for both models."),
                token_list(result.tokens),
            )
        )
    pairs = itertools.chain.from_iterable(
        (element("dt", name), element("dd", sentence([value]))) for name, value in rows
    )
    return element("dl", *pairs, class_="kv-facts", data_keys=True)
