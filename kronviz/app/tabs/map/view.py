"""The markup of the tab “Map”: its frames, tables of neighbors and the families' figures."""

from __future__ import annotations

import json
from collections.abc import Sequence

from kronviz.app.components import (
    RELATIONS,
    Markup,
    box,
    element,
    marked,
    number,
    percent,
    piece,
    reproduced,
    table,
    visible,
)
from kronviz.app.tabs.map.names import heading, is_own_model, name_of
from kronviz.maps.columns import CASES, SCRIPTS, SPACE
from kronviz.maps.lookup import FamilyFigures, LookUp, Shares, Side, Standing
from kronviz.maps.neighbors import Neighbor
from kronviz.maps.words import PROBES

COLOURS = (
    ("case", "case"),
    ("space", "leading space"),
    ("family", "family"),
    ("script", "script"),
    ("length", "length in bytes"),
    ("frequency", "log frequency"),
    ("arm", "model"),
)
GROUPS = {
    "case": len(CASES),
    "space": len(SPACE),
    "family": 1 + len(PROBES),
    "script": len(SCRIPTS),
}
"""Number of groups, by the choices of colours that distinguish groups."""
MARKS = (
    *((name, *RELATIONS[name]) for name in ("typographic", "morphological")),
    ("byte", "near in bytes", "among the nearest in the raw code, and neither of these"),
    ("near", "ten nearest", "among the ten nearest in the original space"),
    ("own", "your word", "a word of yours; dashed where it is the mean of several tokens"),
)
BASES = {
    "bytes": "computed from its bytes",
    "token": "one token, its own vector",
    "mean": "mean of its tokens; no model computes it",
}


def selection() -> Markup:
    """Return the list of selected tokens, which the browser fills."""
    return element(
        "section",
        element("h3", class_="kv-heading", role="status"),
        element("div", class_="kv-tokens"),
        element(
            "p",
            element("button", "Export as CSV", type="button", class_="kv-textbutton kv-map-export"),
            " ",
            element("button", "Clear", type="button", class_="kv-textbutton kv-map-clear"),
        ),
        class_="kv-map-picked",
        hidden=True,
    )


def families() -> Markup:
    """Return a button for each of the eight probe families."""
    buttons = [
        element(
            "button", family.name, type="button", class_="kv-map-try", data_word=f" {family.name}"
        )
        for family in PROBES
    ]
    return element("div", element("span", "try", class_="kv-quiet"), *buttons, class_="kv-examples")


def tools() -> Markup:
    """Return the choice of colours, the legend and the lasso."""
    options = [element("option", label, value=name) for name, label in COLOURS]
    signs = [
        element("li", mark(name), element("span", label), title=meaning)
        for name, label, meaning in MARKS
    ]
    return element(
        "div",
        element(
            "label",
            element("span", "Colour by"),
            element("select", *options, id="kv-map-colour"),
            class_="kv-map-colourby",
        ),
        element("ul", class_="kv-map-key", aria_label="Colours"),
        element("ul", *signs, class_="kv-map-signs", aria_label="Marks of a family"),
        element(
            "button",
            "Lasso",
            type="button",
            class_="kv-textbutton",
            data_lasso="",
            aria_pressed="false",
            title="Draw around tokens to select them; or hold Shift and drag",
        ),
        class_="kv-map-tools",
    )


def saving() -> Markup:
    """Return the buttons that save both maps."""
    save = [
        element("button", label, type="button", data_save=kind)
        for kind, label in (("png", "PNG"), ("svg", "SVG"), ("csv", "CSV"))
    ]
    return element("div", element("span", "Save"), *save, class_="kv-save")


def mark(relation: str) -> Markup:
    """Return the shape that marks a relation, as on the maps."""
    shapes = {
        "typographic": ("rect", {"x": "2", "y": "2", "width": "10", "height": "10"}),
        "morphological": ("path", {"d": "M7 1.5 13 12.5H1Z"}),
        "byte": ("path", {"d": "M7 .8 13.2 7 7 13.2 .8 7Z"}),
        "near": ("circle", {"cx": "7", "cy": "7", "r": "5"}),
        "own": ("path", {"d": "M1 5H5V1H9V5H13V9H9V13H5V9H1Z"}),
    }
    tag, attributes = shapes[relation]
    return element(
        "svg",
        element(tag, **attributes),
        viewBox="0 0 14 14",
        width="12",
        height="12",
        aria_hidden="true",
        class_=f"kv-map-mark kv-map-mark-{relation}",
    )


