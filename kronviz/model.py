"""One GPT for all arms, shaped like nanoGPT's GPT-2.

Notable:

- The arms differ in the input embedding only; `arms.input_embedding` makes it, and nothing below
  knows which one it is.
- Pre-norm blocks, learned positions, GELU, no biases, no dropout; the head covers the vocabulary
  padded to a multiple of 64, and logits are cut to the ids that exist.
- Hidden states at every depth on request, a key-value cache for generation, and forced slots if
  the embedding supports them.

Sources: “Language Models are Unsupervised Multitask Learners” (Radford et al. 2019) and
https://github.com/karpathy/nanoGPT for the shape and the initialisation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kronviz.arms import Counts, input_embedding
from kronviz.model_config import ModelConfig as ModelConfig
from kronviz.model_config import padded
from kronviz.row_sums import Slot
from kronviz.tokenizer import TokenBytes, Tokenizer, load_tokenizer


@dataclass
class KVCache:
    """Keys and values of the tokens that a model has already read, one pair per layer."""

    layers: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    ids: Tensor | None = None
    """The tokens themselves, ``(batch, time)``."""

    @property
    def length(self) -> int:
        """Number of cached tokens."""
        return self.layers[0][0].shape[2] if self.layers else 0

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append the ``(batch, head, time, d_head)`` tensors of a layer; return all so far."""
        if layer < len(self.layers):
            past_key, past_value = self.layers[layer]
            key, value = torch.cat([past_key, key], 2), torch.cat([past_value, value], 2)
            self.layers[layer] = key, value
        else:
            self.layers.append((key, value))
        return key, value


