"""Alignment by character, forgetting curves, the strip of one text, and words in turn."""

from __future__ import annotations

import difflib
import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kronviz.metrics import kl_divergence
from kronviz.predictor import InputError, Predictor
from kronviz.probes import alignment
from kronviz.probes import recovery as module
from kronviz.probes.alignment import aligned, changed_bytes, equal_stretches
from kronviz.probes.recovery import (
    PassageRuns,
    Recovery,
    RecoverySettings,
    our_passages,
    recovery,
    recovery_strip,
)
from kronviz.probes.sensitivity import Sensitivity, SensitivitySettings, sensitivity
from kronviz.probes.tables import recovery_rows, sensitivity_rows
from kronviz.results import from_json, to_json
from kronviz.typos import Edit, Misspelling
from kronviz.typos.words import find_words

CLEAN = "The capital of France is a big city on the river"
TYPO = "The captial of France is a big city on the river"


def split(text: str) -> list[bytes]:
    return [piece.encode() for piece in text.split("|")]


def assert_places_of_a_split_word() -> None:
    places = aligned(split("The| capital| of| France"), split("The| capt|ial| of| France"))
    assert [(p.clean, p.typo, p.later) for p in places] == [
        (0, 0, None),
        (1, 2, 0),
        (2, 3, 1),
        (3, 4, 2),
    ]


def test_places_are_where_both_have_read_the_same() -> None:
    assert_places_of_a_split_word()


def test_a_typo_at_the_very_end_still_has_a_place() -> None:
    places = aligned(split("a| run"), split("a| ru|nz"))
    assert [(p.clean, p.typo, p.later) for p in places] == [(0, 0, None), (1, 2, 0)]


def test_a_second_typo_starts_the_count_again() -> None:
    places = aligned(split("one| two| three| four"), split("oen| two| thre| four"))
    assert [p.later for p in places] == [0, 1, 0, 1]


def test_equal_texts_have_every_place_and_no_typo() -> None:
    places = aligned(split("a| b| c"), split("a| b| c"))
    assert [p.later for p in places] == [None] * 3
    assert changed_bytes(split("a| b"), split("a| b")) == [(), ()]


@given(st.lists(st.binary(min_size=1, max_size=4)), st.lists(st.binary(min_size=1, max_size=4)))
def test_places_rise_in_both_texts(clean: list[bytes], typo: list[bytes]) -> None:
    places = aligned(clean, typo)
    for one, next_one in itertools.pairwise(places):
        assert one.clean <= next_one.clean
        assert one.typo < next_one.typo
    for place in places:
        assert 0 <= place.clean < len(clean)
        assert 0 <= place.typo < len(typo)
    if clean and typo and clean[-1][-1:] == typo[-1][-1:]:
        assert places[-1].typo == len(typo) - 1


def test_long_texts_with_little_in_common_are_compared_token_by_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[int] = []

    class Spy(difflib.SequenceMatcher):
        def __init__(self, junk: None, a: list, b: list, autojunk: bool) -> None:
            compared.append(len(a) * len(b))
            super().__init__(junk, a, b, autojunk)

    monkeypatch.setattr(difflib, "SequenceMatcher", Spy)
    clean, typo = [b" government"] * 180 + [b" is"], [b" department"] * 180 + [b" is"]
    assert [p.later for p in aligned(clean, typo)] == [0, 1]
    assert max(compared) <= alignment.MOST_COMPARED
    monkeypatch.setattr(alignment, "MOST_COMPARED", 0)
    assert_places_of_a_split_word()


def test_a_letter_left_out_at_the_end_is_compared_with_the_whole_word() -> None:
    places = aligned(split("a| ru|n"), split("a| ru"))
    assert [(p.clean, p.typo, p.later) for p in places] == [(0, 0, None), (2, 1, 0)]


def test_changed_bytes_are_those_that_are_new() -> None:
    assert changed_bytes(split("cat"), split("c|oat")) == [(), (0,)]
    assert changed_bytes(split("a capital b"), split("a capt|ial b")) == [(5,), (0,)]
    parts = equal_stretches(split("A| capital| of| it"), split("A| cpiatl| of| it"))
    assert [tag for tag, *_ in parts] == ["equal", "changed", "equal"]
    # What the texts share inside a word belongs to the change, also if nothing stands before it.
    parts = equal_stretches(split("xabz| d"), split("aby| d"))
    assert [tag for tag, *_ in parts] == ["changed", "equal"]


