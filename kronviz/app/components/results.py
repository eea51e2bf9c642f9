"""Parts of a measured result on a page: progress, problems, intervals, downloads.

Downloads are data in the page itself, so the server keeps no files for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from kronviz.app.components.html import Markup, element, join
from kronviz.app.components.numbers import marked, quoting, written
from kronviz.app.components.parts import alert
from kronviz.app.components.pieces import count
from kronviz.probes.intervals import Interval
from kronviz.probes.robustness import LARGER_IS_STEADIER
from kronviz.probes.tables import Row, csv_text
from kronviz.results import to_json

METRIC_NAMES = {
    "top1_kept": ("First choice kept", "share of the pairs whose most likely next token stays"),
    "kl_nats": (
        "KL, nats",
        "KL(clean ‖ misspelled) over the whole vocabulary; smaller is steadier",
    ),
    "hidden_cosine": ("Hidden cosine", "cosine of the final hidden states; larger is steadier"),
    "logprob_drop_nats": (
        "Log-prob drop, nats",
        "log-probability that the clean text’s first choice loses; smaller is steadier",
    ),
}
STEADIER = {True: "larger is steadier", False: "smaller is steadier"}


def refused(sentence: str, class_: str = "kv-lab-result") -> Markup:
    """Return one sentence in place of a result, which says what was wrong and what to do."""
    return element("div", alert(sentence), class_=class_)


def progress(done: int, asked: int, running: bool, noun: str = "pair") -> Markup:
    """Return the progress of a run, as a bar and in words, and whether it was stopped."""
    words = f"{done:,} of {count(asked, noun)}"
    if not running and done >= asked:
        words = f"{count(done, noun)}, all read."
    elif not running and not done:
        words = f"Stopped before the first {noun} was read."
    elif not running:
        words = f"Stopped: {words}. What was read is kept below."
    return element(
        "div",
        element("progress", value=done, max=max(asked, 1), aria_label=words)
        if running or done < asked
        else "",
        element("span", marked(words), class_="kv-quiet"),
        class_="kv-progress",
    )


def problems(sentences: Sequence[str]) -> Markup:
    """Return the notes on what could not be used, one sentence each."""
    if not sentences:
        return Markup("")
    return element(
        "details",
        element("summary", f"{count(len(sentences), 'note')} about what was given"),
        element("ul", *[element("li", quoting(sentence)) for sentence in sentences]),
        class_="kv-problems",
        open=True,
    )


def interval(value: Interval, metric: str, *, signed: bool = False) -> Markup:
    """Return a mean with its 95% interval below it."""
    scale, digits, unit = (100, 1, "%") if metric == "top1_kept" else (1, 3, "")
    if signed and unit:
        unit = " points"

    def shown(part: float) -> str:
        text = written(part * scale, digits)
        return f"+{text}" if signed and part > 0 and float(text) else text

    return join(
        [
            marked(f"{shown(value.mean)}{unit}"),
            element("small", marked(f"{shown(value.low)} to {shown(value.high)}")),
        ]
    )


def downloads(name: str, result: object, rows: list[Row]) -> Markup:
    """Return the links that save a result as JSON and CSV."""

    def link(label: str, kind: str, text: str) -> Markup:
        # Percent-encoded, because base64 would hardly compress.
        data = quote(text, safe=":,;[]{}()/=+*")
        return element(
            "a",
            label,
            href=f"data:{kind};charset=utf-8,{data}",
            download=f"kronviz-{name}.{label.lower()}",
        )

    return element(
        "p",
        "Save the numbers as ",
        link("JSON", "application/json", to_json(result)),
        " or ",
        link("CSV", "text/csv", csv_text(rows)),
        class_="kv-downloads",
    )


def made_by(command: str, button: str) -> Markup:
    """Return the origin of a stored result, and the button that repeats the measurement."""
    return element(
        "p",
        "Measured once and stored with the weights: ",
        element("code", command),
        f". “{button}” measures it again, and saves its numbers.",
        class_="kv-command",
    )


def reproduced(command: str) -> Markup:
    """Return the command that prints the figures above it."""
    return element("p", "Reproduce with ", element("code", command), class_="kv-command")


def direction(metric: str) -> str:
    """Return whether larger or smaller values of a metric are better, in words."""
    return STEADIER[metric in LARGER_IS_STEADIER]


def folded(title: object, *children: Markup) -> Markup:
    """Return a section whose title states the finding, with tables that open below it."""
    heading = element("h2", title, class_="kv-heading")
    return more(heading, element("div", *children, class_="kv-evidence"))


def more(title: object, *children: Markup, class_: str = "kv-more", **attributes: Any) -> Markup:
    """Return a title with content that opens below it."""
    return element("details", element("summary", title), *children, class_=class_, **attributes)
