"""The columns that a map can be coloured by: one small integer for every token of a vocabulary.

Notable:

- All are computed from a token's bytes, except the frequency, which is counted once in the training
  text (``python -m kronviz.maps.columns``) and stored beside the maps.
"""

from __future__ import annotations

import argparse
import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from kronviz.codec import is_utf8
from kronviz.maps.store import MAPS
from kronviz.maps.words import spelling
from kronviz.tokenizer import TokenBytes, load_tokenizer, token_set

CASES = ("no letters", "lower", "Capital", "UPPER", "mIxed")
SPACE = ("no leading space", "leading space")
SCRIPTS = ("Latin", "Cyrillic", "Greek", "Han, Kana", "other script", "digits", "signs", "no text")
_NAMED = {"LATIN": 0, "CYRILLIC": 1, "GREEK": 2, "CJK": 3, "HIRAGANA": 3, "KATAKANA": 3}
PER_OCTAVE = 8
"""Steps of a stored frequency for each doubling of the count."""


@dataclass(frozen=True)
class Columns:
    """The columns of a vocabulary, all uint8, shape ``(n_vocab,)``.

    Attributes:
        family: index in `kronviz.maps.words.PROBES`, from 1; 0 for none.
        space, case, script: indices in `SPACE`, `CASES` and `SCRIPTS`.
        frequency: ``PER_OCTAVE * log2(1 + count)`` in the training text; ``None`` if not counted.
    """

    family: NDArray[np.uint8]
    space: NDArray[np.uint8]
    case: NDArray[np.uint8]
    script: NDArray[np.uint8]
    frequency: NDArray[np.uint8] | None


@functools.lru_cache(maxsize=8)
def columns(vocabulary: str) -> Columns:
    """Return the `Columns` of a vocabulary."""
    packed = token_set(vocabulary).vocabulary
    tokens = [packed[token] for token in range(len(packed))]
    texts = [token.decode() if is_utf8(token) else None for token in tokens]
    return Columns(
        family=spelling(vocabulary).probe,
        space=np.array([token[:1] == b" " for token in tokens], np.uint8),
        case=np.array([_case(text) for text in texts], np.uint8),
        script=np.array([_script(text) for text in texts], np.uint8),
        frequency=_frequency(vocabulary, packed),
    )


def frequency_file(vocabulary: str, folder: Path = MAPS) -> Path:
    """Return the path of a vocabulary's stored frequencies."""
    return folder / f"frequency-{vocabulary.replace(':', '-')}.safetensors"


def _frequency(vocabulary: str, packed: TokenBytes) -> NDArray[np.uint8] | None:
    try:
        levels = load_file(frequency_file(vocabulary))["log2"]
    except (OSError, SafetensorError, KeyError):
        return None
    return levels if levels.shape == (len(packed),) and levels.dtype == np.uint8 else None


def _case(text: str | None) -> int:
    letters = [letter for letter in text or "" if letter.isalpha()]
    word = "".join(letters)
    if not letters or word.lower() == word.upper():
        return 0
    if word.islower():
        return 1
    if word.isupper():
        return 3 if len(word) > 1 else 2
    return 2 if word[0].isupper() and word[1:].islower() else 4


def _script(text: str | None) -> int:
    if text is None:
        return 7
    for letter in text:
        if letter.isalpha():
            return _NAMED.get(unicodedata.name(letter, "?").split()[0], 4)
    return 5 if any(letter.isdigit() for letter in text) else 6


def main(arguments: Sequence[str] | None = None) -> None:
    """Count each token in token files and store the frequencies."""
    parser = argparse.ArgumentParser(prog="python -m kronviz.maps.columns", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="token files written by prepare")
    parser.add_argument("--vocabulary", required=True, help="their vocabulary: r50k_base:8192")
    options = parser.parse_args(arguments)
    size = load_tokenizer(options.vocabulary).n_vocab
    counts = np.zeros(size, np.int64)
    for file in options.files:
        tokens = np.load(file, mmap_mode="r", allow_pickle=False)
        for start in range(0, len(tokens), 1 << 22):
            counts += np.bincount(tokens[start : start + (1 << 22)], minlength=size)
    levels = np.rint(PER_OCTAVE * np.log2(1 + counts)).clip(0, 255).astype(np.uint8)
    path = frequency_file(options.vocabulary)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"log2": levels}, path)
    print(f"{counts.sum():,} tokens counted, {(counts == 0).sum():,} never seen: {path.name}")


if __name__ == "__main__":
    main()
