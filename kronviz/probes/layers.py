"""Find the nearest tokens of words at every depth, and where spelling stops mattering (6.8).

Notable:

- Each token of the vocabulary is read alone, as a text of one token; its vector at a depth is the
  residual stream there. The mean over the vocabulary is subtracted before cosines are computed,
  which also removes what the position adds, as it is the same for all of these texts.
- Three shares of the ten nearest tokens, as in the paper's table 10: ``L`` have another canonical
  form than the word, ``M`` contain the root of its family, ``S`` belong to the family.
- The words are those members of the families that are one token, bare or with a leading space. The
  paper takes the first token of each word, which for “nations” is “n”; we leave such words out.
- Three kinds of pairs show at which depth a word is recognised: a word and its misspelling in the
  same sentence, the ends of these two sentences, and two words one letter apart.
- Sentences come first, then the vocabulary depth by depth: as no token sees another, all tokens
  pass a block before the next one, and only one depth is in memory at a time. A stopped run has
  the first depths, the same ones for both arms, each over the whole vocabulary.

Run it: ``python -m kronviz.probes layers --pair tiny``.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kronviz.errors import count
from kronviz.families import FAMILIES
from kronviz.model import GPT, parameter_count, right_padded, versions
from kronviz.predictor import Predictor
from kronviz.probes.layer_words import Cut, Spellings, lookalikes, sentences, spellings
from kronviz.probes.outcomes import BATCH_FLOP, batch_sizes
from kronviz.progress import Progress, goes_on

NEAREST = 10
CHUNK = 1024
"""Most tokens that pass a block at once; a run can be stopped between two chunks."""
KINDS = ("typo", "ending", "lookalike")


@dataclass(frozen=True)
class FamilyShares:
    """The shares of one family at one depth, averaged over its words.

    Attributes:
        other_form, holds_root, in_family: L, M and S, each from 0 to 1.
        example: one of its words, as spelled in the vocabulary.
        nearest: the texts of the tokens nearest to the example, nearest first.
    """

    family: str
    other_form: float
    holds_root: float
    in_family: float
    example: str
    nearest: tuple[str, ...]


@dataclass(frozen=True)
class DepthShares:
    """The shares at one depth of an arm.

    Attributes:
        depth: 0 before the first block, then the number of blocks passed.
        other_form, holds_root, in_family: L, M and S, averaged over the families.
        norm: mean norm of the vectors after centring.
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
        pairs: how many there are.
        cosines: by depth; ``margins`` are the half widths of their 95% intervals.
        controls: the same for random pairs.
        largest_fall: the block in which the cosine falls most, counted from 1; 0 if no block
            lowers it by 0.01.
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
        words: the texts of the words' tokens, in order of family.
        tokens: size of the vocabulary.
        read: how many of its tokens were read at every depth: all, or 0 for a stopped run, which
            has the neighbours at its first depths only.
        nearest: how many nearest tokens were examined.
        seconds: time the run took.
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
        """Return how many depths were read: the input, and after each block."""
        series = [
            part for arm in self.arms for part in (arm.depths, *(p.cosines for p in arm.pairs))
        ]
        return max(map(len, series), default=0)

    def arm(self, name: str) -> ArmLayers | None:
        """Return one arm's layers, if the pair has it."""
        return next((arm for arm in self.arms if arm.arm == name), None)


_done: dict[tuple, LayerReport] = {}


def _key(predictor: Predictor) -> tuple:
    """Return what a report belongs to: the models of a pair, held weakly, and their weights."""
    return tuple((weakref.ref(model), versions(model)) for model in predictor.arms.values())


def known_layers(predictor: Predictor) -> LayerReport | None:
    """Return the report of a pair's models, if it was made with the weights that they have now."""
    return _done.get(_key(predictor))


def layers(predictor: Predictor, progress: Progress | None = None) -> LayerReport:
    """Run the layered probe on every arm of a pair.

    Args:
        progress: called with the share done so far; a stopped run returns what was read.
    """
    if known := known_layers(predictor):
        return known
    started, key = time.perf_counter(), _key(predictor)
    reading = _Reading(predictor)
    for share in reading.steps():
        if not goes_on(progress, share, so_far=lambda: reading.report(started)):
            break
    report = reading.report(started)
    if reading.whole:
        while len(_done) >= 4:
            _done.pop(next(iter(_done)))
        _done[key] = report
    return report


