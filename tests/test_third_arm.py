"""A third arm beside a pair's two: it is offered, mapped, drawn and kept like they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small import draw_quickly, small_model
from test_html import read

from kronviz.app.context import Context, load_context
from kronviz.app.tabs.map.tab import _choices
from kronviz.app.tabs.training.view import figures, headline
from kronviz.checkpoint import LOG, fingerprints, save_arm
from kronviz.figures.training import losses
from kronviz.maps.spaces import ask, space_of
from kronviz.maps.store import map_file, read_map
from kronviz.probes import kept as module
from kronviz.probes.pairs import PairSet, load_pairs
from kronviz.probes.training import training_evidence

ARM = "ngram-2k"
NAME = f"toy+{ARM}"
ENDS = {"bpe": 5.3, "kron": 5.4, ARM: 5.1}


@pytest.fixture(scope="module")
def context(pair_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("three") / "toy"
    shutil.copytree(pair_folder, folder)
    for arm, loss in ENDS.items():
        if arm == ARM:
            save_arm(small_model(arm), folder / arm)
        record = {"step": 1, "tokens": 64, "train_loss": 7.0, "norm": 2.0, "seconds": 1.0}
        last = record | {"step": 2, "tokens": 128, "norm": 3.0, "seconds": 2.0, "val_loss": loss}
        (folder / arm / LOG).write_text(f"{json.dumps(record)}\n{json.dumps(last)}\n")
    return load_context(folder.parent)


def test_it_is_one_choice_more(context: Context) -> None:
    assert list(context.predictors) == ["toy", NAME]
    assert list(context.predictor(NAME).arms) == ["bpe", "kron", ARM]
    assert context.predictor(NAME).arms["kron"] is context.predictor("toy").arms["kron"]


def test_its_spaces_are_on_the_map_and_any_word_has_a_place_there(context: Context) -> None:
    predictor = context.predictor(NAME)
    left, right = (dict(_choices(predictor, side)).values() for side in ("left", "right"))
    for depth in ("", "-1", "-2"):
        assert f"{ARM}{depth}" in left
        assert f"{ARM}{depth}" in right
    assert "kron" not in left
    assert ARM not in dict(_choices(context.predictor("toy"), "right")).values()
    word = b"qzqz\xff"
    found = ask(predictor, space_of(predictor, ARM), [word])
    assert found.basis == ("bytes",)
    model = predictor.arms[ARM]
    with torch.inference_mode():
        table = model.wte(torch.arange(model.n_vocab))
        wanted = model.wte.embed_bytes([word])[0] - table.mean(0)  # type: ignore[operator]
    np.testing.assert_allclose(found.vectors[0].numpy(), wanted.numpy(), atol=1e-6)
    draw_quickly(predictor, ARM)
    assert len(read_map(predictor, ARM).points) == model.n_vocab
    assert map_file(predictor, space_of(predictor, ARM)).parent.name == "toy"


def test_its_curve_and_its_losses_stand_beside_the_pairs(context: Context) -> None:
    evidence = training_evidence(context.folder(NAME))
    assert [curve.arm for curve in evidence.curves] == list(ENDS)
    assert evidence.gap_nats == pytest.approx(-0.1)
    said = read(headline(evidence)).said
    assert f"{ARM} ends 0.200 nats below bpe" in said
    assert "5.1000" in read(figures(evidence)).said
    drawn = {trace.name for trace in losses(evidence).data}
    assert f"{ARM}, validation" in drawn
    assert [curve.arm for curve in training_evidence(context.folder("toy")).curves] == [
        "bpe", "kron",
    ]  # fmt: skip


def test_its_results_are_kept_beside_it_until_its_weights_change(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = load_pairs()
    monkeypatch.setattr(module, "load_pairs", lambda: PairSet(ours.pairs[:4], ours.problems))
    pair = context.folder(NAME)
    module.keep(pair)
    assert (context.root / "toy" / ARM / module.FILE).exists()
    assert not (context.root / "toy" / module.FILE).exists()
    assert module.kept(context.folder("toy")) is None
    found = module.kept(pair)
    assert found is not None
    assert [arm.arm for arm in found.report.metric("kl_nats").arms] == list(ENDS)
    assert found.weights == fingerprints(pair)
    assert list(found.weights) == list(ENDS)
    assert found.command.startswith(f"python -m kronviz.probes robustness --pair {NAME}")
    config = context.root / "toy" / ARM / "config.json"
    text = config.read_text()
    about = json.loads(text)
    about["sha256"] = dict.fromkeys(about["sha256"], "0" * 64)
    config.write_text(json.dumps(about))
    assert module.kept(pair) is None
    config.write_text(text)
