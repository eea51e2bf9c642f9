"""Ways to misspell a text, seeded, with every edit reported.

Notable:
- one function, :func:`misspell`, makes every kind of error, from two swapped letters to what people
  really write (codespell's list of about 60,000 misspellings);
- the reported edits are complete: applied to the original they give the result, and no two touch,
  so each can be shown on its own;
- the same text, options and seed give the same result in every process;
- a letter is what a reader sees: a base character is never split from its combining marks.

>>> misspell("The capital of France is", kinds=("swap",), seed=3).text
'The capitla of France is'
"""

from kronviz.typos.engine import Misspelling, apply_edits, misspell
from kronviz.typos.kinds import DEFAULT_KINDS, KINDS, Edit, Kind
from kronviz.typos.tables import KEYBOARDS

__all__ = [
    "DEFAULT_KINDS",
    "KEYBOARDS",
    "KINDS",
    "Edit",
    "Kind",
    "Misspelling",
    "apply_edits",
    "misspell",
]
