"""The tab “Robustness”: many misspelled texts through both models, and one sentence word by word.

Notable:

- Long runs wait in a separate queue, one at a time, so typing elsewhere never waits for them.
  “Cancel” takes effect between two batches and keeps the results so far.
- What follows typing is one call: the words, and the strip of the misspelled one.
- `api` has the same results for programs, `python -m kronviz.probes` on the command line.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from kronviz.app.components import (
    QUIET,
    Depending,
    Fields,
    Line,
    Markup,
    Runs,
    alert,
    amount,
    answers,
    buttons,
    clean_text,
    connect,
    empty,
    head,
    hidden_text,
    html_part,
    naming_models,
    readable_run,
    refused,
    remember,
    running,
    still_there,
    textbox,
    uncapped,
    uploaded_file,
)
from kronviz.app.context import Context
from kronviz.app.tabs.robustness import view as robustness_view
from kronviz.app.tabs.robustness import words as lab_words
from kronviz.app.tabs.robustness.api import add_endpoints
from kronviz.app.tabs.robustness.curves import Section, recovery_section, sweep_section
from kronviz.app.tabs.robustness.outcome_view import continuation_view, minimal_view
from kronviz.checkpoint_files import CheckpointError
from kronviz.passages import CLEAN
from kronviz.predictor import InputError
from kronviz.probes import minimal_pairs, recovery, sensitivity
from kronviz.probes.outcomes import fitted
from kronviz.probes.pairs import MAX_BYTES, MAX_ROWS, PairSet, load_pairs, parse_pairs
from kronviz.probes.robustness import MisspellingSettings, robustness, summarise
from kronviz.probes.stored_continuation import stored_continuation
from kronviz.progress import Progress
from kronviz.typos import KEYBOARDS
from kronviz.typos.words import find_words

OURS, FILE, SENTENCES = "ours", "file", "sentences"
TEXT = "The capital of France is called Paris, and the river there is the"
WORD = 2
TYPING_S = 1.2
"""Seconds for an answer to a keystroke; the remaining words of a long text wait for a button."""
MINIMAL = (
    "The dogs in the garden bark at night. | The dogs in the garden barks at night.\n"
    "She has eaten her lunch. | She has ate her lunch.\n"
    "The boys hurt themselves. | The boys hurt himself.\n"
    "Nobody has ever seen it. | Somebody has ever seen it."
)
MAX_MINIMAL = 2_000
MINE = "The sun rises in the\nWater boils at one hundred\nShe went to the library to read a"


def build(context: Context) -> None:
    """Lay out the tab and connect it. Call inside a `gr.Tab`."""
    runs = Runs()
    pair = context.pair_field()
    stored = html_part(_continuation(context, context.default), "kv-lab-continuation")
    context.redrawn.add(lambda models: _continuation(context, models), [stored])
    sections = {
        "pairs": _pairs_section(context, runs, pair),
    }
    sentence = _sentence_section(context, runs, pair)
    sections |= {
        "sweep": sweep_section(context, runs, pair),
        "recovery": recovery_section(context, runs, pair),
        "minimal": _minimal_section(context, runs, pair),
    }
    parts = {
        f"{name}-{part}": control
        for name, (controls, _) in sections.items()
        for part, control in controls.items()
    }
    parts |= sentence
    started = {name: run for name, (_, run) in sections.items()}
    word = Depending(lambda values: amount(1, _last_word(values.get("robustness.text", TEXT))))
    remember(context.links, "robustness", parts, started, depending={"word": word})
    add_endpoints(context)


def _pairs_section(context: Context, runs: Runs, pair: gr.Radio) -> Section:
    ours, fields = len(load_pairs().pairs), Fields(MisspellingSettings)
    head(
        "Hundreds of misspelled texts",
        "The paper’s test of spelling: each clean text and its misspelled twin through every "
        "model. Is the right answer still found, and how far does the prediction move?",
    )
    with gr.Row(elem_id="kv-lab-pairs", elem_classes="kv-lab-controls"):
        source = gr.Radio(
            [(f"Our {ours} pairs", OURS), ("A file", FILE), ("My sentences", SENTENCES)],
            value=OURS,
            label="What is read",
            elem_id="kv-lab-source",
        )
        fields.seed()
    with gr.Column(visible=False, elem_classes="kv-lab-given") as with_file:
        file = uploaded_file(
            label="JSON, JSONL, CSV or TSV with “clean” and “typo”, "
            f"up to {MAX_BYTES / 1e6:g} MB and {MAX_ROWS:,} rows",
            file_types=[".json", ".jsonl", ".csv", ".tsv"],
            height=120,
            elem_id="kv-lab-file",
        )
    with gr.Column(visible=False, elem_classes="kv-lab-given") as with_sentences:
        fields(
            "sentences",
            "Clean sentences, one a line",
            value=MINE,
            lines=4,
            max_lines=10,
            elem_id="kv-lab-mine",
        )
        fields.kinds()
        with gr.Row(elem_classes="kv-lab-controls"):
            fields("edits", "Misspellings in each sentence", minimum=1)
            fields("share", "Or in this share of its words, in %", step=5)
            keyboards = [(name.upper(), name) for name in KEYBOARDS]
            fields("keyboard", "Keyboard", choices=keyboards)
            fields("protect_first", "Keep first letters")
    press = buttons("Run the pairs", "kv-lab-run")
    shown = html_part(_opening(context, context.default), "kv-lab-table")

    context.redrawn.add(lambda models: _opening(context, models), [shown])
    source.change(
        lambda chosen: (gr.Column(visible=chosen == FILE), gr.Column(visible=chosen == SENTENCES)),
        source,
        [with_file, with_sentences],
        queue=False,
        **QUIET,
    )

    def steps(
        chosen: str, path: str | None, models: str | None, *rest: Any
    ) -> Iterator[tuple[Any, ...]]:
        *values, visitor = rest
        predictor, asked = context.predictor(models), fields.read(values)
        number, there = asked.seed, still_there(visitor)
        pairs = fitted(predictor, _given(chosen, path, asked, there), there)
        stages = runs.stages(
            visitor,
            ("pairs", predictor.pair, pairs, number),
            lambda tell: robustness(predictor, pairs, seed=number, progress=tell),
            len(pairs.pairs),
        )
        for stage in stages:
            report = stage.result or summarise(predictor, pairs, [], seed=number)
            yield stage, robustness_view.pairs_view(report, running=stage.running)

    connect(runs, press, steps, [source, file, pair, *fields.controls], [shown])
    return {"source": source, **fields.named}, press.run


def _continuation(context: Context, pair: str | None) -> Markup:
    """Return the continuation loss stored with a pair's weights."""
    try:
        stored = stored_continuation(context.folder(pair))
    except CheckpointError as error:
        return alert(str(error))
    return continuation_view(stored)


