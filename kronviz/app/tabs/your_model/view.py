"""The cross-model probe as HTML: the finding, pairs by kind, a word's neighbors, the facts."""

from __future__ import annotations

from collections.abc import Sequence

from kronviz.app.components import (
    DASH,
    RELATIONS,
    Markup,
    arm_name,
    box,
    downloads,
    element,
    escape,
    join,
    marked,
    more,
    percent,
    piece,
    problems,
    sentence,
    table,
    told,
    visible,
    written,
)
from kronviz.maps.neighbors import Neighbor
from kronviz.maps.spaces import OwnModel
from kronviz.probes.cross_model import CrossModelReport
from kronviz.probes.cross_model.finding import headline
from kronviz.probes.cross_model.report import Asked, Bucket
from kronviz.probes.cross_model.schemes import WORDPIECE
from kronviz.probes.intervals import Interval
from kronviz.probes.tables import cross_model_rows
from kronviz.published import CROSS_MODEL, CROSS_MODEL_WHERE

BUCKETS = {
    "typographic": (RELATIONS["typographic"][0].capitalize(), "“run” and “ Run”"),
    "morphological": (RELATIONS["morphological"][0].capitalize(), "“run” and “runs”"),
    "unrelated": ("Two random words", "“sermon” and “roads”"),
}
SPACES = {"table": ("bpe", "the table"), "code": ("kron", "the byte code")}


def share_bar(words: str, share: float) -> Markup:
    """Return the progress of a step of a run."""
    return element(
        "div",
        element("progress", value=f"{share:.3f}", max="1", aria_label=words),
        element("span", words, class_="kv-quiet", role="status"),
        class_="kv-progress",
    )


def report_view(
    report: CrossModelReport | None,
    doing: Markup | str = "",
    note: Markup | str = "",
    table: OwnModel | None = None,
) -> Markup:
    """Return the report at any stage; before there is one, only the paper's figures.

    Args:
        doing: the current activity.
        note: one sentence about how the run ended.
        table: the table as spaces of the map.
    """
    return element(
        "div",
        doing,
        element("p", note, class_="kv-command", role="status") if note else "",
        *_warnings(report),
        *_headline(report),
        _on_map(table) if table else "",
        problems(report.problems) if report else "",
        box(_buckets(report), label="Cosines by kind of pair"),
        *_details(report),
        class_="kv-lab-result",
    )


def _warnings(report: CrossModelReport | None) -> list[Markup]:
    return [
        element("p", marked(warning), class_="kv-problems kv-model-warning", role="alert")
        for warning in (report.warnings if report else ())
    ]


def _headline(report: CrossModelReport | None) -> list[Markup]:
    """Return the finding in the first line, then its meaning and the nearest tokens of words."""
    said = headline(report) if report else ()
    if not said:
        return [element("p", _finding(report), class_="kv-finding")]
    return [
        element("p", marked(said[0]), class_="kv-finding"),
        *[element("p", marked(meaning), class_="kv-lead") for meaning in said[1:]],
        element("p", _finding(report), class_="kv-quiet"),
    ]


def _on_map(table: OwnModel) -> Markup:
    held = f"{len(table.tokens.ids):,}"
    if len(table.tokens.ids) < table.listed:
        held = f"the first {held} of {table.listed:,}"
    return element(
        "p",
        marked(
            f"On the Map, {held} tokens are placed by their rows and, beside that, by their byte "
            f"code; it is drawn when you open it, and forgotten after half an hour. "
        ),
        element(
            "button",
            "See it on the map",
            type="button",
            class_="kv-textbutton",
            data_on_map=" ".join(table.spaces),
        ),
        class_="kv-quiet",
    )


def maps_caption(report: CrossModelReport) -> Markup:
    """Return a caption that says what the two maps show and what they do not."""
    return element(
        "p",
        marked(
            f"{len(report.points):,} tokens, the same on both maps: every form of the words above "
            f"and their nearest tokens, the others drawn with seed {report.seed}. Tokens that lie "
            "close together are near each other in the space itself; distances between far groups, "
            "and the directions of the axes, mean nothing. Diamonds are forms of the words above."
        ),
        class_="kv-caption kv-wide",
    )


def _finding(report: CrossModelReport | None) -> Markup:
    if report is None:
        return Markup(
            "Press Measure to fill this table beside the paper’s figures, of six public language "
            "models. The tokens nearest to your words come within seconds, two maps in a minute."
        )
    shares = {share.space: share for share in report.shares}
    if not report.buckets:
        return Markup("The tokens nearest to your words are below.")
    if len(shares) < 2 and report.anisotropy is None:
        return Markup("The run was stopped before the nearest tokens of any word were counted.")
    if len(shares) < 2:
        return Markup("This vocabulary has no whole words to look at.")
    parts: list[object] = ["Of the ten tokens nearest to a word, "]
    for place, (space, (arm, name)) in enumerate(SPACES.items()):
        share = shares[space]
        same, root = percent(share.typographic.mean, 1), percent(share.morphological.mean, 1)
        parts += [
            "; in " if place else f"{same} are the same word and {root} share its root in ",
            element("span", name, class_="kv-arm-name", data_arm=arm),
            f", {same} and {root}" if place else "",
        ]
    return sentence([*parts, "."])


