"""The view “About”: our figures beside the paper's, limits, sources.

Our figures are read from the files of the pair on the page each time, those of the spelling test
from the run that `kronviz.probes.stored_runs` stores with the weights. The paper's figures come
from `kronviz.published` and are labelled as such.
"""

from __future__ import annotations

from collections.abc import Callable

from kronviz import published
from kronviz.app.components import (
    METRIC_NAMES,
    PAIR,
    Answer,
    Markup,
    add_endpoint,
    alert,
    arm_name,
    box,
    element,
    html_part,
    join,
    marked,
    millions,
    number,
    of_pair,
    table,
)
from kronviz.app.context import Context
from kronviz.checkpoint_files import CheckpointError, arm_folders
from kronviz.probes.card import Source, training_sources
from kronviz.probes.intervals import Interval
from kronviz.probes.method import MethodSettings, method
from kronviz.probes.stored_runs import StoredRobustness, stored_run
from kronviz.probes.training import TrainingCurve, TrainingEvidence, training_evidence
from kronviz.published import Published
from kronviz.settings import endpoint

METHOD = """Follow a string from its bytes to the vector that the byte-level model reads.

The answer holds the lit cells of the byte-position code, what the row of each adds, what all
strings of the same length share, and their sum, which is the embedding."""

_DASH = Markup("–")
LIMITS = (
    "kron knows spelling, not meaning. Tokens that look alike start out alike, whatever they mean; "
    "later layers must separate them.",
    "One extra byte at the front moves every later byte to a new position: to the code, “run” and "
    "“ run” have nothing in common.",
    "Bytes past the last position are cut, and a few tokens then share one code. Byte view lists "
    "them.",
    "Our pair is small and was trained once, with one seed and another optimizer, on far less text "
    "than the paper’s. Where ours and the paper’s disagree, neither is refuted.",
    "Nothing here was tuned to answer questions. What the models say about the world is often "
    "wrong.",
)
LICENCES = (
    ("Code and weights", "Apache-2.0"),
    ("Vocabularies", "OpenAI’s, from tiktoken, MIT"),
    ("Real human misspellings", "codespell’s dictionary, CC BY-SA 3.0; not part of the repository"),
    ("Type", "IBM Plex, SIL Open Font License 1.1"),
)


def build(context: Context) -> None:
    """Lay out the tab and connect it. Call inside a `gr.Tab`."""
    parts = [
        html_part(part, f"kv-about-{name}")
        for name, part in _page(context, context.default).items()
    ]
    context.redrawn.add(lambda pair: list(_page(context, pair).values()), parts)
    add_endpoint(method_endpoint(context), "bytes", limit=2)


def method_endpoint(context: Context) -> Callable[..., Answer]:
    """Return the endpoint with the picture's numbers, for the API and for agents."""
    asked = of_pair(
        context.predictor, lambda models, given: method(predictor=models, **vars(given))
    )
    return endpoint(MethodSettings, asked, "method", METHOD, PAIR)


def _page(context: Context, pair: str | None) -> dict[str, Markup]:
    """Return the parts of the page by name, one component each, so that each can be saved alone."""
    name = pair or ""
    folders = arm_folders(context.folder(name))
    sources = training_sources(folders["kron"]) if "kron" in folders else ()
    parts: dict[str, list[Markup]] = {
        "figures": [_section("Our figures beside the paper’s", _figures(context, name))],
        "words": [
            _section("Limits", element("ul", *[element("li", limit) for limit in LIMITS])),
            _section("How to cite", _citation()),
        ],
        "sources": [_section("Data and licences", _sources(sources, name), _licences())],
    }
    return {part: element("div", *shown, class_="kv-about") for part, shown in parts.items()}


def _section(title: str, *parts: object) -> Markup:
    return element("section", element("h2", title, class_="kv-title"), *parts)


def _figures(context: Context, name: str) -> Markup:
    try:
        evidence = training_evidence(context.folder(name))
        stored = stored_run(context.folder(name))
    except CheckpointError as error:
        return alert(str(error), "kv-refused")
    bpe, kron = evidence.curve("bpe"), evidence.curve("kron")
    rows: list[tuple[object, object, Published | None]] = [
        (
            "Input parameters, table and projection",
            _pair(bpe, kron, lambda curve: curve.input_parameters, millions),
            published.INPUT_PARAMETERS,
        ),
        (
            "Input parameters saved",
            _one(evidence.input_saving_percent, 1, "%"),
            published.SAVED,
        ),
        (
            join(["Validation loss, ", arm_name("bpe"), " and ", arm_name("kron"), ", nats"]),
            _pair(bpe, kron, lambda curve: curve.final_nats, lambda nats: number(nats, 4)),
            None,
        ),
        ("Loss, kron − bpe", _one(evidence.gap_nats, 4, " nats", sign=True), published.GAP_NATS),
        ("Steps saved with kron", _steps(evidence), published.FEWER_STEPS),
        (
            "Time of a training step, kron against bpe",
            _one(evidence.step_time_percent, 1, "%", sign=True),
            published.STEP_OVERHEAD,
        ),
        (
            "Parameters of the whole model",
            _pair(bpe, kron, lambda curve: curve.parameters, millions),
            None,
        ),
        ("Tokens read in training", _tokens(kron or bpe), published.SCALE),
    ]
    shown = [(what, ours, _paper(theirs)) for what, ours, theirs in rows]
    body = [
        element(
            "tr",
            element("th", what, scope="row"),
            element("td", ours),
            element("td", theirs),
        )
        for what, ours, theirs in (*shown, *_spelling(stored))
    ]
    return join(
        [
            box(
                table(
                    f"The pair “{name}” and the paper’s run",
                    ("Figure", f"Ours, “{name}”", "The paper’s"),
                    body,
                    name="figures",
                    hidden=True,
                ),
                label="Our figures and the paper’s",
            ),
            element(
                "p",
                "Reproduce with ",
                element("code", f"python -m kronviz.probes.training checkpoints/{name}"),
                ". ",
                *_measured(stored, name),
                class_="kv-command",
            ),
        ]
    )


