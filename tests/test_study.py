"""Studies of many arms: what is read from result files, and when something is called settled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

from kronviz.app.tabs.arms import tab
from kronviz.app.tabs.arms.view import costs_of, finding, gaps_caption, other_runs, table_of
from kronviz.errors import InputError
from kronviz.figures import study as figures
from kronviz.paths import CHECKPOINTS
from kronviz.probes.study import (
    CLEAN,
    MISSPELLED,
    PERTURBED,
    Tuning,
    lines,
    studies,
    verdict,
)
from kronviz.tokenizer import load_tokenizer
from kronviz.typos.noise import PERTURBATIONS

CONDITIONS = [CLEAN, *MISSPELLED]
CONFIG = {
    "optimizer": "muon", "adam_lr": 0.002, "steps": 600, "vocabulary": "r50k_base:8192",
    "d_model": 128, "n_layer": 4,
}  # fmt: skip


def write(
    folder: Path, arm: str, seed: int, loss: float, passages: np.ndarray | None, steps: int = 600
) -> None:
    path = folder / "toy" / f"{arm}-muon-0.002-{steps}-s{seed}.json"
    path.parent.mkdir(exist_ok=True)
    tokens = steps * 10 // 6
    run = {
        "arm": arm, "seed": seed, "val_loss": loss, "tokens": tokens, "parameters": 900,
        "input_parameters": {"ngram": 200}.get(arm, 400),
        "curve": [[tokens // 2, loss + 1], [tokens, loss]], "config": CONFIG | {"steps": steps},
    }  # fmt: skip
    path.write_text(json.dumps(run))
    if passages is not None:
        np.save(path.with_suffix(".npy"), passages.astype(np.float16))
        about = {"text": "unseen.jsonl", "documents": 9, "conditions": CONDITIONS, "passages": 200}
        (path.parent / "passages.json").write_text(json.dumps(about))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three seeds of two tables and of n-grams, which are better by 0.1 everywhere."""
    random = np.random.default_rng(0)
    for seed in (1, 2, 3):
        base = 5 + random.normal(size=(3, 200)) * 0.3
        write(tmp_path, "bpe", seed, 5.3 + seed / 100, base + 0.2)
        write(tmp_path, "bpe-untied", seed, 5.2 + seed / 100, base)
        own = base - 0.1 + random.normal(size=(3, 200)) * 0.05
        write(tmp_path, "ngram", seed, 5.1 + seed / 100 + (seed == 2) * 0.001, own)
    return tmp_path


def test_arms_are_compared_with_the_better_table_seed_by_seed(folder: Path) -> None:
    (study,) = studies(folder)
    assert [arm.arm for arm in study.arms] == ["ngram", "bpe-untied", "bpe"]
    assert study.table == "bpe-untied"
    best = study.arms[0]
    gaps = np.array([-0.1, -0.099, -0.1])
    half = 4.302652729911275 * gaps.std(ddof=1) / 3**0.5
    assert best.difference is not None
    assert best.difference.mean == pytest.approx(gaps.mean())
    assert best.difference.high == pytest.approx(gaps.mean() + half)
    assert best.share == 0.5
    assert best.curve == (
        (500, pytest.approx(6.1203, abs=1e-4)),
        (1000, pytest.approx(best.val_nats)),
    )
    assert study.arms[1].difference is None


def test_passages_are_paired(folder: Path) -> None:
    (study,) = studies(folder)
    found = study.arms[0].at(CLEAN)
    assert found is not None
    assert found.difference is not None
    measured = map(study.arms[0].at, CONDITIONS)
    assert [one.condition for one in measured if one] == CONDITIONS
    assert found.difference.mean == pytest.approx(-0.1, abs=0.01)
    # Passages differ by 0.17 in the mean of three seeds; their differences by a tenth of that.
    assert found.difference.high - found.difference.low < 0.02
    assert found.nats.high - found.nats.low > 0.02


