"""``ngram-context``: ``ngram-word``, but it reads the word so far where that reads one token.

BPE splits a misspelled word in other places than the word itself, so its tokens share little with
the right ones. Here a token's bag holds the n-grams of all bytes from the beginning of its word to
its own end: a word's last token has nearly the vector of the whole word, however it was split. A
table cannot do this, for it knows tokens and not their bytes.

Sources: BLT (arXiv 2412.09871) adds hashed n-grams of the bytes before a position to its embedding;
the Over-Tokenized Transformer (arXiv 2501.16975) does so with n-grams of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kronviz.arms.bags import BagEmbedding
from kronviz.ngrams import Rule
from kronviz.row_sums import Slot, Tokens
from kronviz.tokenizer import TokenBytes

LONGEST = 32
"""Most bytes that are read of a word so far, the last ones: nearly all words are shorter."""


class ContextEmbedding(BagEmbedding):
    """Embeds each token of a text by the word so far.

    A token that begins with a letter continues the word of a token that ends with one; letters are
    those of ASCII and all bytes from 128 on. Its vector is that of the bytes from the word's first
    token to its own end, which is what `embed_bytes` returns for them. Only a word of one token can
    have a row of its own. `forward` embeds every id as the first of a word.
    """

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
            IndexError: an id is out of range (for ids on a CPU).
        """
        self._check(ids, self.num_embeddings)
        past = 0
        if before is not None and before.shape[1]:
            # A token has at least one byte.
            before = before[:, -LONGEST:]
            past = before.shape[1]
            ids = torch.cat([before, ids], 1)
            forced = {(row, place + past): data for (row, place), data in (forced or {}).items()}
        tokens = self._tables_on(self.weight.device)
        if forced:
            ids, tokens = self._with_forced(ids, forced)
        ids, tokens = with_words(ids, tokens)
        vectors = self._encode(self.weight, ids.flatten(), tokens)
        return vectors.view(*ids.shape, self.embedding_dim)[:, past:]


def with_words(ids: Tensor, tokens: Tokens) -> tuple[Tensor, Tokens]:
    """Append to some tokens the words that a batch's tokens continue.

    All shapes follow from the shapes of the arguments, so this can be captured in a CUDA graph.

    Args:
        ids: integers ``(batch, time)``, of ``tokens``.

    Returns:
        The ids, in which those that continue a word are replaced by the appended word so far, and
        the tokens with one string appended for each id; where none was needed it is empty.
    """
    data, offsets, longest = tokens
    (batch, time), known, device = ids.shape, len(offsets) - 1, data.device
    ids = ids.long()
    if not ids.numel() or not data.numel():
        return ids, tokens
    starts, stops = offsets[ids].long(), offsets[ids + 1].long()
    lengths = stops - starts
    letters = _letters(data)
    enters = letters[starts.clamp(max=data.numel() - 1)] & (lengths > 0)
    leaves = letters[(stops - 1).clamp(min=0)] & (lengths > 0)
    continues = torch.zeros_like(enters)
    continues[:, 1:] = enters[:, 1:] & leaves[:, :-1]

    # The texts' bytes: of every token at most the last `LONGEST`, which is all that is read.
    steps = torch.arange(LONGEST, device=device)
    lengths = lengths.clamp(max=LONGEST)
    ends = lengths.cumsum(1)
    texts = _packed(data, stops - lengths, lengths, ends - lengths, time * LONGEST, steps)

    # The words so far: from the latest token that continues none.
    firsts = torch.where(continues, 0, ends - lengths).cummax(1).values
    firsts = torch.maximum(firsts, ends - LONGEST)
    sizes = torch.where(continues, ends - firsts, 0)
    firsts = firsts + torch.arange(batch, device=device)[:, None] * texts.shape[1]
    one = (1, batch * time)
    sizes, firsts = sizes.view(one), firsts.view(one)
    after = sizes.cumsum(1)
    words = _packed(texts.flatten(), firsts, sizes, after - sizes, batch * time * LONGEST, steps)

    places = known + torch.arange(batch * time, device=device).view(batch, time)
    return torch.where(continues, places, ids), Tokens(
        torch.cat([data, words[0]]),
        torch.cat([offsets, offsets[-1] + after[0].int()]),
        max(longest, LONGEST),
    )


def _letters(data: Tensor) -> Tensor:
    """Return which bytes are letters: those of ASCII and all from 128 on."""
    lower = data | 32
    return ((lower >= ord("a")) & (lower <= ord("z"))) | (data >= 128)


def _packed(
    data: Tensor, sources: Tensor, sizes: Tensor, targets: Tensor, room: int, steps: Tensor
) -> Tensor:
    """Copy slices of bytes into rows of ``room`` bytes.

    Args:
        data: uint8, ``(n,)``.
        sources, sizes, targets: where slices begin in ``data``, how long they are and where they
            begin in their row: ``(rows, slices)``.
        steps: 0, 1, … up to the longest size, exclusive.
    """
    inside = steps < sizes[..., None]
    read = data[(sources[..., None] + steps).clamp(0, data.numel() - 1)]
    # What lies outside its slice is written to an extra place at the end.
    place = torch.where(inside, targets[..., None] + steps, room)
    packed = data.new_zeros(len(sizes), room + 1).scatter_(1, place.flatten(1), read.flatten(1))
    return packed[:, :room]


def make(vocabulary: TokenBytes, d_model: int, pos_dim: int, counts: Any = None) -> BagEmbedding:
    """Make the embedding."""
    return ContextEmbedding(vocabulary, d_model, Rule(8192), own=4096)