@dataclass(frozen=True)
class ModelOutput:
    """The result of a forward pass.

    Attributes:
        logits: ``(batch, time, n_vocab)``.
        final: ``(batch, time, d_model)``, the final hidden states, which are the head's input.
        hidden: the residual stream, ``n_layer + 1`` tensors of ``(batch, time, d_model)``: before
            the first block, then after each block; empty unless requested.
    """

    logits: Tensor
    final: Tensor
    hidden: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A model's output at the last token of each of several texts.

    Attributes:
        logits: ``(texts, n_vocab)``.
        final: ``(texts, d_model)``, final hidden states.
    """

    logits: Tensor
    final: Tensor


class Attention(nn.Module):
    def __init__(self, config: ModelConfig, layer: int):
        super().__init__()
        self.layer, self.n_head = layer, config.n_head
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.proj = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(self, x: Tensor, cache: KVCache | None) -> Tensor:
        time = x.shape[1]
        q, k, v = (split_heads(part, self.n_head) for part in self.qkv(x).chunk(3, -1))
        past = 0
        if cache is not None:
            k, v = cache.extend(self.layer, k, v)
            past = k.shape[2] - time
        mask = None
        if past and time > 1:
            mask = torch.ones(time, past + time, dtype=torch.bool, device=x.device).tril(past)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=past == 0)
        return self.proj(y.transpose(1, 2).flatten(2))


def split_heads(x: Tensor, n_head: int) -> Tensor:
    """Return ``(texts, time, d_model)`` as ``(texts, n_head, time, d_head)``."""
    return x.unflatten(-1, (n_head, -1)).transpose(1, 2)


class MLP(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.up = nn.Linear(config.d_model, 4 * config.d_model, bias=False)
        self.proj = nn.Linear(4 * config.d_model, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(F.gelu(self.up(x)))


class Block(nn.Module):
    def __init__(self, config: ModelConfig, layer: int):
        super().__init__()
        self.norm_1 = nn.LayerNorm(config.d_model, bias=False)
        self.attention = Attention(config, layer)
        self.norm_2 = nn.LayerNorm(config.d_model, bias=False)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cache: KVCache | None) -> Tensor:
        x = x + self.attention(self.norm_1(x), cache)
        return x + self.mlp(self.norm_2(x))


class GPT(nn.Module):
    """A decoder-only transformer; see the module's notes and `ModelConfig` for its shape.

    Args:
        counts: how often training reads each id, for arms whose training needs it.
    """

    def __init__(self, config: ModelConfig, counts: Counts | None = None):
        super().__init__()
        tokenizer = load_tokenizer(config.vocabulary)
        vocabulary = padded_vocabulary(tokenizer)
        self.config = config
        self.n_vocab = tokenizer.n_vocab
        self.wte, tied = input_embedding(
            config.arm, vocabulary, config.d_model, config.pos_dim, counts
        )
        self.wpe = nn.Embedding(config.n_ctx, config.d_model)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = nn.LayerNorm(config.d_model, bias=False)
        self.lm_head = nn.Linear(config.d_model, len(vocabulary), bias=False)
        for name, parameter in self.named_parameters():
            if name.endswith("proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layer))
            elif parameter.dim() == 2 and not name.startswith("wte."):
                nn.init.normal_(parameter, std=0.02)
        if tied and not config.untied:
            self.lm_head.weight = self.wte.weight  # type: ignore[assignment]

    def forward(
        self,
        ids: Tensor,
        *,
        cache: KVCache | None = None,
        forced: Mapping[Slot, bytes] | None = None,
        hidden: bool = False,
    ) -> ModelOutput:
        """Read ids and predict each next token.

        Args:
            ids: integers of shape ``(batch, time)``.
            cache: the tokens read before; extended in place.
            forced: bytes to embed in place of the ids at ``(row, position)``, for arms that embed
                bytes.
            hidden: also return the residual stream at every depth.

        Raises:
            ValueError: ids are not ``(batch, time)``, or the sequence, with the cached tokens, is
                longer than ``n_ctx``.
            TypeError: ``forced`` is given to an arm that embeds no bytes.
        """
        states = self.residual_stream(ids, cache=cache, forced=forced)
        final = self.norm(states[-1])
        return ModelOutput(self.logits(final), final, tuple(states) if hidden else ())

    def residual_stream(
        self,
        ids: Tensor,
        *,
        cache: KVCache | None = None,
        forced: Mapping[Slot, bytes] | None = None,
        depth: int | None = None,
    ) -> list[Tensor]:
        """Return the residual stream before the first block and after each block.

        Args:
            ids, cache, forced: as for `forward`.
            depth: how many blocks to run; all by default.
        """
        if ids.dim() != 2:
            raise ValueError(f"ids have shape {tuple(ids.shape)}; a model reads (batch, time)")
        past = cache.length if cache else 0
        time = ids.shape[1]
        if past + time > self.config.n_ctx:
            raise ValueError(
                f"the text has {past + time} tokens; this model reads {self.config.n_ctx}"
            )
        embedded = self.embed(ids, cache.ids if cache else None, forced)
        if cache is not None:
            cache.ids = ids if cache.ids is None else torch.cat([cache.ids, ids], 1)
        states = [embedded + self.wpe.weight[past : past + time]]
        for block in self.blocks[:depth]:
            states.append(block(states[-1], cache))
        return states

    @property
    def reads_context(self) -> bool:
        """Return whether a token's vector depends on the tokens before it."""
        return hasattr(self.wte, "in_context")

    def embed(
        self,
        ids: Tensor,
        before: Tensor | None = None,
        forced: Mapping[Slot, bytes] | None = None,
    ) -> Tensor:
        """Return the input embeddings of consecutive ids, ``(batch, time, d_model)``.

        Args:
            ids: as for `forward`.
            before: the ids that precede them, ``(batch, any)``, for arms that read them.
            forced: as for `forward`.
        """
        if self.reads_context:
            return self.wte.in_context(ids, before, forced)  # type: ignore[operator]
        if forced and not hasattr(self.wte, "embed_bytes"):
            raise TypeError(
                f"{self.config.arm} embeds ids alone; forced is for arms that embed bytes"
            )
        return self.wte(ids, forced) if forced else self.wte(ids)

    def final_states(self, ids: Tensor) -> Tensor:
        """Return the final hidden states of ids, ``(batch, time, d_model)``, without logits."""
        return self.norm(self.residual_stream(ids)[-1])

    def logits(self, final: Tensor) -> Tensor:
        """Return the logits ``(…, n_vocab)`` of final hidden states ``(…, d_model)``, without the
        padding of the vocabulary.
        """
        return self.lm_head(final)[..., : self.n_vocab]

    @torch.inference_mode()
    def read(self, texts: Sequence[Sequence[int]]) -> Reading:
        """Read texts of any lengths as one batch; return the output at the last token of each.

        Args:
            texts: the ids of each text, 1 to ``n_ctx``.
        """
        ids, last = right_padded(texts)
        return self.read_last(ids.to(self.device), last.to(self.device))

    @torch.inference_mode()
    def read_last(self, ids: Tensor, last: Tensor) -> Reading:
        """Return the output at one index of each row: ids ``(texts, time)``, last ``(texts,)``."""
        rows = torch.arange(len(ids), device=self.device)
        final = self.final_states(ids)[rows, last]
        return Reading(self.logits(final), final)

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of the next tokens, in nats; both arguments are
        ``(batch, time)``.
        """
        return self.head_loss(self.residual_stream(ids)[-1], targets)

    def head_loss(self, states: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats, from the residual stream after the last block."""
        # Over the padded head, as in nanoGPT: training pushes the padding's logits down.
        logits = self.lm_head(self.norm(states))
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def compile_training(self) -> None:
        """Compile the blocks and the head, where a training step spends its time.

        All blocks share one compiled graph, which is ready in seconds; a graph of the whole model
        takes a minute to compile and is hardly faster.
        """
        for block in self.blocks:
            block.compile()
        self.head_loss = torch.compile(self.head_loss)  # type: ignore[method-assign]

    @property
    def device(self) -> torch.device:
        return self.lm_head.weight.device

    def input_weight(self) -> Tensor:
        """Return the main trainable matrix of the input embedding: a table or a projection."""
        return self.wte.weight  # type: ignore[return-value]


def right_padded(
    texts: Sequence[Sequence[int]], rows: int = 0, time: int = 0
) -> tuple[Tensor, Tensor]:
    """Return the texts as one tensor of ids, and the index of each text's last token.

    Texts are padded with zeros on the right, which a causal model does not see at the last real
    token.

    Args:
        rows, time: the smallest shape of the ids.

    Returns:
        ids ``(rows, time)`` and indices ``(rows,)``, int64, on the CPU.
    """
    shape = max(rows, len(texts)), max(time, *map(len, texts))
    ids, last = torch.zeros(shape, dtype=torch.long), torch.zeros(shape[0], dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
        last[row] = len(text) - 1
    return ids, last


def padded_vocabulary(tokenizer: Tokenizer) -> TokenBytes:
    """Return the bytes of a tokenizer's ids, padded to a multiple of 64 ids with empty tokens."""
    padding = padded(tokenizer.n_vocab) - tokenizer.n_vocab
    vocabulary = tokenizer.vocabulary
    return TokenBytes.of([vocabulary[i] for i in range(len(vocabulary))] + [b""] * padding)


def versions(module: nn.Module) -> tuple[tuple[int, int], ...]:
    """Return a value that changes when a module's weights are replaced or PyTorch writes to them.

    It misses the writes that PyTorch does not count, such as those through ``data``.
    """
    return tuple(
        (parameter.data_ptr(), 0 if parameter.is_inference() else parameter._version)
        for parameter in module.parameters()
    )


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable parameters of a model; a tied tensor counts once."""
    return sum(parameter.numel() for parameter in model.parameters())
