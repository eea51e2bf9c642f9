"""The arms view as HTML: the verdict, and a table with one row per arm."""

from __future__ import annotations

from kronviz.app.components import (
    DASH,
    Markup,
    arm_name,
    box,
    element,
    folded,
    join,
    marked,
    millions,
    number,
    table,
)
from kronviz.arms import ARMS
from kronviz.checkpoint_files import PAIR
from kronviz.probes.intervals import Interval
from kronviz.probes.study import (
    PAPER_TOKENS,
    SHOWN,
    ArmResult,
    Cost,
    CostsAbout,
    Study,
    apart,
    signed,
    verdict,
)
from kronviz.probes.training import TrainingEvidence, lead_lost

DIFFERENCES = (
    "Loss on the true next 24 tokens of real text minus the better table’s, passage by passage, "
    "after a clean context (○), after one with 15% of its words misspelled (●), and after one "
    "with 15% misspelled as people do (◆). Bars are 95% intervals over passages. Left of the line, "
    "an arm beats the table."
)
CURVES = (
    "Validation loss minus the better table’s, as all read the same text in the same order. A line "
    "that rises is a lead that shrinks."
)


def finding(study: Study) -> Markup:
    """Return the verdict in one or two sentences, and a description of the models."""
    return element(
        "div",
        element("h2", marked(_title(study)), class_="kv-title"),
        element("p", _with_names(verdict(study)), class_="kv-finding"),
        element(
            "p",
            marked(
                f"Models with {study.n_layer} layers of width {study.d_model}, "
                f"{_vocabulary(study.vocabulary)}, {_tokens(study)} tokens a "
                f"run, {_optimizer(study)}, all identical except for the input embedding."
            ),
            class_="kv-caption",
        ),
        class_="kv-evidence",
    )


def table_of(
    study: Study,
    caption: str = "All arms, the lowest validation loss first",
    name: str = "All arms",
) -> Markup:
    """Return a table of each arm's losses and their differences from the better table's.

    Args:
        name: name of the file that the table is saved as.
    """
    titles: list[object] = [
        "Input embedding",
        ("Input parameters", "% of the table’s"),
        *[
            (title, f"− {study.table}’s")
            for title in (
                "Validation loss",
                "Clean context",
                "15% misspelled",
                "15%, people’s",
                "Five perturbations",
            )
        ],
        "Seeds",
    ]
    return table(caption, titles, [_losses(arm, study.rate) for arm in study.arms], name=name)


def costs_of(study: Study, costs: CostsAbout) -> Markup:
    """Return a folded table of what each arm stores, how long it takes, and how that was timed."""
    over = f"over {costs.peer}’s"
    titles: list[object] = [
        "Input embedding",
        ("Stored", "MB, as int8"),
        ("Time to embed", over),
        ("Time of a training step", over),
    ]
    rows = [_costs(arm.arm, arm.cost) for arm in study.arms if arm.cost]
    return folded(
        "What each costs",
        box(table("Costs of each input embedding", titles, rows, name="Costs"), label="Costs"),
        _costs_note(costs),
    )


def other_runs(study: Study) -> Markup:
    """Return the verdict and the table of runs that read more or fewer tokens, folded."""
    title = f"All arms, {_tokens(study)} tokens a run"
    return folded(
        marked(f"The same with {_tokens(study)} tokens a run"),
        element("p", _with_names(verdict(study)), class_="kv-caption"),
        # A whole number, because names of files ignore the locale.
        box(table_of(study, title, f"All arms, {study.tokens / 1e6:.0f}M tokens"), label=title),
    )


def longer_run(evidence: TrainingEvidence) -> Markup:
    """Describe how the further arms did in a set of models that was trained for longer."""
    said, moral = [], ""
    for curve in evidence.further:
        if curve.final_nats is None:
            continue
        beside = ""
        for other in evidence.curves:
            if other.arm in PAIR and other.final_nats is not None:
                gap = curve.final_nats - other.final_nats
                beside += f", {apart(gap)} {other.arm}"
                if (tokens := lead_lost(curve, other)) is not None:
                    beside += f" (which it led up to {tokens / 1e6:.1f} million tokens)"
                    moral = " The lead of a short run need not last."
        said.append(f"{curve.arm} ends at {curve.final_nats:.3f} nats of validation loss{beside}.")
    longest = max(curve.tokens[-1] for curve in evidence.curves)
    words = (
        f"Trained for longer, {longest / 1e6:.1f} million tokens and one seed ({evidence.pair}), "
        f"{' '.join(said)}{moral}"
    )
    return element(
        "div", element("p", _with_names(words), class_="kv-caption"), class_="kv-evidence"
    )


