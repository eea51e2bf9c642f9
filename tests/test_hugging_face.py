"""A GPT-2 of transformers whose input embedding is a Kronecker embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kronviz.embedding import KroneckerEmbedding

transformers = pytest.importorskip("transformers")
WORDS = [f"word{i}".encode() for i in range(90)]
IDS = torch.tensor([[3, 1, 80], [2, 2, 5]])


class Config(transformers.GPT2Config):
    model_type = "kron-gpt2"


class KronGPT2(transformers.GPT2LMHeadModel):
    """The way that docs/embedding.md gives."""

    config_class = Config

    def __init__(self, config: Any):
        super().__init__(config)
        if not config.tie_word_embeddings:
            self.transformer.wte = KroneckerEmbedding(WORDS, config.n_embd, 2)
            self.post_init()


def config(tied: bool = False) -> Config:
    return Config(
        vocab_size=len(WORDS), n_positions=16, n_embd=8, n_layer=1, n_head=2,
        tie_word_embeddings=tied, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip


def model() -> KronGPT2:
    torch.manual_seed(0)
    return KronGPT2(config()).eval()


def logits(of: nn.Module) -> Tensor:
    with torch.no_grad():
        return of(IDS).logits


def test_saved_loaded_and_generating(tmp_path: Path) -> None:
    saved = model()
    with torch.no_grad():
        for parameter in saved.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    saved.save_pretrained(tmp_path)
    loaded, report = KronGPT2.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert isinstance(loaded.get_input_embeddings(), KroneckerEmbedding)
    torch.testing.assert_close(logits(loaded), logits(saved))
    options = {"max_new_tokens": 5, "do_sample": False}
    assert torch.equal(loaded.generate(IDS, **options), saved.generate(IDS, **options))
    assert loaded.generate(IDS, **options).shape == (2, 8)
    half = KronGPT2.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.get_input_embeddings().weight.dtype == torch.bfloat16
    torch.testing.assert_close(logits(half).float(), logits(saved), rtol=0.1, atol=0.1)
    embedded = loaded(inputs_embeds=loaded.get_input_embeddings()(IDS)).logits
    torch.testing.assert_close(embedded.detach(), logits(saved))


@pytest.mark.parametrize("there", [False, True])
def test_what_a_checkpoint_lacks_is_drawn(tmp_path: Path, there: bool) -> None:
    """Without the weight, or with a table in its place: never memory that nobody filled."""
    saved = model()
    wide = KroneckerEmbedding(WORDS, 8, 3)
    saved.transformer.wte = wide if there else nn.Identity()
    saved.save_pretrained(tmp_path)
    loaded, report = KronGPT2.from_pretrained(
        tmp_path, output_loading_info=True, ignore_mismatched_sizes=True
    )
    assert bool(report["mismatched_keys" if there else "missing_keys"])
    drawn = loaded.transformer.wte
    assert 0.8 * drawn.init_std < drawn.weight.std() < 1.2 * drawn.init_std
    with torch.no_grad():
        drawn.weight.fill_(1)
    # What was drawn or trained before is not drawn again.
    loaded.transformer.wte._is_hf_initialized = False
    loaded.init_weights()
    assert (drawn.weight == 1).all()


def test_a_head_is_not_tied_to_it() -> None:
    """GPT-2's configuration ties by default."""
    made = transformers.GPT2LMHeadModel(config(tied=True))
    made.set_input_embeddings(KroneckerEmbedding(WORDS, 8, 2))
    with pytest.raises(ValueError, match="tie_word_embeddings=False"):
        made.tie_weights()
    untied = model()
    before = logits(untied)
    untied.tie_weights()
    torch.testing.assert_close(logits(untied), before)
    assert before.shape == (2, 3, len(WORDS))


def test_resizing() -> None:
    """Resizing is for tables alone, and transformers says so: a new vocabulary is a new module."""
    made = model()
    with pytest.raises(TypeError, match=r"KroneckerEmbedding.*not an instance of"):
        made.resize_token_embeddings(100)
    with pytest.raises(ValueError, match="make a KroneckerEmbedding with the new vocabulary"):
        made.resize_token_embeddings(512)
    before = made.get_input_embeddings()(IDS)
    more = KroneckerEmbedding([*WORDS, b"another"], 8, 2)
    more.load_state_dict(made.get_input_embeddings().state_dict())
    made.set_input_embeddings(more)
    torch.testing.assert_close(made.get_input_embeddings()(IDS), before)


def test_low_rank_adapters(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = model()
    before = logits(base)
    adapters = peft.LoraConfig(target_modules=["c_attn"], modules_to_save=["wte"])
    adapted = peft.get_peft_model(base, adapters)
    torch.testing.assert_close(logits(adapted), before)
    adapted(IDS, labels=IDS).loss.backward()
    copied = adapted.get_input_embeddings().modules_to_save["default"]
    assert copied.weight.grad.abs().sum() > 0
    with torch.no_grad():
        copied.weight.add_(1e-2 * torch.randn_like(copied.weight))
    adapted.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(model(), tmp_path)
    torch.testing.assert_close(logits(again), logits(adapted))
    with pytest.raises(ValueError, match=r"KroneckerEmbedding.* is not supported"):
        peft.get_peft_model(model(), peft.LoraConfig(target_modules=["wte"]))
