"""Compare as the page shows it before the app is there: the same parts, with nothing to press.

What is drawn here comes with the page itself, so that a slow network has something to read; the
tab that `build` lays out takes its place.
"""

from __future__ import annotations

from kronviz.app.components import Markup, element, join
from kronviz.app.context import Context
from kronviz.app.tabs.compare.picture import picture
from kronviz.app.tabs.compare.tab import (
    FIELDS,
    INTRO,
    MISSPELL,
    example_chips,
    first_answer,
    first_examples,
)


def still(context: Context) -> Markup:
    """Return the first example and its answer as a picture of the tab."""
    examples, rule = first_examples(context)
    opening = examples[0]
    texts = (opening.clean, opening.typo, opening.answer)
    columns = [
        _field(label, text, scale) for (label, _, scale), text in zip(FIELDS, texts, strict=True)
    ]
    button = element("button", MISSPELL, type="button", class_="primary")
    return join(
        [
            element("p", INTRO, class_="kv-intro"),
            element("div", *columns, id="kv-texts"),
            element(
                "div", button, element("div", example_chips(examples, rule), class_="block"),
                id="kv-tools",
            ),
            element("div", element("span", "Kinds, strength and seed"), id="kv-manner"),
            element("div", picture(), id="kv-now"),
            element("div", first_answer(context, opening), id="kv-answer"),
        ]
    )  # fmt: skip


def _field(label: str, text: str, scale: int) -> Markup:
    name = element("span", label, data_testid="block-info")
    area = element("textarea", text, rows="1", readonly=True, tabindex="-1")
    return element(
        "div",
        element(
            "div",
            element("label", name, element("div", area, class_="input-container")),
            class_="block",
        ),
        class_="column",
        style=f"--scale: {scale}",
    )
