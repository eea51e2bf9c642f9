"""Ways to misspell a text, seeded, with every edit reported.

Notable:
- one call, :func:`misspell`, for every kind of error, from a swapped pair of letters to what
  people really write (codespell's list of about 60,000 misspellings);
- the reported edits are the whole truth: applied to the original they give the result, and
  they never touch each other, so each one can be pointed at on its own;
- the same text, options and seed give the same result in every process;
- letters are what a reader sees: a base character with its combining marks is never split.

>>> misspell("The capital of France is", kinds=("swap",), seed=3).text
'The capitla of France is'
"""

from kronviz.typos.engine import Misspelling, apply_edits, misspell
from kronviz.typos.kinds import KINDS, Edit, Kind
from kronviz.typos.tables import KEYBOARDS

__all__ = ["KEYBOARDS", "KINDS", "Edit", "Kind", "Misspelling", "apply_edits", "misspell"]
