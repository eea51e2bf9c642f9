"""The tabs Generate and Layers without a browser: what they show, refuse and answer programs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from kronviz.app.context import Context
from kronviz.app.tabs.generate import tab as generate
from kronviz.app.tabs.generate import view as generate_view
from kronviz.app.tabs.layers import tab as layers
from kronviz.figures import layers as figures
from kronviz.generation import Sampler, side_by_side
from kronviz.predictor import Predictor
from kronviz.probes.layers import known_layers

DEFAULTS = list(asdict(Sampler()).values())
PROMPT = generate.PROMPTS[0][1]


@pytest.fixture(scope="module")
def context(small_predictor: Predictor, pair_folder: Path) -> Context:
    return Context({"toy": small_predictor}, root=pair_folder.parent)


class Tags(HTMLParser):
    """The names and attributes of all tags, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said += data


def written(
    context: Context,
    mode: str = "clean",
    prompt: str = PROMPT,
    typo: str = "The knig",
    slotted: str = "A {} is",
    string: str = "kubernetes",
    knobs: list | None = None,
) -> list[tuple[str, str]]:
    knobs = [*DEFAULTS[:2], 4, *DEFAULTS[3:]] if knobs is None else knobs
    steps = generate._written(context, mode, prompt, typo, slotted, string, *knobs, None)
    found = [(str(page), str(status), more) for page, status, more in steps]
    assert not found[-1][2], "Stop would stay alight"
    return [(page, status) for page, status, _ in found]


def call(served: str, name: str, body: object) -> str:
    url = f"{served}gradio_api/call/v2/{name}"
    begun = httpx.post(url, json=body, timeout=60)
    if begun.status_code != 200:
        return begun.text
    event = begun.json()["event_id"]
    return httpx.get(f"{served}gradio_api/call/{name}/{event}", timeout=120).text


def answer(said: str) -> dict:
    assert "event: complete" in said, said[:500]
    data = json.loads(said.split("data: ")[-1])
    return data[0] if isinstance(data, list) else data


@pytest.mark.parametrize(("mode", "panels"), [("clean", 2), ("typo", 4), ("slot", 2)])
def test_each_mode_writes_a_panel_for_each_text_and_arm(
    context: Context, mode: str, panels: int
) -> None:
    page, status = written(context, mode)[-1]
    tags = Tags(page).found
    assert sum(a.get("class") == "kv-panel" for _, a in tags) == panels
    assert sum(a.get("class") == "kv-gen-token" for _, a in tags) <= 4 * panels
    assert "data-finished" in page
    assert "seed 42" in status


def test_the_same_text_twice_is_still_two_rows(context: Context) -> None:
    page, _ = written(context, "typo", PROMPT, PROMPT)[-1]
    assert page.count('class="kv-panel"') == 4
    assert "for 4 tokens" in page


def prose(pages: list[tuple[str, str]]) -> str:
    """The last page without what can be saved, which says how long the writing took."""
    return re.sub(r'href="data:[^"]*"', "", pages[-1][0])


def test_the_same_seed_writes_the_same_page(context: Context) -> None:
    assert prose(written(context)) == prose(written(context))
    other = prose(written(context, knobs=[0.7, 0.9, 4, 7, 5]))
    assert other != prose(written(context))


def test_a_slot_is_said_plainly(context: Context) -> None:
    said = Tags(written(context, "slot")[-1][0]).said
    assert "reads it as one position, made of its bytes" in said
    assert "has no row for it and reads its" in said


def test_probabilities_are_on_the_tokens(context: Context, small_predictor: Predictor) -> None:
    *_, last = side_by_side(small_predictor, [PROMPT], Sampler(max_tokens=4))
    tags = Tags(generate_view.view(last, "clean")).found
    shown = [a["style"] for _, a in tags if a.get("class") == "kv-gen-token"]
    probs = [token.prob for made in last.continuations for token in made.tokens]
    assert shown == [f"--p: {prob:.4f}" for prob in probs]


def test_bad_input_is_one_sentence(context: Context) -> None:
    for arguments, said in (
        ({"prompt": ""}, "empty"),
        ({"prompt": "a" * 5_000}, "5,000 characters"),
        ({"mode": "typo", "typo": "  "}, "empty"),
        ({"mode": "slot", "slotted": "no place"}, "Write {} once"),
        ({"mode": "slot", "string": ""}, "empty"),
        ({"mode": "slot", "string": "x" * 100}, "100 bytes"),
        ({"mode": "slot", "slotted": "{}" + "a" * 5_000}, "5,002 characters"),
        ({"knobs": [99, 0.9, 4, 42, 5]}, "temperature is 99"),
        ({"knobs": [0.7, 0.9, 4, -1, 5]}, "seed is -1"),
    ):
        (page, status), *more = written(context, **arguments)
        assert not more
        assert said in Tags(page).said
        assert 'role="alert"' in page
        assert Tags(status).said == ""


def test_an_emptied_knob_means_its_default(context: Context) -> None:
    emptied = written(context, knobs=[None, None, 4, None, None])
    assert prose(emptied) == prose(written(context))


