"""The cost tab: what it draws, what it refuses, and its endpoints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import torch
from gradio_client import Client
from gradio_client.exceptions import AppError
from test_html import read

from kronviz.accounting import SIZES, input_cost
from kronviz.accounting.stored_times import stored_times
from kronviz.accounting.timing import Measurement, Timing, machine
from kronviz.app.components.html import Markup
from kronviz.app.tabs.cost import tab, view
from kronviz.figures import cost as figures
from kronviz.figures.palette import ARMS, NEUTRALS
from kronviz.results import to_dict


def test_the_endpoints_give_what_python_gives(client: Client) -> None:
    said = client.predict("131072", 32, 4096, "bfloat16", api_name="/cost")
    assert said == to_dict(input_cost("131072", 32, 4096, "bfloat16"))
    assert client.predict(api_name="/cost") == to_dict(input_cost())
    said = client.predict("r50k_base", 16, 32, "float32", 16, api_name="/measure")
    assert said["timings"][0]["name"] == "table"
    assert said["tokens"] == 16


def test_the_page_opens_with_times_and_says_whose_they_are(tmp_path: Path) -> None:
    found = stored_times()
    assert found is not None
    page = read(tab._stored()).said
    assert found.measurement.machine in page
    assert f"Measured once, on the machine named above: {found.command}" in page
    (tmp_path / "times.json").write_text('{"command": "x"}')
    assert stored_times(tmp_path / "times.json") is None
    assert stored_times(tmp_path / "none.json") is None


def test_the_endpoints_say_what_they_take(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for name in ("/cost", "/measure"):
        assert all(parameter["type"] for parameter in named[name]["parameters"])


def test_odd_vocabularies_are_refused_over_http(client: Client) -> None:
    for value in ("", "<b>gpt</b>", "0", "-5", "1e5", "r50k_base\0", "é" * 9999):
        with pytest.raises(AppError, match=r"There is no vocabulary|must be a whole number"):
            client.predict(value, api_name="/cost")
    with pytest.raises(AppError, match="There is no vocabulary"):
        client.predict("<b>gpt</b>", api_name="/measure")


def test_odd_numbers_are_refused_in_one_sentence(client: Client) -> None:
    for value in ("x", 0, -1, 1.5, 10**12, [1], {"a": 1}, True):
        with pytest.raises(AppError, match=r"pos_dim is .* must be a whole number"):
            client.predict("r50k_base", value, api_name="/cost")
    for value in (0, 1.5, 10**12):
        with pytest.raises(AppError, match=r"must be a whole number"):
            client.predict("r50k_base", 16, 32, "float32", value, api_name="/measure")


COSTS = [
    input_cost("r50k_base"),
    input_cost("o200k_base", 32, 4096, "bfloat16"),
    input_cost(1000, 16, 64),
    input_cost(10_000_000, 1, 65_536),
    input_cost(1, 256, 1),
]


def test_drawings() -> None:
    for cost in COSTS:
        for markup in (view.finding(cost), view.sums(cost), view.price(cost)):
            assert isinstance(markup, Markup)
            read(markup)
        text = re.sub(r"<[^>]+>", "", view.sums(cost))
        assert f"{cost.table_parameters:,}" in text
        assert f"{cost.projection_parameters:,}" in text
        for figure in (figures.memory(cost), figures.savings(cost)):
            drawn = figure.to_json()
            known = {c for colour in (*ARMS.values(), *NEUTRALS.values()) for c in (colour.light,)}
            assert set(re.findall(r"#[0-9A-Fa-f]{6}", drawn)) <= known
            assert "NaN" not in drawn
            assert "Infinity" not in drawn


def test_the_finding_says_when_a_table_is_smaller() -> None:
    text = re.sub(r"<[^>]+>", "", view.finding(input_cost(1000, 16, 64)))
    assert text.startswith("Here a table is smaller")
    text = re.sub(r"<[^>]+>", "", view.finding(input_cost("r50k_base")))
    assert "38.6 M" in text
    assert "3.1 M: 91.8% fewer" in text
    assert "521 kB" in text
    assert "about" in view.finding(input_cost(1_000_000))


def test_the_page_follows_its_controls() -> None:
    cost = input_cost("cl100k_base", 32, 1024, "float16")
    drawn = tab._follow("cl100k_base", 5, 32, 1024, "float16")
    assert drawn[0] == view.finding(cost)
    assert drawn[1] == gr.update(visible=False)
    drawn = tab._follow(tab.ANY, 131_072, 32, 1024, "float16")
    assert drawn[0] == view.finding(input_cost("131072", 32, 1024, "float16"))
    assert drawn[1] == gr.update(visible=True)
    for count in (None, 0, 10**9, 2.5):
        drawn = tab._follow(tab.ANY, count, 32, 1024, "float16")
        assert 'role="alert"' in drawn[0]
        assert "must be a whole number" in drawn[0]


def test_measuring_from_the_page() -> None:
    visitor: Any = SimpleNamespace(session_hash="one")
    steps = list(tab._measured("r50k_base", None, 16, 64, "float32", 16, visitor))
    assert "Measuring" in steps[0][0]
    assert "Measured in" in steps[-1][0]
    read(steps[-1][1])
    assert "--measure 16" in steps[-1][1]
    steps = list(tab._measured("o200k_base", None, 16, 8192, "float32", 16, visitor))
    assert "Ask for less of them" in steps[-1][0]


def test_a_machine_is_named_with_its_vector_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, said in (("AVX512", " (AVX-512), "), ("AVX2", " (AVX2), ")):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda name=capability: name)
        assert said in machine()


def test_machine_names_are_escaped() -> None:
    timing = Timing("table", 1.0, 0.5, 2.0, 1.0)
    found = Measurement(
        "<b>CPU</b> & co", 10, 16, 8, "float32", 4, (timing,), 3, ("<i>left out</i>",), 1.0
    )
    drawn = view.measured(found)
    read(drawn)
    assert "<b>" not in drawn
    assert "<i>" not in drawn


def test_sizes_in_words() -> None:
    for count, words in (
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (520_916, "521 kB"),
        (999_600, "1.00 MB"),
        (12_582_912, "12.6 MB"),
        (2_147_483_648, "2.15 GB"),
    ):
        assert figures.size(count) == words


def test_durations_in_words() -> None:
    for milliseconds, words in (
        (0.0375, "37.5 µs"),
        (0.9999, "1.00 ms"),
        (3.21, "3.21 ms"),
        (988, "988 ms"),
        (1463, "1.46 s"),
    ):
        assert figures.duration(milliseconds) == words


def test_every_vocabulary_has_a_name() -> None:
    assert list(view.NAMES) == list(SIZES)
    json.dumps(view.NAMES)
