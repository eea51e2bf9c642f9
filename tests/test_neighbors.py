"""Nearest tokens, against a slow look at every token."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kronviz import codec
from kronviz.maps.neighbors import (
    NeighborReport,
    canonical,
    code_table,
    neighbors,
    relation,
)
from kronviz.predictor import InputError, Predictor
from kronviz.results import from_json, to_json
from kronviz.tokenizer import load_tokenizer


def test_code_similarities_are_those_of_every_token() -> None:
    for text in ("run", " the", "naïve", "x" * 40, "\x07", b"\xe2\x80", b"\0"):
        for pos_dim in (8, 16):
            data = text if isinstance(text, bytes) else text.encode()
            tokenizer = load_tokenizer("r50k_base:2048")
            found = code_table(tokenizer.name, pos_dim).similarities(data)
            slow = [
                codec.similarity(data, tokenizer.token_bytes(token), pos_dim)
                for token in range(tokenizer.n_vocab)
            ]
            np.testing.assert_allclose(found, slow, atol=1e-12)


def test_the_nearest_come_first_and_the_string_itself_is_not_among_them() -> None:
    space = neighbors("run", vocabulary="r50k_base").spaces[0]
    similarities = [found.similarity for found in space.neighbors]
    assert similarities == sorted(similarities, reverse=True)
    assert len(space.neighbors) == 10
    assert "run" not in [found.text for found in space.neighbors]
    assert {"runs", "ran", "rum"} & {found.text for found in space.neighbors}


def test_trained_tables_are_searched_by_cosine(small_predictor: Predictor) -> None:
    report = neighbors(" the", small_predictor, k=5)
    assert [space.space for space in report.spaces] == ["code", "kron", "bpe"]
    token = small_predictor.tokenizer.encode(" the")[0]
    for space in report.spaces[1:]:
        model = small_predictor.arms[space.space]
        vectors = model.wte(torch.arange(model.n_vocab)).detach()
        cosines = torch.nn.functional.cosine_similarity(vectors, vectors[token][None])
        cosines[token] = -2
        best = cosines.topk(5)
        assert [found.id for found in space.neighbors] == best.indices.tolist()
        assert [found.similarity for found in space.neighbors] == pytest.approx(
            best.values.tolist(), abs=1e-5
        )


def test_bpe_answers_for_a_mean_where_the_string_is_no_token(small_predictor: Predictor) -> None:
    basis = {
        text: {space.space: space.basis for space in neighbors(text, small_predictor).spaces}
        for text in (" the", "hunderd")
    }
    assert basis[" the"] == {"code": "bytes", "kron": "bytes", "bpe": "token"}
    assert basis["hunderd"] == {"code": "bytes", "kron": "bytes", "bpe": "mean"}
    no_text = neighbors(b"\xe2\x80", small_predictor)
    assert [space.space for space in no_text.spaces] == ["code", "kron"]


def test_canonical_form() -> None:
    for token, form in (
        (b"run", "run"),
        (b" Run", "run"),
        (b".run", "run"),
        (b"_run()", "run"),
        (b"don't", "dont"),
        ("“Ça".encode(), "ça"),
        (b"...", "..."),
        (b"  ", ""),
        (b"\xe2\x80", None),
    ):
        assert canonical(token) == form


def test_relation() -> None:
    for first, second, mark in (
        ("run", "run", "typographic"),
        ("run", "runs", "morphological"),
        ("running", "run", "morphological"),
        ("rerun", "run", "morphological"),
        ("run", "ran", "morphological"),
        ("hundred", "red", "other"),
        ("trunk", "run", "other"),
        ("run", "r", "other"),
        ("run", None, "other"),
        ("", "", "other"),
    ):
        assert relation(first, second) == mark


def test_refuses_in_one_sentence() -> None:
    for arguments, sentence in (
        ({"text": ""}, "empty"),
        ({"text": "run", "k": 0}, "k is 0; it must be a whole number from 1 to 100"),
        ({"text": "run", "k": 2.5}, "k is 2.5"),
        ({"text": "run", "vocabulary": "klingon"}, "no vocabulary called 'klingon'"),
        ({"text": "run", "vocabulary": "r50k_base:7"}, "256"),
        ({"text": "run", "pos_dim": 0}, "pos_dim is 0"),
    ):
        with pytest.raises(InputError, match=sentence):
            neighbors(**arguments)


def test_comes_back_from_json(small_predictor: Predictor) -> None:
    report = neighbors("the", small_predictor, k=100)
    assert all(len(space.neighbors) == 100 for space in report.spaces)
    assert from_json(NeighborReport, to_json(report)) == report