def test_the_strip_is_what_reading_each_beginning_gives(small_predictor: Predictor) -> None:
    strip = recovery_strip(small_predictor, CLEAN, TYPO)
    assert "".join(token.token.text for token in strip.tokens) == TYPO
    clean_ids, ids = map(small_predictor.tokenizer.encode, (CLEAN, TYPO))
    # The two texts are equally long, so a place is the same number of letters in both.
    sizes = [len(small_predictor.tokenizer.token_text(token)) for token in clean_ids]
    ends = list(itertools.accumulate(sizes))
    seen = 0
    for index, token in enumerate(strip.tokens):
        seen += len(token.token.text)
        if not token.arms:
            continue
        beginning = clean_ids[: ends.index(seen) + 1]
        for arm in token.arms:
            with torch.inference_mode():
                model = small_predictor.arms[arm.arm]
                q = model(torch.tensor([ids[: index + 1]])).logits[0, -1]
                p = model(torch.tensor([beginning])).logits[0, -1]
            assert arm.kl_nats == pytest.approx(float(kl_divergence(p, q)), abs=1e-6)
            if token.later is None:
                assert arm.kl_nats < 1e-9
    assert [token.later for token in strip.tokens][-3:] == [6, 7, 8] or strip.tokens[-1].later > 4
    assert from_json(type(strip), to_json(strip)) == strip


def test_the_strip_refuses_in_a_sentence(small_predictor: Predictor) -> None:
    for clean, typo in (("", TYPO), (CLEAN, " "), ("x " * 3000, TYPO)):
        with pytest.raises(InputError, match=r"\.$"):
            recovery_strip(small_predictor, clean, typo)


@pytest.fixture(scope="module")
def curve(small_predictor: Predictor) -> Recovery:
    texts = tuple(passage[:150] for passage in our_passages()[:4])
    return recovery(small_predictor, RecoverySettings(texts, repeats=2, later=6, seed=1))


def test_curves_average_over_passages(curve: Recovery, small_predictor: Predictor) -> None:
    assert curve.done == curve.asked == 4
    assert curve.runs == 8
    assert [point.later for point in curve.points] == list(range(6))
    for point in curve.points:
        for arm in point.arms:
            assert 0 <= arm.kl_nats.low <= arm.kl_nats.mean <= arm.kl_nats.high
    for i, arm in enumerate(curve.arms):
        means = [point.arms[i].kl_nats.mean for point in curve.points]
        assert arm.summed_nats == pytest.approx(sum(means))
        if arm.half_after is not None:
            assert means[arm.half_after] <= means[0] / 2
            assert all(mean > means[0] / 2 for mean in means[: arm.half_after])
    texts = tuple(passage[:150] for passage in our_passages()[:4])
    again = recovery(small_predictor, RecoverySettings(texts, repeats=2, later=6, seed=1))
    assert replace(again, seconds=0) == replace(curve, seconds=0)
    assert from_json(Recovery, to_json(curve)) == curve
    assert len(recovery_rows(curve)) == 6


def test_a_point_averages_the_runs_that_reach_it(small_predictor: Predictor) -> None:
    both = [
        PassageRuns(dict.fromkeys(small_predictor.arms, kls))
        for kls in ([[4.0, 2.0], [2.0]], [[1.0, 1.0, 1.0]])
    ]
    found = module.summarise_recovery(small_predictor, both, RecoverySettings(), asked=2)
    assert [(point.later, point.runs) for point in found.points] == [(0, 3), (1, 2), (2, 1)]
    assert [point.arms[0].kl_nats.mean for point in found.points] == [2.0, 1.5, 1.0]
    assert (found.runs, found.arms[0].summed_nats) == (3, 4.5)
    assert (found.arms[0].half_after, found.arms[0].tenth_after) == (2, None)