class _Reading:
    """Read the sentences with all arms of a pair, and then the vocabulary, depth by depth."""

    def __init__(self, predictor: Predictor):
        self._predictor, self._tokenizer = predictor, predictor.tokenizer
        self._sentences = sentences(self._tokenizer, predictor.n_ctx)
        self._ends = {arm: _Ends(model, self._sentences) for arm, model in predictor.arms.items()}
        self._depths: dict[str, list[DepthShares]] = {arm: [] for arm in predictor.arms}
        self._twins: dict[str, list[Tensor]] = {arm: [] for arm in predictor.arms}
        self._sentences_read = self._depths_read = 0

    @property
    def _blocks(self) -> dict[str, int]:
        return {arm: model.config.n_layer for arm, model in self._predictor.arms.items()}

    @torch.inference_mode()
    def steps(self) -> Iterator[float]:
        """Read step by step and yield the share done so far."""
        costs = [sum(len(ids) for ids, _ in sides) for sides in self._sentences]
        blocks = self._blocks
        vocabulary = self._tokenizer.n_vocab * sum(count + 1 for count in blocks.values())
        everything = sum(costs) * sum(blocks.values()) + vocabulary
        done = 0
        for size in batch_sizes(self._predictor, costs):
            start, end = self._sentences_read, self._sentences_read + size
            for ends in self._ends.values():
                ends.read(start, end)
            self._sentences_read = end
            done += sum(costs[start:end]) * sum(blocks.values())
            yield done / everything
        streams: dict[str, Tensor] = {}
        for depth in range(max(blocks.values()) + 1):
            for arm, model in self._predictor.arms.items():
                if depth > blocks[arm]:
                    continue
                for passed in _pass_block(model, depth, streams, arm):
                    done += passed
                    yield done / everything
                # Differences from a float32 mean are float32, whatever the model's type.
                mean = streams[arm].mean(0, dtype=torch.float32)
                twins = streams[arm][lookalikes(self._tokenizer.name)] - mean
                self._twins[arm].append(_alike(twins[:, 0], twins[:, 1]))
                yield done / everything
                table = spellings(self._tokenizer.name)
                yield done / everything
                self._depths[arm].append(_shares(depth, streams[arm] - mean, table))
                yield done / everything
            self._depths_read = depth + 1

    @property
    def whole(self) -> bool:
        """Return whether every depth of every arm was read."""
        return self._depths_read > max(self._blocks.values())

    def report(self, started: float) -> LayerReport:
        """Return the report of what was read."""
        arms = []
        for arm in self._predictor.arms:
            pairs = [
                _cosines("typo", _alike(*self._ends[arm].centred(0, self._sentences_read))),
                _cosines("ending", _alike(*self._ends[arm].centred(1, self._sentences_read))),
            ]
            if self.whole:
                pairs.append(_cosines("lookalike", torch.stack(self._twins[arm], 1)))
            depths = self._depths[arm][: self._depths_read]
            arms.append(ArmLayers(arm, tuple(depths), tuple(filter(None, pairs))))
        table, tokens = spellings(self._tokenizer.name), self._tokenizer.n_vocab
        return LayerReport(
            pair=self._predictor.pair,
            vocabulary=self._tokenizer.name,
            words=tuple(self._tokenizer.token_text(int(token)) for token in table.words),
            tokens=tokens,
            read=tokens if self.whole else 0,
            nearest=NEAREST,
            arms=tuple(arms),
            seconds=time.perf_counter() - started,
        )


def _pass_block(model: GPT, depth: int, streams: dict[str, Tensor], arm: str) -> Iterator[int]:
    """Pass every token through a block, in place, and yield the size of each chunk when done.

    Args:
        streams: by arm, the input of the block, ``(tokens, d_model)``; none yet at depth 0.
    """
    chunk = CHUNK
    if depth:
        chunk = int(BATCH_FLOP / (2 * parameter_count(model.blocks[depth - 1])))
    else:
        streams[arm] = model.lm_head.weight.new_empty(model.n_vocab, model.config.d_model)
    ids = torch.arange(model.n_vocab, device=model.device)
    for part in ids.split(max(16, min(CHUNK, chunk))):
        if depth:
            entering = streams[arm][part[0] : part[-1] + 1, None]
            passed = model.blocks[depth - 1](entering, None)
        else:
            (passed,) = model.residual_stream(part[:, None], depth=0)
        streams[arm][part[0] : part[-1] + 1] = passed[:, 0]
        yield len(part)


