"""Continues a text with the paper's sampler, with or without a forced slot (paper, section 6.12).

Notable:

- Tokens come one at a time from an iterator, so that a page can stream them and stop.
- A forced slot is written ``{}`` in the prompt: one position that stands for any string. An arm
  that embeds bytes reads the string's bytes there, as if they were one token. A learned table has
  no row for the string, so that arm reads the string's own tokens; the result says how many.
- Several continuations are generated in turn, one token each, so that a page can show them side by
  side; all of them use the same random numbers.
- Ids in the padding of the vocabulary are never generated.

>>> steps = list(side_by_side(Predictor.load("tiny"), ["The king and the"], Sampler(max_tokens=3)))
>>> len(steps[-1].continuations)
2
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import takewhile

import torch
from torch import Tensor

from kronviz.model import GPT, KVCache
from kronviz.predictor import InputError, Predictor, check_characters, clean_text
from kronviz.settings import check, setting
from kronviz.strings import embeds_bytes

SLOT = "{}"
MAX_NEW_TOKENS = 200
SORTED_FIRST = 4096
MAX_SLOT_BYTES = 64
MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class Sampler:
    """How the next token is drawn. The defaults are the paper's.

    Attributes:
        temperature: divides the logits; 0 takes the most probable token.
        top_p: draw from the most probable tokens whose probabilities sum to this.
        max_tokens: tokens to add.
        seed: seed of the draws; both arms use the same random numbers.
        repeat_limit: after this many repetitions of an id in a row, take the most probable token.
    """

    temperature: float = setting(
        0.7, "Divides the logits; 0 takes the most probable token", low=0, high=5
    )
    top_p: float = setting(0.9, "Share of the probability that is drawn from", low=0.01, high=1)
    max_tokens: int = setting(30, "Tokens to write", low=1, high=MAX_NEW_TOKENS)
    seed: int = setting(42, "Seed of the draws; the same seed, the same text", low=0, high=MAX_SEED)
    repeat_limit: int = setting(
        5,
        "After this many repetitions of a token, the most probable one is taken",
        low=1,
        high=MAX_NEW_TOKENS,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class GenerationSettings(Sampler):
    """The settings of a continuation."""

    prompt: str = setting(..., "Text to continue, with {} where a string is forced")
    forced: str = setting(
        "", f"A string of 1 to {MAX_SLOT_BYTES} bytes for the slot {{}}; empty if there is none"
    )

    @property
    def sampler(self) -> Sampler:
        """Return the sampler alone."""
        return Sampler(*(getattr(self, each.name) for each in fields(Sampler)))


@dataclass(frozen=True)
class ReadToken:
    """A position of a prompt as an arm reads it.

    Attributes:
        id: the token's id; ``None`` where bytes were forced.
        hex: its bytes.
        in_slot: whether it is part of a forced slot.
        read: how many of its bytes the arm reads: all of them, but at most ``pos_dim`` with a
            Kronecker code (section 3).
    """

    id: int | None
    text: str
    hex: str
    in_slot: bool
    read: int


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
        text: the new text only.
        forced: the string in the slot, if there was one.
        slot_tokens: positions that the string took: 1 where its bytes were forced, the number of
            its tokens where the arm read those instead, 0 without a slot.
        reads: the prompt, position by position.
        ended: whether the arm generated the end of the text.
    """

    arm: str
    prompt: str
    text: str
    tokens: tuple[NewToken, ...]
    forced: str | None = None
    slot_tokens: int = 0
    reads: tuple[ReadToken, ...] = ()
    ended: bool = False


@dataclass(frozen=True)
class Generation:
    """Continuations generated side by side.

    Attributes:
        continuations: for each prompt those of every arm, in the order of the arms.
        finished: whether all continuations are complete.
        seconds: time since generation began.
    """

    pair: str
    sampler: Sampler
    continuations: tuple[Continuation, ...]
    finished: bool
    seconds: float