def side_label(side: str) -> str:
    """Return the label of the choice of a space."""
    return "Left map: bpe" if side == "left" else "Right map: kron"


def frame(side: str, pair: str) -> Markup:
    """Return an empty map for the browser to fill."""
    zoom = [
        element("button", sign, type="button", data_zoom=name, aria_label=label, title=label)
        for sign, name, label in (
            ("+", "in", "Zoom in"),
            ("−", "out", "Zoom out"),
            ("◎", "family", "Zoom to the word’s family"),
            ("⤢", "all", "Show all"),
        )
    ]
    return element(
        "figure",
        element(
            "div",
            element("canvas", aria_hidden="true"),
            element("svg", class_="kv-map-marks", aria_hidden="true"),
            element("div", *zoom, class_="kv-map-zoom"),
            element("p", "Loading …", class_="kv-map-status", role="status"),
            element("p", class_="kv-map-aimed kv-hidden", role="status"),
            class_="kv-map-frame",
            tabindex="0",
            role="group",
            aria_label=f"{side_label(side)}: arrow keys move it, plus and minus zoom, 0 shows all, "
            "Enter selects the token nearest to the middle. A token’s neighbors are listed below.",
        ),
        element("figcaption", "\u00a0", class_="kv-caption"),
        class_="kv-map",
        data_side=side,
        data_pair=pair,
        data_saves="",
        data_arm="bpe" if side == "left" else "kron",
    )


def waiting() -> Markup:
    """Return the placeholder for the first answer."""
    return element("div", element("p", "\u00a0", class_="kv-finding"), class_="kv-map-answer")


def answer(result: LookUp) -> Markup:
    """Return a word's neighbors in both spaces, with data for the marks on the maps."""
    return element(
        "section",
        element("p", *_finding(result), class_="kv-finding"),
        element("div", *[_near(side, result) for side in result.sides], class_="kv-map-nears"),
        class_="kv-map-answer",
        data_answer=json.dumps(_marks(result), separators=(",", ":")),
    )


def figures(sides: Sequence[Sequence[FamilyFigures]], pair: str) -> Markup:
    """Return the figures of the eight families in both spaces: what their nearest tokens are."""
    by_name = [{one.family: one for one in side} for side in sides]
    rows = []
    for family in PROBES:
        shown = [side.get(family.name) for side in by_name]
        button = element(
            "button",
            family.name,
            type="button",
            class_="kv-map-try kv-textbutton",
            data_word=f" {family.name}",
        )
        cells = [cell for one in shown for cell in _figure_cells(one)]
        counts = dict.fromkeys(str(one.tokens) if one else "none" for one in shown)
        tokens = " and ".join(counts)
        rows.append(
            element("tr", element("th", button, scope="row"), element("td", tokens), *cells)
        )
    heads = [
        element(
            "th",
            name_of(side[0]) if side else "",
            scope="colgroup",
            colspan="4",
            class_="kv-map-first",
        )
        for side in sides
    ]
    names = ("family", *(name for name, _ in RELATIONS.values()))
    subheads = [
        element("th", name, scope="col", class_="kv-map-first" if name == "family" else None)
        for _ in sides
        for name in names
    ]
    named = " ".join(f"--space {side[0].space}" for side in sides if side)
    command = f"python -m kronviz.maps --pair {pair} --families {named}"
    own = any(is_own_model(side[0].space) for side in sides if side)
    return element(
        "section",
        element("h2", "The probe families", class_="kv-title"),
        element(
            "p",
            "Of the ten nearest to each of a family’s tokens in the original space, the share that "
            "belongs to the family, and the shares by relation. “Family” counts the members that "
            "the paper’s probe lists (for “magnet” and “import”, all words that hold them).",
            class_="kv-lead",
        ),
        box(
            element(
                "table",
                element(
                    "thead",
                    element(
                        "tr",
                        element("td"),
                        element("td"),
                        *heads,
                    ),
                    element(
                        "tr",
                        element("th", "Family", scope="col"),
                        element("th", "tokens", scope="col"),
                        *subheads,
                    ),
                ),
                element("tbody", *rows),
                class_="kv-table kv-map-families",
                data_name="probe families",
            ),
            label="The probe families",
        ),
        "" if own else reproduced(command),
    )


