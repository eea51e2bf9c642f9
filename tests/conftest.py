"""Shared fixtures: a small random pair on disk, and the shipped tiny pair."""

from __future__ import annotations

import os

# Before torch is imported: the models are small, and beside a browser and servers threads that wait
# for each other cost more than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Triton, which torch may import, reads this once: without a GPU its kernels are interpreted.
os.environ.setdefault("TRITON_INTERPRET", "0" if os.path.exists("/dev/nvidia0") else "1")

from pathlib import Path

import pytest
from hypothesis import settings
from small import small_model

from kronviz.checkpoint import CHECKPOINTS, PAIR, save_arm
from kronviz.predictor import Predictor

# A slow machine is no fault of the code: properties are checked, never timed.
settings.register_profile("kronviz", deadline=None)
settings.load_profile("kronviz")


@pytest.fixture(scope="session")
def pair_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair of small random models, saved as the app would find it. Do not write into it."""
    folder = tmp_path_factory.mktemp("checkpoints") / "toy"
    for arm in PAIR:
        save_arm(small_model(arm), folder / arm)
    return folder


@pytest.fixture(scope="session")
def small_predictor(pair_folder: Path) -> Predictor:
    return Predictor.load(pair_folder, device="cpu")


@pytest.fixture(scope="session")
def tiny_predictor() -> Predictor:
    """The shipped tiny pair."""
    return Predictor.load(CHECKPOINTS / "tiny", device="cpu")
