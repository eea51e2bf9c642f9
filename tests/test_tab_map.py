"""The tab “Map”: its endpoints, what the browser fetches, and how words are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from small import draw_quickly
from starlette.applications import Starlette
from starlette.testclient import TestClient

from kronviz.app.context import Context
from kronviz.app.tabs.map.api import endpoints
from kronviz.app.tabs.map.files import routes, vocabulary_file
from kronviz.app.tabs.map.tab import _listed, _varied, build
from kronviz.maps.lookup import distances, look_up, place_words
from kronviz.maps.store import read_map
from kronviz.predictor import Predictor
from kronviz.results import to_dict


@pytest.fixture(scope="module")
def context(small_predictor: Predictor) -> Context:
    draw_quickly(small_predictor, "bpe", "kron")
    return Context({"toy": small_predictor}, root=Path("nowhere"))


@pytest.fixture(scope="module")
def client(context: Context) -> TestClient:
    return TestClient(Starlette(routes=routes(context)))


@pytest.fixture(scope="module")
def published(context: Context) -> dict[str, Any]:
    return {function.__name__: function for function in endpoints(context)}


def unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    size = int.from_bytes(data[:4], "little")
    about = json.loads(data[4 : 4 + size])
    arrays, start = {}, 4 + size
    for name, kind, count in about["arrays"]:
        arrays[name] = np.frombuffer(data, f"<{kind}", count, start)
        start += arrays[name].nbytes
    assert start == len(data)
    return about, arrays


def test_the_browser_is_given_points_as_they_are_drawn(
    client: TestClient, context: Context
) -> None:
    about, arrays = unpacked(client.get("/kronviz/map/toy/kron").content)
    drawn = read_map(context.predictor(), "kron")
    assert np.array_equal(arrays["points"].reshape(-1, 2), drawn.points)
    assert about["faithfulness"]["trustworthiness"] == drawn.facts.faithfulness.trustworthiness


def test_the_browser_is_given_the_bytes_of_every_token(
    client: TestClient, context: Context
) -> None:
    tokenizer = context.predictor().tokenizer
    about, arrays = unpacked(client.get(f"/kronviz/tokens/{tokenizer.name}").content)
    assert about["tokens"] == tokenizer.n_vocab
    ends = np.cumsum(arrays["lengths"])
    for token in (0, 300, tokenizer.n_vocab - 1):
        start = ends[token] - arrays["lengths"][token]
        assert arrays["bytes"][start : ends[token]].tobytes() == tokenizer.token_bytes(token)


def test_what_is_not_there_is_said(client: TestClient) -> None:
    for address, status, words in (
        ("/kronviz/map/toy/kron-1", 409, "not been drawn"),
        ("/kronviz/map/toy/..%2f..%2fetc", 404, ""),
        ("/kronviz/map/other/kron", 404, "no pair"),
        ("/kronviz/map/toy/nothing", 404, "no map"),
        ("/kronviz/tokens/o200k_base", 404, "no such vocabulary"),
    ):
        answer = client.get(address)
        assert answer.status_code == status
        assert words in answer.text


def test_all_that_two_maps_of_gpt2_need_is_small() -> None:
    assert len(vocabulary_file("r50k_base")) + 2 * 4 * 50_257 < 1_500_000


def test_endpoints_give_what_python_gives(published: dict[str, Any], context: Context) -> None:
    predictor = context.predictor()
    found = published["map_word"](" the")
    expected = to_dict(look_up(" the", predictor))
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}
    words = [" the", "teh"]
    placed = published["place_words"](words)
    assert placed["sides"] == to_dict(place_words(words, predictor))["sides"]
    assert published["word_distances"](words)["left"] == [
        list(row) for row in distances(words, predictor).left
    ]
    part = published["map"]("kron", first=10, count=5)
    assert len(part["points"]) == 5
    assert published["word_variants"]("run", ["plural"]) == ["run", "runs"]
    assert {one["family"] for one in published["map_families"]("kron")}


def test_the_app_publishes_them_by_name(context: Context, published: dict[str, Any]) -> None:
    with gr.Blocks() as app:
        build(context)
    public = {fn.api_name for fn in app.fns.values() if fn.api_visibility == "public"}
    assert public == set(published)


def test_endpoints_refuse_in_a_sentence(published: dict[str, Any]) -> None:
    for name, arguments in (
        ("map", ("nothing",)),
        ("map", ("kron", -1)),
        ("map_word", ("",)),
        ("place_words", ([],)),
        ("place_words", (["x"] * 3 + [f"w{i}" for i in range(300)],)),
        ("word_variants", ("run", ["nothing"])),
        ("map_families", ("kron", 0)),
    ):
        with pytest.raises(gr.Error) as refused:
            published[name](*arguments)
        assert str(refused.value).strip("'\"").endswith(".")


def test_words_are_read_one_a_line_with_the_blank_before_them() -> None:
    assert _listed("run \n running\n\n\nrnu") == ["run", " running", "rnu"]
    assert _varied("other", "run", ["plural"])[0].splitlines() == ["other", "run", "runs"]
    assert "the limit for variants" in _varied("other", "run" * 40, ["plural"])[1]