def gaps_caption(study: Study) -> str:
    """Return the caption of the chart of differences by tokens per run, with an extrapolation."""
    said = (
        "Each arm’s validation loss at the end of a run minus the better table’s, for runs of "
        "several lengths. Below the line, an arm beats the table."
    )
    if any(gap.misspelled for gap in study.gaps):
        said += " Dotted: the loss on true continuations after 15% of the words were misspelled."
    fitted = [
        f"{gap.arm} {_with_minus(signed(gap.extrapolated, digits=2))}"
        for gap in study.gaps
        if gap.extrapolated
    ]
    if not fitted:
        return said
    return (
        f"{said} An extrapolation, not a measurement: at the paper’s {PAPER_TOKENS / 1e9:.1f} "
        f"billion tokens a line in the logarithm of the tokens puts {', '.join(fitted)} nats."
    )


def _costs_note(costs: CostsAbout) -> Markup:
    """Return one sentence about how the times were measured."""
    return element(
        "p",
        marked(
            f"Times on {costs.machine}: {costs.tokens:,} ids of text embedded at once, a training "
            f"step of {costs.step_tokens:,} tokens, each over that of {costs.peer} in the same "
            "run: ",
        ),
        element("code", costs.command),
        class_="kv-caption",
    )


def _losses(arm: ArmResult, rate: float) -> Markup:
    cells: list[str] = [
        join([millions(arm.input_parameters), _small(f"{arm.share:.0%}")]),
        join([number(arm.val_nats, 3), _difference(arm.difference, len(arm.gaps) > 1)]),
    ]
    for condition in SHOWN:
        loss = arm.at(condition)
        cells.append(
            Markup(DASH)
            if loss is None
            else join([number(loss.nats.mean, 3), _difference(loss.difference)])
        )
    tuning = arm.tuning.said(rate)
    about = f"{ARMS[arm.arm].about}; {tuning}" if tuning else ARMS[arm.arm].about
    return _row(arm.arm, about, *cells, str(len(arm.seeds)))


def _costs(arm: str, cost: Cost) -> Markup:
    return _row(
        arm,
        "",
        number(cost.stored_bytes / 1e6, 2),
        join([number(cost.embed_ratio, 2), _small(f"{cost.embed_ms:.2f} ms")]),
        join([number(cost.step_ratio, 2), _small(f"{cost.step_ms:,.0f} ms")]),
    )


def _row(arm: str, about: str, *cells: str) -> Markup:
    name = element("th", arm_name(arm), *([_small(about)] if about else []), scope="row")
    return element("tr", name, *[element("td", marked(cell)) for cell in cells])


def _difference(value: Interval | None, bounds: bool = True) -> Markup:
    if value is None:
        return Markup("")
    return _small(_with_minus(signed(value, bounds)))


def _with_minus(figures: str) -> str:
    return figures.replace("-", "−")


def _small(text: str) -> Markup:
    return element("small", marked(text))


def _vocabulary(name: str) -> str:
    base, _, ranks = name.partition(":")
    whole = "GPT-2’s vocabulary" if base == "r50k_base" else base
    return f"the first {int(ranks):,} merges of {whole}" if ranks else whole


def _tokens(study: Study) -> str:
    return f"{study.tokens / 1e6:.1f} million"


def _title(study: Study) -> str:
    words = _vocabulary(study.vocabulary)
    alone = "" if study.optimizer == "muon" else ", AdamW alone"
    return f"{words[:1].upper()}{words[1:]}{alone}"


def _optimizer(study: Study) -> str:
    name = "Muon and AdamW" if study.optimizer == "muon" else "AdamW"
    if len(study.rates) == 1:
        return name
    return f"{name}, each at its best learning rate from {study.rates[0]:g} to {study.rates[-1]:g}"


def _with_names(said: str) -> Markup:
    words = said.split(" ")
    parts: list[object] = []
    for word in words:
        bare = word.rstrip(".;,")
        name = bare in ARMS and bare != "pairs"
        parts += [arm_name(bare) if name else marked(bare), word[len(bare) :]]
        parts.append(" ")
    return join(parts[:-1])
