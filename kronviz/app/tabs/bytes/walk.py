"""The walk on the page: one edit at every place of the word, and how far similarity falls.

Notable:

- There is one small picture per kind of edit, all on one scale, with the word's letters as the
  axis: a substitution is a low step everywhere, an insertion a slope that begins at a cliff.
- Series differ in shape as well as colour: squares for the code, discs for kron, diamonds for bpe.
- Click a column to walk there; the slider and the choice of kind do the same by keyboard.
"""

from __future__ import annotations

from collections.abc import Sequence

from kronviz.app.components import (
    DOT,
    Markup,
    arm_name,
    count,
    element,
    join,
    label,
    marked,
    piece,
    sentence,
    short_piece,
    visible,
    written,
)
from kronviz.app.tabs.bytes.pair import CENTRED, strips
from kronviz.probes.editwalk import EDIT_KINDS, EditPoint, EditWalk
from kronviz.probes.stringpair import Similarity

HEIGHT = 100
DENSE_SLOTS = 14
_AN = "aefhilmnorsx"
"""Letters that take “an”: an x, but a z."""


def view(walk: EditWalk, kind: str, point: EditPoint | None, pair: Similarity | None) -> Markup:
    """Return the finding, the chosen edit, and a picture for each kind.

    Args:
        kind: the chosen kind of edit.
        point: the chosen edit; ``None`` if this word has no edit of this kind.
        pair: the word and the edited one.
    """
    return element(
        "div",
        element("p", _finding(walk), class_="kv-finding kv-smaller", role="status"),
        _edit(walk, kind, point, pair),
        _key(walk),
        element("div", *[_panel(walk, name, point) for name in EDIT_KINDS], class_="kv-panels"),
        class_="kv-section-result",
        data_title="one edit",
    )


def nearest(walk: EditWalk, kind: str, position: int) -> EditPoint | None:
    """Return the edit of a kind nearest to a position."""
    points = [point for point in walk.points if point.kind == kind]
    return min(points, key=lambda point: abs(point.position - position), default=None)


def _finding(walk: EditWalk) -> Markup:
    def of(kind: str) -> list[float]:
        return [point.code_cosine for point in walk.points if point.kind == kind]

    steps, inserts = of("substitute"), of("insert")
    return sentence(
        [
            "Substituting one letter of ",
            short_piece(walk.text.encode()),
            f" leaves a similarity of at least {written(min(steps), 2)}; inserting one leaves ",
            f"{written(inserts[0], 2)} at the front and {written(inserts[-1], 2)} at the end.",
        ]
        if steps and len(inserts) > 1
        else ["The walk needs a longer string than ", piece(walk.text.encode()), "."]
    )


def _edit(walk: EditWalk, kind: str, point: EditPoint | None, pair: Similarity | None) -> Markup:
    if point is None or pair is None:
        words = f"{EDIT_KINDS[kind].label}: nothing in this string can be edited that way."
        return element("p", words, class_="kv-quiet")
    parts: list[object] = [
        piece(walk.text.encode()),
        " → ",
        piece(point.text.encode()),
        element("span", _numbers(walk, point), class_="kv-walk-numbers"),
    ]
    return join([element("p", *parts, class_="kv-walk-edit"), strips(pair, ("before", "after"))])


def _numbers(walk: EditWalk, point: EditPoint) -> Markup:
    parts: list[object] = ["code ", element("b", marked(written(point.code_cosine)))]
    if point.kron_cosine is not None:
        parts += [DOT, arm_name("kron"), " ", *_both(point.kron_cosine, point.kron_centred)]
    if walk.n_tokens is not None and point.n_tokens is not None:
        parts += [DOT, arm_name("bpe"), " "]
        if point.bpe_cosine is not None:
            parts += _both(point.bpe_cosine, point.bpe_centred)
        else:
            parts.append(f"{count(walk.n_tokens, 'token')} → {count(point.n_tokens, 'token')}")
    return join(parts)


def _both(cosine: float | None, centred: float | None) -> list[object]:
    return [
        element("b", marked(written(cosine))),
        ", centred ",
        element("b", marked(written(centred))),
    ]


def _key(walk: EditWalk) -> Markup:
    entries = [element("li", element("span", class_="kv-dot"), " code")]
    if any(point.kron_cosine is not None for point in walk.points):
        entries.append(_entry("kron", CENTRED))
    if walk.n_tokens is not None:
        entries.append(_entry("bpe", CENTRED, " where both are one token"))
    return element("ul", *entries, class_="kv-legend", data_keys=True)