def test_a_verdict_needs_three_seeds_and_clear_intervals(folder: Path) -> None:
    (study,) = studies(folder)
    assert "every paired interval" in verdict(study)
    assert "Not every" not in verdict(study)
    assert "fewer seeds" not in verdict(study)
    for arm, loss in (("bpe-untied", 5.24), ("ngram", 5.14)):
        first = np.load(folder / "toy" / f"{arm}-muon-0.002-600-s1.npy")
        write(folder, arm, 4, loss, first)
    (study,) = studies(folder)
    assert "In each of 4 seeds, and by every paired interval" in verdict(study)
    for file in (folder / "toy").glob("*-s4.*"):
        file.unlink()
    for seed in (2, 3):
        (folder / "toy" / f"bpe-muon-0.002-600-s{seed}.json").unlink()
    (study,) = studies(folder)
    assert "is ahead of bpe-untied. bpe had fewer seeds." in verdict(study)
    for arm in ("kron", "hybrid"):
        write(folder, arm, 1, 5.25, None)
    assert "hybrid, kron and bpe had fewer seeds." in verdict(*studies(folder))
    for arm in ("kron", "hybrid"):
        (folder / "toy" / f"{arm}-muon-0.002-600-s1.json").unlink()
    # Validation losses of three seeds do not settle what passages of two say.
    (folder / "toy" / "ngram-muon-0.002-600-s3.npy").unlink()
    (study,) = studies(folder)
    assert "Only 2 of 3 seeds have been run" in verdict(study)
    for seed in (2, 3):
        (folder / "toy" / f"ngram-muon-0.002-600-s{seed}.json").unlink()
    (study,) = studies(folder)
    assert "Only 1 of 3 seeds has been run" in verdict(study)


def test_one_lucky_seed_of_the_other_table_does_not_replace_three(folder: Path) -> None:
    for seed in (2, 3):
        (folder / "toy" / f"bpe-muon-0.002-600-s{seed}.json").unlink()
    write(folder, "bpe", 1, 5.205, None)
    (study,) = studies(folder)
    assert study.table == "bpe-untied"
    said = list(lines(study))
    assert [line for line in said if line.startswith("bpe ") and "(-0.005)" in line]
    assert [
        line for line in said if line.startswith("ngram ") and "(-0.100 [-0.101, -0.098])" in line
    ]


def test_an_arm_of_one_seed_is_drawn_from_the_table_with_that_seed(folder: Path) -> None:
    write(folder, "hybrid", 1, 5.0, None)
    (study,) = studies(folder)
    (line,) = [line for line in figures.curves(study).data if line.name == "hybrid"]
    assert line.y == pytest.approx((-0.21, -0.21)), (
        "bpe-untied has 5.21 with this seed, 5.22 in all"
    )


def test_a_better_arm_of_one_seed_does_not_hide_what_is_settled(folder: Path) -> None:
    best = np.load(folder / "toy" / "ngram-muon-0.002-600-s1.npy") - 0.1
    write(folder, "hybrid", 1, 4.9, best)
    (study,) = studies(folder)
    said = verdict(study)
    assert said.startswith("hybrid has the lowest validation loss")
    assert "Only 1 of 3 seeds has been run and measured for both hybrid and bpe-untied" in said
    assert "In each of 3 seeds, and by every paired interval, ngram is ahead of bpe-untied" in said
    write(folder, "hybrid", 1, 5.15, best)
    assert "; hybrid (1 seed) loses least after clean" in verdict(*studies(folder))
    write(folder, "hybrid", 1, 4.9, best)
    for seed in (1, 2, 3):
        write(folder, "ngram", seed, 5.25, best)
    (study,) = studies(folder)
    assert verdict(study).endswith("so this is not settled.")


def test_a_tie_is_not_called_a_win(folder: Path) -> None:
    random = np.random.default_rng(1)
    for seed in (1, 2, 3):
        table = np.load(folder / "toy" / f"bpe-untied-muon-0.002-600-s{seed}.npy")
        noisy = table.astype(float) - 0.001 + random.normal(size=table.shape)
        write(folder, "ngram", seed, 5.1 + seed / 100, noisy)
    (study,) = studies(folder)
    assert "No arm wins outright" in verdict(study)


