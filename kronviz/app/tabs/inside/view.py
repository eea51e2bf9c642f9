"""One misspelling inside both networks, as HTML: alignment, patching, attention, bytes.

Notable:

- Both models' maps share one scale: full ink means that all damage is undone, paper means none, and
  the alarm colour means that a cell makes it worse. Each cell shows its number.
- The page contains the prediction of every cell and the attention of every head; ``inside.js``
  shows the chosen ones without another request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from kronviz.app.components import (
    Markup,
    alert,
    arm_name,
    box,
    element,
    glyphs,
    join,
    listing,
    number,
    percent,
    piece,
    table,
    visible,
    written,
)
from kronviz.predictor import TokenView
from kronviz.probes.inside import ArmInside, Inside, PatchMap
from kronviz.probes.inside.attention import Looks
from kronviz.probes.inside.attribution import Attribution, ByteShare
from kronviz.probes.inside.damage import Outcome
from kronviz.probes.inside.words import AlignedWord

THINGS = {
    "residual": "Residual stream before each block",
    "attention": "Attention output",
    "mlp": "MLP output",
    "head": "Single head",
}
MEASURES = {
    "kl": "KL to the clean prediction",
    "logprob": "Log-probability of the clean first choice",
}
_HALF = 0.5


def answer(report: Inside, thing: str, measure: str, sequence: int) -> Markup:
    """Return the results so far for two texts.

    Args:
        thing, measure: the map to show, names in `THINGS` and `MEASURES`.
        sequence: number of the question on the page.
    """
    parts = [_finding(report, thing, measure), _alignment(report), _maps(report, thing, measure)]
    return _page(sequence, *parts, _bytes(report, measure), _attention(report))


def refusal(said: str, sequence: int) -> Markup:
    """Return one sentence that says what was wrong and what to do."""
    return _page(sequence, alert(said))


def waiting() -> Markup:
    """Return the placeholder for the first answer."""
    said = "Reading both texts with each model …"
    return _page(0, element("p", said, class_="kv-finding", role="status"))


def _page(sequence: int, *parts: Markup) -> Markup:
    return element(
        "div", *parts, class_="kv-ins", data_seq=sequence, data_title="inside one misspelling"
    )


def _section(title: str, caption: object, *parts: object) -> Markup:
    return element(
        "section",
        element("h2", title, class_="kv-heading"),
        element("p", caption, class_="kv-caption"),
        *parts,
        class_="kv-ins-part",
    )


def _undone(outcome: Outcome, measure: str) -> float | None:
    return outcome.kl_undone if measure == "kl" else outcome.logprob_undone


def _shown(tokens: Sequence[TokenView], span: tuple[int, int]) -> bytes:
    return b"".join(bytes.fromhex(token.hex) for token in tokens[slice(*span)])


def _plain(data: bytes) -> str:
    """Return bytes as readable plain text."""
    return "".join(glyph.text for glyph in glyphs(data))


def _word(report: Inside, word: AlignedWord, text: str = "typo") -> Markup:
    """Return a word for a sentence, without the spaces around it."""
    data = _shown(getattr(report, f"{text}_tokens"), getattr(word, text)).strip() or b" "
    return piece(data)


# ---- the findings ----


def _finding(report: Inside, thing: str, measure: str) -> Markup:
    """Return the cell that undoes most in each arm, and the damage's path through the blocks."""
    findings = [_arm_finding(report, arm, thing, measure) for arm in report.arms]
    return element("p", join(findings), class_="kv-finding", role="status")


def _arm_finding(report: Inside, arm: ArmInside, thing: str, measure: str) -> Markup:
    patches = arm.map(thing)
    name = arm_name(arm.arm)
    if patches is None:
        return join([name, ": computing … "])
    cells = [
        (share, -row, -place)
        for row, outcomes in enumerate(patches.outcomes)
        for place, outcome in enumerate(outcomes)
        if (share := _undone(outcome, measure)) is not None
    ]
    if not cells:
        return join([name, ": the misspelling does almost no damage by this measure. "])
    if thing == "residual":
        return _moves(report, arm, patches, measure)
    share, row, place = max(cells)
    block, head = divmod(-row, arm.heads) if thing == "head" else (-row, None)
    where = f"block {block + 1}" + ("" if head is None else f", head {head + 1}")
    at = _word(report, report.words[-place])
    undone = number(share, 0, percent=True)
    return join([name, f": {where} at ", at, " undoes most, ", undone, ". "])