def _opening(context: Context, pair: str | None) -> Markup:
    """Return the initial content: the run stored with the pair's weights."""
    stored = readable_run(context.folder(pair))
    if stored is None:
        return robustness_view.pairs_view(None)
    return robustness_view.pairs_view(stored.report, command=stored.command)


def _minimal_section(context: Context, runs: Runs, pair: gr.Radio) -> Section:
    head(
        "Grammatical or not",
        "Minimal pairs: two sentences that differ in one point of grammar. Does the model give the "
        "right one more probability, and still when the words around it are misspelled?",
    )
    fields = Fields(minimal_pairs.MinimalPairSettings)
    fields(
        "sentences",
        "One pair a line: right sentence | wrong sentence; or BLiMP’s JSON",
        value=MINIMAL,
        lines=4,
        max_lines=10,
        elem_id="kv-lab-minimal-pairs",
    )
    with gr.Row(elem_classes="kv-lab-controls"):
        fields.seed()
    press = buttons("Run the sentences", "kv-lab-minimal")
    few = minimal_pairs.parse_pairs(MINIMAL, "The text")
    first = minimal_pairs.minimal_pairs(context.predictor(), few, conditions=(CLEAN,))
    shown = html_part(minimal_view(first), "kv-lab-minimal-table")

    def steps(models: str | None, lines: str, seed: Any, visitor: str) -> Iterator[tuple[Any, ...]]:
        predictor = context.predictor(models)
        given = minimal_pairs.parse_pairs(clean_text(lines or ""), "The text", MAX_MINIMAL)
        number = fields.read([lines, seed]).seed
        stages = runs.stages(
            visitor,
            ("minimal", predictor.pair, given, number),
            lambda tell: minimal_pairs.minimal_pairs(predictor, given, seed=number, progress=tell),
            len(given),
            partial=False,
        )
        for stage in stages:
            done = stage.result
            yield stage, running(stage, "pair") if done is None else minimal_view(done)

    connect(runs, press, steps, [pair, *fields.controls], [shown])

    def redraw(models: str, lines: str) -> Markup:
        if lines != MINIMAL:
            return empty("These sentences have not been run with the models chosen now.")
        measured = minimal_pairs.minimal_pairs(context.predictor(models), few, conditions=(CLEAN,))
        return minimal_view(measured)

    context.redrawn.add(redraw, [shown], fields.controls[0])
    return fields.named, press.run


