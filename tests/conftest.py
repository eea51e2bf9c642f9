"""Shared fixtures: a small random pair on disk, and the shipped tiny pair."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

# Before torch is imported: the models are small, and beside a browser and servers threads that wait
# for each other cost more than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Triton, which torch may import, reads this once: without a GPU its kernels are interpreted.
os.environ.setdefault("TRITON_INTERPRET", "0" if os.path.exists("/dev/nvidia0") else "1")
# Each process of the tests has an upload folder of its own, so that tests which count the files in
# it do not see those of another process or of an app that runs beside them.
OWN = tempfile.TemporaryDirectory(prefix="kronviz-tests-")
os.environ["GRADIO_TEMP_DIR"] = OWN.name
# No test speaks HTTPS, and each HTTP client would read all certificates for 20 ms.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = OWN.name

# Thousands of modules are loaded, none of which is ever garbage: do not look through them as often.
gc.set_threshold(100_000, 20, 100)

# The package is imported where it is needed: the process that deals the tests out runs none.
if TYPE_CHECKING:
    from kronviz.predictor import Predictor

# A slow machine is not a fault of the code: properties are checked, never timed.
settings.register_profile("kronviz", deadline=None, max_examples=50)
settings.load_profile("kronviz")


@pytest.fixture(scope="session")
def pair_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair of small random models, saved as the app would find it. Do not write into it."""
    from small import small_model

    from kronviz.checkpoint import save_arm
    from kronviz.checkpoint_files import PAIR

    folder = tmp_path_factory.mktemp("checkpoints") / "toy"
    for arm in PAIR:
        save_arm(small_model(arm), folder / arm)
    return folder


@pytest.fixture(scope="session")
def small_predictor(pair_folder: Path) -> Predictor:
    from kronviz.predictor import Predictor

    return Predictor.load(pair_folder, device="cpu")


@pytest.fixture(scope="session")
def app(pair_folder: Path) -> Iterator[Any]:
    """The whole app over the small pair, as `app.py` builds it; to build it takes seconds."""
    from small import draw_quickly

    from kronviz.app.context import load_context
    from kronviz.app.page import build_app, launch

    context = load_context(pair_folder.parent)
    draw_quickly(context.predictor(), "bpe", "kron")
    made = build_app(context)
    launch(made, prevent_thread_lock=True, quiet=True, server_port=None)
    yield made
    made.close()


@pytest.fixture(scope="session")
def served(app: Any) -> str:
    """Where the whole app answers, with a slash at the end."""
    return app.local_url


@pytest.fixture(scope="session")
def client(served: str) -> Any:
    """A Python client of the whole app."""
    from gradio_client import Client

    return Client(served, verbose=False)


@pytest.fixture(scope="session")
def tiny_predictor() -> Predictor:
    """The shipped tiny pair."""
    from kronviz.paths import CHECKPOINTS
    from kronviz.predictor import Predictor

    return Predictor.load(CHECKPOINTS / "tiny", device="cpu")
