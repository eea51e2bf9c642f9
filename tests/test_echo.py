"""The echo probe: what counts as a repetition, how it is measured, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_html import read

from kronviz.app.tabs.generate import echo as section
from kronviz.generation import Sampler, continue_text
from kronviz.predictor import InputError, Predictor
from kronviz.probes import stored_runs
from kronviz.probes.echo import EchoReport, EchoSettings, echo, echo_plan, longest_piece
from kronviz.progress import Step
from kronviz.results import from_json, to_json

STRINGS = ("kubernetes", "zyzzyva", "the")
PROMPTS = ("We run {} in", "A {} is")


@pytest.fixture(scope="module")
def report(small_predictor: Predictor) -> EchoReport:
    return echo(small_predictor, EchoSettings(STRINGS, PROMPTS, seeds=2, max_tokens=4))


def test_every_string_prompt_seed_and_reading_is_run_once(report: EchoReport) -> None:
    assert report.strings == ("kubernetes", "zyzzyva")
    assert report.skipped == ("the",)
    assert [(rate.arm, rate.reading) for rate in report.rates] == [
        ("bpe", "tokens"),
        ("kron", "tokens"),
        ("kron", "slot"),
    ]
    keys = {(run.arm, run.reading, run.string, run.prompt, run.seed) for run in report.runs}
    assert len(keys) == len(report.runs) == 3 * 2 * 2 * 2
    assert all(rate.runs == 8 for rate in report.rates)
    assert from_json(EchoReport, to_json(report)) == report


def test_a_slot_is_one_position_and_tokens_are_several(report: EchoReport) -> None:
    for run in report.runs:
        assert (run.positions == 1) == (run.reading == "slot")


def test_a_run_is_what_the_generator_writes(small_predictor: Predictor, report: EchoReport) -> None:
    run = next(run for run in report.runs if run.reading == "slot" and run.seed == 43)
    sampler = Sampler(max_tokens=4, seed=43)
    *_, made = continue_text(small_predictor, "kron", run.prompt, sampler, run.string)
    assert made.text == run.text
    run = next(run for run in report.runs if run.arm == "bpe")
    *_, made = continue_text(
        small_predictor, "bpe", run.prompt.replace("{}", run.string), Sampler(max_tokens=4)
    )
    assert made.text == run.text


def test_rates_add_up(report: EchoReport) -> None:
    for rate in report.rates:
        own = [r for r in report.runs if (r.arm, r.reading) == (rate.arm, rate.reading)]
        assert rate.echoed == sum(run.echoed for run in own)
        assert rate.share == pytest.approx(rate.echoed / rate.runs)
        assert rate.piece == pytest.approx(sum(run.piece for run in own) / len(own))
        assert rate.low <= rate.share <= rate.high


def test_an_echo_is_a_whole_repetition_in_any_case(small_predictor: Predictor) -> None:
    found = echo(small_predictor, EchoSettings(("zyzzyva",), ("A {} is",), max_tokens=2))
    assert not any(run.echoed for run in found.runs)
    assert {run.chance for run in found.runs} == {0.0}, "there is no other string"
    assert longest_piece("Zyzzyva", "a ZYZZYVA!") == 7
    assert longest_piece("here", "these trees are here " * 20) == 4


@given(st.text(max_size=12), st.text(max_size=30))
def test_the_longest_piece_is_in_the_text_and_none_is_longer(string: str, text: str) -> None:
    found = longest_piece(string, text)
    a, b = string.casefold(), text.casefold()
    pieces = [a[i:j] for i in range(len(a)) for j in range(i + 1, len(a) + 1)]
    assert found == max((len(piece) for piece in pieces if piece in b), default=0)


def test_what_cannot_be_run_is_refused_at_once(small_predictor: Predictor) -> None:
    for arguments, said in (
        ({"strings": ()}, "0 strings"),
        ({"strings": ["the"]}, "single token"),
        ({"strings": "kubernetes"}, "must be a list"),
        ({"strings": [1]}, "text in quotes"),
        ({"strings": ["x" * 65]}, "65 bytes"),
        ({"strings": ["kubernetes", "antidisestablishmentarian"]}, "reads 16. Shorten"),
        ({"strings": [f"zz{i}q" for i in range(51)]}, "51 strings"),
        ({"prompts": ["no place"]}, "once in each prompt"),
        ({"prompts": ["{} {}"]}, "once in each prompt"),
        ({"prompts": ["word " * 60 + "{}"]}, "tokens"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": 1.5}, "seeds is 1.5"),
        ({"seeds": True}, "seeds is True"),
    ):
        with pytest.raises(InputError, match=said):
            echo_plan(small_predictor, EchoSettings(**{"strings": ["kubernetes"], **arguments}))


def test_a_stopped_run_keeps_what_was_written(small_predictor: Predictor) -> None:
    seen: list[float] = []

    def progress(step: Step) -> bool:
        seen.append(step.share)
        return step.done < 3

    found = echo(small_predictor, EchoSettings(max_tokens=1), progress=progress)
    assert len(found.runs) == 3
    assert seen == sorted(seen)
    assert 0 == seen[0] < seen[-1] < 1
    assert [(rate.arm, rate.runs) for rate in found.rates] == [("bpe", 1), ("kron", 1), ("kron", 1)]
    # Within a run, too, at the next token.
    asked = iter(range(9))
    found = echo(
        small_predictor, EchoSettings(max_tokens=20), progress=lambda step: next(asked) < 8
    )
    assert found.runs == ()


def test_a_kept_echo_stands_there_before_anything_is_run(
    pair_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def few(predictor: Predictor, settings: EchoSettings) -> EchoReport:
        return echo(predictor, replace(settings, strings=("zyzzyva",), max_tokens=3))

    monkeypatch.setattr(stored_runs, "echo", few)
    for name in ("kept", "other"):
        shutil.copytree(pair_folder, tmp_path / name)
    found = stored_runs.store(tmp_path / "kept", stored_runs.ECHO).report
    page = read(section.opening(tmp_path / "kept")).said
    for rate in found.rates:
        assert f"{rate.echoed} of {rate.runs}" in page
    assert "echo --pair kept --strings" in page
    assert "No rate yet" in section.opening(tmp_path / "other")
