"""The training tab says what the logs say, names the paper's figures as the paper's, and opens
whatever the logs are like.
"""

from __future__ import annotations

import json
from pathlib import Path

from test_html import read
from test_probe_training import seeds_at, write_log, write_seeds

from kronviz import published
from kronviz.app.context import Context
from kronviz.app.tabs.training import tab as training


def view(root: Path) -> training._View:
    return training._view(Context({}, (), root), "p")


def test_ours_and_the_papers_stand_in_columns_of_their_own(tmp_path: Path) -> None:
    write_log(tmp_path / "p" / "bpe", [5.0, 4.0, 3.0, 2.0], norm=2.0, step_seconds=1.0)
    write_log(tmp_path / "p" / "kron", [4.0, 2.5, 1.5, 1.0], norm=1.0, step_seconds=1.25)
    seen = view(tmp_path)
    assert "ends 1.000 nats below" in read(seen.finding).said
    assert "not the same experiment" in read(seen.table).said
    table = read(seen.table).said
    assert "Ours" in table
    assert "The paper’s" in table
    assert "1.60× fewer" in table
    for figure in (published.GAP_NATS, published.FEWER_STEPS, published.STEP_OVERHEAD):
        assert figure.text + figure.where in table
    assert "python -m kronviz.probes.training checkpoints/p" in table


def test_a_pair_without_a_gain_is_said_to_have_none(tmp_path: Path) -> None:
    write_log(tmp_path / "p" / "bpe", [3.0, 2.0], norm=1.0, step_seconds=1.0)
    write_log(tmp_path / "p" / "kron", [4.0, 2.5], norm=1.0, step_seconds=1.0)
    seen = view(tmp_path)
    assert "ends 0.500 nats above bpe: no gain here." in read(seen.finding).said
    assert "none; bpe got there in 1.33× fewer" in read(seen.table).said


def test_missing_and_damaged_logs_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "p" / "bpe").mkdir(parents=True)
    for text, sentence in (
        (None, "has no training logs"),
        ("{", "is damaged"),
        ('{"step": 1}', "lacks required entries"),
    ):
        if text is not None:
            (tmp_path / "p" / "bpe" / "log.jsonl").write_text(text)
        seen = view(tmp_path)
        assert sentence in seen.finding
        assert seen.table == ""
        assert len(seen.pictures) == 4


def test_one_arm_alone_is_shown_without_a_comparison(tmp_path: Path) -> None:
    write_log(tmp_path / "p" / "kron", [4.0, 2.5], norm=1.0, step_seconds=1.0)
    seen = view(tmp_path)
    assert "Only one of the two models" in seen.finding
    assert "not recorded" in seen.table


def test_seeds_stand_in_a_table_of_their_own(tmp_path: Path) -> None:
    write_log(tmp_path / "p" / "bpe", [3.0, 2.0], norm=1.0, step_seconds=1.0)
    write_log(tmp_path / "p" / "kron", [4.0, 2.5], norm=1.0, step_seconds=1.0)
    assert "smaller size" not in read(view(tmp_path).table).said
    write_seeds(tmp_path / "p", {"bpe": [5.0, 5.2], "kron": [4.8, 4.9], "bpe-untied": [5.1, 5.1]})
    said = read(view(tmp_path).table).said
    assert "2 seeds at a smaller size" in said
    assert "−0.250 ±\u00a00.071" in said
    assert "<data" not in said
    assert "next token" not in said


def test_learning_rates_stand_in_a_table_with_the_best_of_each_in_bold(tmp_path: Path) -> None:
    write_log(tmp_path / "p" / "bpe", [3.0, 2.0], norm=1.0, step_seconds=1.0)
    write_log(tmp_path / "p" / "kron", [4.0, 2.5], norm=1.0, step_seconds=1.0)
    slow = seeds_at(0.0006, {"bpe": [6.0, 6.2], "kron": [5.9, 6.0], "bpe-untied": [6, 6]})
    swift = seeds_at(0.0024, {"bpe": [5.0, 5.2], "kron": [5.2, 5.3], "bpe-untied": [5.1, 5.1]})
    (tmp_path / "p" / "rates.json").write_text(json.dumps([slow, swift]))
    table = view(tmp_path).table
    said = read(table).said
    assert (
        "kron is ahead at 1 of 2 learning rates; each at its best, the gap is +0.150 nats" in said
    )
    assert "5.100 ±\u00a00.1415.250 ±\u00a00.071" in said
    assert table.count("<b><data value=") == 3
    assert "opposite" not in read(view(tmp_path).finding).said
    swift = seeds_at(0.0024, {"bpe": [5.0, 5.2], "kron": [4.8, 5.1], "bpe-untied": [5.1, 5.1]})
    (tmp_path / "p" / "rates.json").write_text(json.dumps([slow, swift]))
    assert "small models show the opposite (below)." in read(view(tmp_path).finding).said


def test_how_many_seeds_the_rates_have(tmp_path: Path) -> None:
    write_log(tmp_path / "p" / "bpe", [3.0, 2.0], norm=1.0, step_seconds=1.0)
    write_log(tmp_path / "p" / "kron", [4.0, 2.5], norm=1.0, step_seconds=1.0)
    for runs, said in (((2, 2), "2 seeds. Bold"), ((1, 3), "one to 3 seeds. Bold")):
        both = [
            seeds_at(rate, {name: [5.0] * count for name in ("bpe", "kron", "bpe-untied")})
            for rate, count in zip((0.0006, 0.0024), runs, strict=True)
        ]
        (tmp_path / "p" / "rates.json").write_text(json.dumps(both))
        assert said in read(view(tmp_path).table).said


def test_seeds_by_rarity_stand_below_them(tmp_path: Path) -> None:
    write_log(tmp_path / "p" / "bpe", [3.0, 2.0], norm=1.0, step_seconds=1.0)
    write_log(tmp_path / "p" / "kron", [4.0, 2.5], norm=1.0, step_seconds=1.0)
    rows = [
        {
            "low": 10,
            "tokens": 150,
            "gap": [-0.5, -0.7, -0.3],
            "head": [0.25, 0, 0.5],
            "code": 3 * [1],
        },
        {"low": 100, "tokens": 1500, "gap": 3 * [0], "head": 3 * [0], "code": 3 * [0]},
    ]
    losses = {"bpe": [5.0, 5.2], "kron": [4.8, 4.9], "bpe-untied": [5.1, 5.1]}
    write_seeds(tmp_path / "p", losses, {"read": rows[:1], "predicted": rows})
    said = read(view(tmp_path).table).said
    assert "By how often the next token was read in training" in said
    assert "100–999" in said
    assert "−0.500 [−0.700, −0.300]" in said
