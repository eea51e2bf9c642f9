"""``ngram-context`` and ``ngram-words``: the byte n-grams of the word so far.

BPE splits a misspelled word in other places than the word itself, so its tokens share little with
the right ones. Here a token's bag holds the n-grams of all bytes from the beginning of its word to
its own end: the last token of a word has the vector of the whole word, however it was split. In
``ngram-words`` the word before and the word so far select one row more. A table cannot do this, for
it knows tokens and not their bytes.

Sources: BLT (arXiv 2412.09871) adds hashed n-grams of the bytes before a position to its embedding;
the Over-Tokenized Transformer (arXiv 2501.16975) does so with n-grams of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kronviz.arms.bags import BagEmbedding
from kronviz.ngrams import Rule
from kronviz.row_sums import INTEGERS, Slot, Tokens
from kronviz.tokenizer import TokenBytes

LONGEST_N = 6
"""Most bytes and marks of an n-gram."""
LONGEST = 24
"""Most bytes that are read of a word so far, the last ones: nearly all words are shorter."""
BASE = -7046029254386353131
"""Base of the words' polynomial hash, 2⁶⁴ divided by the golden ratio, as int64."""
INVERSE = pow(BASE, -1, 2**64)
INVERSE -= 2**64 * (INVERSE >= 2**63)


class ContextEmbedding(BagEmbedding):
    """Embeds each token of a text by the word so far and, with ``n_pairs``, by the word before.

    A token that begins with a letter continues the word of a token that ends with one; letters are
    those of ASCII and all bytes from 128 on. Its vector is that of the bytes from the word's first
    token to its own end, which is what `embed_bytes` returns for them, plus a row of ``pairs`` that
    is selected by these bytes and those of the word before. `forward` embeds every id as the first
    token of a text.

    Args:
        n_pairs: number of rows that pairs of words are hashed to; 0 for none.
        vocabulary, d_model, rule and the others: as for `BagEmbedding`.

    Attributes:
        pairs: the rows of pairs, ``(n_pairs, d_model)``, or ``None``; they begin at 0. One is
            scaled like a row of a bag of 16.
    """

    pairs: nn.Parameter | None

    def __init__(
        self,
        vocabulary: TokenBytes | Sequence[bytes],
        d_model: int,
        rule: Rule,
        n_pairs: int = 0,
        encoder: str = "auto",
        **options: Any,
    ):
        super().__init__(vocabulary, d_model, rule, 0, encoder, **options)
        rows = nn.Parameter(self.weight.new_zeros(n_pairs, d_model)) if n_pairs else None
        self.register_parameter("pairs", rows)

    def in_context(
        self, ids: Tensor, before: Tensor | None = None, forced: Mapping[Slot, bytes] | None = None
    ) -> Tensor:
        """Embed ids that follow one another.

        Args:
            ids: integers of shape ``(batch, time)``, values in ``[0, num_embeddings)``.
            before: the ids that precede them: ``(batch, any)``.
            forced: bytes to read in place of the id at ``(row, position)`` of ``ids``.

        Returns:
            Shape ``(batch, time, d_model)``, dtype of the weight.

        Raises:
            IndexError: a forced index is out of range, or an id (for ids on a CPU).
            TypeError: ids are not integers, or ``forced`` does not map tuples of them to bytes.
            RuntimeError: ids and weight are on different devices.
            ValueError: ids or ``before`` is not ``(batch, time)``, their batches differ, a forced
                index is not two numbers, or the weight's shape has changed, because it was tied
                to a head.
        """
        weight = self._rows()
        for given in (ids,) if before is None else (ids, before):
            if getattr(given, "dtype", None) not in INTEGERS or given.device != weight.device:
                self._refuse(weight, given)
            if given.dim() != 2 or len(given) != len(ids):
                name = "ids" if given is ids else "before"
                raise ValueError(
                    f"{name} has shape {tuple(given.shape)}; it must be (batch, time), with the "
                    "same batch in ids and before"
                )
            self._check(given, self.num_embeddings)
        tokens = self._tables_on(weight.device)
        if forced:
            ids, tokens = self._with_forced(ids, forced)
        past = 0
        if before is not None:
            past = before.shape[1]
            ids = torch.cat([before, ids], 1)
        words = words_so_far(ids, tokens, with_pairs=self.pairs is not None)
        vectors = self._encode(weight, words.ids.flatten(), words.tokens)
        vectors = vectors.view(*ids.shape, self.embedding_dim)
        if self.pairs is not None and words.pairs is not None:
            chosen = F.embedding(words.pairs % len(self.pairs), self.pairs)
            second = (words.pairs >= 0)[..., None]
            vectors = vectors + chosen * second * math.sqrt(self.rule.rows / 16)
        return vectors[:, past:]

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, n_pairs={0 if self.pairs is None else len(self.pairs)}"


class Words(NamedTuple):
    """The words of a batch's tokens, each up to that token's end.

    Attributes:
        ids: ids in ``tokens``: those of the batch, but where a token continues a word, the id of
            the word so far; int64, ``(batch, time)``.
        tokens: all tokens, and for each token of the batch one more, empty where none was needed.
        pairs: a hash of the word so far and the word before, -1 without a word before; int64,
            ``(batch, time)``; ``None`` if not asked for.
    """

    ids: Tensor
    tokens: Tokens
    pairs: Tensor | None


