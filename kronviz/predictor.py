"""`Predictor`: a pair of loaded arms, and their comparison on a clean and a misspelled text.

Notable:

- All arms share one code path: texts are tokenized once, and each arm reads them as one batch.
- Several comparisons make one batch, too (`Predictor.compare_many`); `serving` gathers them.
- On a CPU common prefixes are read once (`prefixes`); on a GPU batches have fixed shapes and run
  as CUDA graphs (`graphs`).
- A problem with what a user typed is an `InputError`, whose message is one sentence for them.

>>> predictor = Predictor.load("tiny")
>>> comparison = predictor.compare("The capital of France is", "The captial of Frnace is")
>>> comparison.arms[1].metrics.kl_nats  # doctest: +SKIP
0.61
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from kronviz.checkpoint import load_arm
from kronviz.checkpoint_files import CheckpointError, find_pair, fingerprint
from kronviz.differences import byte_opcodes
from kronviz.errors import InputError as InputError
from kronviz.graphs import GraphReader
from kronviz.metrics import PairMetrics, log_prob_metrics, log_probs
from kronviz.model import GPT
from kronviz.prefixes import PrefixReader
from kronviz.tokenizer import Tokenizer, load_tokenizer

Answer = TypeVar("Answer")
MAX_CHARS = 2_000
TOP = 10
_UNEVEN, _SHORT = 1.5, 8
"""In a batch no text is longer than this many times its shortest text plus this many tokens."""
_DIFFERENCES = 60_000
"""Pairs of bytes up to which differences are searched byte by byte, then token by token."""


@dataclass(frozen=True)
class TokenView:
    r"""A token of a text, for display.

    Attributes:
        text: readable form; bytes that are not a whole character are written ``\xe2``.
        hex: the bytes, two digits each.
        changed: indices of the bytes that differ from the other text.
        gaps: indices of the bytes before which this text lacks bytes of the other; the number of
            bytes stands for a gap after the last one.
    """

    id: int
    text: str
    hex: str
    changed: tuple[int, ...]
    gaps: tuple[int, ...] = ()


@dataclass(frozen=True)
class NextToken:
    """A possible next token, with its softmax probability and rank (from 1) after both texts."""

    id: int
    text: str
    hex: str
    clean_prob: float
    typo_prob: float
    clean_rank: int
    typo_rank: int


@dataclass(frozen=True)
class ArmComparison:
    """How one arm answers both texts.

    Attributes:
        arm: the arm's name, such as ``bpe``.
        next_tokens: the ten tokens with the largest probability after either text.
        clean_top, typo_top: the most probable next token after each text.
        answer: the first token of the right answer; ``None`` where none was given.
    """

    arm: str
    next_tokens: tuple[NextToken, ...]
    clean_top: NextToken
    typo_top: NextToken
    metrics: PairMetrics
    answer: NextToken | None = None


@dataclass(frozen=True)
class Comparison:
    """How a pair of arms answers a clean text and a misspelled one.

    Attributes:
        pair: name of the pair.
        seconds: time that the answer took.
    """

    pair: str
    clean: str
    typo: str
    clean_tokens: tuple[TokenView, ...]
    typo_tokens: tuple[TokenView, ...]
    arms: tuple[ArmComparison, ...]
    seconds: float


class Predictor:
    """A pair of arms with their tokenizer; `load` creates one.

    Attributes:
        pair: the pair's name.
        arms: the models that could be loaded, by arm.
        readers: the fastest reader of batches for each arm's device.
        tokenizer: shared by the arms.
        problems: a sentence for each arm that could not be loaded.
        fingerprints: `kronviz.checkpoint_files.fingerprint` of each arm's weights.
    """

    def __init__(
        self,
        pair: str,
        arms: dict[str, GPT],
        problems: Sequence[str] = (),
        fingerprints: Mapping[str, str] | None = None,
    ):
        if not arms:
            raise CheckpointError(" ".join(problems) or f"The pair {pair} has no arm.")
        vocabularies = {model.config.vocabulary for model in arms.values()}
        if len(vocabularies) > 1:
            raise CheckpointError(f"The arms of {pair} have different vocabularies; train a pair.")
        self.pair = pair
        self.arms = arms
        self.readers = {arm: _reader(model) for arm, model in arms.items()}
        self.problems = tuple(problems)
        self.fingerprints = dict(fingerprints or {})
        self.tokenizer: Tokenizer = load_tokenizer(vocabularies.pop())
        self._pool = ThreadPoolExecutor(len(arms), "arm")
        self.n_ctx = min(model.config.n_ctx for model in arms.values())

    @classmethod
    def load(
        cls,
        pair: str | Path,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        *,
        beside: Predictor | None = None,
    ) -> Predictor:
        """Load a pair by its name in ``checkpoints/`` or by its folder.

        A name such as ``tiny+ngram-words`` adds a third arm of the folder.

        Args:
            device: where to compute; by default CUDA if there is a GPU, else the CPU.
            dtype: type of weights and activations; by default bfloat16 on CUDA, else float32.
                ``benchmarks/serve.py`` prints how much the results differ.
            beside: another predictor of the same folder, whose models are shared.

        Raises:
            CheckpointError: no arm of the pair can be loaded.
        """
        info = find_pair(pair)
        if info is None:
            raise CheckpointError(f"There is no pair {Path(pair).name!r} in checkpoints.")
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32)
        arms, prints, problems = {}, {}, list(info.problems)
        for arm in info.arms:
            try:
                loaded = beside.arms.get(arm) if beside else None
                arms[arm] = loaded or load_arm(info.path / arm).to(device, dtype)
                prints[arm] = fingerprint(info.path / arm)
            except CheckpointError as error:
                problems.append(str(error))
        return cls(info.name, arms, problems, prints)

    def compare(self, clean: str, typo: str, answer: str = "") -> Comparison:
        """Compare the answers of all arms to a clean text and a misspelled one.

        Args:
            answer: what should follow both texts; empty if unknown.

        Raises:
            InputError: a text is empty or too long.
        """
        (comparison,) = self.compare_many([(clean, typo, answer)])
        if isinstance(comparison, InputError):
            raise comparison
        return comparison

    def compare_many(
        self, texts: Sequence[tuple[str, str] | tuple[str, str, str]]
    ) -> list[Comparison | InputError]:
        """Compare several clean texts with their misspelled ones, read together in few batches.

        Args:
            texts: for each pair the clean text, the misspelled text and, if known, the right
                answer.

        Returns:
            For each pair, in order, its comparison or the reason why there is none. ``seconds``
            counts from the start of the call. Batching changes probabilities by float32 rounding
            only.
        """
        started = time.perf_counter()
        answers: dict[int, Comparison | InputError] = {}
        asked: list[_Asked] = []
        for place, (clean, typo, *more) in enumerate(texts):
            clean, typo = clean_text(clean), clean_text(typo)
            try:
                right = self.answer_token(clean, typo, more[0] if more else "")
                ids = self.encode(clean, "clean text"), self.encode(typo, "misspelled text")
            except InputError as error:
                answers[place] = error
            else:
                asked.append(_Asked(place, clean, typo, *ids, right))
        for batch in _alike(asked):
            ids_together = [one.clean_ids for one in batch] + [one.typo_ids for one in batch]
            wanted = [one.answer for one in batch]
            arms = self.by_arm(
                functools.partial(self._read_arm, texts=ids_together, answers=wanted)
            )
            for one, by_arm in zip(batch, zip(*arms, strict=True), strict=True):
                clean_tokens, typo_tokens = self.token_views(one.clean_ids, one.typo_ids)
                answers[one.place] = Comparison(
                    pair=self.pair,
                    clean=one.clean,
                    typo=one.typo,
                    clean_tokens=clean_tokens,
                    typo_tokens=typo_tokens,
                    arms=by_arm,
                    seconds=time.perf_counter() - started,
                )
        return [answers[place] for place in range(len(texts))]

    def encode(self, text: str, label: str = "text") -> list[int]:
        """Return the ids of a typed text; `InputError` if it is empty or too long."""
        if not text.strip():
            raise InputError(f"The {label} is empty; type a few words.")
        check_characters(text, label)
        ids = self.tokenizer.encode(text)
        self.check_length(len(ids), label)
        return ids

    def check_length(self, tokens: int, label: str = "text") -> None:
        """Raise `InputError` if a text of so many tokens is too long for the models."""
        if tokens > self.n_ctx:
            raise InputError(
                f"The {label} has {tokens:,} tokens; this model reads {self.n_ctx}. Shorten it."
            )

    def by_arm(self, answer: Callable[[str], Answer]) -> list[Answer]:
        """Call a function for each arm; in parallel if the CPU has enough cores."""
        on_cpu = all(model.device.type == "cpu" for model in self.arms.values())
        side_by_side = on_cpu and torch.get_num_threads() * len(self.arms) <= cores()
        return list((self._pool.map if side_by_side else map)(answer, self.arms))

    def answer_token(self, clean: str, typo: str, answer: str) -> int | None:
        """Return the first token of a right answer, as it would follow both texts.

        A space is added before it unless both texts end in one. ``None`` for an empty answer.

        Raises:
            InputError: the answer is too long.
        """
        answer = clean_text(answer).strip()
        check_characters(answer, "right answer")
        if not answer:
            return None
        blank = "" if clean[-1:].isspace() and typo[-1:].isspace() else " "
        return self.tokenizer.encode(blank + answer)[0]

    def _read_arm(
        self, arm: str, texts: Sequence[Sequence[int]], answers: Sequence[int | None]
    ) -> list[ArmComparison]:
        """Return one arm's answers to texts: first all clean ones, then all misspelled ones."""
        reading = self.readers[arm].read(texts)
        # One transfer here, rather than a wait for the GPU at every number below.
        logs, final = log_probs(reading.logits.cpu()), reading.final.cpu()
        half = len(logs) // 2
        metrics = log_prob_metrics(logs[:half], logs[half:], final[:half], final[half:])
        probabilities = logs.exp()
        return [
            self._arm_comparison(arm, probabilities[row::half], metrics[row], answers[row])
            for row in range(half)
        ]

    def _arm_comparison(
        self, arm: str, probabilities: Tensor, metrics: PairMetrics, answer: int | None
    ) -> ArmComparison:
        """Return one arm's answer to one pair, from its probabilities ``(2, vocab)``."""
        best = probabilities.amax(0).topk(TOP).indices.tolist()
        right = [] if answer is None else [answer]
        shown = [*best, *probabilities.argmax(-1).tolist(), *right]
        selected = probabilities[:, shown].tolist()
        # NumPy counts ten times as fast as PyTorch.
        ranks = [
            [int(np.count_nonzero(row > value)) + 1 for value in values]
            for row, values in zip(probabilities.numpy(), selected, strict=True)
        ]
        views = [
            NextToken(
                token,
                self.tokenizer.token_text(token),
                self.tokenizer.token_bytes(token).hex(" "),
                *values,
            )
            for token, *values in zip(shown, *selected, *ranks, strict=True)
        ]
        next_tokens, (clean_top, typo_top, *rest) = views[: len(best)], views[len(best) :]
        return ArmComparison(
            arm, tuple(next_tokens), clean_top, typo_top, metrics, rest[0] if rest else None
        )

    def token_views(self, *texts: list[int]) -> tuple[tuple[TokenView, ...], ...]:
        """Return the tokens of two texts for display, with the differing bytes marked."""
        streams = [[self.tokenizer.token_bytes(token) for token in ids] for ids in texts]
        changed, gaps = _differences(*streams)
        return tuple(
            tuple(self._views(ids, stream, *marks))
            for ids, stream, *marks in zip(texts, streams, changed, gaps, strict=True)
        )

    def _views(
        self, ids: list[int], stream: list[bytes], marks: set[int], missing: set[int]
    ) -> Iterator[TokenView]:
        start, last = 0, len(ids) - 1
        for place, (token, data) in enumerate(zip(ids, stream, strict=True)):
            changed = tuple(i for i in range(len(data)) if start + i in marks)
            # A gap between two tokens belongs to the later one; the last also has the gap after it.
            ends = len(data) + (place == last)
            gaps = tuple(i for i in range(ends) if start + i in missing)
            yield TokenView(token, self.tokenizer.token_text(token), data.hex(" "), changed, gaps)
            start += len(data)


