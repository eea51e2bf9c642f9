"""The two lists of the byte view: nearest tokens, and tokens that share a code."""

from __future__ import annotations

from collections.abc import Sequence

from kronviz.app.components import (
    RELATIONS,
    Markup,
    arm_name,
    box,
    count,
    element,
    join,
    listing,
    marked,
    piece,
    short_piece,
    table,
    told,
    visible,
    written,
)
from kronviz.maps.neighbors import Neighbor, NeighborReport, SpaceNeighbors
from kronviz.probes.collisions import RULES, CollisionGroup, Collisions

VOCABULARY_NAMES = {"r50k_base": "GPT-2", "cl100k_base": "cl100k", "o200k_base": "o200k"}
NOTES = {
    "code": "shared cells, before any training",
    "kron": "its trained embeddings",
    "bpe": "the rows of its trained table",
}


def nearest(report: NeighborReport) -> Markup:
    """Return the nearest tokens in each space, side by side."""
    return element(
        "div",
        element("p", _finding(report), class_="kv-finding kv-smaller", role="status"),
        element("div", *[_space(space, report) for space in report.spaces], class_="kv-nears"),
        class_="kv-section-result",
        data_title="nearest tokens",
    )


def vocabulary_name(name: str) -> str:
    """Return the common name of a vocabulary: ``GPT-2``, or ``GPT-2, first 8,192``."""
    base, _, size = name.partition(":")
    known = VOCABULARY_NAMES.get(base, base)
    return f"{known}, first {int(size):,}" if size else known


def _finding(report: NeighborReport) -> Markup:
    clauses = []
    for space in report.spaces:
        marks = [neighbor.relation for neighbor in space.neighbors]
        same = marks.count("typographic")
        clauses.append(join([_space_name(space.space), f" {same}"]))
    return join(
        [
            "Of the ten tokens nearest to ",
            short_piece(report.text.encode()),
            f", the {RELATIONS['typographic'][0]}: ",
            listing(clauses, ", "),
            ".",
        ]
    )


def _space_name(space: str) -> Markup:
    return join([space]) if space == "code" else arm_name(space)


def _space(space: SpaceNeighbors, report: NeighborReport) -> Markup:
    note = NOTES[space.space]
    if space.basis == "mean":
        note = f"no row of its own: the mean of its {count(len(report.tokens), 'token')}"
    return element(
        "section",
        element(
            "h3",
            _space_name(space.space),
            element("span", f" {note}", class_="kv-quiet"),
            class_="kv-heading",
        ),
        element(
            "p",
            marked(f"in {vocabulary_name(space.vocabulary)}"),
            class_="kv-quiet kv-near-vocabulary",
        ),
        table(
            f"Nearest tokens in {space.space}, nearest first",
            ("token", "relation", "cosine"),
            map(_neighbor, space.neighbors),
            name=f"nearest in {space.space}",
            class_="kv-near",
            hidden=True,
        ),
        class_="kv-panel",
        data_arm=None if space.space == "code" else space.space,
    )


def _neighbor(neighbor: Neighbor) -> Markup:
    word, meaning = RELATIONS[neighbor.relation]
    return element(
        "tr",
        element(
            "th",
            told(
                element("bdi", visible(bytes.fromhex(neighbor.hex))),
                f"token {neighbor.id}: {neighbor.text}, bytes {neighbor.hex}. {word}: {meaning}.",
                class_="kv-near-token",
            ),
            scope="row",
        ),
        element("td", word, class_=f"kv-relation kv-relation-{neighbor.relation}"),
        element(
            "td",
            element(
                "span",
                class_="kv-near-bar",
                style=f"width: {max(neighbor.similarity, 0) * 100:.1f}%",
                aria_hidden="true",
            ),
            element("span", marked(written(neighbor.similarity)), class_="kv-near-number"),
            class_="kv-near-track",
        ),
    )


def shared_codes(counts: Sequence[tuple[Collisions, Collisions]], listed: Collisions) -> Markup:
    """Return how many tokens share a code, by vocabulary and rule, and the largest groups.

    Args:
        counts: for each vocabulary, by true bytes and by the reference's rule.
        listed: the vocabulary and rule whose groups are listed.
    """
    above = [
        element("th", word, scope="colgroup" if span > 1 else "col", colspan=span, rowspan=rows)
        for word, span, rows in (
            ("Vocabulary", 1, 2),
            ("Tokens", 1, 2),
            (RULES["true"].label, 2, 1),
            (RULES["reference"].label, 2, 1),
        )
    ]
    below = [element("th", word, scope="col") for word in ("codes", "tokens that share") * 2]
    return element(
        "div",
        element(
            "p",
            f"Distinct codes with {listed.pos_dim} positions, and how many tokens have one that is "
            "not theirs alone.",
            class_="kv-lead",
        ),
        box(
            element(
                "table",
                element("caption", "How many tokens share a code", class_="kv-hidden"),
                element("thead", element("tr", *above), element("tr", *below)),
                element("tbody", *[_count_row(true, other) for true, other in counts]),
                class_="kv-table kv-counts",
            ),
            label="How many tokens share a code",
        ),
        _groups(listed),
        class_="kv-section-result",
        data_title="shared codes",
    )


def _count_row(true: Collisions, reference: Collisions) -> Markup:
    cells = [f"{true.n_tokens:,}"]
    for counted in (true, reference):
        cells += [f"{counted.n_codes:,}", f"{counted.n_colliding:,}"]
    return element(
        "tr",
        element("th", marked(vocabulary_name(true.vocabulary)), scope="row"),
        *[element("td", cell) for cell in cells],
    )


def _groups(listed: Collisions) -> Markup:
    rule = RULES[listed.rule].label.lower()
    more = listed.n_groups - len(listed.groups)
    note = f"{count(listed.n_groups, 'code')} are shared by several tokens"
    if more > 0:
        note += f"; the largest {len(listed.groups)} are listed"
    return element(
        "div",
        element(
            "h3",
            marked(f"{vocabulary_name(listed.vocabulary)}, {rule}"),
            element("span", f" {note}", class_="kv-quiet"),
            class_="kv-heading",
        ),
        element("ol", *[_group(group) for group in listed.groups], class_="kv-code-groups"),
    )


def _group(group: CollisionGroup) -> Markup:
    why = "cut to the same bytes" if group.cause == "cut" else "pieces of characters"
    members = [
        told(
            element("bdi", visible(bytes.fromhex(token.hex))),
            f"token {token.id}, {count(len(bytes.fromhex(token.hex)), 'byte')}: {token.hex}",
            class_="kv-bit",
        )
        for token in group.tokens
    ]
    more = group.n_tokens - len(group.tokens)
    return element(
        "li",
        element(
            "span",
            piece(bytes.fromhex(group.hex)),
            element("span", f" {count(group.n_tokens, 'token')}, {why}", class_="kv-quiet"),
            class_="kv-group-head",
        ),
        element("span", *members, class_="kv-tokens", data_keys=True),
        element("span", f"and {more:,} more", class_="kv-quiet") if more else "",
    )
