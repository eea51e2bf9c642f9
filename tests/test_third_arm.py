"""A third arm beside a pair's two: it is offered, mapped, drawn and kept like they are."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small import claim_other_weights, draw_quickly, small_model
from test_html import read

from kronviz.app.components.spelling_test import all_pairs
from kronviz.app.context import Context, load_context
from kronviz.app.tabs.arms.view import longer_run
from kronviz.app.tabs.layers.tab import _table
from kronviz.app.tabs.map.tab import _choices
from kronviz.app.tabs.robustness import view as robustness_view
from kronviz.app.tabs.training.view import figures, headline
from kronviz.checkpoint import save_arm
from kronviz.checkpoint_files import LOG, beside, fingerprints
from kronviz.figures.robustness import advantages
from kronviz.figures.training import losses
from kronviz.maps.spaces import ask, space_of
from kronviz.maps.store import map_file, read_map
from kronviz.paths import CHECKPOINTS
from kronviz.probes import stored_runs as module
from kronviz.probes.continuation import ContinuationSettings, continuation
from kronviz.probes.intervals import Interval
from kronviz.probes.pairs import PairSet, load_pairs
from kronviz.probes.stored_continuation import StoredContinuation, store_continuation
from kronviz.probes.sweep import SweepSettings, sweep
from kronviz.probes.training import lead_lost, training_evidence
from kronviz.results import to_json
from kronviz.typos import KINDS

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
    assert evidence.gap_nats == pytest.approx(0.1)
    said = read(headline(evidence)).said
    assert f"{ARM} ends 0.200 nats below bpe" in said
    assert "5.1000" in read(figures(evidence)).said
    drawn = {trace.name for trace in losses(evidence).data}
    assert f"{ARM}, validation" in drawn
    assert [curve.arm for curve in training_evidence(context.folder("toy")).curves] == [
        "bpe", "kron",
    ]  # fmt: skip
    said = read(longer_run(evidence)).said
    assert (
        f"{ARM} ends at 5.100 nats of validation loss, 0.200 below bpe, 0.300 below kron." in said
    )


def test_a_lead_that_is_lost_says_how_long_it_lasted() -> None:
    third, table = (
        SimpleNamespace(eval_tokens=(10, 20, 30, 40), eval_nats=nats)
        for nats in ((5.0, 4.0, 3.5, 3.2), (6.0, 4.5, 3.4, 3.0))
    )
    assert lead_lost(third, table) == 20  # type: ignore[arg-type]
    assert lead_lost(table, third) is None  # type: ignore[arg-type]


def test_its_results_are_kept_beside_it_until_its_weights_change(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = load_pairs()
    monkeypatch.setattr(module, "load_pairs", lambda: PairSet(ours.pairs[:4], ours.problems))
    pair = context.folder(NAME)
    module.store(pair)
    assert (context.root / "toy" / ARM / module.FILE).exists()
    assert not (context.root / "toy" / module.FILE).exists()
    assert module.stored_run(context.folder("toy")) is None
    found = module.stored_run(pair)
    assert found is not None
    assert [arm.arm for arm in found.report.metric("kl_nats").arms] == list(ENDS)
    page = str(robustness_view.pairs_view(found.report, command=found.command))
    assert f"{ARM} − bpe" in page
    measures = str(robustness_view._table(found.report))
    assert f"{ARM} − bpe" in measures
    titles, row = (len(re.findall("<t[hd][ >]", part)) for part in measures.split("<tr")[1:3])
    assert titles == row
    assert f"{ARM}’s in" in re.sub(r"<[^>]+>", "", page)
    assert found.weights == fingerprints(pair)
    assert list(found.weights) == list(ENDS)
    assert found.command.startswith(f"python -m kronviz.probes robustness --pair {NAME}")
    config = context.root / "toy" / ARM / "config.json"
    text = config.read_text()
    claim_other_weights(config.parent)
    assert module.stored_run(pair) is None
    config.write_text(text)


def test_a_sweep_draws_it_beside_kron(context: Context) -> None:
    predictor = context.predictor(NAME)
    found = sweep(
        predictor, SweepSettings(("The sun rises in the",), kinds=("swap", "drop"), strengths=(1,))
    )
    drawn = advantages(found, "kl_nats")
    assert [trace.name for trace in drawn.data] == ["kron", ARM]
    assert drawn.layout.xaxis.title.text == "KL, bpe − arm, nats"
    for place, trace in enumerate(drawn.data, 1):
        for kind, x in zip(trace.y, trace.x, strict=True):
            point = next(p for p in found.points if KINDS[p.kind].label == kind)
            arms = [arm.value.mean for arm in point.metric("kl_nats").arms]
            assert x == pytest.approx(arms[0] - arms[place])


def test_what_ships_has_its_rows_in_layers() -> None:
    found = module.stored_run(CHECKPOINTS / "tiny+ngram-words", module.LAYERS)
    assert found is not None
    table = re.sub(r"<[^>]+>", "", str(_table(found.report)))
    assert table.count("ngram-words, ours") == 3


def _losses(stored: StoredContinuation, lead: float) -> StoredContinuation:
    """Give the third arm a lead over both others, in nats, with intervals of ±0.01."""
    rows = []
    for row in stored.misspelled.rows:
        base = row.arms[0].nats.mean
        means = {"bpe": base, "kron": base + 0.1, ARM: base - lead}
        arms = tuple(
            replace(a, nats=Interval(m, m - 0.01, m + 0.01))
            for a in row.arms
            for m in [means[a.arm]]
        )
        gaps = tuple(
            replace(gap, value=Interval(d, d - 0.01, d + 0.01))
            for gap in row.differences
            for d in [means[gap.arm] - means[gap.base]]
        )
        rows.append(replace(row, arms=arms, differences=gaps))
    return replace(stored, misspelled=replace(stored.misspelled, rows=tuple(rows)))


@pytest.mark.parametrize("lead", [0.2, 0.0])
def test_the_first_screen_says_so_if_it_wins_and_leads_there(context: Context, lead: float) -> None:
    root = context.root
    run = continuation(
        context.predictor(NAME),
        Path(__file__).parent.parent / "README.md",
        ContinuationSettings(count=4, context=16, tokens=4),
    )[0]
    folder = context.folder(NAME)
    stored = _losses(store_continuation(folder, "A text.", run), lead)
    beside(folder, "continuation.json").write_text(to_json(stored), encoding="utf-8")
    others = {name: (context.folder(name), "7M") for name in context.predictors}
    page = all_pairs(root / "toy", others)
    if lead:
        said = read(page).said
        assert f"{ARM}, loses less than both at 7M parameters" in said
        assert f"{ARM} − bpe −0.200 nats [−0.210, −0.190]" in said
        assert f"{ARM} − kron −0.300 nats [−0.310, −0.290]" in said
        assert f'data-pair="{NAME}"' in page
        own = all_pairs(folder, others)
        assert "Compare all three" not in own
        assert f"Loss on what follows: {ARM} ahead" in read(own).said
    else:
        assert ARM not in page
        assert "Loss on what follows: bpe ahead" not in read(all_pairs(folder, others)).said