def _reader(model: GPT) -> GPT | PrefixReader | GraphReader:
    """Return the fastest reader for the model's device."""
    if model.device.type == "cuda":
        return GraphReader(model)
    return PrefixReader(model) if model.device.type == "cpu" else model


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_characters(text: str, label: str = "text") -> None:
    """Raise `InputError` if a text is longer than `MAX_CHARS` characters."""
    if len(text) > MAX_CHARS:
        raise InputError(
            f"The {label} has {len(text):,} characters; the limit is {MAX_CHARS:,}. Shorten it."
        )


def clean_text(text: str) -> str:
    """Return a text that can be encoded: lone surrogates become U+FFFD, pairs one character.

    JSON can carry half of a surrogate pair; UTF-8, which browsers and tokenizers use, cannot.
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True)
class _Asked:
    """A pair of texts, and its place among those that came together."""

    place: int
    clean: str
    typo: str
    clean_ids: list[int]
    typo_ids: list[int]
    answer: int | None

    @property
    def length(self) -> int:
        return max(len(self.clean_ids), len(self.typo_ids))


def _alike(asked: list[_Asked]) -> Iterator[list[_Asked]]:
    """Group pairs of similar length, because one long text would pad all others."""
    batch: list[_Asked] = []
    for one in sorted(asked, key=lambda one: one.length):
        if batch and one.length > _UNEVEN * batch[0].length + _SHORT:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


Sides = tuple[set[int], set[int]]


def _differences(first: list[bytes], second: list[bytes]) -> tuple[Sides, Sides]:
    """Return the indices of differing bytes in both token streams, and of the gaps in both."""
    changed: Sides = (set(), set())
    gaps: Sides = (set(), set())
    for tag, i, i_end, j, j_end in byte_opcodes(first, second, _DIFFERENCES):
        if tag != "equal":
            changed[0].update(range(i, i_end))
            changed[1].update(range(j, j_end))
        if tag == "delete":
            gaps[1].add(j)
        elif tag == "insert":
            gaps[0].add(i)
    return changed, gaps
