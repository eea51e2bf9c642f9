"""What each tab shows, how to read it, what it does not show: one component, one place for words.

`explained` stands at the head of every tab: one sentence that is always there, and the rest behind
it for whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from kronviz.app.components import Markup, element


@dataclass(frozen=True)
class Explanation:
    """What a visitor has to know about a view, each in one to three short sentences."""

    shows: str
    reading: str
    limits: str


EXPLANATIONS = {
    "compare": Explanation(
        "What both models say next, and how far a misspelling moves them.",
        "Hatched bars are the clean text, solid bars the misspelled one. The less the two differ, "
        "the less the model minded. KL sums that up over all tokens: 0 means that nothing moved.",
        "Which model is better. One sentence proves nothing; Robustness counts hundreds. Nor is a "
        "steady model a knowing one: both are small, and often wrong about the world.",
    ),
    "bytes": Explanation(
        "What kron is given for a string: one lit cell for each byte, at the byte’s place.",
        "A row of the grid is a byte value, a column a position. Strings are alike as far as they "
        "light the same cells. The bars say how much of kron’s vector each byte accounts for.",
        "Meaning. The code knows spelling alone, so «nation» stands beside «ration»; what they "
        "mean has to be learned by the blocks behind it.",
    ),
    "map": Explanation(
        "The tokens as points, placed so that tokens with like vectors lie close together.",
        "Close points have like vectors. Look for what gathers: spellings, endings, subjects.",
        "Distances. Axes have no meaning, nor has the gap between far groups, and a flat picture "
        "of many dimensions tears some neighbours apart: the tables below have the true ones.",
    ),
    "generate": Explanation(
        "How both models go on with a text, and with a string that no vocabulary has.",
        "The longer the line under a token, the surer the model was of it. Both draw from the same "
        "random numbers: where they part, the models differ.",
        "Which of them writes better. A continuation is one throw of the dice, and small models "
        "are fluent before they make sense.",
    ),
    "layers": Explanation(
        "Where in the network words that are spelled alike come together, and where they part.",
        "Each picture is one measure, from the input through the blocks; kron is drawn solid, bpe "
        "dashed, the paper’s figures beside ours. Compare directions, not sizes.",
        "What a layer is for. Like vectors say nothing about what the model does with them.",
    ),
    "robustness": Explanation(
        "The paper’s test of spelling over hundreds of texts, and which misspellings hurt most.",
        "Brackets hold a 95 % interval over the pairs. Where the interval of «kron less bpe» "
        "leaves out 0, the choice of sentences is unlikely to be the reason.",
        "Other models. This is one pair, trained once: the intervals speak for the sentences, not "
        "for another training.",
    ),
    "your-model": Explanation(
        "The paper’s test of tables that others trained: which tokens does a table put near a "
        "word, and which does the byte code, untrained, put there?",
        "Compare the rows of the first table with each other: a space that knows spelling has the "
        "first two far above the third, one that knows meaning has the second there alone.",
        "How good a model is. A table is where a model begins; and close in the byte code is "
        "whatever is spelled alike, whatever it means.",
    ),
    "training": Explanation(
        "How the two models learned: their loss, the gap between them, the size of what reads a "
        "token.",
        "Both read the same text in the same order. Lower loss is better; in «The gap» and «Rare "
        "tokens», above zero means that kron is ahead.",
        "What happens at another scale, or with another optimizer. Ours is one run with one seed; "
        "the paper’s figures stand beside it and come from another experiment.",
    ),
    "cost": Explanation(
        "What an input embedding costs in parameters, memory and time: a table, and kron.",
        "The sums follow the controls. Times are taken at the press of a button, on the machine "
        "that runs this page.",
        "The whole model. kron’s output head is its own, so what is saved at the input is not "
        "saved altogether; the table below counts both.",
    ),
    "about": Explanation(
        "The method in one picture, our figures beside the paper’s, limits, sources, licences.",
        "Every figure of ours is read from the files of the pair on this page; every figure of "
        "the paper’s says where it stands there.",
        "A judgement. Two small models trained once each cannot confirm or refute a paper.",
    ),
}
"""By the name that the tab has in links."""


def explained(name: str) -> Markup | None:
    """The head of a tab; ``None`` for one that has no explanation."""
    found = EXPLANATIONS.get(name)
    if found is None:
        return None
    return element(
        "details",
        element(
            "summary",
            element("span", found.shows, class_="kv-shows"),
            " ",
            element("span", "How to read it", class_="kv-more-link"),
        ),
        element(
            "div",
            _part("How to read it", found.reading),
            _part("What it does not show", found.limits),
            class_="kv-explained-parts",
        ),
        class_="kv-explained",
    )


def _part(title: str, words: str) -> Markup:
    return element("div", element("h2", title, class_="kv-heading"), element("p", words))
