"""The markup of “Your own words”: their places, their distances, and progress."""

from __future__ import annotations

import csv
import io
import json

from kronviz.app.components import (
    Markup,
    box,
    element,
    join,
    marked,
    number,
    piece,
    progress_bar,
    table,
)
from kronviz.app.tabs.map.names import heading, name_of
from kronviz.app.tabs.map.view import BASES, point, shares_bar
from kronviz.maps.fresh import FreshLayout
from kronviz.maps.lookup import Distances, Placement, Standing
from kronviz.probes.tables import inert

SHOWN = 12
"""Number of words whose distances fit on a page; the file has all of them."""


def opening() -> Markup:
    """Return the introduction of this part."""
    return element(
        "header",
        element("h2", "Your own words", class_="kv-title"),
        element(
            "p",
            "Up to 200, one a line, on both maps as you type; a leading space matters. A word "
            "that is not a token is placed between its nearest tokens of the original space: the "
            "layout is not recomputed. “Recompute layout” runs UMAP on your words alone.",
            class_="kv-lead",
        ),
    )


def progress(words: str, share: float) -> Markup:
    """Return the progress of a layout."""
    bar = progress_bar(share, "Share that is done")
    return element(
        "div", element("p", f"{words} {share * 100:.0f}%", class_="kv-quiet", role="status"), bar
    )


def laid_out(layout: FreshLayout) -> Markup:
    """Return a layout of only these words: a sentence, and the points for the browser."""
    data = {
        "words": layout.words,
        "sides": [{"space": s.space, "points": s.points, "basis": s.basis} for s in layout.sides],
    }
    return element(
        "div",
        element(
            "p",
            marked(
                f"The maps show your {len(layout.words)} words alone, laid out by UMAP in "
                f"{layout.seconds:.1f} s. "
            ),
            element(
                "button", "Back to all tokens", type="button", class_="kv-textbutton kv-map-back"
            ),
            class_="kv-quiet",
            role="status",
        ),
        data_fresh=json.dumps(data, separators=(",", ":")),
    )


def placed(placement: Placement, apart: Distances) -> Markup:
    """Return the words on both maps: their vectors, their nearest tokens, and the distances."""
    data = {
        "words": placement.words,
        "sides": [
            {
                "space": side.space,
                "points": [point(standing) for standing in side.standings],
                "basis": [standing.basis for standing in side.standings],
            }
            for side in placement.sides
        ],
    }
    panels = [
        element(
            "div",
            heading(side, side.title),
            element(
                "p",
                f"Nearest {placement.k} of your {len(placement.words)} words:",
                class_="kv-quiet",
            ),
            shares_bar(side.shares),
            class_="kv-panel",
            data_arm=side.arm,
        )
        for side in placement.sides
    ]
    return element(
        "section",
        element("div", *panels, class_="kv-map-nears"),
        _words(placement),
        _distances(placement, apart),
        class_="kv-map-ownwords",
        data_placed=json.dumps(data, separators=(",", ":")),
    )


def distances_csv(distances: Distances) -> str:
    """Return CSV with one row per pair of words and both distances."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["word", "other", *(f"{name}_cosine_distance" for name in distances.spaces)])
    for row, word in enumerate(distances.words):
        for column in range(row + 1, len(distances.words)):
            other = distances.words[column]
            values = distances.left[row][column], distances.right[row][column]
            writer.writerow([inert(word), inert(other), *values])
    return text.getvalue()


def _words(placement: Placement) -> Markup:
    rows = []
    for index, word in enumerate(placement.words):
        cells = []
        for side in placement.sides:
            standing = side.standings[index]
            first = standing.neighbors[0] if standing.neighbors else None
            nearest = piece(bytes.fromhex(first.hex)) if first else "–"
            cells += [_basis(standing), element("td", nearest)]
        name = element("th", piece(word.encode()), scope="row")
        rows.append(element("tr", name, *cells))
    titles: list[object] = ["Word"]
    for side in placement.sides:
        titles += [join([name_of(side), " uses"]), "nearest token"]
    return box(
        table(
            "How each word is embedded",
            titles,
            rows,
            name="words",
            class_="kv-table kv-map-words",
        ),
        label="How each word is embedded",
        class_="kv-map-listed",
    )


def _basis(standing: Standing) -> Markup:
    words = {"bytes": "its bytes", "token": "one token", "mean": "mean of tokens"}[standing.basis]
    mean = standing.basis == "mean"
    return element("td", words, title=BASES[standing.basis], class_="kv-map-mean" if mean else None)


def _distances(placement: Placement, apart: Distances) -> Markup:
    if len(apart.words) < 2:
        return element("div")
    titles = ["", *[piece(word.encode()) for word in apart.words]]
    rows = []
    for row, word in enumerate(apart.words):
        cells = []
        for column in range(len(apart.words)):
            if row == column:
                cells.append(element("td", "", class_="kv-map-self"))
                continue
            upper = column > row
            value = (apart.left if upper else apart.right)[row][column]
            arm = placement.sides[0 if upper else 1].arm
            shade = max(0.0, 1 - value)
            cells.append(
                element(
                    "td",
                    number(value, 2),
                    data_arm=arm,
                    style=f"--near: {shade:.2f}",
                    class_="kv-map-apart",
                )
            )
        name = element("th", piece(word.encode()), scope="row")
        rows.append(element("tr", name, *cells))
    left, right = (name_of(side) for side in placement.sides)
    more = f" of the first {SHOWN} words" if len(placement.words) > SHOWN else ""
    return box(
        table(
            join([f"Cosine distances{more}: above the diagonal ", left, ", below it ", right]),
            titles,
            rows,
            class_="kv-table kv-map-distances",
        ),
        label="Cosine distances",
    )