def test_a_misspelled_passage_that_outgrows_the_model_is_followed_as_far_as_it_is_read(
    small_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, room = small_predictor.tokenizer.encode, small_predictor.n_ctx
    heads = "one two three", "one two tqzhrqee"
    ends = [len(encode(head)) - 1 for head in heads]
    clean, typo = (head + " of" * (room - 1 - ends[0]) for head in heads)
    assert len(encode(clean)) == room < len(encode(typo))

    def misspelled(text: str, *_: object, **__: object) -> Misspelling:
        return Misspelling(
            text.replace(*(h[8:] for h in heads)), text, (Edit("x", 0, 0, "", ""),), 0
        )

    monkeypatch.setattr(module, "misspelled", misspelled)
    *_, (runs,) = module.passage_runs(
        small_predictor, [clean], RecoverySettings(kinds=("swap",), repeats=1, later=64)
    )
    for arm, model in small_predictor.arms.items():
        with torch.inference_mode():
            p, q = (model(torch.tensor([encode(text)[:room]])).logits[0] for text in (clean, typo))
        count = room - ends[1]
        expected = kl_divergence(p[ends[0] : ends[0] + count], q[ends[1] :])
        assert runs.kls[arm][0] == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_stopped_run_keeps_its_passages(small_predictor: Predictor) -> None:
    texts = tuple(passage[:150] for passage in our_passages()[:4])
    found = recovery(
        small_predictor,
        RecoverySettings(texts, repeats=1, later=3),
        progress=lambda step: step.done == 0,
    )
    assert (found.done, found.asked) == (1, 4)
    assert found.points


def test_recovery_refuses_in_a_sentence(small_predictor: Predictor) -> None:
    for arguments in (
        {"repeats": 0},
        {"repeats": True},
        {"later": 65},
        {"kinds": ("nothing",)},
        {"passages": (" ",)},
    ):
        with pytest.raises(InputError):
            recovery(small_predictor, RecoverySettings(**{"passages": (CLEAN,), **arguments}))


def test_a_passage_that_is_too_long_is_named(small_predictor: Predictor) -> None:
    found = recovery(small_predictor, RecoverySettings(("word " * 200, CLEAN), repeats=1, later=2))
    assert found.done == 1
    assert "passage 1" in found.problems[0]


def test_our_passages_are_prose_that_the_models_can_read() -> None:
    passages = our_passages()
    assert len(passages) == len(set(passages)) == 24
    assert all(40 <= len(find_words(passage)) <= 70 for passage in passages)


def test_every_word_is_misspelled_in_turn(small_predictor: Predictor) -> None:
    found = sensitivity(small_predictor, SensitivitySettings(CLEAN, tries=2, seed=1))
    assert [word.word for word in found.words] == [word.text for word in find_words(CLEAN)]
    for word in found.words:
        assert CLEAN[word.start : word.end] == word.word
        assert bool(word.arms) == bool(word.variants)
        assert word.word not in word.variants
    hurt = next(word for word in found.words if word.word == "capital")
    expected = []
    for variant in hurt.variants:
        comparison = small_predictor.compare(CLEAN, CLEAN.replace("capital", variant))
        expected.append(comparison.arms[1].metrics.kl_nats)
    assert hurt.arms[1].kl_nats == pytest.approx(sum(expected) / len(expected), abs=1e-6)
    assert from_json(Sensitivity, to_json(found)) == found
    assert len(sensitivity_rows(found)) == len(found.words)


def test_a_stopped_run_has_the_first_words(
    small_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kronviz.probes.outcomes.BATCH_TOKENS", 120)
    whole = sensitivity(small_predictor, SensitivitySettings(CLEAN, tries=1))
    part = sensitivity(
        small_predictor, SensitivitySettings(CLEAN, tries=1), progress=lambda step: step.done == 0
    )
    assert whole.measured == len(whole.words)
    assert 0 < part.measured < whole.measured
    assert part.words[: part.measured] == whole.words[: part.measured]
    assert not any(word.arms for word in part.words[part.measured :])


def test_a_text_without_words_has_first_choices_and_no_figures(small_predictor: Predictor) -> None:
    found = sensitivity(small_predictor, SensitivitySettings("1 + 1 ="))
    assert found.words == ()
    assert len(found.arms) == 2


def test_sensitivity_refuses_in_a_sentence(small_predictor: Predictor) -> None:
    for text, arguments in (
        ("", {}),
        ("a b " * 31, {}),
        (CLEAN, {"tries": 0}),
        (CLEAN, {"tries": 11}),
        (CLEAN, {"kinds": ()}),
    ):
        with pytest.raises(InputError, match=r"\.$"):
            sensitivity(small_predictor, SensitivitySettings(text, **arguments))
