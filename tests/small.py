"""Models small enough for every test to have its own."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import torch

from kronviz.maps.store import draw_map
from kronviz.model import GPT, ModelConfig
from kronviz.predictor import Predictor


def small_model(arm: str, seed: int = 0, vocabulary: str = "r50k_base:1024", **shape: int) -> GPT:
    """A random model of the GPT-2 shape, by default with a vocabulary of 1,025 tokens."""
    torch.manual_seed(seed)
    fields = {"d_model": 32, "n_layer": 2, "n_head": 2, "n_ctx": 64, **shape}
    return GPT(ModelConfig(arm=arm, vocabulary=vocabulary, **fields)).eval()


def claim_other_weights(arm: Path) -> None:
    """Write other hashes of its weights into an arm's config.json: it seems to be trained anew."""
    config = json.loads((arm / "config.json").read_text())
    config["sha256"] = dict.fromkeys(config["sha256"], "0" * 64)
    (arm / "config.json").write_text(json.dumps(config))


def draw_quickly(predictor: Predictor, *spaces: str) -> None:
    """Maps of a pair by their two main axes alone: UMAP takes seconds to be imported."""
    with patch("kronviz.maps.store.lay_out", lambda found, start, *rest: start):
        for space in spaces:
            draw_map(predictor, space)
