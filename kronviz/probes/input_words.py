"""Compares the input embeddings of the words of a clean and a misspelled text, in every arm.

Notable:

- A word begins at a token that begins with white space. Words of the two texts are matched in
  order; a word may have no counterpart.
- Cosines are of the words' first tokens, minus the mean embedding of all tokens: what all vectors
  of an arm have in common says nothing about two of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import torch

from kronviz.predictor import Comparison, Predictor
from kronviz.strings import cosines, mean_embedding

NUMBERS = 24


@dataclass(frozen=True)
class InputWord:
    """A word in both texts.

    Attributes:
        clean, typo: the range of its tokens, end exclusive; ``None`` if a text lacks it.
        changed: whether it is spelled differently in the two texts.
        cosines: cosine of its first tokens' embeddings, by arm; empty if a text lacks it.
    """

    clean: tuple[int, int] | None
    typo: tuple[int, int] | None
    changed: bool
    cosines: dict[str, float]


@dataclass(frozen=True)
class InputWords:
    """The words of two texts, and the embeddings of their tokens.

    Attributes:
        words: in the order of the texts.
        vectors: by arm and id, the first `NUMBERS` numbers of the token's input embedding, as whole
            numbers from -127 to 127. 127 is twice the root mean square of all these numbers of the
            arm; larger ones are clipped.
    """

    words: tuple[InputWord, ...]
    vectors: dict[str, dict[int, tuple[int, ...]]]


@torch.inference_mode()
def input_words(comparison: Comparison, predictor: Predictor) -> InputWords:
    """Match the words of two texts and look up their tokens' embeddings in every arm."""
    sides = [[(view.id, bytes.fromhex(view.hex)) for view in side]
             for side in (comparison.clean_tokens, comparison.typo_tokens)]  # fmt: skip
    ids = list(dict.fromkeys(token for side in sides for token, _ in side))
    row = {token: place for place, token in enumerate(ids)}
    vectors: dict[str, dict[int, tuple[int, ...]]] = {}
    centred = {}
    for arm, model in predictor.arms.items():
        embedded = model.wte(torch.tensor(ids, device=model.device)).double()
        first = embedded[:, :NUMBERS].cpu()
        largest = 2 * float(first.square().mean().sqrt()) or 1.0
        whole = (first * (127 / largest)).round().clamp(-127, 127).int().tolist()
        vectors[arm] = {token: tuple(whole[place]) for place, token in enumerate(ids)}
        centred[arm] = embedded - mean_embedding(model)
    words = []
    for clean, typo, changed in matched(*([data for _, data in side] for side in sides)):
        similar = {}
        if clean and typo:
            first_ids = row[sides[0][clean[0]][0]], row[sides[1][typo[0]][0]]
            similar = {
                arm: cosines(rows[first_ids[1], None], rows[first_ids[0]])[0]
                for arm, rows in centred.items()
            }
        words.append(InputWord(clean, typo, changed, similar))
    return InputWords(tuple(words), vectors)


Span = tuple[int, int]


def matched(
    clean: Sequence[bytes], typo: Sequence[bytes]
) -> list[tuple[Span | None, Span | None, bool]]:
    """Match the words of two token streams; return their token ranges, and whether they differ."""
    spans = _spans(clean), _spans(typo)
    texts = [
        [b"".join(tokens[start:end]) for start, end in side]
        for tokens, side in zip((clean, typo), spans, strict=True)
    ]
    words: list[tuple[Span | None, Span | None, bool]] = []
    matcher = SequenceMatcher(None, texts[0], texts[1], autojunk=False)
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        for step in range(max(i_end - i, j_end - j)):
            one = spans[0][i + step] if i + step < i_end else None
            other = spans[1][j + step] if j + step < j_end else None
            words.append((one, other, tag != "equal"))
    return words


def _spans(tokens: Sequence[bytes]) -> list[Span]:
    starts = [place for place, data in enumerate(tokens) if not place or data[:1].isspace()]
    return list(zip(starts, [*starts[1:], len(tokens)], strict=True))