def test_generate_answers_programs(served: str, small_predictor: Predictor) -> None:
    body = {"prompt": "The king and the", "max_tokens": 5, "seed": 3}
    first, second = (answer(call(served, "generate", body)) for _ in range(2))
    *_, ours = side_by_side(small_predictor, ["The king and the"], Sampler(max_tokens=5, seed=3))
    texts = [made["text"] for made in first["continuations"]]
    assert texts == [made.text for made in ours.continuations]
    assert texts == [made["text"] for made in second["continuations"]]
    slot = answer(call(served, "generate", {"prompt": "A {} is", "forced": "zyzzyva"}))
    assert [made["slot_tokens"] for made in slot["continuations"]][1] == 1


def test_echo_and_layers_answer_programs(served: str) -> None:
    body = {"strings": ["zyzzyva"], "prompts": ["A {} is"], "max_tokens": 2}
    found = answer(call(served, "echo", body))
    assert [rate["runs"] for rate in found["rates"]] == [1, 1, 1]
    found = answer(call(served, "layers", {}))
    assert [arm["arm"] for arm in found["arms"]] == ["bpe", "kron"]
    assert len(found["arms"][0]["depths"]) == 3


def test_odd_arguments_are_refused_without_a_traceback(served: str) -> None:
    for name, body in (
        ("generate", {"prompt": 5}),
        ("generate", {"prompt": None}),
        ("generate", {"prompt": "a", "max_tokens": "many"}),
        ("generate", {"prompt": "a", "temperature": [1]}),
        ("generate", {"prompt": "a", "seed": -5}),
        ("generate", {"prompt": "a", "pair": "../../etc"}),
        ("generate", {"prompt": "a", "forced": {"a": 1}}),
        ("echo", {"strings": "kubernetes"}),
        ("echo", {"strings": [[1]]}),
        ("echo", {"seeds": "x"}),
        ("layers", {"pair": 7}),
    ):
        said = call(served, name, body)
        assert "event: complete" not in said
        assert "Traceback" not in said
        assert "site-packages" not in said
        error = json.loads(said.split("data: ")[-1])["error"]
        assert error
        assert len(error) < 300


def test_stopping_ends_the_writing_at_the_next_token(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def counted(*asked: Any, **more: Any) -> Iterator[Any]:
        nonlocal written
        for step in side_by_side(*asked, **more):
            written += 1
            yield step

    monkeypatch.setattr(generate, "side_by_side", counted)
    steps = generate._written(context, "clean", "a", "", "", "", 0.7, 0.9, 60, 42, 5, None)
    next(steps)
    steps.close()
    before = written
    time.sleep(0.2)
    assert written <= before + 1 < 60


def test_a_stop_is_heard_by_every_run_that_was_asked_for_before_it(context: Context) -> None:
    """By a run that has not begun too, for which a stop once came too early; by no later one."""
    stops = generate._Stops()

    def written() -> list[str]:
        asked = ("clean", "a", "", "", "", 0.7, 0.9, 6, 42, 5, None)
        steps = generate._written(context, *asked, stopped=stops.of("me"))
        return [str(said) for _, said, _ in steps]

    stops.begin("me")
    stops.stop("me")
    assert "Stopped." in "".join(written())
    stops.begin("me")
    said = written()
    assert len(said) > 0
    assert "Stopped." not in "".join(said)
    stops.stop("someone else")
    assert not stops.of("me")()


def test_layers_shows_the_papers_figures_alone_and_then_ours_beside_them(
    small_predictor: Predictor, tmp_path: Path
) -> None:
    fresh = Predictor("fresh", dict(reversed(small_predictor.arms.items())))
    context = Context({"fresh": fresh}, root=tmp_path)
    assert known_layers(fresh) is None
    finding, tables, *pictures = layers._view(known_layers(fresh))
    assert "Press “Measure”" in finding
    assert ", ours" not in tables
    assert [len(picture.data) for picture in pictures] == [2, 2, 2, 0, 0, 0]
    steps = list(layers._measured(context, "fresh", 6))
    assert all('role="progressbar"' in step[0] for step in steps[:-1])
    _, finding, tables, *pictures = steps[-1]
    assert "paper" in tables
    assert "ours" in tables
    assert "0.898" in tables
    assert [len(picture.data) for picture in pictures[:3]] == [4, 4, 4]
    names = {trace.name for trace in pictures[0].data}
    assert names == {"bpe, ours", "kron, ours", "bpe, the paper’s", "kron, the paper’s"}
    for picture in pictures:
        picture.to_json()


def test_a_stop_keeps_of_the_layers_what_was_read(
    small_predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kronviz.probes.layers._done", {})
    fresh = Predictor("stopped", dict(reversed(small_predictor.arms.items())))
    context = Context({"stopped": fresh}, root=tmp_path)
    *_, last = layers._measured(context, "stopped", 6, lambda: True)
    assert "Stopped" in last[0]
    assert "and kept" in last[0]
    assert known_layers(fresh) is None


def test_a_missing_arm_is_drawn_without(small_predictor: Predictor, tmp_path: Path) -> None:
    alone = Predictor("alone", {"kron": small_predictor.arms["kron"]})
    context = Context({"alone": alone}, root=tmp_path)
    *_, (_, _, tables, *pictures) = layers._measured(context, "alone", 6)
    assert len(pictures[0].data) == 3
    assert figures.shares(None, "in_family").data
    assert "kron" in tables
    page, _ = written(context)[-1]
    assert page.count('class="kv-panel"') == 1