def _spelling(stored: StoredRobustness | None) -> list[tuple[object, object, object]]:
    """Return the four metrics of the spelling test: ours with intervals, and the paper's."""
    rows: list[tuple[object, object, object]] = []
    for metric, theirs in published.ROBUSTNESS.items():
        row = stored.report.metric(metric) if stored else None
        rows.append(
            (
                join([METRIC_NAMES[metric][0], element("small", "bpe and kron, misspelled")]),
                join(
                    part
                    for place, arm in enumerate(row.arms)
                    for part in (" and " if place else "", _mean(arm.value, metric))
                )
                if row
                else _DASH,
                join(
                    [
                        marked(" and ".join(theirs[arm].text for arm in ("bpe", "kron"))),
                        element("small", theirs["bpe"].where),
                    ]
                ),
            )
        )
    return rows


def _mean(value: Interval, metric: str) -> Markup:
    percent = metric == "top1_kept"
    digits = 1 if percent else 3
    ends = [number(end, digits, percent=percent) for end in (value.low, value.high)]
    return element(
        "span",
        number(value.mean, digits, percent=percent),
        element("span", " [", ends[0], ", ", ends[1], "]", class_="kv-about-interval"),
    )


def _measured(stored: StoredRobustness | None, name: str) -> list[object]:
    lab = element("a", "Robustness", href="?tab=robustness")
    if stored is None:
        command = element("code", f"python -m kronviz.probes.stored_runs checkpoints/{name}")
        return [
            "The spelling test of these weights is not stored: ",
            command,
            ", or run it in ",
            lab,
            ".",
        ]
    return [
        "The spelling test, by ",
        element("code", stored.command),
        f" over {stored.report.done} pairs of texts with 95% intervals; repeat it in ",
        lab,
        ".",
    ]


def _pair(
    bpe: TrainingCurve | None,
    kron: TrainingCurve | None,
    read: Callable[[TrainingCurve], float | None],
    written: Callable[[float], Markup],
) -> Markup:
    values = [read(curve) if curve else None for curve in (bpe, kron)]
    sides = [_DASH if value is None else written(value) for value in values]
    return join([sides[0], " and ", sides[1]])


def _one(value: float | None, digits: int, unit: str, *, sign: bool = False) -> Markup:
    return _DASH if value is None else join([number(value, digits, sign=sign), unit])


def _paper(theirs: Published | None) -> Markup:
    if theirs is None:
        return _DASH
    return join([marked(theirs.text), element("small", theirs.where)])


def _steps(evidence: TrainingEvidence) -> Markup:
    if evidence.step_factor is not None:
        return join([number(evidence.step_factor, 2), "× fewer steps"])
    if evidence.reverse_factor is not None:
        return join(
            ["none; bpe got there in ", number(evidence.reverse_factor, 2), "× fewer steps"]
        )
    return _DASH


def _tokens(curve: TrainingCurve | None) -> Markup:
    return millions(curve.tokens[-1]) if curve and curve.tokens else _DASH


def _citation() -> Markup:
    return join(
        [
            element(
                "p",
                "The method is R. Shravan’s: ",
                element(
                    "a",
                    published.TITLE,
                    href=published.PAPER,
                    target="_blank",
                    rel="noopener",
                ),
                ". Cite the paper; kronviz only shows it.",
            ),
            element("pre", element("code", published.BIBTEX), tabindex="0", class_="kv-bibtex"),
            element(
                "button",
                "Copy BibTeX",
                type="button",
                class_="kv-step-button kv-copy-text",
                data_copies=".kv-bibtex",
            ),
        ]
    )


def _sources(sources: tuple[Source, ...], name: str) -> Markup:
    if not sources:
        return element("p", f"The pair “{name}” has no card that names its training text.")
    rows = [
        element(
            "tr",
            element("th", source.name, scope="row"),
            element("td", marked(source.what)),
            element("td", source.licence),
        )
        for source in sources
    ]
    return box(
        table(
            f"What the pair “{name}” was trained on",
            ("Text", "What", "Licence"),
            rows,
            name="texts",
            class_="kv-table kv-words",
        ),
        label="Training texts",
    )


def _licences() -> Markup:
    rows = [
        element("tr", element("th", what, scope="row"), element("td", licence))
        for what, licence in LICENCES
    ]
    return box(
        table(
            "Everything else",
            ("Part", "Licence"),
            rows,
            name="licences",
            class_="kv-table kv-words",
        ),
        label="Licences",
    )
