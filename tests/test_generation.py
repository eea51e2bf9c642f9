"""The sampler against its definition, forced slots against the tokens whose bytes they hold."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import small_model

from kronviz.app.components.html import element
from kronviz.app.tabs.generate import view as generate_view
from kronviz.generation import (
    Generation,
    Prompt,
    Sampler,
    continue_text,
    nucleus,
    read_prompt,
    same_start,
    sample,
    side_by_side,
)
from kronviz.predictor import InputError, Predictor
from kronviz.results import from_json, to_json

PROMPT = "The king and the"


def last(steps):
    return list(steps)[-1]


@pytest.mark.parametrize("arm", ["bpe", "kron"])
def test_continuations_are_reproducible_and_streamed(small_predictor: Predictor, arm: str) -> None:
    steps = list(continue_text(small_predictor, arm, PROMPT))
    assert [len(step.tokens) for step in steps] == list(range(len(steps)))
    assert steps[-1] == last(continue_text(small_predictor, arm, PROMPT))
    assert steps[-1] != last(continue_text(small_predictor, arm, PROMPT, Sampler(seed=1)))
    assert steps[-1].text == small_predictor.tokenizer.decode([t.id for t in steps[-1].tokens])


@torch.no_grad()
def test_temperature_zero_is_the_models_own_choice(small_predictor: Predictor) -> None:
    ids = small_predictor.tokenizer.encode(PROMPT)
    model = small_predictor.arms["kron"]
    made = last(
        continue_text(small_predictor, "kron", PROMPT, Sampler(temperature=0, max_tokens=8))
    )
    for token in made.tokens:
        logits = model(torch.tensor([ids])).logits[0, -1]
        assert token.id == int(logits.argmax())
        assert token.prob == pytest.approx(logits.softmax(-1)[token.id].item(), rel=1e-4)
        ids.append(token.id)


@torch.no_grad()
def test_a_sampled_token_has_its_own_probability_at_temperature_one(
    small_predictor: Predictor,
) -> None:
    ids = small_predictor.tokenizer.encode(PROMPT)
    model = small_predictor.arms["bpe"]
    made = last(
        continue_text(
            small_predictor, "bpe", PROMPT, Sampler(temperature=1.5, top_p=1, max_tokens=8, seed=2)
        )
    )
    seldom = 0
    for token in made.tokens:
        probabilities = model(torch.tensor([ids])).logits[0, -1].softmax(-1)
        assert token.prob == pytest.approx(probabilities[token.id].item(), rel=1e-4)
        seldom += token.prob < probabilities.max().item()
        ids.append(token.id)
    assert seldom > 2


@given(st.integers(0, 10_000), st.floats(0.1, 3), st.floats(0.05, 1), st.floats(0, 0.999999))
def test_nucleus_keeps_the_smallest_set_that_reaches_top_p(
    seed: int, temperature: float, top_p: float, draw: float
) -> None:
    logits = np.random.default_rng(seed).normal(size=50) * 3
    chosen = nucleus(torch.tensor(logits), Sampler(temperature, top_p), draw)
    weights = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    order = np.argsort(-weights)
    kept = order[: int(np.searchsorted(np.cumsum(weights[order]), top_p)) + 1]
    assert chosen in kept


def test_nucleus_draws_in_proportion() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    draws = [nucleus(logits, Sampler(1.0, 0.9), i / 1000) for i in range(1000)]
    counts = np.bincount(draws, minlength=4) / 1000
    np.testing.assert_allclose(counts, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0], atol=0.002)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_token_that_came_so_often_in_a_row_is_followed_by_the_likeliest(
    small_predictor: Predictor, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Beside a loop of our own, where a draw is the toss of a coin between two tokens."""
    monkeypatch.setattr("kronviz.generation.nucleus", lambda _, __, draw: 5 + (draw < 0.5))
    model = small_predictor.arms["kron"]
    ids = small_predictor.tokenizer.encode(PROMPT)
    sampler = Sampler(max_tokens=40, seed=3, repeat_limit=limit)
    drawn = [token for token, _ in sample(model, Prompt(ids), sampler)]
    random = torch.Generator().manual_seed(3)
    expected: list[int] = []
    forced = 0
    for _ in range(40):
        toss = 5 + (torch.rand((), generator=random).item() < 0.5)
        if len(expected) >= limit and len(set(expected[-limit:])) == 1:
            forced += 1
            with torch.no_grad():
                toss = int(model(torch.tensor([ids + expected])).logits[0, -1].argmax())
        expected.append(toss)
    assert drawn == expected
    assert forced, "nothing was put to the test"