def shares_bar(shares: Shares) -> Markup:
    """Return three shares as one bar (solid, hatched, empty) with the numbers beside it."""
    parts = [
        ("typographic", shares.typographic),
        ("morphological", shares.morphological),
        ("other", shares.other),
    ]
    bar = [
        element("span", style=f"flex-grow: {share:.4f}", class_=f"kv-map-share-{name}")
        for name, share in parts
        if share > 0
    ]
    words = ", ".join(f"{percent(share)} {RELATIONS[name][0]}" for name, share in parts)
    return element(
        "div",
        element("div", *bar, class_="kv-map-share", aria_hidden="true"),
        element("span", words),
        class_="kv-map-shares",
    )


def _finding(result: LookUp) -> list[object]:
    parts: list[object] = ["Nearest to ", piece(bytes.fromhex(result.hex)), ": "]
    for place, side in enumerate(result.sides):
        near = [one for one in side.standing.neighbors if one.relation != "other"]
        asked = len(side.standing.neighbors)
        count = f"{len(near)} of {asked}" if near else f"none of {asked}"
        parts += [
            "; " if place else "",
            "in ",
            name_of(side),
            f" {count} {'share' if len(near) != 1 else 'shares'} its word or root",
        ]
    return [*parts, "."]


def _near(side: Side, result: LookUp) -> Markup:
    standing = side.standing
    basis = BASES[standing.basis]
    if standing.basis == "token":
        known = standing.token is not None and not is_own_model(side.space)
        basis = marked(f"token {standing.token:,}") if known else "one token"
    asked = len(standing.neighbors)
    kept = "not a token here: placed by its nearest, in the original space"
    if standing.x is None:
        kept = "this map has not been drawn"
    elif standing.kept is not None:
        kept = f"{standing.kept} of these {asked} are among its {asked} nearest in the picture"
    read: tuple[object, ...] = ()
    if side.hex != result.hex:
        read = ("read as ", piece(bytes.fromhex(side.hex)), ", ")
    words = side.shares.words
    lit = "this word" if words == 1 else f"the {words} highlighted forms"
    return element(
        "div",
        heading(side, side.title),
        element(
            "p",
            *read,
            element("span", basis, class_="kv-map-mean" if standing.basis == "mean" else None),
            f"; {kept}.",
            class_="kv-quiet",
        ),
        table(
            None,
            ("Token", "Relation", "Cosine"),
            map(_row, standing.neighbors),
            name=f"nearest in {side.arm}",
            class_="kv-near kv-map-near",
        ),
        element("p", f"Nearest {result.k} of {lit}:", class_="kv-quiet"),
        shares_bar(side.shares),
        class_="kv-panel",
        data_arm=side.arm,
    )


def _row(one: Neighbor) -> Markup:
    data = bytes.fromhex(one.hex)
    token = element(
        "button",
        element("bdi", visible(data)),
        type="button",
        class_="kv-near-token kv-map-token",
        data_id=one.id,
        data_hex=data.hex(" "),
        aria_label=f"Select {one.text}",
    )
    bar = element(
        "span",
        element("span", class_="kv-near-bar", style=f"width: {max(one.similarity, 0) * 100:.1f}%"),
        element("span", number(one.similarity, 3), class_="kv-near-number"),
        class_="kv-near-track",
    )
    return element(
        "tr",
        element("td", token),
        element("td", RELATIONS[one.relation][0], class_=f"kv-relation kv-relation-{one.relation}"),
        element("td", bar),
    )


def _figure_cells(one: FamilyFigures | None) -> list[Markup]:
    if one is None:
        return [element("td", "–", class_="kv-map-first"), *[element("td", "–")] * 3]
    shares = one.shares
    return [
        element("td", percent(one.in_family), class_="kv-map-first"),
        *[
            element("td", percent(share))
            for share in (shares.typographic, shares.morphological, shares.other)
        ],
    ]


def _marks(result: LookUp) -> dict[str, object]:
    """Return the browser's data for each map: the word, its family and its neighbors by id."""
    return {
        "word": result.text,
        "hex": result.hex,
        "sides": [
            {
                "space": side.space,
                "at": point(side.standing),
                "token": side.standing.token,
                "basis": side.standing.basis,
                "family": [[one.id, one.relation] for one in side.family],
                "near": [[one.id, one.similarity, one.relation] for one in side.standing.neighbors],
            }
            for side in result.sides
        ],
    }


def point(standing: Standing) -> list[float] | None:
    """Return a place on a map; ``None`` if there is none."""
    return None if standing.x is None or standing.y is None else [standing.x, standing.y]