def test_a_verdict_says_where_a_lead_is_clear_and_where_not(folder: Path) -> None:
    for seed in (1, 2, 3):
        table = np.load(folder / "toy" / f"bpe-untied-muon-0.002-600-s{seed}.npy")
        passages = np.random.default_rng(seed).normal(size=table.shape[1])
        better = table.astype(float) - [[0.0], [0.5], [0.5]]
        better[0] += passages - passages.mean() - 0.001
        write(folder, "ngram", seed, 5.1 + seed / 100, better)
    (study,) = studies(folder)
    said = verdict(study)
    ahead, _, level = said.partition(", and level ")
    assert "after 15% misspelled words" in ahead
    assert "after clean contexts" in level
    assert "after 15% misspelled words" not in level
    assert said.startswith("No arm wins outright: ")


def test_where_the_table_leads_the_verdict_still_says_what_the_best_arm_gains(folder: Path) -> None:
    for seed in (1, 2, 3):
        table = np.load(folder / "toy" / f"bpe-untied-muon-0.002-600-s{seed}.npy")
        own = table.astype(float) + np.array([[0.1], [-0.1], [-0.1]])
        write(folder, "ngram", seed, 5.3 + seed / 100 + seed * 1e-4, own)
    (study,) = studies(folder)
    said = verdict(study)
    assert "ngram (50% of the input parameters) is ahead after 15% misspelled words" in said
    assert ", and behind in validation loss and after clean contexts. " in said


def test_a_lead_that_one_seed_lacks_is_not_called_one(folder: Path) -> None:
    path = folder / "toy" / "ngram-muon-0.002-600-s2.npy"
    worse = np.load(path).astype(float) + np.array([[0.0], [0.11], [0.0]])
    np.save(path, worse.astype(np.float16))
    (study,) = studies(folder)
    found = study.arms[0].at("synthetic 15%")
    assert found is not None
    assert found.gaps == pytest.approx((-0.1, 0.01, -0.1), abs=0.01)
    assert found.difference.high < -0.03
    assert ", and level after 15% misspelled words. " in verdict(study)


def test_a_condition_that_no_table_shows_can_keep_a_lead_from_being_outright(folder: Path) -> None:
    noise = np.random.default_rng(4).normal(size=200)
    for path in (folder / "toy").glob("*.npy"):
        rows = np.load(path).astype(float)
        twin = rows[:1] + (noise - noise.mean() + 0.2 if path.name.startswith("ngram") else 0)
        np.save(path, np.vstack([rows, twin]).astype(np.float16))
    about = {"text": "unseen.jsonl", "conditions": [*CONDITIONS, "synthetic 30%"], "passages": 200}
    (folder / "toy" / "passages.json").write_text(json.dumps(about))
    (study,) = studies(folder)
    assert ", and level after synthetic 30% contexts. " in verdict(study)


def test_gaps_are_followed_over_the_budgets_and_extrapolated(folder: Path) -> None:
    for steps, gap in ((200, -0.2), (1800, -0.01)):
        for seed in (1, 2, 3):
            write(folder, "bpe-untied", seed, 5.0, None, steps)
            write(folder, "ngram", seed, 5.0 + gap + seed / 1000, None, steps)
        if steps == 200:
            (study,) = studies(folder)
            assert study.gaps[0].extrapolated is None
    (study,) = studies(folder)
    assert (study.tokens, len(study.arms)) == (3000, 2)
    (found,) = study.gaps
    assert [tokens for tokens, _ in found.points] == [333, 1000, 3000]
    assert found.points[0][1].mean == pytest.approx(-0.198)
    # Least squares with its prediction interval, in matrices.
    x = np.log10(np.repeat([333, 1000, 3000], 3))
    y = np.array([-0.199, -0.198, -0.197, -0.1, -0.099, -0.1, -0.009, -0.008, -0.007])
    design = np.stack([np.ones(9), x], 1)
    line, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    at = np.array([1, np.log10(2.5e9)])
    half = 2.364624 * np.sqrt(residual[0] / 7 * (1 + at @ np.linalg.inv(design.T @ design) @ at))
    assert found.extrapolated is not None
    assert found.extrapolated.mean == pytest.approx(at @ line)
    assert found.extrapolated.high == pytest.approx(at @ line + half, rel=1e-5)
    assert "An extrapolation, not a measurement" in gaps_caption(study)
    assert figures.gaps(study).data[0].x == (333, 1000, 3000)
    # Only the 600 steps of the fixture were measured on passages; shorter runs keep their table.
    assert [tokens for tokens, _ in found.misspelled] == [1000]
    moved = figures.gaps(study).data[1]
    assert moved.name == "ngram, misspelled"
    assert (moved.x, moved.customdata) == ((1030,), (1000,)), "apart, but named as it is"
    assert "%{customdata:,} tokens" in moved.hovertemplate
    for arm in ("bpe-untied", "ngram"):
        write(folder, arm, 1, 5.0, None, 5400)
    assert studies(folder)[0].gaps[0].extrapolated is not None, "four budgets are enough, too"
    assert [each.tokens for each in study.others] == [1000, 333]
    assert len(study.others[0].arms) == 3
    assert "every paired interval" in str(other_runs(study.others[0]))