@dataclass(frozen=True)
class Prompt:
    """A prompt as an arm reads it.

    Attributes:
        ids: token ids; a forced position, which is read from its bytes, has the end-of-text id.
        forced: bytes by ``(0, position)``.
        slot_start, slot_tokens: first position and number of positions of the slot.
    """

    ids: list[int]
    forced: dict[tuple[int, ...], bytes] = field(default_factory=dict)
    slot_start: int = 0
    slot_tokens: int = 0

    def reads(self, predictor: Predictor, arm: str) -> tuple[ReadToken, ...]:
        """Return the prompt, position by position, as an arm reads it."""
        most = slot_bytes(predictor, arm)
        tokens = []
        for place, token in enumerate(self.ids):
            data = self.forced.get((0, place))
            known = data is None
            if data is None:
                data = predictor.tokenizer.token_bytes(token)
            in_slot = self.slot_start <= place < self.slot_start + self.slot_tokens
            text = data.decode("utf-8", "backslashreplace")
            read = len(data) if most is None else min(len(data), most)
            tokens.append(ReadToken(token if known else None, text, data.hex(" "), in_slot, read))
        return tuple(tokens)


def slot_bytes(predictor: Predictor, arm: str) -> int | None:
    """Return the most bytes of a token that an arm reads; ``None`` for an arm that reads all."""
    return getattr(predictor.arms[arm].wte, "longest_read", None)


def read_prompt(predictor: Predictor, arm: str, text: str, forced: str | None = None) -> Prompt:
    """Encode a prompt for an arm.

    Raises:
        InputError: empty or too long, a string without a slot, or more than one slot.
    """
    text = clean_text(text)
    if forced is None:
        return Prompt(predictor.encode(text, "prompt"))
    forced = clean_text(forced)
    if text.count(SLOT) != 1:
        raise InputError(f"Write {SLOT} once in the prompt, where the string should be.")
    if not forced.strip():
        raise InputError("The string for the slot is empty; type a word.")
    size = len(forced.encode())
    if size > MAX_SLOT_BYTES:
        raise InputError(f"The string has {size:,} bytes; a slot takes 1 to {MAX_SLOT_BYTES}.")
    check_characters(text, "prompt")
    before, after = text.split(SLOT)
    # Tokens of words inside a sentence begin with a space, so the string in the slot does, too.
    if before.endswith(" "):
        before, forced = before[:-1], " " + forced
    encode = predictor.tokenizer.encode
    start, end = encode(before), encode(after)
    positions: dict[tuple[int, ...], bytes] = {}
    if embeds_bytes(predictor, arm):
        slot = [predictor.tokenizer.eot_id]
        positions[0, len(start)] = forced.encode()
    else:
        slot = encode(forced)
    ids = [*start, *slot, *end]
    predictor.check_length(len(ids), "prompt")
    return Prompt(ids, positions, len(start), len(slot))


def side_by_side(
    predictor: Predictor,
    prompts: Sequence[str],
    sampler: Sampler | None = None,
    forced: str | None = None,
) -> Iterator[Generation]:
    """Continue each prompt with every arm, a token each in turn.

    Yields the state so far: the prompts as they are read, then after each arm's first token (which
    takes longest, because the whole prompt is read for it), then after each round of tokens.

    Raises:
        InputError: at once, if a prompt cannot be read or leaves no room for new tokens.
    """
    sampler = sampler or Sampler()
    writers = [
        continue_text(predictor, arm, prompt, sampler, forced)
        for prompt in prompts
        for arm in predictor.arms
    ]
    return _in_turns(predictor.pair, sampler, writers)


def same_start(first: Continuation, second: Continuation) -> int:
    """Return how many tokens two continuations have in common at the start."""
    pairs = zip(first.tokens, second.tokens, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0].id == pair[1].id, pairs))


