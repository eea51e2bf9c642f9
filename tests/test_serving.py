"""Many at once: read together what waits together, once what is equal, never what is stale."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import Any

import pytest

from kronviz.predictor import Comparison, InputError, Predictor
from kronviz.serving import Busy, Comparisons, Overtaken

CLEAN, TYPO = "The sun rises", "Teh sun rises"
LIMIT_S = 30


class Held:
    """A predictor that waits for leave before it reads, and says what it was asked."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor
        self.batches: list[list[tuple[str, str, str]]] = []
        self.entered, self.leave = threading.Event(), threading.Event()

    def compare_many(self, texts: list[tuple[str, str, str]]) -> list[Comparison | InputError]:
        self.batches.append(list(texts))
        self.entered.set()
        assert self.leave.wait(LIMIT_S)
        if any("poison" in typo for _, typo, _ in texts):
            raise RuntimeError("a fault of the program")
        return self._predictor.compare_many(texts)


@pytest.fixture
def held(small_predictor: Predictor) -> Held:
    return Held(small_predictor)


def busy_with_one(held: Held, **settings: Any) -> tuple[Comparisons, Future[Comparison]]:
    """Comparisons whose thread reads a first question until it gets leave."""
    comparisons = Comparisons(held, **settings)  # type: ignore[arg-type]
    first = comparisons.submit(CLEAN, "the first")
    assert held.entered.wait(LIMIT_S)
    return comparisons, first


def test_several_are_answered_as_each_alone(small_predictor: Predictor) -> None:
    texts = [(CLEAN, TYPO), ("a", "b"), ("one two three " * 4, "one tow three " * 4), ("", "x")]
    together = small_predictor.compare_many(texts)
    for (clean, typo), answer in zip(texts, together, strict=True):
        if isinstance(answer, InputError):
            assert clean == ""
            continue
        alone = small_predictor.compare(clean, typo)
        assert (answer.clean, answer.typo) == (clean, typo)
        assert answer.clean_tokens == alone.clean_tokens
        for arm, other in zip(answer.arms, alone.arms, strict=True):
            assert arm.metrics.kl_nats == pytest.approx(other.metrics.kl_nats, abs=1e-5)
            for token, twin in zip(arm.next_tokens, other.next_tokens, strict=True):
                assert token.typo_prob == pytest.approx(twin.typo_prob, rel=1e-3)


def test_what_waits_together_is_read_together(held: Held) -> None:
    comparisons, first = busy_with_one(held, batch=4)
    later = [comparisons.submit(CLEAN, f"typo {number}") for number in range(6)]
    held.leave.set()
    assert wait([first, *later], LIMIT_S).not_done == set()
    assert [len(batch) for batch in held.batches] == [1, 4, 2]
    assert [answer.result().typo for answer in later] == [f"typo {number}" for number in range(6)]


def test_equal_questions_are_read_once_and_then_remembered(held: Held) -> None:
    comparisons, _ = busy_with_one(held, kept=2)
    twice = [comparisons.submit(CLEAN, TYPO) for _ in range(2)]
    held.leave.set()
    assert twice[0].result(LIMIT_S) == twice[1].result(LIMIT_S)
    comparisons.compare(CLEAN, TYPO)
    assert held.batches == [[(CLEAN, "the first", "")], [(CLEAN, TYPO, "")]]
    comparisons.compare(CLEAN, "another")
    comparisons.compare(CLEAN, TYPO)
    comparisons.compare(CLEAN, "a third")
    asked = len(held.batches)
    comparisons.compare(CLEAN, TYPO)
    assert len(held.batches) == asked, "asked again last, it is to be forgotten last"
    comparisons.compare(CLEAN, "another")
    assert held.batches[-1] == [(CLEAN, "another", "")]


def test_an_overtaken_question_is_not_read(held: Held) -> None:
    comparisons, _ = busy_with_one(held)
    older = comparisons.submit(CLEAN, "older", asker="somebody")
    other = comparisons.submit(CLEAN, "of another", asker="somebody else")
    newer = comparisons.submit(CLEAN, "newer", asker="somebody")
    with pytest.raises(Overtaken):
        older.result(LIMIT_S)
    held.leave.set()
    assert newer.result(LIMIT_S).typo == "newer"
    assert other.result(LIMIT_S).typo == "of another"
    assert (CLEAN, "older", "") not in [text for batch in held.batches for text in batch]


def test_a_question_whose_asker_has_gone_is_not_read(held: Held) -> None:
    comparisons, first = busy_with_one(held)
    assert comparisons.submit(CLEAN, "gone").cancel()
    stays = comparisons.submit(CLEAN, "stays")
    held.leave.set()
    assert stays.result(LIMIT_S)
    assert first.result(LIMIT_S)
    assert held.batches[1] == [(CLEAN, "stays", "")]


def test_too_many_are_told_their_place(held: Held) -> None:
    comparisons, first = busy_with_one(held, waiting=3)
    waiting = [comparisons.submit(CLEAN, f"typo {number}") for number in range(3)]
    with pytest.raises(Busy, match="number 5 in the queue") as refused:
        comparisons.submit(CLEAN, "one too many")
    assert refused.value.place == 5
    comparisons.submit(CLEAN, "typo 1")  # one that waits already takes no place
    held.leave.set()
    assert wait([first, *waiting], LIMIT_S).not_done == set()


def test_nothing_is_kept_of_askers_who_were_refused(held: Held) -> None:
    comparisons, first = busy_with_one(held, waiting=1)
    mine = comparisons.submit(CLEAN, "mine", asker="me")
    for asker in ("me", "you", "she"):
        with pytest.raises(Busy):
            comparisons.submit(CLEAN, f"of {asker}", asker=asker)
    with pytest.raises(Overtaken):
        mine.result(LIMIT_S)
    assert not comparisons._newest
    held.leave.set()
    assert first.result(LIMIT_S)


def test_whatever_a_library_throws_the_next_question_is_answered(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        pass

    def panic(texts: object) -> object:
        monkeypatch.undo()
        raise Panic

    monkeypatch.setattr(held, "compare_many", panic)
    held.leave.set()
    comparisons = Comparisons(held)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="Panic"):
        comparisons.submit(CLEAN, TYPO).result(LIMIT_S)
    assert comparisons.submit(CLEAN, TYPO).result(LIMIT_S).typo == TYPO


def test_one_fault_takes_no_other_answer_with_it(held: Held) -> None:
    comparisons, _ = busy_with_one(held)
    poison, sound = comparisons.submit(CLEAN, "poison"), comparisons.submit(CLEAN, "sound")
    held.leave.set()
    with pytest.raises(RuntimeError):
        poison.result(LIMIT_S)
    assert sound.result(LIMIT_S).typo == "sound"
    assert comparisons.compare(CLEAN, "afterwards").typo == "afterwards"


def test_a_text_that_cannot_be_answered_is_refused_alone(held: Held) -> None:
    comparisons, _ = busy_with_one(held)
    empty, sound = comparisons.submit(CLEAN, ""), comparisons.submit(CLEAN, "sound")
    held.leave.set()
    with pytest.raises(InputError, match="empty"):
        empty.result(LIMIT_S)
    assert sound.result(LIMIT_S)


def test_two_long_texts_with_nothing_in_common_take_no_long_time(
    tiny_predictor: Predictor,
) -> None:
    found = tiny_predictor.compare("the " * 240, " is" * 240)
    assert any(token.changed for token in found.clean_tokens)
