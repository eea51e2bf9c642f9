"""Two strings on the page: the bytes that they share, and their similarity in each model.

Notable:

- Three marks work without colour: a shared byte is a filled box with a bar to its twin, a moved
  byte an outlined box with a thin line to its new place, a byte of one string only is dashed and
  struck through.
"""

from __future__ import annotations

from collections.abc import Sequence

from kronviz.app.components import (
    Markup,
    arm_name,
    box,
    count,
    element,
    join,
    listing,
    marked,
    piece,
    sentence,
    short_piece,
    sign,
    spoken,
    term,
    token_list,
    told,
    written,
)
from kronviz.probes.stringpair import MarkedByte, Similarity

CENTRED = term(
    "centred",
    "the same cosine after subtracting the mean vector of all tokens, so that what all vectors of "
    "a model have in common no longer counts.",
)


def view(result: Similarity) -> Markup:
    """Return the view of two strings: the finding, both rows of bytes, and three similarities."""
    return element(
        "div",
        element("p", _finding(result), class_="kv-finding kv-smaller", role="status"),
        strips(result),
        legend(),
        _table(result),
        class_="kv-section-result",
        data_title="two strings",
    )


def strips(result: Similarity, names: tuple[str, str] = ("first", "second")) -> Markup:
    """Return both strings as rows of marked boxes by position, with lines between twins."""
    columns = min(result.pos_dim, max(result.first_length, result.second_length) + 1)
    positions = [
        element("span", p, class_="kv-position", style=f"grid-column: {p + 1}", aria_hidden="true")
        for p in range(1, columns + 1)
    ]
    lines = [
        element(
            "line",
            x1=byte.position - 0.5,
            x2=(byte.other or 0) - 0.5,
            y1=0,
            y2=1,
            class_=f"kv-tie kv-tie-{byte.mark}",
            vector_effect="non-scaling-stroke",
        )
        for byte in result.first_bytes
        if byte.other is not None
    ]
    ties = element(
        "svg",
        *lines,
        viewBox=f"0 0 {columns} 1",
        preserveAspectRatio="none",
        class_="kv-ties",
        aria_hidden="true",
    )
    return element(
        "div",
        element(
            "div",
            element("span", "position", class_="kv-row-name", style="grid-row: 1"),
            *positions,
            *_strip(names[0], result.first_bytes, 2),
            ties,
            *_strip(names[1], result.second_bytes, 4),
            class_="kv-sheet kv-pair-sheet",
            style=f"--cols: {columns}",
            role="group",
            aria_label="Both strings byte by byte. Arrow keys move from byte to byte.",
            data_keys=True,
        ),
        class_="kv-sheet-box",
    )


def legend() -> Markup:
    """Return the legend of the three marks."""
    entries = (
        ("shared", "a", "shared: same byte, same position; the only ones that count"),
        ("moved", "a", "moved: same byte, another position, so another cell"),
        ("lost", "a", "in one string only: lost, or new"),
    )
    return element(
        "ul",
        *[
            element(
                "li",
                element("span", letter, class_=f"kv-twin kv-twin-{mark}", aria_hidden="true"),
                " ",
                words,
            )
            for mark, letter, words in entries
        ],
        class_="kv-legend",
    )


def _strip(name: str, marked: Sequence[MarkedByte], row: int) -> list[Markup]:
    parts = [element("span", name, class_="kv-row-name", style=f"grid-row: {row}")]
    parts += [
        told(
            sign(byte.character, byte.hex, byte.parts),
            _words(byte),
            class_=f"kv-twin kv-twin-{byte.mark}",
            style=f"grid-column: {byte.position + 1}; grid-row: {row}",
            data_mark=byte.mark,
            data_position=byte.position,
        )
        for byte in marked
    ]
    return parts


def _words(byte: MarkedByte) -> str:
    name = spoken(byte.character.encode()) if byte.character else "no whole character"
    where = f"Position {byte.position}, {name}, byte {byte.hex}"
    if byte.mark == "shared":
        return f"{where}: shared, the same in the other string."
    if byte.mark == "moved":
        return f"{where}: moved, position {byte.other} in the other string, so not the same cell."
    return f"{where}: {'lost, not in the second' if byte.mark == 'lost' else 'new'}."


def _finding(result: Similarity) -> Markup:
    first, second = result.first.encode(), result.second.encode()
    if first == second:
        return join(["Both strings are ", short_piece(first), "."])
    shared = "no cell" if not result.shared else count(result.shared, "cell")
    parts: list[object] = [short_piece(first), " and ", short_piece(second), f" share {shared}: "]
    parts.append(f"their codes have similarity {written(result.code_cosine)}")
    if result.moved:
        parts.append(f"; {count(result.moved, 'byte')} only moved")
    return sentence([*parts, "."])


def _table(result: Similarity) -> Markup:
    lengths = f"√({result.first_length} · {result.second_length})"
    rows = [
        _line(
            term("code", "cosine of the two codes, in closed form: shared cells over √(L₁ L₂)."),
            result.code_cosine,
            None,
            join([f"{result.shared} shared / {lengths}"]),
            None,
        )
    ]
    if result.pair:
        why = "cosine of its two trained embeddings"
        if result.kron_cosine is None:
            why = "not trained with this number of positions"
        rows.append(_line(arm_name("kron"), result.kron_cosine, result.kron_centred, why, "kron"))
        rows.append(
            _line(arm_name("bpe"), result.bpe_cosine, result.bpe_centred, _bpe_note(result), "bpe")
        )
    head = [
        element("th", "Similarity by", scope="col"),
        element("th", "cosine", scope="col"),
        element("th", CENTRED, scope="col"),
        element("td", class_="kv-like-track"),
        element("th", "how", scope="col"),
    ]
    return box(
        element(
            "table",
            element("caption", "How alike the two strings are", class_="kv-hidden"),
            element("thead", element("tr", *head)),
            element("tbody", *rows),
            class_="kv-likeness",
        ),
        label="How alike the two strings are",
    )


def _line(
    name: Markup, cosine: float | None, centred: float | None, how: object, arm: str | None
) -> Markup:
    bar = Markup("")
    if cosine is not None:
        bar = element("span", class_="kv-like-bar", style=f"width: {max(cosine, 0) * 100:.1f}%")
    return element(
        "tr",
        element("th", name, scope="row"),
        element("td", marked(written(cosine)), class_="kv-like-number"),
        element("td", "" if arm is None else marked(written(centred)), class_="kv-like-number"),
        element("td", bar, class_="kv-like-track", aria_hidden="true"),
        element("td", how, class_="kv-like-how"),
        data_arm=arm,
    )


def _bpe_note(result: Similarity) -> Markup:
    if result.bpe_cosine is not None:
        return join(["cosine of two rows of its table, one token each"])
    several = [
        join([piece(text.encode()), " is ", token_list(views)])
        for text, views in (
            (result.first, result.first_tokens),
            (result.second, result.second_tokens),
        )
        if len(views) > 1
    ]
    return join(["no vector of its own: ", listing(several, ", ")])
