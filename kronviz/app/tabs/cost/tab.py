"""The tab “Cost”: what kron saves and what it costs, for any vocabulary and any width.

The breakdown follows the controls. A button measures times on the machine that the app runs on, in
about two seconds. All figures are computed or measured here, except the paper's, which are labelled
as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from kronviz.accounting import (
    MAX_VOCABULARY,
    SIZES,
    CostSettings,
    InputCost,
    input_cost,
    read_vocabulary,
)
from kronviz.accounting.stored_times import stored_times
from kronviz.accounting.timing import MeasureSettings
from kronviz.accounting.timing import measure as measure_times
from kronviz.app.components import (
    QUIET,
    Answer,
    Fields,
    Line,
    Markup,
    add_endpoint,
    answer,
    element,
    failure,
    html_part,
    plot,
    remember,
    still_there,
)
from kronviz.app.context import Context
from kronviz.app.tabs.cost import view
from kronviz.figures import cost as figures
from kronviz.predictor import InputError
from kronviz.settings import endpoint
from kronviz.strings import whole_number

ANY = "number"
PAPERS_NUMBER = 131_072
BATCHES = (16, 1024, 8192)
TYPING = "16, as one types"
COST = """Add up what an input embedding costs: a learned table, and kron in its place.

The answer holds parameters, bytes of the weights, of the stored token bytes (ragged as here, padded
as in the reference implementation), of dense codes, and of training."""
MEASURE = "Time a learned table and kron's encoders on the machine that answers, for two seconds."


def build(context: Context) -> None:
    """Lay out the tab and connect it. Call inside a `gr.Tab`."""
    start_with, fields = CostSettings(), Fields(MeasureSettings)
    first = input_cost(**vars(start_with))
    head = html_part(view.finding(first), "kv-cost-finding")
    with gr.Row(elem_id="kv-cost-controls"):
        vocabulary = gr.Radio(
            [(f"{view.NAMES[name]}, {count:,}", name) for name, count in SIZES.items()]
            + [("a number", ANY)],
            value=start_with.vocabulary,
            label="Vocabulary",
            elem_id="kv-cost-vocabulary",
        )
        count = gr.Number(
            PAPERS_NUMBER,
            label="Tokens",
            precision=0,
            minimum=1,
            maximum=MAX_VOCABULARY,
            visible=False,
            elem_id="kv-cost-number",
        )
        pos_dim = fields("pos_dim", "Bytes kept of a token, P", elem_id="kv-cost-pos")
        d_model = fields(
            "d_model", "Width of the model", minimum=64, step=64, elem_id="kv-cost-width"
        )
        dtype = fields("dtype", "Number format", elem_id="kv-cost-dtype")
    with gr.Row(elem_classes="kv-cost-plots"):
        with gr.Column(min_width=300):
            html_part(element("h3", "What has to be in memory", class_="kv-heading"))
            memory = plot(figures.memory(first), "Memory")
            html_part(
                element(
                    "p",
                    "On a logarithmic scale: a step to the right multiplies. Open dots are the "
                    "reference implementation’s two ways.",
                    class_="kv-caption",
                )
            )
        with gr.Column(min_width=300):
            html_part(element("h3", "The saving grows with the vocabulary", class_="kv-heading"))
            savings = plot(figures.savings(first), "Saving")
            price = html_part(view.price(first))
    sums = html_part(_sums(first), "kv-cost-table")
    html_part(
        element(
            "div",
            element("h2", "Measured here", class_="kv-title"),
            element(
                "p",
                "Embeds batches of tokens, drawn as in text, in four interleaved implementations, "
                "with the vocabulary, P, width and numbers chosen above.",
                class_="kv-lead",
            ),
        )
    )
    with gr.Row(elem_id="kv-cost-tools"):
        tokens = gr.Radio(
            [(TYPING if size == 16 else f"{size:,}", size) for size in BATCHES],
            value=MeasureSettings.tokens,
            label="Tokens in a batch",
            elem_id="kv-cost-tokens",
        )
        start = gr.Button("Measure", variant="primary", elem_id="kv-cost-start")
        status = html_part(view.status("Takes about two seconds."), "kv-cost-status")
    times = html_part(_stored(), "kv-cost-times")

    controls: list[Any] = [vocabulary, count, pos_dim, d_model, dtype]
    gr.on(
        [control.change for control in controls],
        Line("cost")(_follow),
        controls,
        [head, count, memory, savings, price, sums],
        trigger_mode="always_last",
        queue=False,
        **QUIET,
    )
    named = {"of": vocabulary, "tokens": count, **fields.named, "batch": tokens}
    remember(context.links, "cost", named, {}, short=True)
    start.click(
        _measured,
        [*controls, tokens],
        [status, times],
        trigger_mode="once",
        concurrency_limit=1,
        concurrency_id="measure",
        **QUIET,
    )
    for function, queue in zip(endpoints(), ("cost", "measure"), strict=True):
        add_endpoint(function, queue, limit=1 if queue == "measure" else 2)


def _stored() -> Markup:
    """Return the times that the page opens with, which may come from another machine."""
    stored = stored_times()
    if stored is None:
        return Markup("")
    return element(
        "div", view.measured(stored.measurement), view.stored(stored.command), class_="kv-cost-page"
    )


def _follow(
    vocabulary: str, count: float | None, pos_dim: float, d_model: float, dtype: str
) -> list[Any]:
    chosen = gr.update(visible=vocabulary == ANY)
    try:
        name = _vocabulary(vocabulary, count)
        cost = input_cost(name, pos_dim, d_model, dtype)  # type: ignore[arg-type]
    except InputError as error:
        return [view.refused(str(error), large=True), chosen, *[gr.skip()] * 4]
    return [
        view.finding(cost),
        chosen,
        figures.memory(cost),
        figures.savings(cost),
        view.price(cost),
        _sums(cost),
    ]


def _measured(
    vocabulary: str,
    count: float | None,
    pos_dim: float,
    d_model: float,
    dtype: str,
    tokens: float,
    request: gr.Request,
) -> Iterator[list[Any]]:
    yield [view.status("Measuring …"), gr.skip()]
    there = still_there(str(request.session_hash))
    try:
        name = _vocabulary(vocabulary, count)
        measurement = measure_times(
            name,
            pos_dim,  # type: ignore[arg-type]
            d_model,  # type: ignore[arg-type]
            dtype,
            tokens,  # type: ignore[arg-type]
            progress=there,
        )
    except BaseException as error:
        yield [view.refused(failure(error)), gr.skip()]
        return
    shape = CostSettings(name, measurement.pos_dim, measurement.d_model, measurement.dtype)
    again = view.command(shape, measurement.tokens)
    yield [
        view.status(f"Measured in {measurement.seconds:.1f} s."),
        element("div", view.measured(measurement), again, class_="kv-cost-page"),
    ]


def endpoints() -> tuple[Callable[..., Answer], ...]:
    """Return the tab's endpoints, with plain arguments and JSON results."""

    def cost(settings: Callable[[], CostSettings]) -> Answer:
        return answer(lambda: input_cost(**vars(settings())))

    def measure(settings: Callable[[], MeasureSettings]) -> Answer:
        return answer(lambda: measure_times(**vars(settings()), progress=still_there()))

    return (
        endpoint(CostSettings, cost, "cost", COST),
        endpoint(MeasureSettings, measure, "measure", MEASURE),
    )


def _vocabulary(vocabulary: str, count: float | None) -> str:
    """Return the checked name of a vocabulary, or the checked number of tokens as text."""
    if vocabulary != ANY:
        return read_vocabulary(vocabulary)[0]
    return str(whole_number(count, "vocabulary", 1, MAX_VOCABULARY))


def _sums(cost: InputCost) -> Markup:
    shape = CostSettings(cost.vocabulary, cost.pos_dim, cost.d_model, cost.dtype)
    return element("div", view.sums(cost), view.command(shape), class_="kv-cost-page")
