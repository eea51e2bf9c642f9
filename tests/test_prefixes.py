"""Texts read as a tree of prefixes answer as they do one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import small_model

from kronviz.prefixes import PrefixReader, PrefixTree

MODELS = {arm: small_model(arm) for arm in ("bpe", "kron", "ngram-words")}
torch.nn.init.normal_(MODELS["ngram-words"].wte.pairs)  # type: ignore[arg-type]
# Few tokens, so that texts begin alike: a mark, two letters, and a space with a letter.
TOKENS = st.sampled_from([0, 64, 65, 256])
TEXTS = st.lists(st.lists(TOKENS, min_size=1, max_size=12), min_size=1, max_size=6)


@settings(max_examples=25)
@given(TEXTS)
def test_a_node_for_each_prefix(texts: list[list[int]]) -> None:
    tree = PrefixTree.of(texts)
    prefixes = {tuple(text[: n + 1]) for text in texts for n in range(len(text))}
    assert len(tree.ids) == len(prefixes)
    for row, text in enumerate(texts):
        nodes = tree.rows[row, : len(text)]
        assert tree.ids[nodes].tolist() == text
        assert tree.depths[nodes].tolist() == list(range(len(text)))
        assert tree.last[row] == len(text) - 1


@pytest.mark.parametrize("arm", MODELS)
@settings(max_examples=15)
@given(texts=TEXTS)
def test_reads_as_the_model_does(arm: str, texts: list[list[int]]) -> None:
    found, exact = PrefixReader(MODELS[arm]).read(texts), MODELS[arm].read(texts)
    torch.testing.assert_close(found.logits, exact.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.final, exact.final, atol=1e-5, rtol=1e-4)


def test_a_text_of_the_whole_context() -> None:
    texts = [list(range(64)), [0]]
    found, exact = PrefixReader(MODELS["kron"]).read(texts), MODELS["kron"].read(texts)
    torch.testing.assert_close(found.logits, exact.logits, atol=1e-5, rtol=1e-4)