def _buckets(report: CrossModelReport | None) -> Markup:
    learned, code = (
        element("span", name, class_="kv-arm-name", data_arm=arm)
        for name, arm in (("Table", "bpe"), ("Byte code", "kron"))
    )
    titles: list[tuple[object, str]] = [
        ("Pairs", ""),
        (learned, "as it is, 95% interval"),
        (learned, "mean subtracted"),
        (code, "of the same tokens"),
        (join(["Paper: ", arm_name("table")]), "six models"),
        (join(["Paper: ", arm_name("code")]), "six models"),
    ]
    return table(
        "Mean cosine of two tokens, by kind of pair. The paper’s figures are of its own pairs "
        f"({CROSS_MODEL_WHERE}): compare their order, not their size.",
        titles,
        [_row(name, report.bucket(name) if report else None) for name in BUCKETS],
        class_="kv-table kv-lab-table kv-model-table",
    )


def _row(name: str, bucket: Bucket | None) -> Markup:
    title, example = BUCKETS[name]
    notes: list[object] = [example]
    if bucket and bucket.pairs:
        first, second = bucket.examples[0]
        pair = join([piece(first.encode()), " ", piece(second.encode())])
        notes = [pair, marked(f" · {bucket.pairs:,}")]
    return element(
        "tr",
        element("th", title, element("small", *notes), scope="row"),
        *[
            element("td", _interval(getattr(bucket, part) if bucket else None))
            for part in ("table", "centred", "code")
        ],
        *[element("td", marked(CROSS_MODEL[name][space].text)) for space in ("table", "code")],
    )


def _interval(value: Interval | None) -> Markup:
    if value is None:
        return Markup(DASH)
    spread = f"{written(value.low)} to {written(value.high)}"
    return join([marked(written(value.mean)), element("small", marked(spread))])


def _details(report: CrossModelReport | None) -> Sequence[Markup]:
    if report is None:
        return ()
    return (
        _facts(report),
        _asked(report),
        downloads("table", report, cross_model_rows(report)),
    )


def _facts(report: CrossModelReport) -> Markup:
    anisotropy = report.anisotropy
    same = report.bucket("typographic")
    parts: list[object] = [
        "Read from ",
        element("bdi", report.source),
        f": {report.rows:,} rows of {report.dims:,} numbers (",
        escape(f"{report.tensor}, {report.dtype}"),
        f"), tokens written as {report.scheme}; {report.used:,} of {report.tokens:,} tokens have "
        f"bytes and a row, {report.words:,} are whole words in lower case. ",
    ]
    if anisotropy:
        parts.append(
            "Two tokens drawn from the whole vocabulary have a mean cosine of "
            f"{written(anisotropy.cosine.mean)}; "
            f"the mean row is {percent(anisotropy.mean_share)} as long as a row, and the first "
            f"principal axis holds {percent(anisotropy.first_axis, 1)} of the variance, ten axes "
            f"{percent(anisotropy.ten_axes, 1)}: that is how far the rows of this table point the "
            "same way. "
        )
    if same.same_bytes:
        where = "a word and its continuation piece, such as “run” and “##run”"
        which = where if report.scheme == WORDPIECE.name else "two tokens"
        parts.append(
            f"{same.same_bytes:,} of the {same.pairs:,} same-word pairs are {which} with the same "
            "bytes; no byte code can tell these apart. "
        )
    parts.append(
        f"Byte code with {report.pos_dim} positions, seed {report.seed}. "
        f"Measured in {written(report.seconds, 1)} s."
    )
    return element("p", sentence(parts), class_="kv-caption kv-wide")


def _asked(report: CrossModelReport) -> Markup:
    if not report.asked:
        return Markup("")
    return more(
        f"The nearest tokens of {', '.join(a.word for a in report.asked)}",
        element("div", *[_word(asked) for asked in report.asked], class_="kv-model-words"),
        open=True,
    )


def _word(asked: Asked) -> Markup:
    return element(
        "section",
        element("h3", piece(bytes.fromhex(asked.hex)), *_read_as(asked), class_="kv-heading"),
        *[
            cell
            for space, (arm, name) in SPACES.items()
            for cell in (
                element("span", name.removeprefix("the "), class_="kv-arm-name", data_arm=arm),
                element(
                    "p",
                    *[
                        _neighbor(neighbor)
                        for neighbor in (asked.table if space == "table" else asked.code)
                    ],
                    class_="kv-model-near",
                    role="group",
                    aria_label=f"Nearest to {asked.word} in {name}",
                    data_keys=True,
                ),
            )
        ],
    )


def _read_as(asked: Asked) -> list[object]:
    """Return the typed word, if a different token was looked up."""
    if bytes.fromhex(asked.hex) == asked.word.encode():
        return []
    return [element("small", " for ", element("bdi", asked.word), class_="kv-quiet")]


def _neighbor(neighbor: Neighbor) -> Markup:
    word, meaning = RELATIONS[neighbor.relation]
    return told(
        element("bdi", visible(bytes.fromhex(neighbor.hex))),
        sentence(
            [
                escape(f"token {neighbor.id}: {neighbor.text}"),
                f", cosine {written(neighbor.similarity)}. {word}: {meaning}.",
            ]
        ),
        class_=f"kv-bit kv-relation-{neighbor.relation}",
    )
