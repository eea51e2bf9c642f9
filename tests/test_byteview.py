"""The look inside a code, against the dense code, the reference and the trained projection."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kronviz import codec
from kronviz.predictor import InputError, Predictor
from kronviz.probes.byteview import ByteView, encode
from kronviz.results import from_json, to_json
from kronviz.strings import MAX_BYTES, owners

STRINGS = (
    "run",
    " run",
    "naïve",
    "नमस्ते",
    "👩‍🚀",
    "\x07",
    "The quick brown fox jumps over the dog. " * 2,
)


def test_cells_are_those_of_the_dense_code() -> None:
    for text in STRINGS:
        for pos_dim in (8, 16, 32):
            view = encode(text, pos_dim=pos_dim)
            dense, z_dense = (
                codec.code(text.encode(), pos_dim),
                codec.z_code(text.encode(), pos_dim),
            )
            lit = np.flatnonzero(dense)
            assert sorted(cell.index for cell in view.cells) == lit.tolist()
            assert [cell.index for cell in view.cells] == [
                cell.byte * pos_dim + cell.position - 1 for cell in view.cells
            ]
            assert view.length == len(lit)
            assert dense[lit] == pytest.approx(view.value) == pytest.approx(1 / math.sqrt(len(lit)))
            assert view.mean == pytest.approx(dense.mean())
            assert view.deviation == pytest.approx(dense.std(ddof=1), abs=2e-6)
            assert z_dense[lit] == pytest.approx(view.lit)
            assert np.delete(z_dense, lit) == pytest.approx(view.unlit)


def test_kept_and_cut_bytes_are_the_string() -> None:
    for text in STRINGS:
        view = encode(text)
        kept = bytes(cell.byte for cell in view.cells)
        assert kept + bytes.fromhex(view.cut_hex) == text.encode() == bytes.fromhex(view.hex)
        assert view.n_bytes == len(text.encode())
        assert bytes.fromhex(view.decoded_hex) == kept
        assert view.exact
        assert view.length <= 16
        kept.decode()  # never half a character


def test_the_cut_moves_off_the_middle_of_a_character() -> None:
    view = encode("नमस्ते", pos_dim=16)
    assert (view.length, view.cut_text, view.cut_inside) == (15, "े", True)
    assert encode("x" * 60, pos_dim=16).cut_inside is False


def test_each_byte_knows_its_character() -> None:
    assert owners("aï👩".encode()) == [
        ("a", 1, 1), ("ï", 1, 2), ("ï", 2, 2),
        ("👩", 1, 4), ("👩", 2, 4), ("👩", 3, 4), ("👩", 4, 4),
    ]  # fmt: skip
    assert owners(b"\xe2a\xff") == [("", 1, 1), ("a", 1, 1), ("", 1, 1)]


@given(st.binary(min_size=1, max_size=16))
def test_every_string_is_shown_to_come_back(data: bytes) -> None:
    view = encode(data, pos_dim=16)
    assert view.exact
    assert bytes.fromhex(view.decoded_hex) == data


def test_contributions_add_up_to_the_embedding(small_predictor: Predictor) -> None:
    for text in (*STRINGS, b"\xe2\x80"):
        view = encode(text, small_predictor)
        kron = small_predictor.arms["kron"].wte
        data = text if isinstance(text, bytes) else text.encode()
        whole = kron.embed_bytes([data])[0].detach()
        assert view.embedding_norm == pytest.approx(float(whole.norm()), rel=1e-5)
        parts = [*(cell.contribution for cell in view.cells), view.background]
        assert sum(part.share for part in parts) == pytest.approx(1)
        for part in parts:
            assert part.share * view.embedding_norm == pytest.approx(part.norm * part.cosine)
        # Each cell's row, by the formula of section 3 and nothing of the code under test.
        for cell in view.cells:
            row = kron.weight[cell.byte * 16 + cell.position - 1].detach().double()
            row = row / math.sqrt(view.length) / view.deviation
            assert cell.contribution.norm == pytest.approx(float(row.norm()), rel=1e-6)
            cosine = torch.nn.functional.cosine_similarity(row, whole.double(), dim=0)
            assert cell.contribution.cosine == pytest.approx(float(cosine), abs=1e-5)


def test_no_contributions_at_a_pos_dim_that_was_not_trained(small_predictor: Predictor) -> None:
    view = encode("run", small_predictor, pos_dim=8)
    assert view.trained_pos_dim == 16
    assert view.embedding_norm is view.background is None
    assert all(cell.contribution is None for cell in view.cells)


def test_tokens_are_the_pairs(small_predictor: Predictor) -> None:
    view = encode(" the hunderd", small_predictor)
    assert [token.id for token in view.tokens] == small_predictor.tokenizer.encode(" the hunderd")
    assert "".join(token.text for token in view.tokens) == " the hunderd"


def test_comes_back_from_json(small_predictor: Predictor) -> None:
    view = encode("naïve\x07", small_predictor)
    assert from_json(ByteView, to_json(view)) == view


def test_refuses_in_one_sentence() -> None:
    for text, pos_dim, sentence in (
        ("", 16, "empty"),
        ("x" * (MAX_BYTES + 1), 16, "201 bytes; this view takes 200"),
        ("run", 3, "pos_dim is 3"),
        ("run", 65, "from 4 to 64"),
        ("run", 16.5, "whole number"),
        ("run", float("nan"), "whole number"),
        ("run", "16", "whole number"),
        ("run", True, "whole number"),
        (None, 16, "not text but NoneType"),
    ):
        with pytest.raises(InputError, match=sentence):
            encode(text, pos_dim=pos_dim)


def test_a_lone_surrogate_is_a_replacement_character() -> None:
    assert encode("a\ud800").hex == "61efbfbd"