def _entry(arm: str, *notes: object) -> Markup:
    return element(
        "li",
        element("span", class_=f"kv-dot kv-dot-{arm}"),
        element("span", arm_name(arm), " ", *notes),
    )


def _panel(walk: EditWalk, kind: str, chosen: EditPoint | None) -> Markup:
    points = [point for point in walk.points if point.kind == kind]
    slots = len(walk.characters) + 1
    here = chosen is not None and chosen.kind == kind
    description = EDIT_KINDS[kind].description
    if kind in ("substitute", "insert"):
        letter = f"{'an' if walk.letter in _AN else 'a'} {walk.letter}"
        description = description.replace("a letter", letter).replace("another", letter)
    letters = [
        element("bdi", visible(letter.encode()), class_="kv-axis-letter")
        for letter in walk.characters
    ]
    letters.append(element("span", "", class_="kv-axis-letter"))
    return element(
        "figure",
        element(
            "figcaption",
            element("b", EDIT_KINDS[kind].label),
            " ",
            element("span", description, class_="kv-quiet"),
        ),
        element(
            "div",
            element("span", "1", class_="kv-axis-top", aria_hidden="true"),
            element("span", "0", class_="kv-axis-zero", aria_hidden="true"),
            _drawing(points, slots),
            *[_column(point, point == chosen) for point in points],
            class_="kv-fall-plot",
            style=f"--slots: {slots}",
            role="img",
            **label(_panel_words(kind, points)),
        ),
        element("div", *letters, class_="kv-axis", style=f"--slots: {slots}", aria_hidden="true"),
        class_=" ".join(
            ["kv-fall", *["kv-fall-here"] * here, *["kv-fall-dense"] * (slots > DENSE_SLOTS)]
        ),
        data_kind=kind,
    )


def _drawing(points: Sequence[EditPoint], slots: int) -> Markup:
    drawn: list[Markup] = []
    for name, values in (
        ("code", [(p.position, p.code_cosine) for p in points]),
        ("kron", [(p.position, p.kron_centred) for p in points if p.kron_centred is not None]),
    ):
        places = [(x - 0.5, _down(y)) for x, y in values]
        if not places:
            continue
        path = " L".join(f"{x} {y}" for x, y in places)
        drawn.append(_path(f"M{path}", f"kv-fall-line kv-fall-{name}"))
        dots = "".join(f"M{x} {y}h0" for x, y in places)
        drawn.append(_path(dots, f"kv-fall-dots kv-fall-{name}"))
    picture = element(
        "svg",
        *drawn,
        viewBox=f"0 0 {slots} {HEIGHT}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    # The picture is stretched to its frame, which would distort a diamond inside it.
    diamonds = [
        element(
            "span",
            class_="kv-dot kv-dot-bpe kv-dot-placed",
            style=f"left: {(p.position - 0.5) / slots * 100:.2f}%; top: {_down(p.bpe_centred)}%",
        )
        for p in points
        if p.bpe_centred is not None
    ]
    return join([picture, *diamonds])


def _down(cosine: float) -> float:
    """Return how far below the top of the plot a cosine is drawn; below 0 it is on the line."""
    return round(HEIGHT * (1 - max(cosine, 0.0)), 1)


def _path(path: str, class_: str) -> Markup:
    return element("path", d=path, class_=class_, vector_effect="non-scaling-stroke")


def _column(point: EditPoint, chosen: bool) -> Markup:
    words = f"{point.text}: code {written(point.code_cosine)}"
    if point.kron_cosine is not None:
        words += f", kron {written(point.kron_cosine)}, centred {written(point.kron_centred)}"
    if point.bpe_cosine is not None:
        words += f", bpe {written(point.bpe_cosine)}, centred {written(point.bpe_centred)}"
    elif point.n_tokens is not None:
        words += f", bpe has {count(point.n_tokens, 'token')}"
    return element(
        "span",
        class_="kv-column kv-column-here" if chosen else "kv-column",
        style=f"--at: {point.position - 1}",
        data_kind=point.kind,
        data_place=point.position,
        data_words=words,
    )


def _panel_words(kind: str, points: Sequence[EditPoint]) -> str:
    if not points:
        return f"{EDIT_KINDS[kind].label}: no edit of this kind in this string."
    values = ", ".join(f"{point.position}: {written(point.code_cosine, 2)}" for point in points)
    return f"{EDIT_KINDS[kind].label}: similarity of the code by position. {values}."
