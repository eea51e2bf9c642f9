"""The comparison: probabilities of a softmax over the whole vocabulary, both arms, JSON."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st

from kronviz.checkpoint_files import CheckpointError
from kronviz.predictor import MAX_CHARS, Comparison, InputError, Predictor
from kronviz.results import from_json, to_dict, to_json

CLEAN, TYPO = "The capital of France is", "The captial of Frnace is"


def test_comparison_fits_a_softmax_over_the_whole_vocabulary(small_predictor: Predictor) -> None:
    comparison = small_predictor.compare(CLEAN, TYPO)
    assert [arm.arm for arm in comparison.arms] == ["bpe", "kron"]
    for arm in comparison.arms:
        assert len(arm.next_tokens) == 10
        for text, which in ((CLEAN, "clean"), (TYPO, "typo")):
            ids = torch.tensor([small_predictor.tokenizer.encode(text)])
            with torch.no_grad():
                logits = small_predictor.arms[arm.arm](ids).logits[0, -1].double().numpy()
            expected = scipy.special.softmax(logits)
            order = np.argsort(-expected)
            for token in (*arm.next_tokens, arm.clean_top, arm.typo_top):
                probability = getattr(token, f"{which}_prob")
                np.testing.assert_allclose(probability, expected[token.id], rtol=1e-4)
                assert order[getattr(token, f"{which}_rank") - 1] == token.id
            assert getattr(arm, f"{which}_top").id == order[0]
        largest = [max(token.clean_prob, token.typo_prob) for token in arm.next_tokens]
        assert largest == sorted(largest, reverse=True)


def test_a_text_against_itself_changes_nothing(small_predictor: Predictor) -> None:
    comparison = small_predictor.compare(CLEAN, CLEAN)
    for arm in comparison.arms:
        assert arm.metrics.top1_kept
        assert arm.metrics.kl_nats == pytest.approx(0, abs=1e-9)
        assert arm.metrics.hidden_cosine == pytest.approx(1)
        assert arm.metrics.logprob_drop_nats == pytest.approx(0, abs=1e-9)
    assert not any(token.changed for token in comparison.typo_tokens)


def test_changed_bytes_are_the_ones_that_differ(small_predictor: Predictor) -> None:
    comparison = small_predictor.compare("a naïve cat", "a naive cat")
    for tokens, changed in ((comparison.clean_tokens, "ï"), (comparison.typo_tokens, "i")):
        marked = bytes(
            byte
            for token in tokens
            for index, byte in enumerate(bytes.fromhex(token.hex))
            if index in token.changed
        )
        assert marked == changed.encode()


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_answered_or_refused_in_a_sentence(
    small_predictor: Predictor, clean: str, typo: str
) -> None:
    try:
        comparison = small_predictor.compare(clean, typo)
    except InputError as error:
        assert str(error).endswith(".")
        return
    assert from_json(Comparison, to_json(comparison)) == comparison
    assert to_dict(comparison)["clean"] == comparison.clean
    shown = b"".join(bytes.fromhex(token.hex) for token in comparison.typo_tokens)
    assert shown.decode() == comparison.typo


def test_refusals_say_what_to_do(small_predictor: Predictor) -> None:
    for typo, said in (
        ("", "empty"),
        (" \n\t", "empty"),
        ("x" * (MAX_CHARS + 1), "2,001 characters"),
        ("x" * 100_000, "100,000 characters"),
        ("a b " * 200, "tokens; this model reads 64"),
    ):
        with pytest.raises(InputError, match=said):
            small_predictor.compare(CLEAN, typo)


def test_lone_surrogates_become_the_replacement_character(small_predictor: Predictor) -> None:
    assert small_predictor.compare(CLEAN, "ab \udfff c").typo == "ab \ufffd c"


def test_an_unknown_pair_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no pair 'nowhere'"):
        Predictor.load("nowhere")
