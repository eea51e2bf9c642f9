"""The continuation loss stored with a pair: shown while it is of its weights, and by API."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from small import claim_other_weights
from test_html import read

from kronviz.app.context import Context
from kronviz.app.tabs.robustness import api, tab
from kronviz.checkpoint_files import CheckpointError
from kronviz.predictor import Predictor
from kronviz.probes import stored_continuation as module
from kronviz.probes.continuation import MEAN, SETS, ContinuationSettings, continuation
from kronviz.results import to_dict

SETTINGS = ContinuationSettings(count=8, context=16, tokens=6)
README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def folder(pair_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "small"
    shutil.copytree(pair_folder, folder)
    predictor = Predictor.load(folder, device="cpu")
    runs: dict[str, Any] = {
        name: continuation(predictor, README, replace(SETTINGS, conditions=name))[0]
        for name in ("misspelled", "perturbed")
    }
    module.store_continuation(folder, "A text of 1,234 words.", **runs)
    return folder


def test_the_page_opens_with_the_stored_figures(folder: Path) -> None:
    stored = module.stored_continuation(folder)
    assert stored is not None
    assert stored.perturbed is not None
    said = read(tab._continuation(Context({}, (), folder.parent), "small")).said
    for row in (*stored.misspelled.rows, stored.perturbed.row(MEAN)):
        for arm in row.arms:
            assert f"{arm.nats.mean:.3f}" in said
    assert "--set perturbed --passages 8" in said
    assert "kron − bpe" in said
    assert read(tab._continuation(Context({}, (), folder.parent), "other")).said == ""


def test_the_endpoint_gives_the_stored_run_or_reads_documents(folder: Path) -> None:
    predictor = Predictor.load(folder, device="cpu")
    context = Context({"small": predictor}, (), folder.parent)
    ask = {f.__name__: f for f in api.endpoints(context)}["continuation"]
    stored = module.stored_continuation(folder)
    assert ask() == to_dict(stored)
    text = README.read_text(encoding="utf-8")
    found = ask(documents=[text], count=5, context=16, tokens=6)
    assert found["done"] == 5
    assert len(found["rows"]) == len(SETS["misspelled"])
    for arguments, words in (
        ({"documents": ["short"]}, "longer one"),
        ({"documents": [text], "count": 0}, "count is 0; it must be"),
        ({"documents": [text], "conditions": "odd"}, "no condition called"),
        ({"documents": ["a b " * 60_000]}, "longer than 200,000"),
    ):
        with pytest.raises(gr.Error, match=words):
            ask(**arguments)


def test_figures_of_other_weights_are_not_shown(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    assert module.stored_continuation(other) is not None
    claim_other_weights(other / "kron")
    assert module.stored_continuation(other) is None
    (other / module.FILE).write_text("{}")
    with pytest.raises(CheckpointError, match="is damaged"):
        module.stored_continuation(other)
