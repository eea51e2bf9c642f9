"""An edit at every place: the strings that it makes, and how similarity falls."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronviz import codec
from kronviz.predictor import InputError, Predictor
from kronviz.probes.editwalk import EDIT_KINDS, EditWalk, edit_walk
from kronviz.probes.stringpair import compare_strings
from kronviz.results import from_json, to_json


def by_kind(walk: EditWalk, kind: str) -> list[tuple[int, str]]:
    return [(point.position, point.text) for point in walk.points if point.kind == kind]


def test_what_each_kind_does() -> None:
    walk = edit_walk("aBb")
    assert by_kind(walk, "substitute") == [(1, "xBb"), (2, "axb"), (3, "aBx")]
    assert by_kind(walk, "insert") == [(1, "xaBb"), (2, "axBb"), (3, "aBxb"), (4, "aBbx")]
    assert by_kind(walk, "delete") == [(1, "Bb"), (2, "ab"), (3, "aB")]
    assert by_kind(walk, "swap") == [(1, "Bab"), (2, "abB")]
    assert by_kind(walk, "case") == [(1, "ABb"), (2, "abb"), (3, "aBB")]
    assert by_kind(walk, "space") == [(1, " aBb"), (2, "a Bb"), (3, "aB b"), (4, "aBb ")]


def test_substitution_is_a_step_and_insertion_in_front_a_cliff() -> None:
    walk = edit_walk("compute")
    steps = [point.code_cosine for point in walk.points if point.kind == "substitute"]
    assert steps == pytest.approx([6 / 7] * 7)
    slope = [point.code_cosine for point in walk.points if point.kind == "insert"]
    assert slope == pytest.approx([kept / math.sqrt(7 * 8) for kept in range(8)])


@given(st.text(min_size=1, max_size=30))
def test_every_point_is_one_edit_away_and_agrees_with_the_code(text: str) -> None:
    walk = edit_walk(text, pos_dim=16)
    original = walk.text
    assert len(walk.characters) <= 16
    for point in walk.points:
        change = {"insert": 1, "space": 1, "delete": -1}.get(point.kind, 0)
        if point.kind != "case":  # the other case of a letter may be two letters
            assert len(point.text) == len(original) + change
        assert point.text[: point.position - 1] == original[: point.position - 1]
        assert 1 <= point.position <= len(walk.characters) + 1
        assert point.code_cosine == codec.similarity(original.encode(), point.text.encode(), 16)


def test_the_letter_is_one_that_the_word_has_not() -> None:
    assert edit_walk("box").letter == "z"
    assert edit_walk("BOXZ").letter == "q"


def test_places_behind_the_cut_are_left_out() -> None:
    walk = edit_walk("x" * 60)
    assert len(walk.characters) == 16
    assert max(point.position for point in walk.points) == 16
    assert by_kind(edit_walk("x" * 16), "insert")[-1][0] == 16
    assert by_kind(edit_walk("x" * 15), "insert")[-1][0] == 16


def test_arms_agree_with_a_single_comparison(small_predictor: Predictor) -> None:
    walk = edit_walk(" the", small_predictor)
    assert any(point.bpe_cosine is not None for point in walk.points)
    for point in walk.points:
        single = compare_strings(" the", point.text, small_predictor)
        assert point.kron_cosine == pytest.approx(single.kron_cosine, abs=1e-6)
        assert point.bpe_cosine == pytest.approx(single.bpe_cosine)
        assert point.kron_centred == pytest.approx(single.kron_centred, abs=1e-6)
        assert point.bpe_centred == pytest.approx(single.bpe_centred)
        assert point.n_tokens == len(single.second_tokens)


def test_some_kinds_only() -> None:
    assert {point.kind for point in edit_walk("run", kinds=["swap"]).points} == {"swap"}
    with pytest.raises(InputError, match="no kind of edit called 'melt'; choose from substitute"):
        edit_walk("run", kinds=["melt"])
    with pytest.raises(InputError, match="empty"):
        edit_walk("")


def test_comes_back_from_json(small_predictor: Predictor) -> None:
    walk = edit_walk("ru\x07n", small_predictor)
    assert from_json(EditWalk, to_json(walk)) == walk
    assert {point.kind for point in walk.points} == set(EDIT_KINDS)
