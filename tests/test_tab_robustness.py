"""The lab on the page and by API: the same figures as from Python, refusals by name, stops."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from loops import run
from test_html import read

from kronviz.app.components import run_controls as lab_parts
from kronviz.app.components.results import progress
from kronviz.app.components.runs import KEPT, Runs, lane
from kronviz.app.components.spelling_test import all_pairs
from kronviz.app.context import Context, load_context
from kronviz.app.server import queueing as direct
from kronviz.app.tabs.robustness import api as lab_api
from kronviz.app.tabs.robustness import curves, tab
from kronviz.app.tabs.robustness import sweep as lab_sweep
from kronviz.app.tabs.robustness import view as robustness_view
from kronviz.app.tabs.robustness import words as lab_words
from kronviz.figures.robustness import AXES, advantages, forgetting
from kronviz.predictor import InputError, Predictor
from kronviz.probes import stored_runs
from kronviz.probes.intervals import Interval
from kronviz.probes.pairs import PairSet, load_pairs, parse_pairs
from kronviz.probes.recovery import RecoverySettings, our_passages, recovery, recovery_strip
from kronviz.probes.robustness import METRICS, MisspellingSettings, Robustness, robustness
from kronviz.probes.sensitivity import SensitivitySettings, sensitivity
from kronviz.probes.sweep import SweepSettings, sweep
from kronviz.progress import Progress, gather
from kronviz.results import to_dict

TEXTS = ("The sun rises in the", "Water boils at one hundred")
GIVEN = [{"clean": "The sun is", "typo": "The snu is"}, {"clean": "The sky is", "typo": "The syk"}]


@pytest.fixture(scope="module")
def context(pair_folder: Path) -> Context:
    return load_context(pair_folder.parent)


def same(answer: Any, result: object) -> bool:
    expected = json.loads(json.dumps(to_dict(result)))
    for found in (answer, expected):
        found.pop("seconds")
    return alike(answer, expected)


def alike(one: Any, other: Any) -> bool:
    """Equal but for the last digits of a float32, which depend on where it lies in memory."""
    if isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in other)
    if isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == (pytest.approx(other, rel=1e-5, abs=1e-8) if isinstance(other, float) else other)


def test_the_endpoints_give_the_same_as_python(client: Client, small_predictor: Predictor) -> None:
    pairs = parse_pairs(json.dumps(GIVEN).encode(), "pairs.json")
    said = client.predict(pairs=GIVEN, seed=1, api_name="/robustness")
    assert same(said, robustness(small_predictor, pairs, seed=1))
    said = client.predict(
        sentences=TEXTS, kinds=["swap"], strengths=[1, 2], seed=1, api_name="/sweep"
    )
    assert same(
        said,
        sweep(small_predictor, SweepSettings(TEXTS, kinds=("swap",), strengths=(1, 2), seed=1)),
    )
    said = client.predict(passages=TEXTS, repeats=2, later=3, seed=1, api_name="/recovery")
    assert same(
        said, recovery(small_predictor, RecoverySettings(TEXTS, repeats=2, later=3, seed=1))
    )
    said = client.predict(clean=TEXTS[0], typo="The snu rises in the", api_name="/recovery")
    assert same(said, recovery_strip(small_predictor, TEXTS[0], "The snu rises in the"))
    said = client.predict(text=TEXTS[0], tries=2, api_name="/sensitivity")
    assert same(said, sensitivity(small_predictor, SensitivitySettings(TEXTS[0], tries=2)))


def test_our_pairs_are_read_when_none_are_given(context: Context) -> None:
    ask = lab_api.endpoints(context)[0]
    assert ask()["asked"] == len(load_pairs().pairs)
    assert ask(sentences=TEXTS, kinds=["drop"])["asked"] == 2


def test_arguments_of_no_use_are_refused_by_name(context: Context) -> None:
    for name, arguments, words in (
        ("robustness", {"pairs": 5}, "pairs must be a list"),
        ("robustness", {"seed": -1}, r"seed is .*; it must be a whole number"),
        ("robustness", {"seed": "x"}, r"seed is .*; it must be a whole number"),
        ("robustness", {"sentences": [1]}, "each of the sentences must be a text"),
        ("robustness", {"sentences": TEXTS, "edits": 9}, r"edits is .*; it must be a whole number"),
        ("robustness", {"sentences": TEXTS, "kinds": ["nothing"]}, "choose from swap"),
        ("robustness", {"sentences": TEXTS, "share": 2}, "share is 2; it must be a number"),
        ("robustness", {"sentences": TEXTS, "keyboard": "dvorak"}, "no keyboard called"),
        ("robustness", {"pair": "nothing"}, "no pair of models"),
        ("sweep", {"strengths": [0]}, "each of the strengths is 0; it must be"),
        ("sweep", {"count": float("nan")}, "count is nan; it must be"),
        ("sweep", {"kinds": "swap"}, "kinds must be a list"),
        ("recovery", {"clean": "x"}, "is empty"),
        ("recovery", {"later": 1000}, "later is 1000; it must be"),
        ("sensitivity", {"text": ""}, "is empty"),
        ("sensitivity", {"text": None}, "text must be a text"),
    ):
        ask = {function.__name__: function for function in lab_api.endpoints(context)}[name]
        with pytest.raises(gr.Error, match=words):
            ask(**arguments)


def test_a_refusal_over_http_is_the_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="“where it hurts” takes 60"):
        client.predict(text="a b " * 31, api_name="/sensitivity")


def test_bad_rows_are_named_and_the_good_ones_run(context: Context) -> None:
    ask = lab_api.endpoints(context)[0]
    found = ask(pairs=[*GIVEN, {"clean": "x"}, {"clean": "", "typo": "y"}])
    assert found["done"] == 2
    assert [problem.split(":")[0] for problem in found["problems"]] == ["Row 3", "Row 4"]


@pytest.fixture(scope="module")
def result(small_predictor: Predictor) -> Robustness:
    return robustness(small_predictor, PairSet(load_pairs().pairs[::40]), seed=1)


def test_the_table_stands_at_every_stage_with_the_papers_figures(result: Robustness) -> None:
    for page in (
        robustness_view.pairs_view(None),
        robustness_view.pairs_view(result, running=True),
        robustness_view.pairs_view(result),
    ):
        seen = read(page)
        assert "47.3%" in seen.said
        assert "55.5%" in seen.said
        assert [tag for tag, _ in seen.tags].count("tr") >= 1 + len(METRICS)
    links = [dict(a) for tag, a in read(robustness_view.pairs_view(result)).tags if tag == "a"]
    assert [link["download"] for link in links] == [
        "kronviz-robustness.json",
        "kronviz-robustness.csv",
    ]
    assert all(link["href"].startswith("data:") for link in links)


def test_a_stopped_run_says_so_and_keeps_its_figures(result: Robustness) -> None:
    assert "Stopped: 3 of 8 pairs" in read(progress(3, 8, False)).said
    assert "Stopped before the first pair was read." in read(progress(0, 8, False)).said


def test_files_are_read_once_and_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file yet"):
        tab._given(tab.FILE, None, MisspellingSettings(), lambda _: True)
    with pytest.raises(InputError, match="no longer here"):
        tab._given(tab.FILE, str(tmp_path / "gone.csv"), MisspellingSettings(), lambda _: True)
    bomb = tmp_path / "bomb.csv"
    bomb.write_bytes(b"PK\x03\x04" + bytes(100))
    assert (
        "archive"
        in tab._given(tab.FILE, str(bomb), MisspellingSettings(), lambda _: True).problems[0]
    )
    long = tmp_path / "long.csv"
    long.write_text("clean,typo\n" + "The sun is,The snu is\n" * 100_000)
    given = tab._given(tab.FILE, str(long), MisspellingSettings(), lambda _: True)
    assert len(given.pairs) == 5_000
    assert any("5,000 rows" in problem for problem in given.problems)
    assert len(tab._given(tab.OURS, None, MisspellingSettings(), lambda _: True).pairs) == 320


def test_a_stop_is_heard_between_batches_and_keeps_what_was_read() -> None:
    runs = Runs()

    def batches() -> Iterator[list[int]]:
        for number in range(100):
            if number == 3:
                runs.stop("me")
            time.sleep(0.001)
            yield [number]

    def run(of: Iterable[list[int]], total: int) -> Callable[[Progress], list[int]]:
        return lambda tell: gather(of, total, lambda read, _: list(read), tell)

    *_, last = runs.stages("me", "key", run(batches(), 100), 100)
    assert (last.result, last.done, last.running) == ([0, 1, 2, 3], 4, False)
    assert runs.found("key") is None
    other = list(runs.stages("you", "key", run([[1], [2]], 2), 2))
    assert other[-1].result == [1, 2]
    again = list(runs.stages("me", "key", run([], 2), 2))
    assert [stage.result for stage in again] == [[1, 2]]


def test_a_place_in_the_queue_is_known_and_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def mine() -> None: ...

    def event(session: str, function: Any) -> Any:
        return SimpleNamespace(_id=session, session_hash=session, fn=SimpleNamespace(fn=function))

    sent: list[Any] = []
    waiting = [event("you", mine), event("me", print), event("me", mine)]

    async def remove(*, event_id: str) -> None:
        waiting.remove(next(e for e in waiting if e._id == event_id and e.fn.fn is mine))

    line = SimpleNamespace(queue=waiting)
    queue = SimpleNamespace(
        event_queue_per_concurrency_id={"lab": line},
        clean_events=remove,
        pending_messages_per_session={"me": SimpleNamespace(put_nowait=sent.append)},
    )
    app: Any = SimpleNamespace(_queue=queue)
    monkeypatch.setattr(direct, "_apps", [app])
    assert direct.place_in_queue("lab", "me", mine) == 3
    assert direct.place_in_queue("lab", "she", mine) is None
    assert direct.place_in_queue("other", "me", mine) is None
    assert (lab_parts.next_number("lab"), lab_parts.next_number("other")) == (4, 0)
    assert not run(direct.leave_queue("lab", "she", mine, 2))
    assert run(direct.leave_queue("lab", "me", mine, 2))
    assert direct.place_in_queue("lab", "me", mine) is None
    (message,) = sent
    assert message.success
    assert message.event_id == "me", "Gradio's page drops a message without it"
    assert len(message.output["data"]) == 2
    assert lane().alone(lambda: lab_parts.next_number("other")) == 1
    assert "Number 1,234 in the queue" in read(lab_parts.in_queue(1234)).said
    assert lab_parts.in_queue(0) == ""


def test_the_cache_is_bounded() -> None:
    runs = Runs()
    for number in range(KEPT):
        runs.keep(number, number)
    assert runs.found(0) == 0
    runs.keep(KEPT, KEPT)
    assert runs.found(1) is None, "the one asked for longest ago goes"
    assert runs.found(0) == 0
    assert runs.found(KEPT) == KEPT


def test_sweeps_and_forgetting_are_drawn(small_predictor: Predictor) -> None:
    found = sweep(
        small_predictor, SweepSettings(TEXTS, kinds=("swap", "join"), strengths=(1, 4), seed=1)
    )
    for metric in METRICS:
        assert metric in AXES
        assert advantages(found, metric).data
        below, above = lab_sweep.sweep_view(found, metric)
        assert "kv-finding" in above
        page = read(below)
        assert [tag for tag, _ in page.tags].count("figure") == 2
    curve = recovery(small_predictor, RecoverySettings(TEXTS, repeats=1, later=2))
    assert [trace.name for trace in forgetting(curve).data] == ["bpe", "kron"]
    assert "shift halves after" in read(lab_sweep.recovery_view(curve)[1]).said


def test_a_kind_that_moves_both_alike_is_drawn_for_neither(small_predictor: Predictor) -> None:
    found = sweep(small_predictor, SweepSettings(TEXTS, kinds=("swap",), strengths=(1,), seed=1))
    (point,) = found.points
    alike = replace(point.metric("kl_nats"), difference=Interval(0.0, -0.1, 0.1))
    drawn = advantages(replace(found, points=(replace(point, metrics=(alike,)),)))
    assert [(trace.name, list(trace.x)) for trace in drawn.data if trace.x] == [
        ("no difference", [0.0])
    ]


def test_too_few_pairs_are_no_verdict_on_the_page(result: Robustness) -> None:
    few = robustness_view.pairs_view(
        replace(
            result,
            metrics=tuple(
                replace(row, kron_wins=3, ties=0, bpe_wins=0, difference=Interval(-1.0, -1.5, -0.5))
                for row in result.metrics
            ),
        )
    )
    assert "cannot tell" in read(few).said
    assert "is the steadier one" not in read(few).said


def test_one_arm_alone_is_still_drawn(small_predictor: Predictor) -> None:
    alone = Predictor("alone", {"kron": small_predictor.arms["kron"]})
    assert "kron" in robustness_view.pairs_view(robustness(alone, parse_pairs(b"", "x.json")))
    assert read(robustness_view.pairs_view(robustness(alone, PairSet(load_pairs().pairs[:3]))))
    found = sweep(alone, SweepSettings(TEXTS, kinds=("swap",), strengths=(1,)))
    assert all(lab_sweep.sweep_view(found, "kl_nats"))
    assert advantages(found)
    assert lab_words.words_view(sensitivity(alone, SensitivitySettings(TEXTS[0])), 0)
    assert lab_words.strip_view(recovery_strip(alone, TEXTS[0], TEXTS[0]))


def test_a_kept_run_stands_there_before_anything_is_run(
    pair_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = load_pairs()
    monkeypatch.setattr(stored_runs, "load_pairs", lambda: PairSet(ours.pairs[:6], ours.problems))
    context = Context({}, (), tmp_path)
    for name in ("kept", "other"):
        shutil.copytree(pair_folder, tmp_path / name)
    found = stored_runs.store(tmp_path / "kept").report
    lab, page = read(tab._opening(context, "kept")).said, read(all_pairs(tmp_path / "kept")).said
    assert "Our 6 pairs, read once and stored with the weights" in lab
    assert "6 texts, misspelled" in page
    for arm in found.metric("top1_kept").arms:  # type: ignore[union-attr]
        share = f"{arm.value.mean * 100:.1f}%"
        assert share in page
        assert share in lab
    assert "Nothing has been run here yet" in read(tab._opening(context, "other")).said
    assert all_pairs(tmp_path / "other") == "<div></div>"


def test_kept_curves_stand_there_before_anything_is_run(
    pair_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = SweepSettings(TEXTS, kinds=("swap", "drop"), strengths=(1, 2))
    monkeypatch.setattr(
        stored_runs, "sweep", lambda p, asked: sweep(p, replace(few, seed=asked.seed))
    )
    monkeypatch.setattr(
        stored_runs,
        "recovery",
        lambda p, asked: recovery(p, replace(asked, passages=our_passages()[:3])),
    )
    context = Context({}, (), tmp_path)
    for name in ("kept", "other"):
        shutil.copytree(pair_folder, tmp_path / name)
    found = stored_runs.store(tmp_path / "kept", stored_runs.SWEEP).report
    stored_runs.store(tmp_path / "kept", stored_runs.RECOVERY)
    for metric in METRICS:
        figure, shown, _ = curves.sweep_opening(context, "kept", metric)
        assert shown.count("<figcaption>") == 2
        assert "sweep --pair kept --count 20 --seed 1" in shown
        assert "data:text/csv" not in shown, "its numbers would weigh on every first visit"
        assert figure == advantages(found, metric)
    assert "recovery --pair kept --seed 1" in curves.recovery_opening(context, "kept")[1]
    for *_, shown in (
        curves.sweep_opening(context, "other", "kl_nats"),
        curves.recovery_opening(context, "other"),
    ):
        assert "No curve yet" in shown
