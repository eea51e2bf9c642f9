"""The tab “Your model”: figures by API as from Python, stops that keep, links, and HTML."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from test_cross_model import TOKENS, VECTORS, kin_table, table
from test_html import read

from kronviz.app.components import links
from kronviz.app.components.runs import Runs, watched
from kronviz.app.context import Context, load_context
from kronviz.app.tabs.your_model import tab as your_model
from kronviz.app.tabs.your_model.api import endpoints
from kronviz.app.tabs.your_model.view import report_view
from kronviz.figures.cross_model import sides, token_map
from kronviz.predictor import InputError, Predictor
from kronviz.probes.cross_model import CrossModelReport, TableSettings, compare_table, read_tokens
from kronviz.probes.cross_model.own import own_table
from kronviz.probes.cross_model.report import MapPoint
from kronviz.progress import Progress, Step
from kronviz.results import to_dict


@pytest.fixture(scope="module")
def context(pair_folder: Path) -> Context:
    return load_context(pair_folder.parent)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    np.save(tmp_path / "mine.npy", VECTORS)
    strings = ["<s>", *[token.decode().replace(" ", "▁") for token in TOKENS.tokens[1:]]]
    (tmp_path / "tokens.json").write_text(json.dumps(strings))
    return tmp_path / "mine.npy", tmp_path / "tokens.json"


def same(answer: Any, result: object) -> bool:
    expected = json.loads(json.dumps(to_dict(result)))
    for found in (answer, expected):
        found.pop("seconds")
    return answer == expected


def test_the_endpoints_give_the_same_as_python(
    client: Client, small_predictor: Predictor, files: tuple[Path, Path]
) -> None:
    said = client.predict(seed=2, words=["run"], api_name="/table")
    own = compare_table(*own_table(small_predictor), source="toy, bpe", words=["run"], seed=2)
    assert same(said, own)
    vectors, tokens = map(handle_file, files)
    said = client.predict(vectors, tokens, "", ["run"], 16, 0, 2, api_name="/table_of_files")
    tokens_ = read_tokens(files[1].read_bytes())
    given = dataclasses.replace(table(), name="mine.npy", dtype="float32")
    assert same(said, compare_table(given, tokens_, source="mine.npy", words=["run"], seed=2))


def test_refusals_are_sentences(client: Client, context: Context, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"PK\x03\x04 a zip of a million zeros")
    with pytest.raises(AppError, match="Two files are needed"):
        client.predict(None, None, "", [], 16, 0, 1, api_name="/table_of_files")
    with pytest.raises(AppError, match="token list is not text but an archive"):
        client.predict(
            handle_file(bad), handle_file(bad), "", [], 16, 0, 1, api_name="/table_of_files"
        )
    ask, *_ = endpoints(context)
    for arguments, said in (
        ({"model": "../x"}, "looks like"),
        ({"model": 5}, "must be a text"),
        ({"words": "run"}, "must be a list"),
        ({"pos_dim": 99}, "pos_dim is 99; it must be"),
        ({"map_tokens": 9999}, "map_tokens is 9999; it must be"),
        ({"pair": "nothing"}, "no pair of models"),
    ):
        with pytest.raises((gr.Error, InputError), match=said):
            ask(**arguments)


def test_a_run_shows_its_figures_before_its_map_and_a_stop_keeps_them(
    small_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def endless(_: Any, report: CrossModelReport, __: int, progress: Callable) -> Any:
        try:
            while True:
                progress(Step(1, 2))
                time.sleep(0.02)
        finally:
            ended.set()

    monkeypatch.setattr(your_model.TableProbe, "lay_out", endless)
    runs = Runs()
    read_own = your_model._ours(small_predictor)
    asked = TableSettings(words=("the",), map_tokens=100)
    stages = your_model.measured(runs, "me", ("key",), read_own, asked)
    first: CrossModelReport | None = None
    for stage, (report, *_) in stages:
        assert stage.running
        if report is not None:
            first = first or report
            if report.buckets:
                break
    # Neighbours come before anything is measured.
    assert first
    assert (bool(first.asked), first.buckets) == (True, ())
    runs.stop("me")
    *_, (stage, (report, _, note, _)) = stages
    assert not stage.running
    assert report is not None
    assert report.buckets
    assert note == your_model.STOPPED
    assert ended.wait(10)
    assert runs.found(("key",)) is None


def test_what_a_watched_task_raises_is_raised_and_a_stuck_one_is_left_alone() -> None:
    def bad(tell: Progress) -> None:
        raise InputError("No.")

    with pytest.raises(InputError, match="No"):
        list(watched(bad, lambda: False))
    assert list(watched(lambda tell: 7, lambda: False)) == [7]
    release = threading.Event()
    assert list(watched(lambda tell: release.wait(30), lambda: True, grace=0.1)) == [None]
    release.set()


@pytest.fixture(scope="module")
def report() -> CrossModelReport:
    return compare_table(table(), TOKENS, source="<b>mine</b>", words=["run"])


def test_the_page_shows_ours_beside_the_paper_s_and_escapes_the_file_s_names(
    report: CrossModelReport,
) -> None:
    assert "0.553" in read(report_view(None)).said
    seen = read(report_view(report))
    assert "<b>mine</b>" in seen.said
    assert "b" not in [tag for tag, _ in seen.tags]
    for value in ("0.553", "0.743", "0.430", "SentencePiece"):
        assert value in seen.said
    assert [
        attributes["download"] for tag, attributes in seen.tags if "download" in attributes
    ] == ["kronviz-table.json", "kronviz-table.csv"]


def test_the_first_line_is_the_finding_unless_the_files_do_not_belong_together() -> None:
    sure = read(report_view(compare_table(table(kin_table()), TOKENS))).said
    doubtful = read(report_view(compare_table(table(), TOKENS))).said
    finding, warning = "In this table a word and the same word", "do not seem to belong together"
    assert sure.index(finding) < sure.index("Kronecker embedding") < sure.index("0.553")
    assert warning not in sure
    assert doubtful.index(warning) < doubtful.index(finding)
    assert "Kronecker embedding" not in doubtful


def test_both_maps_show_every_token_and_name_the_asked_words(report: CrossModelReport) -> None:
    asked = report.asked[0]
    points = (
        MapPoint(asked.id, " run", "run", 0, 1, 2, 3),
        MapPoint(4, " <b>", "", 4, 5, 6, 7),
    )
    drawn = dataclasses.replace(report, points=points)
    others, named = token_map(drawn, "code").data
    assert (others.x, named.y) == ((6,), (3,))
    # Isolated, so that a name from right to left keeps its blank and its ellipsis at its own ends.
    assert named.text == ("\u2068␣run\u2069",)
    assert others.customdata[0][0] == "\u2068␣&lt;b&gt;\u2069"


def test_names_on_a_map_keep_clear_of_each_other_and_of_marks() -> None:
    crowd = [(0, 0), (0, 0), (0, 0)]
    assert len(set(sides(crowd, ["␣run", "␣code", "␣time"], (1, 1)))) == 3
    assert sides([(0, 0), (0, 0.03)], ["␣run", ""], (1, 1))[0] != "top center"
    assert sides([(0, 0)], ["alone"], (1, 1)) == ["top center"]


def test_links_bring_settings_back_and_nothing_that_a_control_could_not_have() -> None:
    with gr.Blocks():
        parts = {
            "source": gr.Radio([("Ours", "ours"), ("File", "file")], value="ours"),
            "kinds": gr.CheckboxGroup(["swap", "drop"], value=["swap"]),
            "count": gr.Slider(1, 9, 3, step=1),
            "seed": gr.Number(1, precision=0, minimum=0),
            "text": gr.Textbox("a"),
        }
    rules = {f"lab.{name}": links.rule_of(part) for name, part in parts.items()}
    rules["lab.count"] = links.Depending(
        lambda values: links.amount(1, 20 if "lab.text" in values else 9)
    )

    def restored(query: str) -> list[Any]:
        return links.restored(query, "lab", rules)

    assert restored("?tab=other&lab.seed=5") == [None] * 5
    made = restored(
        "?tab=lab&lab.source=file&lab.kinds=drop,nothing&lab.count=12&lab.seed=7&lab.text=%3Cb%3E"
    )
    assert made == ["file", ["drop"], 12, 7, "<b>"]
    for query in ("lab.source=x", "lab.count=12", "lab.count=1.5", "lab.seed=-1", "lab.seed=nan",
                  "lab.seed=1e999", "lab.seed=999999999999", "lab.count=x", ""):  # fmt: skip
        assert restored(f"?tab=lab&{query}") == [None] * 5, query


def test_what_of_a_link_cannot_be_followed_is_said_in_one_sentence() -> None:
    known = links.Links()
    links.declare(known, "", {"pair": links.choice(["tiny", "gpt2"])})
    links.declare(known, "lab", {
        "lab.seed": links.amount(0, None), "lab.heat": links.amount(0, 2, whole=False),
        "lab.kinds": links.choices(["swap", "drop"]), "lab.on": links.choice([True, False]),
        "lab.at": links.matching("[0-9]+,[0-9]+", "a place"), "lab.text": links.any_text,
    })  # fmt: skip

    def said(query: str) -> str:
        sentence = links.ignored(query, known, ["first", "lab"], {"old": "lab"})
        begin, end = "Part of this link could not be used: ", ". The page shows "
        assert not sentence or (sentence.startswith(begin) and end in sentence)
        return sentence.removeprefix(begin).partition(end)[0]

    for query in ("", "?", "?tab=lab", "?utm_source=x&fbclid=y&__theme=dark", "?tab=old",
                  "?tab=first&lab.seed=x", "?tab=lab&other.seed=x&first.seed=x",
                  "?tab=lab&lab.seed=7&lab.heat=1.5&lab.kinds=swap&lab.at=1,2&pair=tiny",
                  f"?tab=lab&lab.text={'x' * 9_000}&lab.text2"):  # fmt: skip
        assert said(query) == "", query
    for query, expected in (
        ("tab=lob", "there is no view 'lob'"),
        ("tab=lab&lab.sed=3", "there is no 'lab.sed'"),
        ("tab=lab&lab.seed=1e999", "lab.seed is '1e999', not a whole number from 0 to 2,147"),
        ("tab=lab&lab.seed=nan", "lab.seed is 'nan', not a whole"),
        ("tab=lab&lab.seed=1.5", "lab.seed is '1.5', not a whole"),
        ("tab=lab&lab.heat=3", "lab.heat is '3', not a number from 0 to 2"),
        ("tab=lab&lab.kinds=swap,spin", "lab.kinds has 'spin', not one of swap, drop"),
        ("tab=lab&lab.at=1", "lab.at is '1', not a place"),
        ("pair=large", "pair is 'large', not one of tiny, gpt2"),
        ("tab=lab&lab.seed=1&lab.seed=2", "lab.seed is given 2 times, and the first counts"),
        ("tab=lab&lab.text=%ED%A0%80", "characters that are not UTF-8 are shown as �"),
        ("tab=old&lab.seed=1", "the view old is called lab now, so the link needs tab=lab"),
        ("tab=lab&lab.a=1&lab.b=1&lab.c=1&lab.d=1", "; 1 more"),
    ):
        assert expected in said(f"?{query}"), query
    assert len(said(f"?tab=lab&lab.seed={'9' * 9_000}")) < 200
