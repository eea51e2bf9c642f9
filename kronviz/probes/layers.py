"""What is near a word at every depth of both arms, and where likeness of spelling ends (6.8).

Notable:

- Each token of the vocabulary is read alone, as a text of one token; its vector at a depth is the
  residual stream there. The mean over the vocabulary is taken off before cosines are compared, and
  with it the position, which all of these texts share.
- Three shares of the ten nearest tokens, as in the paper's table 10: ``L`` is another canonical
  form than the word's, ``M`` holds the root of its family, ``S`` belongs to the family.
- Asked are the words of the families that are one token, bare or with a leading space. The paper
  takes the first token of each word, which for “nations” is “n”: those words are left out here.
- Three kinds of pairs answer where the reading is done: a word and its misspelling in the
  same sentence, the ends of these two sentences, and two words one letter apart.
- Sentences come first, then the tokens in order of id, both arms together. A run that is stopped
  so has every sentence, and neighbours among the first tokens alone, the same for both arms.

Run it: ``python -m kronviz.probes layers --pair tiny``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kronviz.families import FAMILIES
from kronviz.model import GPT, parameter_count
from kronviz.predictor import Predictor
from kronviz.probes.layer_words import Cut, Spellings, lookalikes, sentences, spellings
from kronviz.probes.outcomes import BATCH_FLOP, batch_sizes
from kronviz.progress import Progress, goes_on

NEAREST = 10
CHUNK = 1024
"""Most tokens read at once; progress, and a wish to stop, are heard between two of these."""
KINDS = ("typo", "ending", "lookalike")


@dataclass(frozen=True)
class FamilyShares:
    """The shares of one family at one depth, means over its words.

    Attributes:
        other_form, holds_root, in_family: L, M and S, each from 0 to 1.
        example: one of its words, as the vocabulary has it.
        nearest: the tokens nearest to the example, nearest first, readable.
    """

    family: str
    other_form: float
    holds_root: float
    in_family: float
    example: str
    nearest: tuple[str, ...]


@dataclass(frozen=True)
class DepthShares:
    """What is near at one depth of an arm.

    Attributes:
        depth: 0 entering the first block, then the number of the block that has been passed.
        other_form, holds_root, in_family: L, M and S, means over the families.
        norm: mean length of the vectors after centring.
    """

    depth: int
    other_form: float
    holds_root: float
    in_family: float
    norm: float
    families: tuple[FamilyShares, ...]


@dataclass(frozen=True)
class PairCosines:
    """Mean cosine of pairs at every depth of an arm, after centring.

    Attributes:
        kind: ``typo`` (a word and its misspelling, at their last token, in the same sentence),
            ``ending`` (the last position of the two sentences) or ``lookalike`` (two words one
            letter apart, each read alone).
        pairs: how many.
        cosines: by depth; ``margins`` are the half widths of their 95% intervals.
        controls: the same for pairs that were put together at random.
        largest_fall: the block in which the cosine falls most, counted from 1; 0 where none takes
            0.01 off it.
    """

    kind: str
    pairs: int
    cosines: tuple[float, ...]
    margins: tuple[float, ...]
    controls: tuple[float, ...]
    largest_fall: int


@dataclass(frozen=True)
class ArmLayers:
    """One arm, from its embedding to after its last block."""

    arm: str
    depths: tuple[DepthShares, ...]
    pairs: tuple[PairCosines, ...]


@dataclass(frozen=True)
class LayerReport:
    """The layered probe of a pair.

    Attributes:
        words: the tokens that were asked, readable, in order of family.
        tokens: size of the vocabulary.
        read: how many of its first tokens were read and searched: all, unless the run was stopped.
        nearest: how many of the nearest tokens were looked at.
        seconds: time that it took.
    """

    pair: str
    vocabulary: str
    words: tuple[str, ...]
    tokens: int
    read: int
    nearest: int
    arms: tuple[ArmLayers, ...]
    seconds: float

    @property
    def depths(self) -> int:
        """How many depths were looked at: the input, and after each block."""
        found = [
            part for arm in self.arms for part in (arm.depths, *(p.cosines for p in arm.pairs))
        ]
        return max(map(len, found), default=0)

    def arm(self, name: str) -> ArmLayers | None:
        """One arm's layers, if the pair has it."""
        return next((arm for arm in self.arms if arm.arm == name), None)


_done: dict[tuple[GPT, ...], LayerReport] = {}