def _shares(depth: int, vectors: Tensor, table: Spellings) -> DepthShares:
    """Return L, M and S of centred vectors ``(tokens, d_model)``, which are normalised in place."""
    lengths = vectors.norm(dim=1, keepdim=True)
    norm, units = float(lengths.mean()), vectors.div_(lengths.clamp(min=1e-12))
    own_words, own_families = table.words, table.families
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
    return DepthShares(depth, other, root, member, norm, tuple(families))


class _Ends:
    """One arm's residual streams at the word's last token and at the end of each sentence."""

    def __init__(self, model: GPT, sentences: Sequence[Cut]):
        self._model, self._sentences = model, sentences
        shape = (2, 2, model.config.n_layer + 1, len(sentences), model.config.d_model)
        self._streams = torch.empty(shape, device=model.device)

    def read(self, start: int, end: int) -> None:
        """Read sentences ``start`` to ``end``, clean and misspelled."""
        for side in (0, 1):
            texts = [sentence[side] for sentence in self._sentences[start:end]]
            ids, _ = right_padded([text for text, _ in texts])
            rows = torch.arange(len(texts))
            streams = self._model.residual_stream(ids.to(self._model.device))
            for which in (0, 1):
                places = torch.tensor([(place, len(text) - 1)[which] for text, place in texts])
                for depth, stream in enumerate(streams):
                    self._streams[which, side, depth, start:end] = stream[rows, places].float()

    def centred(self, which: int, read: int) -> tuple[Tensor, Tensor]:
        """Return the centred streams of both sides, ``(depth, sentences, d_model)``.

        Args:
            which: 0 for the last token of the word that differs, 1 for the end of the sentence.
            read: how many sentences were read.
        """
        first, second = self._streams[which, :, :, :read]
        mean = torch.cat((first, second), 1).mean(1, keepdim=True)
        return first - mean, second - mean


def _alike(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosines of pairs of vectors ``(…, pairs, d_model)``, float64 ``(2, …, pairs)``:
    of the pairs, and of the first of each with the second of another.
    """
    # The same words, paired at random.
    shuffled = torch.randperm(first.shape[-2], generator=torch.Generator().manual_seed(0))
    others = torch.empty_like(shuffled)
    others[shuffled] = shuffled.roll(1)
    seconds = (second, second[..., others.to(second.device), :])
    return torch.stack([F.cosine_similarity(first, each, dim=-1).double() for each in seconds])


def _cosines(kind: str, alike: Tensor) -> PairCosines | None:
    """Return the mean cosine by depth, from what `_alike` returns for ``(depth, pairs, d_model)``.

    ``None`` for fewer than two pairs.
    """
    cosines, controls = alike
    count = cosines.shape[1]
    if count < 2:
        return None
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
    """Yield the figures of a report, for printing."""
    yield f"{report.pair}: {len(report.words)} words, {NEAREST} nearest of {report.tokens:,}"
    kinds = "".join(f"{kind:>11}" for kind in KINDS)
    yield f"{'arm':5} {'depth':>5} {'L':>6} {'M':>6} {'S':>6} {'norm':>7}{kinds}"
    for arm in report.arms:
        by_kind = {pairs.kind: pairs for pairs in arm.pairs}
        for at in arm.depths:
            shares = f"{at.other_form:6.3f} {at.holds_root:6.3f} {at.in_family:6.3f} {at.norm:7.2f}"
            means = [f"{by_kind[k].cosines[at.depth]:11.3f}" if k in by_kind else "" for k in KINDS]
            yield f"{arm.arm:5} {at.depth:5} {shares}{''.join(means)}"
    for pairs in report.arms[0].pairs:
        yield f"{pairs.kind}: {count(pairs.pairs, 'pair')}"
    yield f"{report.seconds:.1f} s"