def _moves(report: Inside, arm: ArmInside, patches: PatchMap, measure: str) -> Markup:
    """Say what restoring the misspelled word undoes, and from which block the last token does."""
    changed = [place for place, word in enumerate(report.words) if word.changed]

    def share(row: int, place: int) -> float:
        return _undone(patches.outcomes[row][place], measure) or 0.0

    best = max(changed, key=lambda place: share(0, place))
    last = len(report.words) - 1
    parts: list[object] = [
        arm_name(arm.arm),
        ": restoring ",
        _word(report, report.words[best], "clean"),
        " undoes ",
        number(share(0, best), 0, percent=True),
        " of the damage before block 1",
    ]
    held = [row for row in range(arm.blocks) if share(row, best) >= _HALF]
    if held and held[-1] + 1 < arm.blocks:
        parts.append(f" and less than half from block {held[-1] + 2} on")
    taken = [row for row in range(arm.blocks) if share(row, last) >= _HALF]
    if last not in changed and taken:
        parts.append(f"; the last token undoes half from block {taken[0] + 1} on")
    return join([*parts, ". "])


# ---- the words ----


def _alignment(report: Inside) -> Markup:
    columns = []
    for word in report.words:
        rows = [
            element(
                "span",
                *[
                    element(
                        "bdi",
                        visible(bytes.fromhex(token.hex), token.changed),
                        class_="kv-chip",
                        data_id=token.id,
                        data_hex=token.hex,
                    )
                    for token in tokens[slice(*span)]
                ],
                class_="kv-ins-pieces",
            )
            for tokens, span in (
                (report.clean_tokens, word.clean),
                (report.typo_tokens, word.typo),
            )
        ]
        changed = "kv-ins-word kv-ins-changed" if word.changed else "kv-ins-word"
        columns.append(element("li", *rows, class_=changed))
    return _section(
        "How each word was split",
        "Clean tokens above, misspelled ones below.",
        element("ol", *columns, class_="kv-ins-words"),
    )


# ---- patching ----


def _maps(report: Inside, thing: str, measure: str) -> Markup:
    caption = (
        "Each cell is the misspelled run with one activation taken from the clean run. 100% "
        "restores the clean prediction, 0% changes nothing, red makes it worse. Choose a cell to "
        "see what the model then predicts."
    )
    panels = [
        element(
            "div",
            element("h3", arm_name(arm.arm), class_="kv-heading"),
            _map(report, arm, thing, measure),
            class_="kv-panel",
            data_arm=arm.arm,
        )
        for arm in report.arms
    ]
    told = element("p", "No cell is chosen.", class_="kv-ins-told kv-quiet", aria_live="polite")
    scale = element(
        "p",
        "0% ",
        element("span", class_="kv-ins-scale"),
        f" 100% of the damage undone. {MEASURES[measure]}.",
        class_="kv-quiet kv-ins-key",
    )
    return _section(
        f"Patching: {THINGS[thing] if thing == 'mlp' else THINGS[thing].lower()}",
        caption,
        element("div", *panels, class_="kv-arms"),
        scale,
        told,
    )


def _map(report: Inside, arm: ArmInside, thing: str, measure: str) -> Markup:
    patches = arm.map(thing)
    if patches is None:
        return element("p", "Computing …", class_="kv-quiet")
    fine = thing == "head"
    titles = ["block", *[_heading(report, word) for word in report.words]]
    rows: list[Markup] = []
    for place, outcomes in enumerate(patches.outcomes):
        block, head = divmod(place, arm.heads) if fine else (place, 0)
        name = f"{block + 1}·{head + 1}" if fine else f"{block + 1}"
        said = f"block {block + 1}, head {head + 1}" if fine else f"block {block + 1}"
        cells = [
            _cell(report, arm, word, outcome, measure, said, first=not rows and index == 0)
            for index, (word, outcome) in enumerate(zip(report.words, outcomes, strict=True))
        ]
        rows.append(element("tr", element("th", name, scope="row"), *cells))
    name = f"{arm.arm} {thing} {measure}"
    drawn = table(
        f"{arm.arm}: share of the damage undone",
        titles,
        rows,
        name=name,
        class_="kv-table kv-heat kv-heat-fine" if fine else "kv-table kv-heat",
        hidden=True,
    )
    return box(drawn, label=f"{arm.arm}: share of the damage undone")


