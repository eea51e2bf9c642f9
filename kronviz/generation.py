"""Continuing a text, with the paper's sampler, and with forced slots (paper, section 6.12).

Notable:

- Tokens come one at a time from an iterator, so that a page can stream them and stop.
- A forced slot is written ``{}`` in the prompt: one position that stands for any string. The kron
  arm embeds the string's bytes there, as if it were one token. A learned table has no row for it,
  so the bpe arm reads the string's own tokens in its place, and the result says how many.
- Ids in the padding of the vocabulary are never produced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kronviz.embedding import KroneckerEmbedding
from kronviz.model import GPT, KVCache
from kronviz.predictor import InputError, Predictor, clean_text

SLOT = "{}"
MAX_NEW_TOKENS = 200
MAX_SLOT_BYTES = 64


@dataclass(frozen=True)
class Sampler:
    """How the next token is drawn. The defaults are the paper's.

    Attributes:
        temperature: divides the logits; 0 takes the most probable token.
        top_p: keep the most probable tokens that together have this probability.
        max_tokens: tokens to add.
        seed: of the draws; both arms draw from the same random numbers.
        repeat_limit: once an id has come this many times in a row, go on greedily.
    """

    temperature: float = 0.7
    top_p: float = 0.9
    max_tokens: int = 30
    seed: int = 42
    repeat_limit: int = 5

    def __post_init__(self) -> None:
        for name, low, high in (
            ("temperature", 0, 5),
            ("top_p", 0.01, 1),
            ("max_tokens", 1, MAX_NEW_TOKENS),
            ("repeat_limit", 1, MAX_NEW_TOKENS),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value}; choose {low} to {high}.")


@dataclass(frozen=True)
class NewToken:
    """A generated token: its id, readable text, bytes in hex, and its probability before top-p."""

    id: int
    text: str
    hex: str
    prob: float


@dataclass(frozen=True)
class Continuation:
    """What one arm added to a prompt.

    Attributes:
        prompt: as typed, with ``{}`` where a slot was forced.
        text: the new text alone.
        forced: the string in the slot, if there was one.
        slot_tokens: positions that the string took: 1 where its bytes were forced, the number of
            its tokens where the arm had to read those, 0 without a slot.
    """

    arm: str
    prompt: str
    text: str
    tokens: tuple[NewToken, ...]
    forced: str | None = None
    slot_tokens: int = 0


@dataclass(frozen=True)
class Prompt:
    """A prompt as an arm reads it.

    Attributes:
        ids: token ids; a forced position holds the first id of the vocabulary's padding.
        forced: bytes by ``(0, position)``.
        slot_tokens: see `Continuation`.
    """

    ids: list[int]
    forced: dict[tuple[int, ...], bytes] = field(default_factory=dict)
    slot_tokens: int = 0


def read_prompt(predictor: Predictor, arm: str, text: str, forced: str | None = None) -> Prompt:
    """Encode a prompt for an arm.

    Raises:
        InputError: empty or too long, a string without a slot, or more than one slot.
    """
    text = clean_text(text)
    if forced is None:
        return Prompt(predictor.encode(text, "prompt"))
    forced = clean_text(forced)
    size = len(forced.encode())
    if text.count(SLOT) != 1:
        raise InputError(f"Write {SLOT} once in the prompt, where the string is to stand.")
    if not 0 < size <= MAX_SLOT_BYTES:
        raise InputError(f"The string has {size} bytes; a slot takes 1 to {MAX_SLOT_BYTES}.")
    before, after = text.split(SLOT)
    # A word inside a sentence carries its leading space, in the vocabulary and so in the slot.
    if before.endswith(" "):
        before, forced = before[:-1], " " + forced
    encode = predictor.tokenizer.encode
    start, end = encode(before), encode(after)
    if isinstance(predictor.arms[arm].wte, KroneckerEmbedding):
        slot, positions = [predictor.tokenizer.n_vocab], {(0, len(start)): forced.encode()}
    else:
        slot, positions = encode(forced), {}
    ids = [*start, *slot, *end]
    predictor.check_length(len(ids), "prompt")
    return Prompt(ids, positions, len(slot))


def continue_text(
    predictor: Predictor,
    arm: str,
    prompt: str,
    sampler: Sampler | None = None,
    forced: str | None = None,
) -> Iterator[Continuation]:
    """Continue a prompt with one arm; yields the continuation so far after each new token.

    Raises:
        InputError: the prompt cannot be read, or leaves no room for new tokens.
    """
    sampler = sampler or Sampler()
    read = read_prompt(predictor, arm, prompt, forced)
    predictor.check_length(len(read.ids) + sampler.max_tokens, "prompt with its continuation")
    tokenizer = predictor.tokenizer
    tokens: list[NewToken] = []
    for token, probability in sample(predictor.arms[arm], read, sampler):
        if token == tokenizer.eot_id:
            break
        data = tokenizer.token_bytes(token)
        tokens.append(NewToken(token, tokenizer.token_text(token), data.hex(" "), probability))
        yield Continuation(
            arm=arm,
            prompt=clean_text(prompt),
            text=tokenizer.decode([token.id for token in tokens]),
            tokens=tuple(tokens),
            forced=forced,
            slot_tokens=read.slot_tokens,
        )


@torch.inference_mode()
def sample(model: GPT, prompt: Prompt, sampler: Sampler) -> Iterator[tuple[int, float]]:
    """Draw tokens from a model: pairs of id and probability (at temperature 1, before top-p)."""
    random = torch.Generator().manual_seed(sampler.seed)
    cache = KVCache()
    ids = torch.tensor([prompt.ids], device=model.device)
    logits = model(ids, cache=cache, forced=prompt.forced or None).logits[0, -1]
    run, last = 0, None
    for _ in range(sampler.max_tokens):
        # One draw a token, used or not, so that a greedy stretch does not shift what follows.
        draw = torch.rand((), generator=random).item()
        greedy = sampler.temperature == 0 or run >= sampler.repeat_limit
        probabilities = logits.double().softmax(-1).cpu()
        token = int(logits.argmax()) if greedy else nucleus(logits.cpu(), sampler, draw)
        yield token, probabilities[token].item()
        run = run + 1 if token == last else 1
        last = token
        logits = model(torch.tensor([[token]], device=model.device), cache=cache).logits[0, -1]


def nucleus(logits: Tensor, sampler: Sampler, draw: float) -> int:
    """The id that a uniform ``draw`` in [0, 1) selects by temperature and top-p."""
    values, order = (logits.double() / sampler.temperature).softmax(-1).sort(descending=True)
    mass = values.cumsum(-1)
    # The token that crosses top_p is the last one kept.
    kept = int((mass - values < sampler.top_p).sum())
    place = torch.searchsorted(mass[:kept], draw * mass[kept - 1], right=True)
    return int(order[min(int(place), kept - 1)])
