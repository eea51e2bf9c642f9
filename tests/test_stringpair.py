"""Two strings against the paper's pairs, the dense codes and the trained tables."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import small_model
from test_codec import PUBLISHED

from kronviz import codec
from kronviz.predictor import InputError, Predictor
from kronviz.probes.stringpair import Similarity, compare_strings
from kronviz.results import from_json, to_json
from kronviz.strings import mean_embedding


def test_similarities_of_the_paper() -> None:
    for first, second, cosine in PUBLISHED:
        assert round(compare_strings(first, second).code_cosine, 3) == cosine


@given(st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40))
def test_marks_and_cosines_are_those_of_the_dense_codes(first: bytes, second: bytes) -> None:
    found = compare_strings(first, second, pos_dim=16)
    a, b = codec.code(first, 16), codec.code(second, 16)
    assert found.shared == np.count_nonzero(a * b)
    assert found.code_cosine == pytest.approx(float(a @ b), abs=1e-12)
    za, zb = codec.z_code(first, 16), codec.z_code(second, 16)
    dense = float(za @ zb / np.linalg.norm(za) / np.linalg.norm(zb))
    assert found.z_cosine == pytest.approx(dense, abs=1e-9)
    assert found.shared + found.moved + found.lost == found.first_length == len(found.first_bytes)
    assert found.shared + found.moved + found.new == found.second_length == len(found.second_bytes)
    for byte in found.first_bytes:
        if byte.other is None:
            assert byte.mark == "lost"
            continue
        partner = found.second_bytes[byte.other - 1]
        assert (partner.hex, partner.other, partner.mark) == (byte.hex, byte.position, byte.mark)
        assert (byte.mark == "shared") == (byte.other == byte.position)


def test_no_byte_is_lost_that_the_other_string_has_to_spare() -> None:
    swap = compare_strings("compute", "copmute")
    assert (swap.shared, swap.moved, swap.lost, swap.new) == (5, 2, 0, 0)
    nearest = compare_strings("PQRSa", "123a4aPQRS")
    assert nearest.first_bytes[-1].other == 4
    front = compare_strings("run", " run")
    assert (front.shared, front.moved, front.lost, front.new) == (0, 3, 0, 1)


def test_trained_cosines_are_those_of_the_vectors(small_predictor: Predictor) -> None:
    found = compare_strings(" the", " and", small_predictor)
    table = small_predictor.arms["bpe"].wte.weight.detach()
    ids = [small_predictor.tokenizer.encode(text)[0] for text in (" the", " and")]
    by_table = torch.nn.functional.cosine_similarity(table[ids[0]], table[ids[1]], dim=0)
    assert found.bpe_cosine == pytest.approx(float(by_table), abs=1e-6)
    projection = small_predictor.arms["kron"].wte.weight.detach().double().numpy()
    a, b = (codec.z_code(text, 16) @ projection for text in (b" the", b" and"))
    assert found.kron_cosine == pytest.approx(
        float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)), abs=1e-6
    )


def test_centred_cosines_are_those_without_the_mean_of_all_tokens(
    small_predictor: Predictor,
) -> None:
    found = compare_strings(" the", " and", small_predictor)
    ids = [small_predictor.tokenizer.encode(text)[0] for text in (" the", " and")]
    for arm, cosine in (("kron", found.kron_centred), ("bpe", found.bpe_centred)):
        model = small_predictor.arms[arm]
        vectors = model.wte(torch.arange(model.n_vocab)).detach().double()
        a, b = (vectors - vectors.mean(0))[ids]
        assert cosine == pytest.approx(float(a @ b / a.norm() / b.norm()), abs=1e-5)


@pytest.mark.parametrize("arm", ["bpe", "kron"])
def test_the_mean_embedding_follows_the_weights_and_keeps_no_model_alive(arm: str) -> None:
    model = small_model(arm)
    before = mean_embedding(model)
    assert mean_embedding(model) is before
    with torch.no_grad():
        model.wte.weight.mul_(2)
    torch.testing.assert_close(mean_embedding(model), 2 * before)
    model.wte.weight = torch.nn.Parameter(model.wte.weight.detach() * 2)
    torch.testing.assert_close(mean_embedding(model), 4 * before)
    alive = weakref.ref(model)
    del model
    assert alive() is None


def test_bpe_has_no_similarity_for_more_than_one_token(small_predictor: Predictor) -> None:
    found = compare_strings("hundred", "hunderd", small_predictor)
    assert found.bpe_cosine is None
    assert len(found.second_tokens) > 1
    assert found.kron_cosine is not None
    assert compare_strings("the", "in", small_predictor, pos_dim=8).kron_cosine is None


def test_comes_back_from_json(small_predictor: Predictor) -> None:
    found = compare_strings("run", "\x07", small_predictor)
    assert from_json(Similarity, to_json(found)) == found


def test_refuses_by_the_name_of_the_string() -> None:
    with pytest.raises(InputError, match="second string is empty"):
        compare_strings("run", "")
