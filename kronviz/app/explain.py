"""The explanations of all tabs: what a tab shows, how to read it, and what it does not show.

`explained` heads every tab: one sentence that is always visible, and the rest in a fold.
"""

from __future__ import annotations

from dataclasses import dataclass

from kronviz.app.components import Markup, element


@dataclass(frozen=True)
class Explanation:
    """The explanation of a view, each part in one to three short sentences."""

    shows: str
    reading: str
    limits: str


EXPLANATIONS = {
    "compare": Explanation(
        "What each model predicts next, and how a misspelling changes it.",
        "Hatched bars are the clean text, solid bars the misspelled one. Read the right answer’s "
        "probability first, then how far the whole prediction shifted (KL; 0 means no shift).",
        "Which model is better. One sentence proves nothing; Evidence has hundreds. A model "
        "that does not move may simply be wrong both times. Both are small, were trained here and "
        "are often wrong about the world.",
    ),
    "bytes": Explanation(
        "What kron is given for a string: one lit cell per byte, at the byte’s position.",
        "A row of the grid is a byte value, a column a position. The more cells two strings share, "
        "the more similar they are. The bars show each byte’s share of kron’s vector.",
        "Meaning. The code knows spelling alone, so “nation” is close to “ration”; later layers "
        "have to learn what they mean.",
    ),
    "map": Explanation(
        "Tokens as points: tokens with similar vectors lie close together.",
        "Look for what tokens group by: spelling, ending, subject. A group’s name says what most "
        "of its tokens share.",
        "Distances. The axes have no meaning, nor does the gap between distant groups, and a flat "
        "picture of many dimensions separates some neighbors: the tables have the true ones.",
    ),
    "generate": Explanation(
        "How each model continues a text, and what becomes of a word no tokenizer has.",
        "The longer the line under a token, the more probable it was. Both models sample with the "
        "same random numbers, so where they diverge, the models differ.",
        "Which model writes better. A continuation is one sample, and small models are fluent "
        "before they make sense.",
    ),
    "inside": Explanation(
        "Where in each network one misspelling is felt, and where its damage is undone.",
        "Each cell replaces one activation of the misspelled run with that of the clean run. The "
        "stronger the tint, the more of the damage this undoes. Follow strong cells from the "
        "misspelled word to the last token: that is the path of the damage.",
        "What a block is for. A cell says that something passes there, not what; and one sentence "
        "proves nothing: see Many pairs.",
    ),
    "inside-pairs": Explanation(
        "Where in each network the damage of a misspelling is undone, over 320 pairs of texts.",
        "A line says which share of the damage is undone when one place is taken from the clean "
        "run at one block; bars are 95% intervals over the pairs. Where kron’s line stays high "
        "and bpe’s falls, kron’s damage stays longer at the misspelled word.",
        "Other models. This is one pair, trained once: the intervals cover only the choice of "
        "texts.",
    ),
    "layers": Explanation(
        "Where in the network similarly spelled words come together, and where they separate.",
        "Each chart is one measure, from the input through the blocks; kron is solid, bpe dashed, "
        "the paper’s figures beside ours. Compare directions, not sizes.",
        "What a layer is for. Similar vectors say nothing about what the model does with them.",
    ),
    "robustness": Explanation(
        "Which model answers better over hundreds of misspelled texts, and which misspellings hurt "
        "most.",
        "Brackets hold a 95% interval over the texts. Where the interval of “kron − bpe” excludes "
        "0, the choice of texts is unlikely to be the reason.",
        "Other models. This is one pair, trained once: the intervals cover the choice of texts, "
        "not another training run.",
    ),
    "your-model": Explanation(
        "The paper’s test of other models’ embedding tables: which tokens does a table put near a "
        "word, and which does the untrained byte code put there?",
        "Compare the rows of the first table: where the first two are far above the third, the "
        "table knows spelling; where only the second is, it knows meaning.",
        "How good a model is. A table is where a model begins; and in the byte code, similarly "
        "spelled words are close, whatever they mean.",
    ),
    "arms": Explanation(
        "Other ways to turn a token into a vector, trained side by side on small models.",
        "Left of the line an arm beats the better table. Filled marks follow a misspelled context, "
        "open ones a clean one.",
        "Large models. These are small and read few tokens, where sharing rows between tokens "
        "helps most; the lead shrinks as they read more.",
    ),
    "training": Explanation(
        "How the two models learned: their loss, the gap between them, their embedding norms.",
        "Both read the same text in the same order. Lower loss is better; in “The gap” and “Rare "
        "tokens”, kron is ahead below zero.",
        "What happens at another scale, or with another optimizer. Ours is one run with one seed; "
        "the paper’s figures beside it come from another experiment.",
    ),
    "cost": Explanation(
        "What an input embedding costs in parameters, memory and time: a table, and kron.",
        "The breakdown follows the controls. The times shown at first are stored; the button "
        "measures on the machine that runs this page.",
        "The whole model. kron needs a separate output head, so the input’s saving is not the "
        "whole model’s; the table below counts both.",
    ),
    "about": Explanation(
        "Our figures beside the paper’s, limits, sources, licences.",
        "Our figures are read from the files of the pair on this page; each of the paper’s says "
        "where in the paper it is.",
        "A verdict. Two small models trained once each cannot confirm or refute a paper.",
    ),
}
"""By the name that the tab has in links."""


def explained(name: str) -> Markup | None:
    """Return the head of a tab; ``None`` for one that has no explanation."""
    explanation = EXPLANATIONS.get(name)
    if explanation is None:
        return None
    return element(
        "details",
        element(
            "summary",
            element("span", explanation.shows),
            " ",
            element("span", "How to read it", class_="kv-more-link"),
        ),
        element(
            "div",
            _part("How to read it", explanation.reading),
            _part("What it does not show", explanation.limits),
            class_="kv-explained-parts",
        ),
        class_="kv-explained",
    )


def _part(title: str, words: str) -> Markup:
    return element("div", element("h2", title, class_="kv-heading"), element("p", words))
