"""Compare as the page shows it before the app has loaded: the same parts without controls.

This comes with the page itself, so that there is something to read on a slow network; the tab from
`build` replaces it.
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
"""Label, placeholder and relative width of each field."""
MISSPELL = "Misspell it for me"
MANNER = "Kinds, strength and seed"


def still(opening: Example, chips: Markup, answer: Markup) -> Markup:
    """Return a still picture of the tab with the first example and its answer."""
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
