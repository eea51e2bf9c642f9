"""Words that readers stumbled over stay out of every page, tooltip, error and docstring."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPLACED = {
    "see which of them minds": "see whose prediction holds up",
    "alike but for how they read": "identical except for the input embedding",
    "moved less overall": "’s prediction shifted less",
    "model minded": "say what shifted",
    "kron less bpe": "kron − bpe",
    "bpe less kron": "kron − bpe",
    "loss less kron": "loss, kron − bpe",
    "They part at once": "They diverge at the first token",
    "go on with a text": "continue a text",
    "no vocabulary has": "no tokenizer has",
    "with commas between": "comma-separated",
    "Printed again by": "Reproduce with",
    "Not measured yet, and": "Not measured yet; not in the paper",
    "hold still?": "keep its size during training?",
    "the size of what reads": "embedding norms",
    ", as sums": "cost breakdown",
    "Cut tokens": "Truncated tokens",
    "Back again": "Round trip",
    "stands –": "shown as –",
    "A byte more at the front": "One extra byte at the front",
    "behind the input have to part": "later layers must separate them",
    "Lay out afresh": "Recompute layout",
    "a blank before a word counts": "a leading space matters",
    "that take turns": "interleaved",
    "A file may have": "Files up to",
    "Leave the path": "End tour",
    " times fewer": "× fewer",
    'another form"': "same word",
    'a relative"': "same root",
    "shares the root": "same root",
}
"""What readers stumbled over, and what stands there now."""
PATTERNS = {
    r"\{[A-Z_]+\}": "a name in braces stands in an f-string",
    r"[«»]": "quotation marks are “ ”",
    r"\d %(?![\w({-])": "a percent sign follows its number",
    r"\d %(?= (?:interval|fewer|lower|longer|of|in|over|more|less)\b)": "67.5%, without a blank",
}


@cache
def texts(path: Path) -> list[str]:
    """Return what a file says: its strings, docstrings among them; of a script, all of it."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return [source]
    nodes = ast.walk(ast.parse(source))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


FILES = sorted(
    path
    for ending in ("py", "js")
    for path in (ROOT / "kronviz").rglob(f"*.{ending}")
    if "training" not in path.parts or "app" in path.parts
)


def test_what_was_replaced_does_not_come_back() -> None:
    for word in REPLACED:
        found = [path.name for path in FILES if any(word in text for text in texts(path))]
        assert not found, f"say “{REPLACED[word]}”"


def test_typography_is_english() -> None:
    for pattern in PATTERNS:
        found = [
            (path.name, match[0], text[max(0, match.start() - 30) : match.end() + 20])
            for path in FILES
            for text in texts(path)
            for match in re.finditer(pattern, text)
            # `%` between numbers is arithmetic in a script.
            if path.suffix == ".py" or pattern == "[«»]"
        ]
        assert not found, PATTERNS[pattern]