def _heading(report: Inside, word: AlignedWord) -> Markup:
    data = _shown(report.typo_tokens, word.typo).strip() or b" "
    shown = visible(data)
    return element("bdi", element("mark", shown) if word.changed else shown)


def _cell(
    report: Inside,
    arm: ArmInside,
    word: AlignedWord,
    outcome: Outcome,
    measure: str,
    row: str,
    *,
    first: bool,
) -> Markup:
    share = _undone(outcome, measure)
    text = written(None if share is None else share * 100, 0)
    at = _plain(_shown(report.typo_tokens, word.typo).strip() or b" ")
    guesses = [
        [_plain(bytes.fromhex(guess.hex)), round(guess.prob * 100, 1)] for guess in outcome.guesses
    ]
    shares = ", ".join(
        f"{percent(own, 1)} by {name}"
        for own, name in ((outcome.kl_undone, "KL"), (outcome.logprob_undone, "log-probability"))
        if own is not None
    )
    button = element(
        "button",
        text,
        type="button",
        tabindex=0 if first else -1,
        class_="kv-heat-cell kv-heat-worse" if (share or 0) < 0 else "kv-heat-cell",
        style=f"--v: {min(1.0, abs(share or 0.0)):.3f}",
        aria_label=f"{arm.arm}, {row}, at {at}: {text}%",
        data_place=f"{row}, at {at}",
        data_arm=arm.arm,
        data_shares=shares or "the misspelling does almost no damage",
        data_kl=f"{outcome.kl_nats:.4f}",
        data_guesses=json.dumps(guesses),
    )
    return element("td", button, data_csv="" if share is None else f"{share:.6g}")


# ---- which byte ----


def _bytes(report: Inside, measure: str) -> Markup:
    caption = (
        "Integrated gradients from the clean text to the misspelled one, in nats of "
        + ("KL" if measure == "kl" else "the fall in log-probability")
        + "; the parts add up to the whole change. A bar to the left takes damage away."
    )
    if any(arm.attribution is None for arm in report.arms):
        waits = element("p", "Computing …", class_="kv-quiet")
        return _section("Which byte does the damage", caption, waits)
    attributed = [(arm.arm, arm.attribution) for arm in report.arms if arm.attribution]
    values = [abs(value) for _, own in attributed for *_, value in _parts(own, measure)]
    top = max([*values, 1e-9])
    panels = [
        element(
            "div",
            element(
                "h3",
                arm_name(arm),
                " through its embedding row"
                if own.by_byte
                else " through its token: one vector for all of its bytes",
                class_="kv-heading",
            ),
            _blame(arm, own, measure, top),
            class_="kv-panel",
            data_arm=arm,
        )
        for arm, own in attributed
    ]
    return _section(
        "Which byte does the damage", caption, element("div", *panels, class_="kv-arms")
    )


def _parts(attribution: Attribution, measure: str) -> Iterator[tuple[int, Markup, float]]:
    """Yield the rows of the list: the token, its label, and the part that it explains."""
    groups: dict[int, list[ByteShare]] = {}
    for share in attribution.bytes:
        groups.setdefault(share.token, []).append(share)
    for token, shares in groups.items():
        if attribution.by_byte:
            for share in shares:
                yield token, visible(bytes([share.byte])), getattr(share, f"{measure}_nats")
        else:
            whole = visible(bytes(share.byte for share in shares))
            yield token, whole, sum(getattr(share, f"{measure}_nats") for share in shares)
    for name, said in (
        ("moved", "tokens at other positions"),
        ("fewer", "tokens that disappeared"),
    ):
        value = getattr(attribution, f"{name}_{measure}_nats")
        if value:
            yield -1, element("i", said), value
    rest = attribution.rest(measure)
    if abs(rest) > 0.01 * abs(getattr(attribution, f"change_{measure}_nats")):
        yield -1, element("i", "not explained: the steps along the path were too large"), rest


