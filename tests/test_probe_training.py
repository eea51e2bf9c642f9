"""The figures of the training tab, from logs whose answers are known beforehand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kronviz.checkpoint_files import CheckpointError, fingerprint
from kronviz.figures import training as figures
from kronviz.figures.axes import plain_chart
from kronviz.paths import CHECKPOINTS
from kronviz.probes import training
from kronviz.probes.rarity import names, rarity
from kronviz.probes.training import TrainingEvidence, training_evidence
from kronviz.results import from_json, to_json
from kronviz.training.rarity import by_count


def write_log(folder: Path, losses: list[float], norm: float, step_seconds: float) -> None:
    folder.mkdir(parents=True)
    lines = []
    for number, loss in enumerate(losses, start=1):
        for step in (2 * number - 1, 2 * number):
            record = {
                "step": step,
                "tokens": 100 * step,
                "seconds": step * step_seconds,
                "train_loss": loss + 0.5,
                "lr": 0.001,
                "norm": norm * step,
            }
            if step % 2 == 0:
                record["val_loss"] = loss
            lines.append(json.dumps(record))
    (folder / "log.jsonl").write_text("\n".join(lines))


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    write_log(tmp_path / "p" / "bpe", [5.0, 4.0, 3.0, 2.0], norm=2.0, step_seconds=1.0)
    write_log(tmp_path / "p" / "kron", [4.0, 2.5, 1.5, 1.0], norm=1.0, step_seconds=1.25)
    return tmp_path / "p"


def test_the_gap_is_the_difference_of_the_final_losses(pair: Path) -> None:
    evidence = training_evidence(pair)
    assert evidence.gap_nats == -1.0
    assert evidence.gap_percent == -50.0
    assert [(point.step, point.nats) for point in evidence.gaps] == [
        (2, -1.0), (4, -1.5), (6, -1.5), (8, -1.0),
    ]  # fmt: skip


def test_the_time_of_a_step_is_that_of_one_step_however_rarely_they_were_logged(pair: Path) -> None:
    log = pair / "kron" / "log.jsonl"
    records = [json.loads(line) for line in log.read_text().split("\n")]
    log.write_text("\n".join(json.dumps(one | {"step": 10 * one["step"]}) for one in records))
    found = training_evidence(pair).curve("kron")
    assert found is not None
    assert found.step_seconds == 0.125


def test_steps_saved_are_interpolated_between_validations(pair: Path) -> None:
    evidence = training_evidence(pair)
    # kron falls from 2.5 at step 4 to 1.5 at step 6, so it is at bpe's final 2.0 at step 5.
    assert evidence.matched_step == 5.0
    assert evidence.step_factor == 8 / 5
    assert evidence.reverse_factor is None


def test_an_arm_that_never_catches_up_saves_no_steps(tmp_path: Path) -> None:
    write_log(tmp_path / "p" / "bpe", [3.0, 2.0], norm=1.0, step_seconds=1.0)
    write_log(tmp_path / "p" / "kron", [4.0, 2.25], norm=1.0, step_seconds=1.0)
    evidence = training_evidence(tmp_path / "p")
    assert evidence.gap_nats == 0.25
    assert evidence.step_factor is None
    # bpe falls from 3.0 at step 2 to 2.0 at step 4, so it is at kron's final 2.25 at step 3.5.
    assert evidence.reverse_factor == 4 / 3.5


def test_norms_and_step_time_are_relative(pair: Path) -> None:
    evidence = training_evidence(pair)
    kron = evidence.curve("kron")
    assert kron is not None
    assert kron.norm_ratios[0] == 1.0
    assert kron.norm_ratios[-1] == 8.0
    assert kron.step_seconds == 1.25
    assert evidence.step_time_percent == 25.0


def test_evidence_survives_json(pair: Path) -> None:
    evidence = training_evidence(pair)
    assert from_json(TrainingEvidence, to_json(evidence)) == evidence


def test_one_arm_alone_has_a_curve_and_no_comparison(pair: Path) -> None:
    (pair / "kron" / "log.jsonl").unlink()
    evidence = training_evidence(pair)
    assert [curve.arm for curve in evidence.curves] == ["bpe"]
    assert evidence.gap_nats is None
    assert evidence.gaps == ()


def test_a_damaged_log_is_one_sentence(pair: Path) -> None:
    for line in ("{", "[]", '{"step": 1}', '{"step": "x", "tokens": 1}'):
        (pair / "bpe" / "log.jsonl").write_text(line)
        with pytest.raises(CheckpointError, match=r"^The training log .*restore"):
            training_evidence(pair)


def test_the_command_prints_what_the_page_shows(
    pair: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_seeds(pair, {"bpe": [5.0, 5.2], "kron": [4.8, 4.9], "bpe-untied": [5.1, 5.1]})
    monkeypatch.setattr("sys.argv", ["training", str(pair)])
    training.main()
    said = capsys.readouterr().out
    assert "of which the code: -0.2500 ± 0.0707 nats" in said
    assert "gap, nats: -1.0000" in said
    assert "× fewer steps with kron: 1.600" in said


def test_names_of_lines_that_end_together_stand_apart() -> None:
    figure = plain_chart(figures.HEIGHT)
    figures._name_ends(figure, [("bpe", 1, 2.0), ("kron", 1, 2.01), ("ngram-words", 1, 3.9)], 0, 4)
    # What the margins leave of the chart's height.
    pixels = (figures.HEIGHT - 12 - 48) / 4
    heights = sorted(one.y * pixels + one.yshift for one in figure.layout.annotations)
    assert heights[0] == pytest.approx(heights[1] - 15)
    assert heights[2] == pytest.approx(3.9 * pixels)


def test_figures_draw_what_there_is_and_nothing_else(pair: Path) -> None:
    for draw in (figures.losses, figures.gap, figures.norms):
        full = draw(training_evidence(pair))  # type: ignore[operator]
        assert full.data
        assert len(full.to_json()) < 40_000
        empty = draw(TrainingEvidence("none", ()))  # type: ignore[operator]
        assert all(len(trace.x) == 0 for trace in empty.data)


def test_long_logs_are_thinned_and_keep_their_last_point() -> None:
    for length in (0, 1, 239, 240, 241, 5000):
        thin = figures._thinned(length)
        assert len(thin) <= figures.POINTS + 1
        assert thin[-1:] == ([length - 1] if length else [])


def write_seeds(
    pair: Path, losses: dict[str, list[float]], by_rarity: dict[str, list[dict]] | None = None
) -> None:
    found = seeds_at(2e-3, losses) | ({"rarity": by_rarity} if by_rarity else {})
    (pair / "seeds.json").write_text(json.dumps(found))


def seeds_at(rate: float, losses: dict[str, list[float]]) -> dict:
    """What ``seeds.json`` holds."""
    runs = [
        {"variant": variant, "seed": seed, "val_loss": loss, "tokens": 1000, "norm": 1.0}
        for variant, values in losses.items()
        for seed, loss in enumerate(values, start=1)
    ]
    config = {"name": "small", "d_model": 8, "n_layer": 2, "adam_lr": rate}
    return {"config": config, "runs": runs}


def test_a_damaged_config_is_one_sentence(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for about in ({"validation": "x"}, {"training": 1}):
        monkeypatch.setattr(training, "read_config", lambda folder, about=about: about)
        with pytest.raises(CheckpointError, match=r"restore log\.jsonl and config\.json"):
            training_evidence(pair)


def test_seeds_give_the_gap_a_spread_and_the_control_parts_it(pair: Path) -> None:
    write_seeds(pair, {"bpe": [5.0, 5.2], "kron": [4.8, 4.9], "bpe-untied": [5.1, 5.1]})
    evidence = training_evidence(pair)
    found = evidence.seeds
    assert found is not None
    assert found.gap.values == pytest.approx((-0.2, -0.3))
    assert found.gap.mean == pytest.approx(-0.25)
    assert found.gap.deviation == pytest.approx(np.std([0.2, 0.3], ddof=1))
    for gap, head, code in zip(found.gap.values, found.head.values, found.code.values, strict=True):
        assert head + code == pytest.approx(gap)
    assert from_json(TrainingEvidence, to_json(evidence)) == evidence


def test_damaged_seeds_are_one_sentence(pair: Path) -> None:
    for name in ("seeds", "rates"):
        for text in ("{", "[1]", '{"config": {}, "runs": []}', "7"):
            (pair / f"{name}.json").write_text(text)
            with pytest.raises(CheckpointError, match=rf"{name}\.json of p is damaged; restore"):
                training_evidence(pair)
        (pair / f"{name}.json").unlink()


def test_damaged_classes_of_seeds_are_one_sentence(pair: Path) -> None:
    stored = seeds_at(0.01, {"bpe": [5.0], "kron": [4.8], "bpe-untied": [5.1]})
    (pair / "seeds.json").write_text(json.dumps(stored | {"rarity": [1]}))
    with pytest.raises(CheckpointError, match=r"seeds\.json of p is damaged; restore"):
        training_evidence(pair)


def test_a_class_keeps_its_name_where_its_neighbour_was_left_out() -> None:
    assert names([0, 10, 1_000]) == ["never", "10–99", "1,000–9,999"]
    assert names([1, 10_000]) == ["1–9", "10,000+"]


def test_rates_are_read_from_the_slowest_on(pair: Path) -> None:
    swift = seeds_at(0.0024, {"bpe": [5.0, 5.2], "kron": [4.8, 4.9], "bpe-untied": [5.1, 5.1]})
    slow = seeds_at(0.0006, {"bpe": [6.0, 6.2], "kron": [6.1, 6.2], "bpe-untied": [6, 6]})
    (pair / "rates.json").write_text(json.dumps([swift, slow]))
    evidence = training_evidence(pair)
    assert [found.rate for found in evidence.rates] == [0.0006, 0.0024]
    assert [found.gap.mean for found in evidence.rates] == pytest.approx([0.05, -0.25])
    assert from_json(TrainingEvidence, to_json(evidence)) == evidence


def test_the_gap_by_rarity_finds_what_was_put_there(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    counts = random.choice([0, 5, 50, 20_000], (200, 32))
    kron = random.gamma(4, 1, (200, 32)).astype(np.float32)
    gaps = {0: 1.0, 5: 0.5, 50: -0.25, 20_000: 0.0}
    bpe = kron - np.vectorize(gaps.get)(counts) + random.normal(0, 0.1, (200, 32))
    rows = by_count(counts, bpe, kron)
    assert [row["low"] for row in rows] == [0, 1, 10, 10_000]
    for row, (count, gap) in zip(rows, gaps.items(), strict=True):
        assert row["tokens"] == (counts == count).sum()
        assert row["gap"] == pytest.approx(gap, abs=0.02)
        assert row["gap"] == pytest.approx(row["kron"] - row["bpe"], abs=1e-5)
        assert row["gap_low"] < gap + 0.01
        assert row["gap_high"] > gap - 0.01
    assert sum(row["share"] for row in rows) == pytest.approx((kron - bpe).mean(), abs=1e-6)


def test_rarity_of_other_weights_is_refused(tmp_path: Path) -> None:
    shutil.copytree(CHECKPOINTS / "tiny", tmp_path / "tiny")
    found = rarity(tmp_path / "tiny")
    assert found is not None
    assert names([row.low for row in found.read])[-1] == "10,000+"
    path = tmp_path / "tiny" / "rarity.json"
    weights = fingerprint(tmp_path / "tiny" / "bpe")
    path.write_text(path.read_text().replace(weights, weights[::-1]))
    with pytest.raises(CheckpointError, match="other weights"):
        rarity(tmp_path / "tiny")
    foreign = json.loads((CHECKPOINTS / "tiny" / "rarity.json").read_text())
    foreign["read"][0]["low"] = "seldom"
    for text in ("[]", json.dumps(foreign)):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=r"rarity\.json of tiny is damaged"):
            rarity(tmp_path / "tiny")
