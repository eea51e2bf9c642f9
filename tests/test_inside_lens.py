"""Activation patching against TransformerLens on the same weights.

Skipped where TransformerLens is not installed; ``make test-lens`` installs it and runs this.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from kronviz.metrics import kl_divergence
from kronviz.model import GPT
from kronviz.predictor import Predictor
from kronviz.probes.inside import THINGS, InsideSettings, inside

transformer_lens = pytest.importorskip("transformer_lens")

CLEAN, TYPO = "He saw a large light near the", "He saw a large night near the"


def hooked(model: GPT) -> Any:
    """Our weights in TransformerLens's model; embeddings, which arms differ in, are hooked in."""
    shape = model.config
    heads, width = shape.n_head, shape.d_model // shape.n_head
    config = transformer_lens.HookedTransformerConfig(
        n_layers=shape.n_layer,
        d_model=shape.d_model,
        n_ctx=shape.n_ctx,
        d_head=width,
        n_heads=heads,
        d_vocab=model.n_vocab,
        act_fn="gelu",
        normalization_type="LN",
        attn_only=False,
        device="cpu",
        seed=0,
    )
    made = transformer_lens.HookedTransformer(config)
    state = {name: torch.zeros_like(value) for name, value in made.state_dict().items()}
    for name, value in made.state_dict().items():
        if name.endswith(("mask", "IGNORE")):
            state[name] = value
    state["pos_embed.W_pos"] = model.wpe.weight
    state["ln_final.w"] = model.norm.weight
    state["unembed.W_U"] = model.lm_head.weight[: model.n_vocab].T
    for layer, block in enumerate(model.blocks):
        name = f"blocks.{layer}"
        parts = block.attention.qkv.weight.chunk(3)
        for letter, part in zip("QKV", parts, strict=True):
            state[f"{name}.attn.W_{letter}"] = part.unflatten(0, (heads, width)).transpose(1, 2)
        out = block.attention.proj.weight.T
        state[f"{name}.attn.W_O"] = out.unflatten(0, (heads, width))
        state[f"{name}.mlp.W_in"] = block.mlp.up.weight.T
        state[f"{name}.mlp.W_out"] = block.mlp.proj.weight.T
        state[f"{name}.ln1.w"], state[f"{name}.ln2.w"] = block.norm_1.weight, block.norm_2.weight
    made.load_state_dict({key: value.detach() for key, value in state.items()})
    return made.eval()


@pytest.mark.parametrize("arm", ["bpe", "kron"])
def test_patching_equals_transformer_lens(tiny_predictor: Predictor, arm: str) -> None:
    model = tiny_predictor.arms[arm]
    theirs = hooked(model)
    clean, typo = (torch.tensor([tiny_predictor.tokenizer.encode(t)]) for t in (CLEAN, TYPO))
    report = inside(tiny_predictor, InsideSettings(CLEAN, TYPO, parts=THINGS))
    found = report.arm(arm)
    # TransformerLens patches position by position: texts of as many tokens, aligned one by one.
    position = torch.arange(typo.shape[1])
    with torch.no_grad():
        embedded = [model.wte(ids) for ids in (clean, typo)]

        def run(index: int, hooks: list[Any]) -> Tensor:
            feed = ("hook_embed", lambda act, hook: embedded[index])
            ids = (clean, typo)[index]
            return theirs.run_with_hooks(ids, fwd_hooks=[feed, *hooks])[0, -1]

        with theirs.hooks(fwd_hooks=[("hook_embed", lambda act, hook: embedded[0])]):
            _, cache = theirs.run_with_cache(clean)
        base, damaged = run(0, []), run(1, [])
        torch.testing.assert_close(base, model(clean).logits[0, -1], atol=1e-3, rtol=1e-4)
        whole = float(kl_divergence(base, damaged))
        names = {"residual": "hook_resid_pre", "attention": "hook_attn_out",
                 "mlp": "hook_mlp_out", "head": "attn.hook_z"}  # fmt: skip
        for thing in THINGS:
            patched = found.map(thing)
            assert patched is not None
            for row, outcomes in enumerate(patched.outcomes):
                layer, head = divmod(row, found.heads) if thing == "head" else (row, None)
                point = f"blocks.{layer}.{names[thing]}"
                for word, outcome in zip(report.words, outcomes, strict=True):
                    assert word.clean == word.typo

                    def swap(act: Tensor, hook: Any, point: str = point, word: Any = word,
                             head: int | None = head) -> Tensor:  # fmt: skip
                        here = position[slice(*word.typo)]
                        if head is None:
                            act[:, here] = cache[point][:, here]
                        else:
                            act[:, here, head] = cache[point][:, here, head]
                        return act

                    kl = float(kl_divergence(base, run(1, [(point, swap)])))
                    assert outcome.kl_nats == pytest.approx(kl, abs=1e-4)
                    assert outcome.kl_undone == pytest.approx(1 - kl / whole, abs=1e-4)