def _sentence_section(
    context: Context, runs: Runs, pair: gr.Radio
) -> dict[str, gr.components.Component]:
    head(
        "One sentence, word by word",
        "Which word does most harm when misspelled? Each is misspelled in turn. Then one "
        "typo is followed through the rest of the sentence.",
    )
    with gr.Row(elem_classes="kv-lab-controls"):
        text = textbox("Any sentence", TEXT, "kv-lab-text", "Type a sentence", most=3)
        word = gr.Slider(
            1, len(find_words(TEXT)), WORD, step=1, label="Word to follow", elem_id="kv-lab-word"
        )
    first = _words(context, TEXT, WORD, None)
    words = html_part(first.words, "kv-lab-words")
    with gr.Column(visible=first.part, elem_classes="kv-lab-given") as rest:
        press = buttons("Measure every word", "kv-lab-every")
    strip = html_part(first.strip, "kv-lab-strip")

    def answer(text: str, word: float, models: str | None) -> tuple[Any, ...]:
        drawn = _words(context, text, word, models)
        more = gr.Column(visible=drawn.part)
        if drawn.last is None:
            return drawn.words, drawn.strip, gr.skip(), more
        # Set the value only if it must change, because the slider may have moved meanwhile.
        slider = gr.update(maximum=drawn.last)
        if word != drawn.chosen:
            slider["value"] = drawn.chosen
        return drawn.words, drawn.strip, slider, more

    def steps(
        text: str, word: float, models: str | None, visitor: str
    ) -> Iterator[tuple[Any, ...]]:
        predictor = context.predictor(models)
        asked = sensitivity.SensitivitySettings(clean_text(text or ""))
        jobs = sensitivity.sensitivity_jobs(predictor, asked)
        stages = runs.stages(
            visitor,
            ("words", predictor.pair, jobs),
            lambda tell: sensitivity.sensitivity_of(predictor, jobs, tell),
            len(jobs.pairs),
        )
        for stage in stages:
            shown = stage.result or sensitivity.summarise_sensitivity(predictor, jobs, [])
            yield stage, lab_words.words_view(shown, max(1, int(word or 1)) - 1)

    of = hidden_text()
    of.render()
    inputs, carry, read = uncapped(word, [text, word, pair])
    listener = Line("sentence", 1)(read(naming_models(answer)))
    outputs = [words, strip, word, rest, of]
    direct: dict[str, Any] = {**QUIET, "queue": False, "js": carry}
    typed = gr.on(
        [text.change, word.input], listener, inputs, outputs, trigger_mode="always_last", **direct
    )
    # Each choice of models is answered, in its turn, so that none of several quick ones is lost.
    switched = pair.change(listener, inputs, outputs, trigger_mode="multiple", **direct)
    answers([words, strip], pair, of, typed, switched)
    connect(runs, press, steps, [text, word, pair], [words])
    return {"text": text, "word": word}


def _last_word(text: str) -> int:
    """Return the number of a text's last word; for one that is too long, the largest of any."""
    return min(max(len(find_words(clean_text(text))), 1), sensitivity.MAX_WORDS)


class _Words(NamedTuple):
    """Both pictures of one sentence; the last word and the chosen one, counted from 1.

    ``part``: whether some of its words were left for a longer run.
    """

    words: Markup
    strip: Markup
    last: int | None = None
    chosen: int = 1
    part: bool = False


def _words(context: Context, text: str, word: float | None, models: str | None) -> _Words:
    try:
        predictor = context.predictor(models)
        until = time.monotonic() + TYPING_S
        report = sensitivity.sensitivity(
            predictor,
            sensitivity.SensitivitySettings(text or ""),
            lambda _: time.monotonic() < until,
        )
        chosen = max(1, min(int(word or 1), len(report.words)))
        strip = Markup("")
        if report.words and report.words[chosen - 1].variants:
            at = report.words[chosen - 1]
            typo = report.text[: at.start] + at.variants[0] + report.text[at.end :]
            strip = lab_words.strip_view(recovery.recovery_strip(predictor, report.text, typo))
    except InputError as error:
        return _Words(refused(str(error)), Markup(""))
    words = lab_words.words_view(report, chosen - 1)
    left = report.measured < len(report.words)
    return _Words(words, strip, max(len(report.words), 2), chosen, left)


def _given(
    chosen: str, path: str | None, asked: MisspellingSettings, progress: Progress
) -> PairSet:
    """Return the pairs that a visitor chose; `InputError` if there are none."""
    if chosen == SENTENCES:
        return asked.pairs(progress)
    if chosen != FILE:
        return load_pairs()
    if not path:
        raise InputError("There is no file yet; choose one, or run our pairs.")
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError:
        raise InputError("The file is no longer here; choose it again.") from None
    return parse_pairs(data, Path(path).name)
