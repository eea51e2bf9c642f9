"""Compare as the page shows it before the app is there: the same parts, with nothing to press.

What is drawn here comes with the page itself, so that a slow network has something to read; the
tab that `build` lays out takes its place.
"""

from __future__ import annotations

from kronviz.app.components import Markup, element, join
from kronviz.app.tabs.compare.picture import picture
from kronviz.probes.examples import Example

INTRO = (
    "A Kronecker embedding computes a token’s vector from its bytes instead of looking it up. It "
    "saves parameters and shifts less under misspelling, but ours predicts clean text slightly "
    "worse."
)
FIELDS = (
    ("Clean text", "Spelled as it should be", 5),
    ("The same, misspelled", "Type it with mistakes", 5),
    ("Right answer", "optional: what follows", 2),
)
"""Label, placeholder and share of the width of each field."""
MISSPELL = "Misspell it for me"
MANNER = "Kinds, strength and seed"


def still(opening: Example, chips: Markup, answer: Markup) -> Markup:
    """Return the first example and its answer as a picture of the tab."""
    texts = (opening.clean, opening.typo, opening.answer)
    columns = [
        _field(label, text, scale) for (label, _, scale), text in zip(FIELDS, texts, strict=True)
    ]
    button = element("button", MISSPELL, type="button", class_="primary")
    return join(
        [
            element("p", INTRO, class_="kv-intro"),
            element("div", *columns, id="kv-texts"),
            element("div", button, element("div", chips, class_="block"), id="kv-tools"),
            element("div", element("span", MANNER), id="kv-manner"),
            element("div", picture(), id="kv-now"),
            element("div", answer, id="kv-answer"),
        ]
    )


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