def test_a_slot_with_a_tokens_own_bytes_is_the_token(small_predictor: Predictor) -> None:
    word = small_predictor.tokenizer.encode(" the")
    assert len(word) == 1
    slot = read_prompt(small_predictor, "kron", "The king and {} queen", "the")
    plain = read_prompt(small_predictor, "kron", "The king and the queen")
    assert slot.slot_tokens == 1
    assert len(slot.ids) == len(plain.ids)
    model = small_predictor.arms["kron"]
    with torch.no_grad():
        a = model(torch.tensor([slot.ids]), forced=slot.forced).logits
        b = model(torch.tensor([plain.ids])).logits
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("arm", ["ngram-2k", "ngram-word", "ngram-words"])
def test_bags_of_ngrams_take_slots_and_read_all_of_them(arm: str) -> None:
    predictor = Predictor("bags", {arm: small_model(arm)})
    slot = read_prompt(predictor, arm, "The king and {} queen", "the")
    plain = read_prompt(predictor, arm, "The king and the queen")
    model = predictor.arms[arm]
    with torch.no_grad():
        a = model(torch.tensor([slot.ids]), forced=slot.forced).logits
        b = model(torch.tensor([plain.ids])).logits
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    word = "zorblaxian-extraordinarily"
    novel = read_prompt(predictor, arm, "The {} queen", word)
    assert novel.slot_tokens == 1
    assert next(read for read in novel.reads(predictor, arm) if read.in_slot).read == len(word) + 1


def test_a_novel_string_is_one_position_for_kron_and_its_tokens_for_bpe(
    small_predictor: Predictor,
) -> None:
    made = {
        arm: last(continue_text(small_predictor, arm, "We run {} in", forced="kubernetes"))
        for arm in ("bpe", "kron")
    }
    tokens = small_predictor.tokenizer.encode(" kubernetes")
    assert made["kron"].slot_tokens == 1
    assert made["bpe"].slot_tokens == len(tokens) > 1
    other = last(continue_text(small_predictor, "kron", "We run {} in", forced="xylophones"))
    assert [t.prob for t in other.tokens] != [t.prob for t in made["kron"].tokens]


def test_bad_prompts_are_refused(small_predictor: Predictor) -> None:
    for prompt, forced, said in (
        ("", None, "empty"),
        ("no slot", "x", "Write {} once"),
        ("{} {}", "x", "Write {} once"),
        ("a {}", "", "is empty"),
        ("a {}", " \t", "is empty"),
        ("a {}", "x" * 65, "65 bytes"),
        ("word " * 20, None, "continuation has"),
    ):
        with pytest.raises(InputError, match=said):
            list(continue_text(small_predictor, "kron", prompt, forced=forced))


def test_knobs_have_limits() -> None:
    for knob in (
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"top_p": 0},
        {"top_p": None},
        {"max_tokens": 0},
        {"max_tokens": 201},
        {"max_tokens": 1.5},
        {"max_tokens": True},
        {"seed": -1},
        {"seed": 2**32},
        {"seed": float("inf")},
        {"repeat_limit": 0},
    ):
        with pytest.raises(InputError, match="it must be a"):
            Sampler(**knob)


def test_what_is_not_said_is_the_papers_and_stays_what_links_mean() -> None:
    assert Sampler() == Sampler(0.7, 0.9, max_tokens=30, seed=42, repeat_limit=5)
    Sampler(5, 1, max_tokens=200, seed=2**32 - 1, repeat_limit=200)
    Sampler(0, 0.01, max_tokens=1, seed=0, repeat_limit=1)


def test_whole_numbers_may_come_as_floats_and_stay_whole() -> None:
    sampler = Sampler(temperature=1, max_tokens=7.0, seed=3.0)  # type: ignore[arg-type]
    assert (sampler.temperature, sampler.max_tokens, sampler.seed) == (1.0, 7, 3)
    assert isinstance(sampler.max_tokens, int)


def test_the_smallest_temperatures_take_the_most_probable() -> None:
    for temperature in (5e-324, 1e-300, 1e-12):
        logits = torch.tensor([1.0, 3.0, 2.0])
        assert nucleus(logits, Sampler(temperature, 1.0), 0.999) == 1


