"""Misspellings that people really made: codespell's dictionary, inverted.

Notable:
- it is read from the installed package as a data file, on first use; codespell's own code (GPL) is
  neither imported nor run, and its dictionary (CC BY-SA 3.0) is not copied into this project;
- only entries that map one word to single words, of letters and apostrophes, are used.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def dictionary_path() -> Path | None:
    """Return the path of codespell's dictionary, or None when codespell is not installed."""
    spec = find_spec("codespell_lib")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "data" / "dictionary.txt"
        if path.is_file():
            return path
    return None


def misspellings(word: str) -> tuple[str, ...]:
    """Return the known misspellings of `word`, in lower case; () if there are none."""
    return _by_word().get(word.lower().replace("\u2019", "'"), ())


@cache
def _by_word() -> dict[str, tuple[str, ...]]:
    path = dictionary_path()
    lines = path.read_text(encoding="utf-8").splitlines() if path else []
    by_word: dict[str, list[str]] = {}
    for line in lines:
        wrong, _, meant = line.lower().partition("->")
        # “aache->cache, ache,” offers several words for one misspelling.
        for word in map(str.strip, meant.split(",")):
            if _is_word(wrong) and _is_word(word) and wrong != word:
                by_word.setdefault(word, []).append(wrong)
    return {word: tuple(wrongs) for word, wrongs in by_word.items()}


def _is_word(text: str) -> bool:
    return len(text) > 1 and text.replace("'", "").isalpha()
