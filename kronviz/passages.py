"""Passages of real text with misspelled contexts, and the loss on their true continuations.

    context in several conditions (clean, 15% of the words misspelled, …) | 24 true tokens

Notable:

- The scored tokens are clean and the same in every condition and for every model of a vocabulary,
  so differences between models and between conditions are paired.
- A text can be split in two by a hash of each document: one half for choosing between models, the
  other for the verdict (`HALVES`). If a text's validation loss was watched during training, both
  halves have influenced it; only a text that nothing has read is untouched.
- Needs only PyTorch, NumPy and tiktoken (for human misspellings codespell), so that it runs where
  models are trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kronviz.model import GPT
from kronviz.progress import Progress, asking, goes_on
from kronviz.scoring import Ids, score
from kronviz.tokenizer import Tokenizer, load_tokenizer
from kronviz.typos import DEFAULT_KINDS, misspell
from kronviz.typos.noise import PERTURBATIONS, perturb
from kronviz.typos.words import find_words

COUNT, CONTEXT, CONTINUATION = 2_000, 64, 24
SHARES = (0.05, 0.15, 0.30)
HALVES = ("choosing", "verdict")


class PassageError(ValueError):
    """No passages can be made; the message is one sentence for a user."""


@dataclass(frozen=True, order=True)
class Condition:
    """What happens to the context.

    Attributes:
        kind: ``clean``, ``none`` (an end-of-text token in place of the context), ``synthetic``,
            ``human`` or a name in `kronviz.typos.noise.PERTURBATIONS`.
        share: share of the words that are misspelled, 0 to 1; 0 for the other kinds.
    """

    kind: str
    share: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.share:.0%}" if self.share else self.kind


CLEAN, NONE = Condition("clean"), Condition("none")
MISSPELLED = tuple(Condition(kind, share) for kind in ("synthetic", "human") for share in SHARES)
PERTURBED = tuple(map(Condition, PERTURBATIONS))
ALL = (CLEAN, *MISSPELLED, *PERTURBED, NONE)


@dataclass(frozen=True, eq=False)
class Passages:
    """Contexts in every condition and their continuations, as ids of one vocabulary.

    Attributes:
        contexts: ids of each passage's context, by condition; their lengths differ.
        misspelled: share of the words that were really misspelled, by condition; it can be lower
            than asked for, because not every word has a known human misspelling.
        targets: the true continuations, int64, ``(passages, continuation)``.
        bytes: number of bytes of each continuation, int64, ``(passages,)``.
        texts: SHA-256 of all clean passages, by which two sets can be compared.
    """

    vocabulary: str
    seed: int
    half: str | None
    contexts: dict[Condition, tuple[Ids, ...]]
    misspelled: dict[Condition, float]
    targets: NDArray[np.int64]
    bytes: NDArray[np.int64]
    texts: str

    def __len__(self) -> int:
        return len(self.targets)

    def part(self, start: int, stop: int) -> Passages:
        """Return a range of the passages; `misspelled` and `texts` remain those of all passages."""
        rows = slice(start, stop)
        return replace(
            self,
            contexts={condition: ids[rows] for condition, ids in self.contexts.items()},
            targets=self.targets[rows],
            bytes=self.bytes[rows],
        )

    def cut(self, condition: Condition, n_ctx: int) -> int:
        """Count the contexts whose beginning does not fit a model of ``n_ctx`` tokens."""
        room = n_ctx - self.targets.shape[1] + 1
        return sum(len(ids) > room for ids in self.contexts[condition])


def passages(
    texts: Iterable[str],
    vocabulary: str,
    *,
    count: int = COUNT,
    context: int = CONTEXT,
    continuation: int = CONTINUATION,
    conditions: Sequence[Condition] = (CLEAN, *MISSPELLED),
    kinds: Sequence[str] = DEFAULT_KINDS,
    seed: int = 0,
    half: str | None = None,
    progress: Progress | None = None,
) -> Passages:
    """Cut passages out of texts and misspell their contexts. The same arguments give the same
    passages.

    Args:
        texts: documents; passages do not overlap or cross from one document to the next.
        vocabulary: name for `kronviz.tokenizer.load_tokenizer`.
        count: how many passages to draw, if there are so many.
        context, continuation: number of clean tokens before and after the cut; the token after it
            begins a word.
        kinds: kinds of synthetic misspellings, names in `kronviz.typos.KINDS`.
        seed: seed of the draw and of the misspellings.
        half: ``choosing`` or ``verdict``, see `HALVES`; ``None`` takes all documents.
        progress: as for `kronviz.progress.asking`.

    Raises:
        PassageError: an argument is invalid, or the texts are too short for a single passage.
    """
    if half is not None and half not in HALVES:
        raise PassageError(f"half is {half!r}; it must be one of {', '.join(HALVES)}, or None.")
    if min(count, context, continuation) < 1:
        raise PassageError("count, context and continuation must be 1 or more.")
    tokenizer = load_tokenizer(vocabulary)
    pool = [
        passage
        for text in texts
        if half is None or half_of(text) == half
        for passage in _cut(text, tokenizer, context, continuation, progress)
    ]
    if not pool:
        raise PassageError(
            f"The text has no passage of {context + continuation} tokens; give a longer one."
        )
    # In the order of the draw, so that the first few are a sample, too.
    chosen = [pool[i] for i in np.random.default_rng(abs(seed)).permutation(len(pool))[:count]]
    cleans = [tokenizer.decode(before) for before, _ in chosen]
    misspelled = {
        condition: _misspell(cleans, condition, kinds, seed)
        for condition in asking(conditions, progress, 1)
    }
    words = max(1, sum(len(find_words(text)) for text in cleans))
    targets = np.array([after for _, after in chosen], np.int64)
    lengths = np.diff(tokenizer.vocabulary.offsets)
    whole = "\0".join(tokenizer.decode([*before, *after]) for before, after in chosen)
    return Passages(
        vocabulary=vocabulary,
        seed=seed,
        half=half,
        contexts={
            condition: tuple(tuple(tokenizer.encode(text)) or (tokenizer.eot_id,) for text in made)
            for condition, (made, _) in misspelled.items()
        },
        misspelled={c: edits / words for c, (_, edits) in misspelled.items()},
        targets=targets,
        bytes=lengths[targets].sum(1),
        texts=hashlib.sha256(whole.encode()).hexdigest(),
    )


def half_of(text: str) -> str:
    """Return the half that a document belongs to, from a hash of its text."""
    return HALVES[hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] % 2]


def losses(model: GPT, made: Passages, condition: Condition) -> NDArray[np.float64]:
    """Return the mean loss of each true continuation, in nats per token: float64, ``(passages,)``.

    Args:
        model: in evaluation mode, of the passages' vocabulary. It reads the end of a context that
            is too long for it.

    Raises:
        PassageError: the model has another vocabulary, or reads too few tokens.
    """
    if model.config.vocabulary != made.vocabulary:
        raise PassageError(
            f"The passages are in {made.vocabulary} tokens and the model reads "
            f"{model.config.vocabulary}; cut passages in the model's vocabulary."
        )
    length = made.targets.shape[1]
    if length > model.config.n_ctx:
        raise PassageError(
            f"The model reads {model.config.n_ctx} tokens, fewer than the {length} of a "
            "continuation; make it shorter."
        )
    targets = map(tuple, made.targets.tolist())
    texts = list(zip(made.contexts[condition], targets, strict=True))
    return -score(model, texts).logprobs / length


def _cut(
    text: str, tokenizer: Tokenizer, context: int, continuation: int, progress: Progress | None
) -> Iterator[tuple[Ids, Ids]]:
    """Yield the passages of a document in order; context and continuation both begin at a word."""
    ids = tokenizer.encode(text)
    starts = [tokenizer.token_bytes(i)[:2] for i in ids]
    word = [len(b) == 2 and b[:1] == b" " and b[1:].isalpha() for b in starts]
    i = 0
    while i + context + continuation <= len(ids):
        if i % 64 == 0:
            goes_on(progress, 0)
        before = tuple(ids[i : i + context])
        after = tuple(ids[i + context : i + context + continuation])
        if word[i] and word[i + context] and _encodes_back(tokenizer, before, after):
            yield before, after
            i += context + continuation
        else:
            i += 1


def _encodes_back(tokenizer: Tokenizer, before: Ids, after: Ids) -> bool:
    """Return whether encoding the decoded tokens gives the same tokens, split at the cut or not."""
    first, second = tokenizer.decode(before), tokenizer.decode(after)
    return (
        tokenizer.encode(first) == list(before)
        and tokenizer.encode(first + second) == [*before, *after]
        and "\ufffd" not in second
    )


def _misspell(
    cleans: Sequence[str], condition: Condition, kinds: Sequence[str], seed: int
) -> tuple[list[str], int]:
    """Return the texts in a condition, and how many words were misspelled."""
    kind = condition.kind
    if kind == "clean":
        return list(cleans), 0
    if kind == "none":
        return [""] * len(cleans), 0
    if kind in PERTURBATIONS:
        return [perturb(text, kind, seed + i) for i, text in enumerate(cleans)], 0
    if kind not in ("synthetic", "human"):
        raise PassageError(f"There is no condition {kind!r}.")
    names = tuple(kinds) if kind == "synthetic" else ("human",)
    try:
        # One edit per word, so that the number of edits is the number of misspelled words.
        made = [
            misspell(text, kinds=names, edits=1, seed=seed + i, share=condition.share)
            for i, text in enumerate(cleans)
        ]
    except (TypeError, ValueError) as error:
        raise PassageError(str(error)) from None
    return [one.text for one in made], sum(len(one.edits) for one in made)