def test_longer_runs_of_fewer_seeds_do_not_replace_a_verdict_but_are_told(folder: Path) -> None:
    random = np.random.default_rng(2).normal(size=(3, 200)) * 0.01
    table = np.load(folder / "toy" / "bpe-untied-muon-0.002-600-s1.npy")
    write(folder, "bpe-untied", 1, 5.0, table, 6_000_000)
    write(folder, "ngram", 1, 5.004, table - [[0.05], [0.02], [0.03]] + random, 6_000_000)
    (study,) = studies(folder)
    assert (study.tokens, [other.tokens for other in study.others]) == (1000, [10_000_000])
    said = verdict(study)
    assert said.startswith(
        "ngram has the lowest validation loss and the lowest loss on true continuations"
    )
    assert "In each of 3 seeds" in said
    assert (
        "In runs of 10.0 million tokens ngram is 0.004 above bpe-untied in validation loss and "
        "0.020 below after 15% misspelled words (1 seed)."
    ) in said


def test_of_runs_of_the_same_length_muons_come_first(folder: Path) -> None:
    for path in (folder / "toy").glob("*.json"):
        run = json.loads(path.read_text())
        if "config" in run:
            run["config"]["optimizer"] = "adamw"
            path.with_name(path.name.replace("muon", "adamw")).write_text(json.dumps(run))
    assert [study.optimizer for study in studies(folder)] == ["muon", "adamw"]


def test_what_is_unusual_about_a_run_is_said() -> None:
    slow = Tuning(0.1, init_std=0.00018, input_rate=0.1)
    assert slow.said(0.1) == "input drawn with std 0.00018, input at 0.1× the rate"
    assert Tuning(0.2).said(0.1) == "learning rate 0.2"
    assert Tuning(0.1).said(0.1) == ""


def test_an_arm_is_shown_as_it_learned_best(folder: Path) -> None:
    run = json.loads((folder / "toy" / "ngram-muon-0.002-600-s1.json").read_text())
    for rate, loss, seeds in ((0.1, 5.0, 3), (0.3, 5.2, 3), (0.5, 4.9, 1)):
        for seed in range(1, seeds + 1):
            config = CONFIG | {"input_rate": rate}
            tuned = run | {"val_loss": loss, "seed": seed, "config": config}
            path = folder / "toy" / f"ngram-muon-0.002-600-in{rate}-s{seed}.json"
            path.write_text(json.dumps(tuned))
    (study,) = studies(folder)
    assert study.arms[0].val_nats == 5.0
    assert study.arms[0].seeds == (1, 2, 3), "a way that ran with one seed only is not shown"
    assert study.arms[0].tuning.input_rate == 0.1
    assert "input at 0.1× the rate" in table_of(study).striptags()
    assert "learning rate" not in (table_of(study) + finding(study)).striptags()
    for arm, loss in (("bpe", 4.5), ("ngram", 5.3)):
        for seed in (1, 2, 3):
            config = CONFIG | {"adam_lr": 0.004}
            tuned = run | {"arm": arm, "val_loss": loss, "seed": seed, "config": config}
            path = folder / "toy" / f"{arm}-muon-0.004-600-s{seed}.json"
            path.write_text(json.dumps(tuned))
    (study,) = studies(folder)
    assert (study.table, study.rate, study.rates) == ("bpe", 0.004, (0.002, 0.004))
    assert [arm.tuning.rate for arm in study.arms] == [0.004, 0.002, 0.002]
    assert table_of(study).striptags().count("learning rate 0.002") == 2
    assert "each at its best learning rate from 0.002 to 0.004" in finding(study).striptags()