def known_layers(predictor: Predictor) -> LayerReport | None:
    """The report of a pair's models, if it was made since they were loaded."""
    return _done.get(tuple(predictor.arms.values()))


def layers(predictor: Predictor, progress: Progress | None = None) -> LayerReport:
    """Run the layered probe on every arm of a pair.

    Args:
        progress: told the share that is done; a stopped run returns what was read.
    """
    if known := known_layers(predictor):
        return known
    started = time.perf_counter()
    reading = _Reading(predictor)
    for share in reading.steps():
        if not goes_on(progress, share):
            break
    report = reading.report(started)
    if report.read == report.tokens:
        while len(_done) >= 4:
            _done.pop(next(iter(_done)))
        _done[tuple(predictor.arms.values())] = report
    return report


class _Reading:
    """All arms of a pair while they read the sentences, and then token by token the vocabulary."""

    def __init__(self, predictor: Predictor):
        self._predictor, self._tokenizer = predictor, predictor.tokenizer
        self._sentences = sentences(self._tokenizer, predictor.n_ctx)
        self._ends = {arm: _Ends(model, self._sentences) for arm, model in predictor.arms.items()}
        self._streams = {
            arm: torch.empty(
                model.config.n_layer + 1,
                self._tokenizer.n_vocab,
                model.config.d_model,
                device=model.device,
            )
            for arm, model in predictor.arms.items()
        }
        self._read = 0

    @torch.inference_mode()
    def steps(self) -> Iterator[float]:
        """Read, telling the share that is done."""
        costs = [sum(len(ids) for ids, _ in sides) for sides in self._sentences]
        everything = 1.02 * (sum(costs) + self._tokenizer.n_vocab)
        start = done = 0
        for size in batch_sizes(self._predictor, costs):
            for ends in self._ends.values():
                ends.read(start, start + size)
            done += sum(costs[start : start + size])
            start += size
            yield done / everything
        largest = max(map(parameter_count, self._predictor.arms.values()))
        chunk = max(16, min(CHUNK, int(BATCH_FLOP / (2 * largest))))
        for part in torch.arange(self._tokenizer.n_vocab).split(chunk):
            for arm, model in self._predictor.arms.items():
                for depth, stream in enumerate(
                    model.residual_stream(part[:, None].to(model.device))
                ):
                    self._streams[arm][depth, part[0] : part[-1] + 1] = stream[:, 0]
            self._read = int(part[-1]) + 1
            yield (done + self._read) / everything

    @torch.inference_mode()
    def report(self, started: float) -> LayerReport:
        """The report of what was read; it takes the means off in place, so it comes once."""
        table = spellings(self._tokenizer.name)
        twins = lookalikes(self._tokenizer.name)
        twins = twins[(twins < self._read).all(1)]
        arms = []
        for arm in self._predictor.arms:
            vectors = self._streams[arm][:, : self._read]
            if self._read:
                vectors -= vectors.mean(1, keepdim=True)
            pairs = [
                _cosines("typo", *self._ends[arm].centred(0)),
                _cosines("ending", *self._ends[arm].centred(1)),
                _cosines("lookalike", vectors[:, twins[:, 0]], vectors[:, twins[:, 1]]),
            ]
            depths = [
                _shares(depth, vectors[depth], table)
                for depth in range(len(vectors))
                if self._read > NEAREST
            ]
            arms.append(ArmLayers(arm, tuple(depths), tuple(found for found in pairs if found)))
        return LayerReport(
            pair=self._predictor.pair,
            vocabulary=self._tokenizer.name,
            words=tuple(self._tokenizer.token_text(int(t)) for t in table.words if t < self._read),
            tokens=self._tokenizer.n_vocab,
            read=self._read,
            nearest=NEAREST,
            arms=tuple(arms),
            seconds=time.perf_counter() - started,
        )


