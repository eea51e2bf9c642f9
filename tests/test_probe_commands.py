"""Probes from the command line: each prints, and saves the result that Python gives."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from kronviz.generation import Generation, Sampler, side_by_side
from kronviz.predictor import Predictor
from kronviz.probes.__main__ import main
from kronviz.probes.echo import EchoReport, EchoSettings, echo
from kronviz.probes.layers import LayerReport
from kronviz.probes.recovery import recovery_strip
from kronviz.probes.tables import strip_rows
from kronviz.results import from_json


@pytest.mark.parametrize(
    ("probe", "arguments", "kind", "rows"),
    [
        ("generate", ["--prompt", "A {} is", "--forced", "zyzzyva", "--max-tokens", "4"],
         Generation, 8),
        ("echo", ["--strings", "zyzzyva", "--seed", "3"], EchoReport, 9),
        ("layers", [], LayerReport, 6),
    ],
)  # fmt: skip
def test_a_probe_prints_and_saves(
    probe: str, arguments: list[str], kind: type, rows: int, pair_folder: Path, tmp_path: Path,
    small_predictor: Predictor, capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    out = ["--json", str(tmp_path / "out.json"), "--csv", str(tmp_path / "out.csv")]
    assert main([probe, "--pair", str(pair_folder), *arguments, *out]) == 0
    assert "kron" in capsys.readouterr().out
    result = from_json(kind, (tmp_path / "out.json").read_text())
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == rows
    if isinstance(result, Generation):
        sampler = Sampler(max_tokens=4)
        *_, made = side_by_side(small_predictor, ["A {} is"], sampler, "zyzzyva")
        assert result.continuations == made.continuations
    if isinstance(result, EchoReport):
        assert result.runs == echo(small_predictor, EchoSettings(("zyzzyva",), seed=3)).runs


def test_knobs_out_of_range_are_refused_in_a_sentence(
    pair_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["--pair", str(pair_folder), "--prompt", "A", "--top-p", "7"]
    assert main(["generate", *arguments]) == 2
    assert capsys.readouterr().err == "top_p is 7.0; it must be a number from 0.01 to 1.\n"


def test_a_strip_is_a_table_with_a_row_for_each_token(small_predictor: Predictor) -> None:
    strip = recovery_strip(small_predictor, "The sun is high", "The snu is high")
    rows = strip_rows(strip)
    assert len(rows) == len(strip.tokens)
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert rows[-1]["kron_kl_nats"] == pytest.approx(strip.tokens[-1].arms[1].kl_nats)
    json.dumps(rows)