def test_side_by_side_is_what_each_arm_writes_alone(small_predictor: Predictor) -> None:
    prompts = [PROMPT, "The knig and teh"]
    started, steps = time.perf_counter(), []
    for step in side_by_side(small_predictor, prompts, Sampler(max_tokens=6)):
        assert step.seconds <= time.perf_counter() - started
        steps.append(step)
    assert [step.finished for step in steps] == [False] * (len(steps) - 1) + [True]
    alone = [
        last(continue_text(small_predictor, arm, prompt, Sampler(max_tokens=6)))
        for prompt in prompts
        for arm in small_predictor.arms
    ]
    assert list(steps[-1].continuations) == alone
    assert [c.tokens for c in steps[0].continuations] == [()] * 4
    assert from_json(Generation, to_json(steps[-1])) == steps[-1]
    counts = [[len(made.tokens) for made in step.continuations] for step in steps[:6]]
    assert counts == [*([1] * row + [0] * (4 - row) for row in range(5)), [2] * 4]
    one = alone[0]
    assert same_start(one, replace(one, tokens=one.tokens[:2])) == 2
    other = replace(one.tokens[3], id=one.tokens[3].id + 1)
    assert same_start(one, replace(one, tokens=(*one.tokens[:3], other, *one.tokens[4:]))) == 3


def test_half_a_surrogate_pair_in_a_slot_is_answered_and_written_as_json(
    small_predictor: Predictor,
) -> None:
    *_, found = side_by_side(small_predictor, ["A {} is"], Sampler(max_tokens=1), "zo\ud800rb")
    assert found.continuations[0].forced == "zo\ufffdrb"
    assert from_json(Generation, to_json(found)) == found


def test_what_cannot_be_read_is_said_before_anything_is_written(
    small_predictor: Predictor,
) -> None:
    with pytest.raises(InputError, match="empty"):
        side_by_side(small_predictor, [PROMPT, " "])


def test_the_page_is_told_how_each_arm_reads_a_slot(small_predictor: Predictor) -> None:
    made = {
        arm: next(iter(continue_text(small_predictor, arm, "We run {} in", forced="kubernetes")))
        for arm in ("bpe", "kron")
    }
    spelled = {
        arm: "".join(token.text for token in step.reads if token.in_slot)
        for arm, step in made.items()
    }
    assert spelled == {"bpe": " kubernetes", "kron": " kubernetes"}
    slots = {arm: [t for t in step.reads if t.in_slot] for arm, step in made.items()}
    assert [token.id for token in slots["kron"]] == [None]
    assert all(token.id is not None for token in slots["bpe"])
    assert len(slots["bpe"]) == made["bpe"].slot_tokens
    plain = next(iter(continue_text(small_predictor, "bpe", "a")))
    assert plain.slot_tokens == 0
    assert not any(token.in_slot for token in plain.reads)


def test_a_string_longer_than_the_code_is_shown_cut(small_predictor: Predictor) -> None:
    word = "antidisestablishmentarianism"
    made = next(iter(continue_text(small_predictor, "kron", "We speak of {} in", forced=word)))
    (slot,) = (token for token in made.reads if token.in_slot)
    assert (slot.text, slot.read) == (f" {word}", 16)
    assert "the first 16 of its 29 bytes" in generate_view._slot_clause(made)
    assert element("span", "hmentarianism", class_="kv-gen-unread") in generate_view._read(slot)
    whole = next(iter(continue_text(small_predictor, "bpe", "We speak of {} in", forced=word)))
    assert all(token.read == len(bytes.fromhex(token.hex)) for token in whole.reads)
    same = next(iter(continue_text(small_predictor, "kron", "We speak of {} in", forced=word[:15])))
    assert "made of its bytes" in generate_view._slot_clause(same)
    rows = [
        read_prompt(small_predictor, "kron", "Of {} in", string) for string in (word, word[:15])
    ]
    model = small_predictor.arms["kron"]
    logits = [model(torch.tensor([row.ids]), forced=row.forced).logits for row in rows]
    torch.testing.assert_close(*logits)


def test_a_slot_needs_no_padding_in_the_vocabulary() -> None:
    model = small_model("kron", vocabulary="r50k_base:511")
    assert len(model.lm_head.weight) == model.n_vocab
    predictor = Predictor("full", {"kron": model})
    made = last(continue_text(predictor, "kron", "A {} is", Sampler(max_tokens=2), "zorb"))
    assert made.slot_tokens == 1
    assert len(made.tokens) == 2 or made.ended


def test_a_text_that_the_model_ends_says_so(
    small_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = [300, 5, small_predictor.tokenizer.eot_id, 7]
    drawn = iter(draws)
    monkeypatch.setattr("kronviz.generation.nucleus", lambda *_: next(drawn))
    made = last(continue_text(small_predictor, "bpe", "a", Sampler(max_tokens=4)))
    assert made.ended
    assert [token.id for token in made.tokens] == draws[:2]
    assert next(drawn) == 7
