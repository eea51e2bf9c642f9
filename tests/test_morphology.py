"""Kinship of words: forms of one root are kin, words that only share letters are not."""

from __future__ import annotations

from kronviz.families import FAMILIES
from kronviz.morphology import kin

KIN = (
    "run running; run runs; runner runners; rerun run; happy unhappy; nation national; "
    "nation international; compute computing; compute computer; happy happiness; stop stopped; "
    "city cities; connect connected; connect disconnect; ran run; built build; cook overcook"
)
NOT_KIN = (
    "hundred red; trunk run; nation ration; house horse; cat cater; corn corner; moth mother; "
    "late relate; pair repair; port report; son reason; turn return; art heart; all small; "
    "the then; her here; ear year; ice nice; old gold; and hand; run rung; act fact; one phone"
)


def test_forms_of_one_root_are_kin() -> None:
    for pair in KIN.split("; "):
        first, second = pair.split()
        assert kin(first, second)
        assert kin(second, first)


def test_words_that_share_letters_are_not() -> None:
    for pair in NOT_KIN.split("; "):
        first, second = pair.split()
        assert not kin(first, second)
        assert not kin(second, first)


def test_the_papers_families_are_kin_and_a_word_is_no_relative_of_itself() -> None:
    for family in FAMILIES:
        assert all(kin(family.members[0], other) for other in family.members[1:])
    assert not kin("run", "run")
    assert not kin("ab", "abs")