def _shares(depth: int, vectors: Tensor, table: Spellings) -> DepthShares:
    """L, M and S of centred vectors ``(tokens, d_model)``, of the first tokens or of all."""
    units = F.normalize(vectors, dim=1)
    asked = table.words < len(vectors)
    own_words, own_families = table.words[asked], table.families[asked]
    words = torch.from_numpy(own_words).to(units.device)
    similar = units[words] @ units.T
    similar[torch.arange(len(words), device=units.device), words] = -torch.inf
    near = similar.topk(NEAREST, dim=1).indices.cpu().numpy()
    rows = own_families[:, None]
    counted = (
        table.forms[near] != table.forms[own_words][:, None],
        table.roots[rows, near],
        table.members[rows, near],
    )
    families = []
    for place, family in enumerate(FAMILIES):
        own = np.flatnonzero(own_families == place)
        if not len(own):
            continue
        other, root, member = (float(marks[own].mean()) for marks in counted)
        nearest = tuple(table.texts[token] for token in near[own[0]])
        example = table.texts[own_words[own[0]]]
        families.append(FamilyShares(family.name, other, root, member, example, nearest))
    other, root, member = (
        float(np.mean([getattr(family, share) for family in families])) if families else 0.0
        for share in ("other_form", "holds_root", "in_family")
    )
    norm = float(vectors.norm(dim=1).mean())
    return DepthShares(depth, other, root, member, norm, tuple(families))


class _Ends:
    """The streams of one arm at two places of the sentences: the word's last token, and the end."""

    def __init__(self, model: GPT, sentences: Sequence[Cut]):
        self._model, self._sentences = model, sentences
        shape = (2, 2, model.config.n_layer + 1, len(sentences), model.config.d_model)
        self._streams = torch.empty(shape, device=model.device)
        self._read = 0

    def read(self, start: int, end: int) -> None:
        """Read some more of the sentences, the clean and the misspelled side of each."""
        for side in (0, 1):
            texts = [sentence[side] for sentence in self._sentences[start:end]]
            ids = torch.zeros(len(texts), max(len(text) for text, _ in texts), dtype=torch.long)
            for row, (text, _) in enumerate(texts):
                ids[row, : len(text)] = torch.tensor(text)
            rows = torch.arange(len(texts))
            streams = self._model.residual_stream(ids.to(self._model.device))
            for which in (0, 1):
                places = torch.tensor([(place, len(text) - 1)[which] for text, place in texts])
                for depth, stream in enumerate(streams):
                    self._streams[which, side, depth, start:end] = stream[rows, places].float()
        self._read = end

    def centred(self, which: int) -> tuple[Tensor, Tensor]:
        """Centred streams of both sides, ``(depth, sentences, d_model)``.

        Args:
            which: 0 at the last token of the word that differs, 1 at the end of the sentence.
        """
        first, second = self._streams[which, :, :, : self._read]
        mean = torch.cat((first, second), 1).mean(1, keepdim=True)
        return first - mean, second - mean


def _cosines(kind: str, first: Tensor, second: Tensor) -> PairCosines | None:
    """Mean cosine by depth of vectors ``(depth, pairs, d_model)``; nothing of fewer than two."""
    count = first.shape[1]
    if count < 2:
        return None
    cosines = F.cosine_similarity(first, second, dim=-1).double()
    # Each first of a pair with the second of another: the same words, put together at random.
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(0)).to(first.device)
    others = torch.empty_like(shuffled)
    others[shuffled] = shuffled.roll(1)
    controls = F.cosine_similarity(first, second[:, others], dim=-1).double()
    falls = -cosines.mean(1).diff()
    return PairCosines(
        kind,
        count,
        tuple(cosines.mean(1).tolist()),
        tuple((1.96 * cosines.std(1) / count**0.5).tolist()),
        tuple(controls.mean(1).tolist()),
        int(falls.argmax()) + 1 if len(falls) and falls.max() >= 0.01 else 0,
    )


def lines(report: LayerReport) -> Iterator[str]:
    """The figures of a report, for printing."""
    yield f"{report.pair}: {len(report.words)} words, {NEAREST} nearest of {report.tokens:,}"
    kinds = "".join(f"{kind:>11}" for kind in KINDS)
    yield f"{'arm':5} {'depth':>5} {'L':>6} {'M':>6} {'S':>6} {'norm':>7}{kinds}"
    for arm in report.arms:
        found = {pairs.kind: pairs for pairs in arm.pairs}
        for at in arm.depths:
            shares = f"{at.other_form:6.3f} {at.holds_root:6.3f} {at.in_family:6.3f} {at.norm:7.2f}"
            means = [f"{found[k].cosines[at.depth]:11.3f}" if k in found else "" for k in KINDS]
            yield f"{arm.arm:5} {at.depth:5} {shares}{''.join(means)}"
    for pairs in report.arms[0].pairs:
        yield f"{pairs.kind}: {pairs.pairs} pairs"
    yield f"{report.seconds:.1f} s"