def test_the_view_and_the_figures_hold_every_arm(folder: Path) -> None:
    (study,) = studies(folder)
    page = str(table_of(study)) + str(finding(study))
    for arm in study.arms:
        assert arm.arm in page
        assert f"{arm.val_nats:.3f}" in page
    drawn = figures.differences(study)
    assert {text for trace in drawn.data for text in trace.text} == {"ngram", "bpe"}
    ngram, bpe = figures.curves(study).data
    assert (ngram.name, bpe.name) == ("ngram", "bpe")
    assert bpe.y == pytest.approx([0.1, 0.1])


def test_costs_are_shown_for_the_arms_that_were_measured(folder: Path) -> None:
    about = {"machine": "a CPU", "command": "python x.py", "tokens": 8, "step_tokens": 9}
    cost = {"stored_bytes": 2_500_000, "embed_ms": 1.5, "embed_ratio": 3.25} | {
        "step_ms": 12.0, "step_ratio": 1.125,
    }  # fmt: skip
    whole = about | {"peer": "bpe-untied", "arms": {"ngram": cost}}
    (folder / "toy" / "costs.json").write_text(json.dumps(whole))
    (study,) = studies(folder)
    assert study.costs is not None
    page = str(costs_of(study, study.costs))
    assert 'value="2.5"' in page
    assert 'value="3.25"' in page
    assert study.arms[1].cost is None
    (said,) = [line for line in lines(study) if "stored" in line]
    assert said.startswith("ngram ")
    assert "stored 2.50 MB, embedding ×3.25  step ×1.12" in said
    assert page.count('scope="row"') == 1
    (folder / "toy" / "costs.json").write_text(json.dumps(about | {"arms": {"ngram": {}}}))
    with pytest.raises(InputError, match=r"costs.json is damaged"):
        studies(folder)


def test_the_five_perturbations_are_averaged_passage_by_passage(folder: Path) -> None:
    names = ["clean", *PERTURBATIONS]
    random = np.random.default_rng(3)
    for arm in ("bpe", "bpe-untied", "ngram"):
        for seed in (1, 2, 3):
            path = folder / "toy" / f"{arm}-muon-0.002-600-s{seed}.npy"
            np.save(path, (5 + random.normal(size=(len(names), 200))).astype(np.float16))
    about = {"text": "unseen.jsonl", "conditions": names, "passages": 200}
    (folder / "toy" / "passages.json").write_text(json.dumps(about))
    (study,) = studies(folder)
    both = [
        np.mean([np.load(folder / "toy" / f"{arm}-muon-0.002-600-s{s}.npy") for s in (1, 2, 3)], 0)
        for arm in ("ngram", "bpe-untied")
    ]
    found = study.arms[0].at(PERTURBED)
    assert found is not None
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(
        (both[0][1:].astype(float) - both[1][1:]).mean(), abs=2e-3
    )


def test_a_damaged_result_is_named(folder: Path) -> None:
    (folder / "toy" / "bpe-muon-0.002-600-s1.json").write_text("{")
    with pytest.raises(InputError, match=r"bpe-muon.+ is damaged"):
        studies(folder)


def test_what_ships_can_be_read() -> None:
    for study in studies():
        assert study.arms
        assert verdict(study)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_longer_run_is_told_beside_studies_of_its_own_optimizer(
    folder: Path, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped set’s was Muon."""
    (study,) = studies(folder)
    context = SimpleNamespace(
        predictors={
            "tiny+ngram-words": SimpleNamespace(tokenizer=load_tokenizer(study.vocabulary))
        },
        folder=CHECKPOINTS.joinpath,
    )
    monkeypatch.setattr(tab, "studies", lambda _: [replace(study, optimizer=optimizer)])
    with gr.Blocks() as page:
        tab.build(context)  # type: ignore[arg-type]
    assert ("Trained for longer" in str(page.config)) == (optimizer == "muon")
