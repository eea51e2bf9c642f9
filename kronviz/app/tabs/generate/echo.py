"""The echo probe on the page: how often models repeat a new string, by how they read it.

A section of the tab “Generate”, with a table of rates and the continuations themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from kronviz.app.components import (
    Fields,
    Markup,
    Runs,
    arm_name,
    box,
    buttons,
    connect,
    count,
    downloads,
    element,
    empty,
    escape,
    head,
    html_part,
    join,
    made_by,
    marked,
    more,
    percent,
    piece,
    progress,
    readable_run,
    remember,
    sentence,
    table,
    term,
    written,
)
from kronviz.app.context import Context
from kronviz.generation import SLOT
from kronviz.probes.echo import (
    PROMPTS,
    SLOTTED,
    STRINGS,
    EchoRate,
    EchoReport,
    EchoRun,
    EchoSettings,
    echo_of,
    echo_plan,
)
from kronviz.probes.stored_runs import ECHO
from kronviz.probes.tables import echo_rows

SHOWN = 60
_TITLES = (
    ("Model", ""),
    ("Reads the string as", ""),
    ("Repeated whole", "95% interval"),
    ("Longest piece", "share of its letters"),
    ("By chance", "the same, for other strings"),
)


def build(context: Context, pair: gr.Radio) -> None:
    """Lay out the section and connect it. Call inside the tab “Generate”."""
    runs, fields = Runs(), Fields(EchoSettings)
    head(
        "Echo: is a new word repeated?",
        "Strings of more than one token are put into prompts. Both models read them as several "
        "tokens, and kron a second time as one position made of their bytes. Does the continuation "
        "repeat the string?",
    )
    with gr.Row(elem_classes="kv-lab-controls"):
        fields(
            "strings",
            "Words, comma-separated",
            value=", ".join(STRINGS[:8]),
            lines=2,
            max_lines=4,
            elem_id="kv-echo-strings",
        )
        fields("seeds", "Continuations of each prompt")
        stored = readable_run(context.folder(), ECHO)
        # The fields show the settings of the figures below.
        fields.seed(value=stored.report.sampler.seed if stored else EchoSettings.seed)
    fields(
        "prompts",
        f"Prompts, one a line, with {SLOT} for the string",
        value="\n".join(PROMPTS),
        lines=3,
        max_lines=6,
        elem_id="kv-echo-prompts",
    )
    press = buttons("Measure the echo", "kv-echo-run")
    shown = html_part(opening(context.folder()), "kv-echo-shown")
    context.redrawn.add(lambda models: opening(context.folder(models)), [shown])

    def steps(models: str | None, strings: str | None, *rest: Any) -> Iterator[tuple[Any, ...]]:
        *values, visitor = rest
        predictor = context.predictor(models)
        plan = echo_plan(predictor, fields.read([(strings or "").replace(",", "\n"), *values]))
        stages = runs.stages(
            visitor,
            (predictor.pair, plan),
            lambda tell: echo_of(predictor, plan, tell),
            plan.size,
        )
        for stage in stages:
            bar = progress(stage.done, stage.asked, stage.running, "continuation")
            yield stage, echo_view(stage.result, bar, running=stage.running)

    connect(runs, press, steps, [pair, *fields.controls], [shown])
    remember(context.links, "generate", fields.named, {"echo": press.run})


def opening(folder: Path) -> Markup:
    """Return the initial content: the result stored with a pair's weights."""
    stored = readable_run(folder, ECHO)
    if stored is None:
        return empty(
            "No rate yet. Every string is continued in every prompt, by the paper’s sampler; "
            "models as small as these seldom repeat a whole string, so the longest piece is "
            "counted too."
        )
    return echo_view(stored.report, Markup(""), command=stored.command)