def _blame(arm: str, attribution: Attribution, measure: str, top: float) -> Markup:
    change = getattr(attribution, f"change_{measure}_nats")
    rows, before = [], None
    for token, name, value in _parts(attribution, measure):
        bar = element(
            "span",
            class_="kv-ins-bar kv-ins-less" if value < 0 else "kv-ins-bar",
            style=f"--p: {abs(value) / top:.4f}",
        )
        rows.append(
            element(
                "tr",
                element("th", element("bdi", name, class_="kv-piece"), scope="row"),
                element("td", bar, aria_hidden="true"),
                element("td", number(value, 3, sign=True)),
                element("td", number(value / change, 0, percent=True))
                if abs(change) >= 1e-3
                else element("td", "–"),
                class_="kv-ins-next" if before is not None and token != before else None,
            )
        )
        before = token
    return box(
        table(
            f"{arm}: what each byte explains",
            ("", "", "nats", "of the change"),
            rows,
            name=f"{arm} bytes {measure}",
            class_="kv-table kv-ins-bytes",
            hidden=True,
        ),
        label=f"{arm}: what each byte explains",
    )


# ---- attention ----


def _attention(report: Inside) -> Markup:
    first = report.arms[0]
    options = [("mean", "Mean of all heads")]
    for block in range(1, first.blocks + 1):
        options.append((f"{block}", f"Block {block}, mean of its heads"))
        options += [
            (f"{block}.{head}", f"Block {block}, head {head}") for head in range(1, first.heads + 1)
        ]
    chooser = element(
        "label",
        "Head ",
        element(
            "select",
            *[element("option", said, value=value) for value, said in options],
            class_="kv-ins-head",
        ),
    )
    picks = [
        element(
            "p",
            arm_name(arm.arm),
            " joins the pieces most in ",
            listing([_pick(head.block, head.head, head.share) for head in arm.joining]),
        )
        for arm in report.arms
        if arm.joining
    ]
    if not picks:
        said = "Each misspelled word is a single token here: there are no pieces to join."
        picks = [element("p", said, class_="kv-quiet")]
    panels = [
        element(
            "div",
            element("h3", arm_name(arm.arm), class_="kv-heading"),
            *[_look(report, look) for look in _ordered(arm.looks)],
            class_="kv-panel",
            data_arm=arm.arm,
        )
        for arm in report.arms
    ]
    return _section(
        "What the heads look at",
        "The stronger a token’s tint, the more of the attention it gets. Block and head are "
        "counted from 1; the shares are how much a word’s later pieces look at its earlier ones.",
        element("div", chooser, *picks, class_="kv-ins-choose"),
        element("div", *panels, class_="kv-arms"),
    )


def _ordered(looks: Sequence[Looks]) -> list[Looks]:
    """Sort by point: misspelled before clean, a word's last piece before the last token."""
    return sorted(looks, key=lambda look: (look.text != "typo", look.token))


def _pick(block: int, head: int, share: float) -> Markup:
    name = f"{block}.{head}"
    return join(
        [
            element("button", f"{block}·{head}", type="button", class_="kv-ins-pick kv-textbutton",
                    data_head=name, aria_label=f"Show block {block}, head {head}"),
            " (", number(share, 0, percent=True), ")",
        ]
    )  # fmt: skip


def _look(report: Inside, look: Looks) -> Markup:
    tokens = report.typo_tokens if look.text == "typo" else report.clean_tokens
    weights = [[[round(w, 3) for w in head] for head in block] for block in look.weights]
    asked = bytes.fromhex(tokens[look.token].hex)
    chips = [
        element(
            "span",
            element("bdi", visible(bytes.fromhex(token.hex))),
            element("small", ""),
            class_="kv-ins-token",
        )
        for token in tokens[: look.token + 1]
    ]
    text = "misspelled" if look.text == "typo" else "clean"
    return element(
        "div",
        element("p", f"{text}: ", piece(asked), " looks at"),
        element("div", *chips, class_="kv-ins-tokens"),
        class_="kv-ins-look",
        data_weights=json.dumps(weights, separators=(",", ":")),
    )
