"""What a user of the model relies on: causality, the cache, forced slots, one difference only."""

from __future__ import annotations

import pytest
import torch
from small import small_model

from kronviz.checkpoint_files import PAIR
from kronviz.model import KVCache, parameter_count

IDS = torch.randint(0, 1025, (3, 40), generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=PAIR)
def arm(request: pytest.FixtureRequest) -> str:
    return request.param


@torch.no_grad()
def test_no_position_sees_a_later_one(arm: str) -> None:
    model = small_model(arm)
    changed = IDS.clone()
    changed[:, 20:] = 7
    assert torch.equal(model(IDS).logits[:, :20], model(changed).logits[:, :20])


@torch.no_grad()
def test_cache_gives_the_same_logits_in_any_pieces(arm: str) -> None:
    model, cache = small_model(arm), KVCache()
    pieces = [model(part, cache=cache).logits for part in IDS.split([9, 1, 1, 20, 9], dim=1)]
    torch.testing.assert_close(torch.cat(pieces, 1), model(IDS).logits, atol=1e-5, rtol=1e-5)
    assert cache.length == 40


@torch.no_grad()
def test_hidden_states_at_every_depth(arm: str) -> None:
    model = small_model(arm)
    output = model(IDS, hidden=True)
    assert [tuple(state.shape) for state in output.hidden] == [(3, 40, 32)] * 3
    torch.testing.assert_close(output.hidden[0], model.wte(IDS) + model.wpe.weight[:40])
    torch.testing.assert_close(model.norm(output.hidden[-1]), output.final)
    assert model(IDS).hidden == ()


@torch.no_grad()
def test_reading_texts_of_several_lengths_equals_reading_them_alone(arm: str) -> None:
    model = small_model(arm)
    texts = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10]]
    together = model.read(texts)
    for row, text in enumerate(texts):
        alone = model(torch.tensor([text]))
        torch.testing.assert_close(together.logits[row], alone.logits[0, -1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together.final[row], alone.final[0, -1], atol=1e-5, rtol=1e-5)


def test_logits_cover_the_real_vocabulary_and_the_padding_has_no_place(arm: str) -> None:
    model = small_model(arm)
    assert model(IDS).logits.shape == (3, 40, 1025)
    assert model.lm_head.weight.shape[0] == 1088


def test_loss_is_the_cross_entropy_over_the_padded_head(arm: str) -> None:
    model = small_model(arm)
    logits = model.lm_head(model(IDS[:, :-1]).final)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), IDS[:, 1:].flatten())
    torch.testing.assert_close(model.loss(IDS[:, :-1], IDS[:, 1:]), expected)


def test_too_long_a_text_is_refused(arm: str) -> None:
    with pytest.raises(ValueError, match="65 tokens; this model reads 64"):
        small_model(arm)(torch.zeros(1, 65, dtype=torch.long))
    with pytest.raises(ValueError, match=r"ids have shape \(3,\); a model reads \(batch, time\)"):
        small_model("bpe")(torch.tensor([1, 2, 3]))
    with pytest.raises(TypeError, match="bpe embeds ids alone"):
        small_model("bpe")(torch.tensor([[1, 2]]), forced={(0, 1): b"a"})


def test_the_arms_differ_in_the_input_embedding_and_the_head_alone() -> None:
    bpe, kron = (small_model(arm) for arm in PAIR)
    assert bpe.lm_head.weight is bpe.wte.weight
    assert kron.lm_head.weight is not kron.wte.weight
    body = [
        {
            name: p.shape
            for name, p in model.named_parameters()
            if name.startswith(("b", "wpe", "n"))
        }
        for model in (bpe, kron)
    ]
    assert body[0] == body[1]
    assert parameter_count(kron) - parameter_count(bpe) == 4096 * 32


@torch.no_grad()
def test_a_slot_forced_to_a_tokens_own_bytes_is_the_token() -> None:
    model = small_model("kron")
    vocabulary = {(row, 5): _bytes(model, int(IDS[row, 5])) for row in range(3)}
    torch.testing.assert_close(
        model(IDS, forced=vocabulary).logits, model(IDS).logits, atol=1e-5, rtol=1e-5
    )
    other = model(IDS, forced={(1, 5): b"kubernetes"}).logits
    assert not torch.allclose(other[1, 5], model(IDS).logits[1, 5])
    assert torch.equal(other[0], model(IDS).logits[0])


def _bytes(model: torch.nn.Module, token: int) -> bytes:
    from kronviz.tokenizer import load_tokenizer

    return load_tokenizer("r50k_base:1024").token_bytes(token)