def _in_turns(
    pair: str, sampler: Sampler, writers: list[Iterator[Continuation]]
) -> Iterator[Generation]:
    started = time.perf_counter()
    written = [next(writer) for writer in writers]
    open_ = dict(enumerate(writers))
    while True:
        seconds = time.perf_counter() - started
        yield Generation(pair, sampler, tuple(written), not open_, seconds)
        if not open_:
            return
        for place, writer in list(open_.items()):
            if (step := next(writer, None)) is None:
                del open_[place]
                continue
            begins, written[place] = not written[place].tokens, step
            if begins and place < len(writers) - 1:
                seconds = time.perf_counter() - started
                yield Generation(pair, sampler, tuple(written), False, seconds)


def continue_text(
    predictor: Predictor,
    arm: str,
    prompt: str,
    sampler: Sampler | None = None,
    forced: str | None = None,
) -> Iterator[Continuation]:
    """Continue a prompt with one arm.

    Yields the continuation so far: first without a token, then after each.

    Raises:
        InputError: at once, if the prompt cannot be read, or leaves no room for new tokens.
    """
    sampler = sampler or Sampler()
    prompt, forced = clean_text(prompt), None if forced is None else clean_text(forced)
    read = read_prompt(predictor, arm, prompt, forced)
    predictor.check_length(len(read.ids) + sampler.max_tokens, "prompt with its continuation")
    return _written(predictor, arm, prompt, read, sampler, forced)


def _written(
    predictor: Predictor,
    arm: str,
    prompt: str,
    read: Prompt,
    sampler: Sampler,
    forced: str | None,
) -> Iterator[Continuation]:
    tokenizer = predictor.tokenizer
    begun = Continuation(
        arm, prompt, "", (), forced, slot_tokens=read.slot_tokens, reads=read.reads(predictor, arm)
    )
    yield begun
    tokens: list[NewToken] = []
    for token, probability in sample(predictor.arms[arm], read, sampler):
        ended = token == tokenizer.eot_id
        if not ended:
            data = tokenizer.token_bytes(token)
            tokens.append(NewToken(token, tokenizer.token_text(token), data.hex(" "), probability))
        text = tokenizer.decode([token.id for token in tokens])
        yield replace(begun, text=text, tokens=tuple(tokens), ended=ended)
        if ended:
            return


@torch.inference_mode()
def sample(model: GPT, prompt: Prompt, sampler: Sampler) -> Iterator[tuple[int, float]]:
    """Draw tokens from a model: pairs of id and probability (at temperature 1, before top-p)."""
    random = torch.Generator().manual_seed(sampler.seed)
    cache = KVCache()
    unread, forced = prompt.ids, prompt.forced or None
    run, last = 0, None
    for _ in range(sampler.max_tokens):
        ids = torch.tensor([unread], device=model.device)
        states = model.residual_stream(ids, cache=cache, forced=forced)[-1]
        # Only the last token goes through the head, which costs as much as all blocks.
        logits = model.logits(model.norm(states[0, -1]))
        # One draw per token, used or not, so that a greedy stretch does not shift later draws.
        draw = torch.rand((), generator=random).item()
        greedy = sampler.temperature == 0 or run >= sampler.repeat_limit
        probabilities = logits.double().softmax(-1).cpu()
        token = int(logits.argmax()) if greedy else nucleus(logits.cpu(), sampler, draw)
        yield token, probabilities[token].item()
        run = run + 1 if token == last else 1
        last, unread, forced = token, [token], None


def nucleus(logits: Tensor, sampler: Sampler, draw: float) -> int:
    """Return the id that a uniform ``draw`` in [0, 1) selects by temperature and top-p."""
    # Shifted so that the largest is 0: a tiny temperature cannot make it infinite.
    scaled = (logits.double() - logits.max()) / sampler.temperature
    probabilities = scaled.softmax(-1)
    # Sorting the whole vocabulary costs as much as the model's step and is rarely necessary.
    values, order = probabilities.topk(min(SORTED_FIRST, len(probabilities)))
    if values.sum() < sampler.top_p:
        values, order = probabilities.sort(descending=True)
    mass = values.cumsum(-1)
    # The token that crosses top_p is included.
    count = int((mass - values < sampler.top_p).sum())
    place = torch.searchsorted(mass[:count], draw * mass[count - 1], right=True)
    return int(order[min(int(place), count - 1)])