def words_so_far(ids: Tensor, tokens: Tokens, *, with_pairs: bool) -> Words:
    """Return the words that the ids ``(batch, time)`` of some tokens make.

    All shapes follow from the shapes of the arguments, so this can be captured in a CUDA graph.
    """
    data, offsets, longest = tokens
    (batch, time), known, device = ids.shape, len(offsets) - 1, data.device
    ids = ids.long()
    if not ids.numel() or not data.numel():
        return Words(ids, tokens, torch.full_like(ids, -1) if with_pairs else None)
    starts, stops = offsets[ids].long(), offsets[ids + 1].long()
    lengths = stops - starts
    enters = _letters(data[starts.clamp(max=data.numel() - 1)]) & (lengths > 0)
    leaves = _letters(data[(stops - 1).clamp(min=0)]) & (lengths > 0)
    continues = torch.zeros_like(enters)
    continues[:, 1:] = enters[:, 1:] & leaves[:, :-1]

    # The texts' bytes: the last `LONGEST` of each token, because no more are read.
    lengths = lengths.clamp(max=LONGEST)
    ends = lengths.cumsum(1)
    texts = _packed(data, stops - lengths, lengths, ends - lengths, time * LONGEST)

    # The words so far, each from the latest token that does not continue a word.
    firsts = torch.where(continues, 0, ends - lengths).cummax(1).values
    row = torch.arange(batch, device=device)[:, None]
    steps = torch.arange(time, device=device)
    pairs = None
    if with_pairs:
        hashes = _hashes(texts, firsts, ends)
        before = torch.where(continues, 0, steps).cummax(1).values - 1
        pairs = _mixed(hashes[row, before.clamp(min=0)], hashes).where(before >= 0, -1)

    sizes = torch.where(continues, (ends - firsts).clamp(max=LONGEST), 0)
    sources = ends - sizes + row * texts.shape[1]
    after = sizes.flatten().cumsum(0)
    words = _packed(
        texts.flatten(),
        sources.view(1, -1),
        sizes.view(1, -1),
        after[None] - sizes.view(1, -1),
        batch * time * LONGEST,
    )
    added = Tokens(
        torch.cat([data, words[0]]),
        torch.cat([offsets, offsets[-1] + after.int()]),
        max(longest, LONGEST),
    )
    places = known + steps + row * time
    return Words(torch.where(continues, places, ids), added, pairs)


def _hashes(texts: Tensor, firsts: Tensor, ends: Tensor) -> Tensor:
    """Return a hash of the bytes from ``firsts`` to ``ends`` of each row of texts.

    It is Σ (byte + 1) · BASE^(n − 1 − place) over the n bytes, modulo 2⁶⁴: the difference of two
    prefix sums. So it depends on the bytes alone, wherever they stand and however they are split.
    """
    size = texts.shape[1]
    powers = torch.full((2, size + 1), BASE, dtype=torch.int64, device=texts.device)
    powers[1] = INVERSE
    powers[:, 0] = 1
    up, down = powers.cumprod(1)
    sums = F.pad(((texts.long() + 1) * down[1:]).cumsum(1), (1, 0))
    return (sums.gather(1, ends) - sums.gather(1, firsts)) * up[ends]


def _mixed(first: Tensor, second: Tensor) -> Tensor:
    """Return a hash of two hashes, 0 or more: int64."""
    mixed = (first ^ (first >> 29 & 0x7FFFFFFFF)) * BASE + second
    mixed = (mixed ^ (mixed >> 32 & 0xFFFFFFFF)) * BASE
    return mixed >> 33 & 0x7FFFFFFF


def _letters(data: Tensor) -> Tensor:
    """Return which bytes are letters: those of ASCII and all from 128 on."""
    lower = data | 32
    return ((lower >= ord("a")) & (lower <= ord("z"))) | (data >= 128)


def _packed(data: Tensor, sources: Tensor, sizes: Tensor, targets: Tensor, room: int) -> Tensor:
    """Copy slices of bytes into rows of ``room`` bytes.

    Args:
        data: uint8, ``(n,)``.
        sources, sizes, targets: where slices begin in ``data``, how long they are and where they
            begin in their row: ``(rows, slices)``; no slice is longer than `LONGEST`.
    """
    steps = torch.arange(LONGEST, device=data.device)
    inside = steps < sizes[..., None]
    read = data[(sources[..., None] + steps).clamp(0, data.numel() - 1)]
    # Bytes outside their slice are written to an extra place at the end.
    place = torch.where(inside, targets[..., None] + steps, room)
    packed = data.new_zeros(len(sizes), room + 1).scatter_(1, place.flatten(1), read.flatten(1))
    return packed[:, :room]


def maker(rows: int, n_pairs: int = 0) -> Callable[[TokenBytes, int, int, Any], ContextEmbedding]:
    """Return a function that makes an embedding with so many rows for n-grams and for pairs."""

    def make(
        vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None
    ) -> ContextEmbedding:
        return ContextEmbedding(vocabulary, d_model, Rule(rows, longest=LONGEST_N), n_pairs)

    return make
