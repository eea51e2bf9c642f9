"""The guided tour: five steps through the tabs, which a visitor can leave at any point.

Notable:

- Every step is on the page from the start; ``assets/guide.js`` shows one, opens its tab, and
  keeps its number in the link (``?step=2``).
- A visitor who leaves halfway can resume with the button that started the tour; it names the step.
- A step's button presses an existing control of its tab, given by a selector; a browser test
  takes the tour and presses each.
"""

from __future__ import annotations

from dataclasses import dataclass

from kronviz.app.components import Markup, element


@dataclass(frozen=True)
class Step:
    """One step: the tab that it opens, what to look at there, and one button.

    Attributes:
        tab: name of the tab in links.
        title, words: the step's text.
        label: label of the step's button.
        press: CSS selector of the control that the button presses.
        show: CSS selector of the element to scroll to afterwards.
    """

    tab: str
    title: str
    words: str
    label: str
    press: str
    show: str


STEPS = (
    Step(
        "compare",
        "Misspell a sentence",
        "Both models read one sentence twice, the second time misspelled, and predict what comes "
        "next. Watch the right answer’s probability, then how far the prediction shifts.",
        "Misspell it another way",
        "#kv-misspell",
        "#kv-answer",
    ),
    Step(
        "bytes",
        "See what kron sees",
        "bpe knows a token only by its number. kron is given the token’s bytes, each at its "
        "position. Strings that light the same cells start out similar, before any training.",
        "Put “hunderd” beside “hundred”",
        '#kv-byte-pairs [data-with="hunderd"]',
        "#kv-byte-with",
    ),
    Step(
        "generate",
        "Use a word no tokenizer has",
        "A table has no row for a word it never saw whole. kron computes a vector from any bytes "
        "and puts it into one position of the text.",
        "Force “kubernetes”",
        '.kv-gen-try[data-kind="slot"]',
        "#kv-gen",
    ),
    Step(
        "robustness",
        "Count instead of trusting one sentence",
        "One sentence proves nothing. Hundreds of pairs, each clean and misspelled, give both "
        "models figures with intervals, beside the paper’s.",
        "Run the pairs",
        "#kv-lab-run",
        "#kv-lab-table",
    ),
    Step(
        "cost",
        "Ask what it costs",
        "A projection of bytes is far smaller than a table, and saves more the larger the "
        "vocabulary. The time it takes is measured on this machine.",
        "Measure the time",
        "#kv-cost-start",
        "#kv-cost-tools",
    ),
)


def guide() -> Markup:
    """Return the tour, hidden until a visitor starts it."""
    steps = [
        element(
            "div",
            element("h2", step.title, class_="kv-step-title", tabindex="-1"),
            element("p", step.words),
            element(
                "button",
                step.label,
                type="button",
                class_="kv-step-try",
                data_press=step.press,
                data_show=step.show,
            ),
            class_="kv-step",
            data_tab=step.tab,
            hidden=True,
        )
        for step in STEPS
    ]
    marks = [element("span", class_="kv-step-mark") for _ in STEPS]
    return element(
        "section",
        element(
            "div",
            element("p", "Step ", element("b", "1"), f" of {len(STEPS)}", class_="kv-step-count"),
            element("div", *marks, class_="kv-step-marks", aria_hidden="true"),
            element("button", "End tour", type="button", class_="kv-textbutton kv-step-off"),
            class_="kv-path-head",
        ),
        element("div", *steps, aria_live="polite"),
        element(
            "div",
            element("button", "Back", type="button", class_="kv-step-back"),
            element("button", "Next", type="button", class_="kv-step-next"),
            class_="kv-step-turn",
        ),
        class_="kv-path",
        aria_label="A tour in five steps",
        hidden=True,
    )
