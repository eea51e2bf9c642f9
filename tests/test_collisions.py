"""Tokens that share a code, against the paper's counts and the reference's own byte rule."""

from __future__ import annotations

import pytest

from kronviz import codec
from kronviz.predictor import InputError
from kronviz.probes.collisions import Collisions, collisions
from kronviz.results import from_json, to_json
from kronviz.tokenizer import load_tokenizer


def test_figures_of_gpt2() -> None:
    for rule, codes in (("true", 50_226), ("reference", 49_893)):
        found = collisions("r50k_base", pos_dim=16, rule=rule)
        assert (found.n_tokens, found.n_codes) == (50_256, codes)


def test_what_stands_for_no_text_is_not_counted() -> None:
    for vocabulary in ("r50k_base", "cl100k_base", "o200k_base"):
        encoding = load_tokenizer(vocabulary)._encoding
        assert collisions(vocabulary).n_tokens == len(encoding._mergeable_ranks)


def test_true_bytes_share_fewer_codes() -> None:
    for vocabulary, pos_dim in (
        ("r50k_base", 8),
        ("r50k_base", 32),
        ("cl100k_base", 16),
        ("o200k_base", 16),
    ):
        true, reference = (
            collisions(vocabulary, pos_dim=pos_dim, rule=rule) for rule in ("true", "reference")
        )
        assert true.n_codes > reference.n_codes
        for found in (true, reference):
            assert found.n_tokens - found.n_colliding + found.n_groups == found.n_codes


def test_groups_hold_every_colliding_token_once() -> None:
    found = collisions("r50k_base", limit=500)
    tokenizer = load_tokenizer("r50k_base")
    sizes = [group.n_tokens for group in found.groups]
    assert sizes == sorted(sizes, reverse=True)
    assert (len(sizes), sum(sizes)) == (found.n_groups, found.n_colliding)
    for group in found.groups:
        assert group.cause == "cut"
        for token in group.tokens:
            assert codec.truncate(tokenizer.token_bytes(token.id), 16).hex() == group.hex


def test_the_references_rule_is_the_references() -> None:
    """`kronecker_embeddings` itself, asked for every token that is not text and for long ones."""
    utils = pytest.importorskip("kronecker_embeddings.tokenizer_utils")
    tokenizer = load_tokenizer("r50k_base")

    class AsTransformers:
        def convert_ids_to_tokens(self, token: int) -> str:
            return tokenizer.token_text(token)

        def decode(self, ids: list[int], **_: object) -> str:
            return tokenizer.decode(ids)

    codes: dict[bytes, int] = {}
    for token in range(tokenizer.eot_id):
        data = utils.token_id_to_bytes(AsTransformers(), token, special_ids=set())
        data = utils.utf8_safe_truncate(data, 16)
        codes[data] = codes.get(data, 0) + 1
    found = collisions("r50k_base", rule="reference", limit=500)
    assert found.n_codes == len(codes)
    assert {bytes.fromhex(group.hex): group.n_tokens for group in found.groups} == {
        data: count for data, count in codes.items() if count > 1
    }


def test_the_references_largest_group_are_pieces_of_characters() -> None:
    group = collisions("r50k_base", rule="reference").groups[0]
    assert (group.text, group.cause) == ("\ufffd", "replacement")
    assert not any(codec.is_utf8(bytes.fromhex(token.hex)) for token in group.tokens)


def test_refuses_in_one_sentence() -> None:
    for arguments, sentence in (
        ({"vocabulary": "klingon"}, "no vocabulary called 'klingon'"),
        ({"vocabulary": "r50k_base", "rule": "mine"}, "no rule called 'mine'; choose from true"),
        ({"vocabulary": "r50k_base", "limit": 501}, "from 0 to 500"),
        ({"vocabulary": "r50k_base", "pos_dim": 1}, "from 4 to 64"),
    ):
        with pytest.raises(InputError, match=sentence):
            collisions(**arguments)


def test_comes_back_from_json() -> None:
    found = collisions("r50k_base", limit=3)
    assert len(found.groups) == 3
    assert from_json(Collisions, to_json(found)) == found