def echo_view(
    report: EchoReport | None, bar: Markup, *, running: bool = False, command: str = ""
) -> Markup:
    """Return the report at any stage of a run.

    Args:
        command: the command that made it, if it was stored with the weights.
    """
    has_runs = report is not None and bool(report.runs)
    return element(
        "div",
        bar,
        element("p", _finding(report), class_="kv-finding", role="status") if has_runs else "",
        _table(report) if report and has_runs else "",
        _notes(report, timed=not command) if report and has_runs else "",
        _examples(report) if report and has_runs and not running else "",
        downloads("echo", report, echo_rows(report))
        if report and has_runs and not running and not command
        else "",
        made_by(command, "Measure the echo") if command else "",
        class_="kv-lab-result",
    )


def _finding(report: EchoReport | None) -> Markup:
    if report and not any(rate.echoed for rate in report.rates):
        return Markup("No model repeated a whole string, however it was read.")
    parts = [
        sentence(
            [
                "; " if place else "Repeated whole: ",
                arm_name(rate.arm),
                f" {'from one position' if rate.reading == SLOTTED else 'from its tokens'} "
                f"{percent(rate.share, 1)}",
            ]
        )
        for place, rate in enumerate(report.rates if report else ())
    ]
    return join([*parts, "."])


def _table(report: EchoReport) -> Markup:
    return box(
        table(
            "The paper (section 6.12) shows single continuations of a model of 124 million "
            "parameters; a rate over a set is measured here.",
            _TITLES,
            map(_row, report.rates),
            name="rates",
            class_="kv-table kv-lab-table",
        ),
        label="Echo by model and reading",
    )


def _row(rate: EchoRate) -> Markup:
    slot = rate.reading == SLOTTED
    reading = "one position, its bytes" if slot else "its own tokens"
    meaning = (
        "the string’s bytes are put where a token’s vector would be; only kron can do this"
        if slot
        else "the tokens that the tokenizer cuts it into"
    )
    return element(
        "tr",
        element("th", arm_name(rate.arm), scope="row"),
        element("td", term(reading, meaning)),
        element(
            "td",
            marked(f"{rate.echoed:,} of {rate.runs:,}"),
            element("small", marked(f"{percent(rate.low, 1)} to {percent(rate.high, 1)}")),
        ),
        element("td", marked(percent(rate.piece, 1))),
        element("td", marked(percent(rate.chance, 1))),
    )


def _notes(report: EchoReport, *, timed: bool = True) -> Markup:
    sampler = report.sampler
    parts: list[object] = [
        f"{count(len(report.strings), 'string')}, {count(len(report.prompts), 'prompt')}, "
        f"{count(sampler.max_tokens, 'token')} each, top-p {written(sampler.top_p, 2)}, "
        f"temperature {written(sampler.temperature, 2)}, seed {sampler.seed}; "
        "every reading draws the same random numbers. "
        f"{f'{written(report.seconds, 1)} s. ' if timed else ''}"
    ]
    if report.skipped:
        parts.append(
            escape(f"Left out because they are one token each: {', '.join(report.skipped)}.")
        )
    return element("p", sentence(parts), class_="kv-caption kv-wide")


def _examples(report: EchoReport) -> Markup:
    """Return the continuations with the largest pieces of their strings."""
    chosen = sorted(report.runs, key=lambda run: (run.echoed, run.piece), reverse=True)[:SHOWN]
    return more(
        f"The {count(len(chosen), 'continuation')} with the largest pieces",
        box(
            table(
                "Largest piece of the string first",
                ("Model", "String", "Positions", "Piece", "Continuation"),
                map(_example, chosen),
                name="continuations",
                class_="kv-table kv-echo-texts",
                hidden=True,
            ),
            label="Continuations",
        ),
    )


def _example(run: EchoRun) -> Markup:
    return element(
        "tr",
        element("th", arm_name(run.arm), scope="row"),
        element("td", piece(run.string.encode())),
        element("td", marked(f"{run.positions:,}")),
        element("td", percent(run.piece)),
        element(
            "td",
            element("span", run.prompt.replace(SLOT, run.string), class_="kv-quiet"),
            element("bdi", run.text),
        ),
    )
