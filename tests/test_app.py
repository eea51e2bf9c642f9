"""The app from the outside: it opens whatever is broken, and its endpoint answers or refuses."""

from __future__ import annotations

import gc
import json
import re
import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from loops import run
from odd_inputs import ODD
from test_html import read

from kronviz.app import theme
from kronviz.app.components import readable_run
from kronviz.app.components.html import clean_text, escape
from kronviz.app.context import Context, load_context, warm
from kronviz.app.page import build_app
from kronviz.app.tabs.compare import tab as compare
from kronviz.app.tabs.compare.tab import first_examples
from kronviz.app.tabs.compare.view import METRICS, refusal, result
from kronviz.paths import CHECKPOINTS
from kronviz.predictor import InputError, Predictor
from kronviz.results import to_dict

CLEAN, TYPO = "The capital of France is", "The captial of Frnace is"


@pytest.fixture(scope="module")
def context(pair_folder: Path) -> Context:
    return load_context(pair_folder.parent)


def call(served: str, body: str) -> tuple[int, str]:
    """The endpoint as curl would call it, with a body that may hold any JSON at all."""
    base = f"{served}gradio_api/call/v2/compare"
    headers = {"content-type": "application/json"}
    answer = httpx.post(base, content=body.encode(), headers=headers)
    if answer.status_code != 200:
        return answer.status_code, answer.text
    event = answer.json()["event_id"]
    return 200, httpx.get(f"{base}/{event}", timeout=60).text


def refusal_of(context: Context, text: str) -> str | None:
    try:
        context.predictor().compare(CLEAN, clean_text(text))
    except InputError as error:
        return str(error)
    return None


def test_the_endpoint_gives_the_same_as_one_python_call(
    client: Client, small_predictor: Predictor
) -> None:
    said = client.predict(CLEAN, TYPO, api_name="/compare")
    expected = to_dict(small_predictor.compare(CLEAN, TYPO))
    for answer in (said, expected):
        answer.pop("seconds")
    assert said == json.loads(json.dumps(expected))
    assert [arm["arm"] for arm in said["arms"]] == ["bpe", "kron"]
    assert all(len(arm["next_tokens"]) == 10 for arm in said["arms"])


def test_the_endpoint_is_documented_and_the_pages_own_listeners_are_not(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert {"/compare", "/generate", "/echo", "/layers"} <= set(named)
    assert [p["parameter_name"] for p in named["/compare"]["parameters"]] == [
        "clean",
        "typo",
        "pair",
        "answer",
    ]
    assert [p["type"]["type"] for p in named["/compare"]["parameters"]] == ["string"] * 4


def test_an_unknown_pair_is_refused_by_name(client: Client) -> None:
    with pytest.raises(AppError, match="no pair of models called 'nothing'; choose toy"):
        client.predict(CLEAN, TYPO, "nothing", api_name="/compare")


def test_odd_text_over_http_never_gives_a_traceback(served: str, context: Context) -> None:
    """A few of each kind; `test_odd_inputs` sends all of them to what stands behind HTTP."""
    for text in ODD[::7]:
        status, said = call(served, json.dumps({"clean": CLEAN, "typo": text}))
        assert status == 200
        refused = refusal_of(context, text)
        if refused:
            assert "event: error" in said
            assert json.loads(said.split("data: ")[1])["error"] == refused
        else:
            assert "event: complete" in said
        assert "Traceback" not in said
        assert "/kronviz/" not in said


def test_values_that_are_no_text_are_refused_by_name(served: str) -> None:
    for body in (
        {"clean": 1, "typo": 2},
        {"clean": None, "typo": TYPO},
        {"clean": [CLEAN], "typo": {}},
        {"clean": CLEAN, "typo": TYPO, "pair": 5},
        {"clean": CLEAN, "typo": TYPO, "pair": ["toy"]},
    ):
        _, said = call(served, json.dumps(body))
        assert "event: error" in said
        assert "must be a text" in said


def test_a_body_of_another_shape_is_refused_without_a_path(served: str) -> None:
    for body in (
        "",
        "{",
        "[]",
        "null",
        "5",
        "{}",
        '{"clean": "a"}',
        '{"other": 1}',
        '{"clean": NaN}',
    ):
        _, said = call(served, body)
        assert "event: complete" not in said
        assert "Traceback" not in said
        assert "site-packages" not in said
        assert "kronviz/" not in said


def test_a_pair_may_be_left_out_or_empty(served: str) -> None:
    for pair in ({}, {"pair": ""}, {"pair": None}, {"pair": "toy"}):
        status, said = call(served, json.dumps({"clean": CLEAN, "typo": TYPO, **pair}))
        assert status == 200
        assert "event: complete" in said


def test_answers_and_refusals_have_the_same_skeleton(small_predictor: Predictor) -> None:
    full = read(result(small_predictor.compare(CLEAN, TYPO), 7))
    empty = read(refusal("The misspelled text is empty; type a few words.", ("bpe", "kron"), 8))
    assert ("div", "7") in [(tag, a.get("data-seq")) for tag, a in full.tags]
    for tag in ("table", "tr", "td", "section"):
        assert [t for t, _ in full.tags].count(tag) == [t for t, _ in empty.tags].count(tag)
    for _, name, explanation in METRICS:
        assert name in full.said
        assert explanation in full.said


def test_a_damaged_arm_or_shard_is_a_banner_and_the_other_arm_still_answers(
    pair_folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "checkpoints"
    for pair in ("toy", "other"):
        shutil.copytree(pair_folder, root / pair)
    (root / "toy" / "bpe" / "config.json").write_text("{")
    shard = next((root / "other" / "kron").glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-9] + b"different")
    context = load_context(root)
    arms = {pair: list(predictor.arms) for pair, predictor in context.predictors.items()}
    assert arms == {"toy": ["kron"], "other": ["bpe"]}
    assert len(context.problems) == 2
    assert "damaged" in " ".join(context.problems)
    page = json.dumps(build_app(context).get_config_file(), default=str)
    for problem in context.problems:
        assert json.dumps(escape(problem))[1:-1] in page
    for pair, (arm,) in arms.items():
        assert arm in compare._answer(context, CLEAN, TYPO, pair, 1)


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("x")])
def test_without_any_pair_the_app_opens_and_says_what_to_do(make: object, tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    make(root)  # type: ignore[operator]
    context = load_context(root)
    assert context.default is None
    page = json.dumps(build_app(context).get_config_file(), default=str)
    assert "make train-tiny" in page
    with pytest.raises(InputError, match="No model could be loaded"):
        context.predictor()


def test_nothing_is_served_beyond_the_page(served: str, pair_folder: Path) -> None:
    for path in (
        pair_folder / "bpe" / "config.json",
        theme.ASSETS / "kronviz.css",
        Path("/etc/passwd"),
    ):
        assert httpx.get(f"{served}gradio_api/file={path}").status_code in (403, 404)


def test_the_page_carries_the_endpoints_only_where_they_are_documented(served: str) -> None:
    def carried(query: str) -> tuple[str, Any, Any]:
        page = httpx.get(f"{served}{query}").text
        config, endpoints = (
            page.split(f"window.{name} = ")[1].split(";</script>")[0]
            for name in ("gradio_config", "gradio_api_info")
        )
        return config, json.loads(config), json.loads(endpoints)

    script, short, no_endpoints = carried("")
    _, whole, endpoints = carried("?view=api")
    assert "<" not in script, "a text of the page could end the script"
    assert no_endpoints == {"named_endpoints": {}, "unnamed_endpoints": {}}
    assert "/compare" in endpoints["named_endpoints"]
    assert short["dependencies"] == [one for one in whole["dependencies"] if one["targets"]]
    kept = {part["id"]: part["props"] for part in short["components"]}
    assert kept == {
        part["id"]: part["props"] for part in whole["components"] if part["type"] != "api"
    }

    def laid_out(part: dict[str, Any]) -> list[int]:
        return [part["id"], *(id for one in part.get("children", ()) for id in laid_out(one))]

    for layout in (short["layout"], short["page"][""]["layout"]):
        assert [id for id in laid_out(whole["layout"]) if id in kept] == laid_out(layout)[1:]


def test_the_page_names_no_other_host(served: str) -> None:
    config = httpx.get(f"{served}config").json()
    links = set(_links(json.dumps(config["components"])))
    assert links == {"https://arxiv.org/abs/2605.29459"}
    sheet = httpx.get(f"{served}theme.css").text
    assert "http" not in sheet.replace("http://www.w3.org", "")
    for url in _between(sheet, "url('", "')"):
        assert httpx.get(f"{served}{url}").status_code == 200, url


def _links(text: str) -> list[str]:
    return re.findall(r'(?:href|src)=\\"(http[^"\\]+)', text)


def _between(text: str, start: str, end: str) -> list[str]:
    return [part.split(end)[0] for part in text.split(start)[1:]]


def test_one_call_draws_all_stored_figures_of_other_models(app: gr.Blocks) -> None:
    (listener,) = [one for one in app.fns.values() if one.name == "redraw"]
    chosen, *settings = listener.inputs
    drawn = listener.fn("toy", *(one.value for one in settings))
    assert len(drawn) == len(listener.outputs) > 15
    *parts, of = listener.outputs
    for value, part in zip(drawn[:-1], parts, strict=True):
        part.postprocess(value.value if isinstance(value, gr.Plot) else value)
        assert "kv-of-models" in part.elem_classes
    assert drawn[-1] == "toy"
    assert {"kv-tries", "kv-rule", "kv-lab-minimal-table"} <= {part.elem_id for part in parts}
    bright = next(one for one in app.fns.values() if one.trigger_after == listener._id)
    assert bright.inputs == [chosen, of], "an answer that is no longer the newest leaves them dim"
    pair = next(one for one in app.blocks.values() if one.elem_id == "kv-pair")
    first = next(one for one in app.fns.values() if (pair._id, "change") in one.targets)
    assert first.outputs == [chosen], "the page dims what is old before it asks for anything"


def test_each_set_of_models_has_its_own_examples() -> None:
    context = Context({}, root=CHECKPOINTS)
    stored = {pair: readable_run(CHECKPOINTS / pair) for pair in ("gpt2", "tiny")}
    for pair, run_ in stored.items():
        assert run_ is not None
        assert run_.examples is not None
        assert first_examples(context, pair)[0] == run_.examples.chosen
    assert first_examples(context, "gpt2") != first_examples(context, "tiny")


def test_what_a_view_draws_for_other_models_says_for_which_it_was_drawn(app: gr.Blocks) -> None:
    pair = next(one for one in app.blocks.values() if one.elem_id == "kv-pair")
    ends = [one for one in app.fns.values() if 'fresh("#' in str(one.js)]
    # Robustness (on a choice of models, and on typing), the byte view and the maps.
    assert len(ends) == 4
    for end in ends:
        models, of = end.inputs
        listener = app.fns[end.trigger_after]
        assert (models, of) == (pair, listener.outputs[-1])
        values = ["toy" if one is pair else one.value for one in listener.inputs]
        drawn = run(listener.fn(*values))
        assert len(drawn) == len(listener.outputs)
        assert drawn[-1] == "toy"


def test_garbage_collections_leave_out_what_was_loaded_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To walk all of it takes most of a second, for which every visitor waits."""
    done: list[str] = []
    for name in ("collect", "freeze"):
        monkeypatch.setattr(gc, name, lambda name=name: done.append(name))
    warm(Context({}, warming=[lambda: done.append("warmed")]))
    assert done == ["warmed", "collect", "freeze"]


def test_no_plot_is_on_the_page_by_accident(app: gr.Blocks) -> None:
    """A plot made while the page is laid out, to be an answer, would stand there a second time."""
    plots = [block for block in app.blocks.values() if isinstance(block, gr.Plot)]
    assert len(plots) > 10
    assert [plot.label for plot in plots if "kv-plot" not in " ".join(plot.elem_classes)] == []


def test_a_change_of_the_page_does_not_restyle_all_of_it() -> None:
    """A rule with ``:has`` for any element is tried on every element at every change.

    Three of them took 80 ms at each of the hundreds of changes by which Plotly measures its labels.
    """
    rules = re.findall(r"[^{};]*:has\([^{}]*(?=\{)", theme.style_sheet())
    assert len(rules) > 10
    for selector in rules:
        assert "body:has" not in selector
        assert not re.search(r"[\s>]:[a-z-]+\s*$", selector), selector
        assert not re.search(r":has\(.*:is\([^)]*\w\S* \w", selector), selector


def test_the_theme_builds_with_every_colour_in_both_modes() -> None:
    sheet = theme.style_sheet()
    light, dark = sheet.split(":root.dark", 1)
    for name in (*theme.NEUTRALS, *theme.ARMS):
        assert f"--kv-{name}:" in light
        assert f"--kv-{name}:" in dark
    assert isinstance(theme.theme(), gr.themes.Base)


def test_every_view_says_what_of_a_link_it_cannot_follow(served: str) -> None:
    visitor = httpx.Client(base_url=served)
    config = visitor.get("config").json()
    (line,) = (c["id"] for c in config["components"] if c["props"].get("elem_id") == "kv-ignored")
    (number,) = (d["id"] for d in config["dependencies"] if d["outputs"] == [line])

    def said(query: str) -> str:
        body = {"data": [query], "fn_index": number, "session_hash": "links"}
        (paragraph,) = visitor.post("gradio_api/run/predict", json=body).json()["data"]
        return read(paragraph).said if paragraph else ""

    for query in (
        "?clean=a&typo=b&answer=c&pair=toy&step=2",
        "?tab=generate&mode=slot&slotted=a+{}&string=b&temperature=0.5&top_p=0.9&max_tokens=9",
        "?tab=bytes&text=a&with=b&positions=16&edit=insert&at=1&vocabulary=own",
        "?tab=map&map.word=a&map.left=bpe&map.right=kron&map.colour=case&map.only=1&map.words=a",
        "?tab=map&map.at=0.5,0.5,1.2;0.1,-0.2,3&map.lasso=left:0.1,0.2;0.3,0.4;0.5,0.6",
        "?tab=inside&inside.head=1.2",
        "?tab=inside-pairs&inside-pairs.run=measured",
        "?tab=bytes&text=a&at=2",
        "?tab=map&map.colour=script&map.only=7",
        "?tab=compare&utm_source=x&fbclid=y&ref=z&lang=en&__theme=dark",
        "?tab=robustness&robustness.word=4&robustness.text=a+b+c+d&robustness.pairs-seed=3&robustness.run=pairs",
        "?tab=cost&of=number&tokens=32000&p=32&width=768&dtype=bfloat16&batch=1024",
        "?tab=your-model&your-model.source=ours&your-model.run=measured",
    ):
        assert said(query) == "", query
    for query, expected in (
        ("?tab=nowhere", "there is no view 'nowhere'"),
        ("?pair=other&step=9", "pair is 'other', not one of toy; step is '9'"),
        ("?tab=generate&top_p=2", "top_p is '2', not a number from 0.01 to 1"),
        ("?tab=bytes&positions=1000", "positions is '1000'"),
        ("?tab=bytes&text=abc&at=5", "at is '5', not a whole number from 1 to 4"),
        ("?tab=bytes&txt=abc", "there is no 'txt', but text"),
        ("?tab=compare&clean=a&tpyo=b", "there is no 'tpyo', but typo"),
        ("?tab=map&map.only=9", "map.only is '9', not a whole number from 0 to 4"),
        ("?tab=map&map.colour=length&map.only=1", "map.only needs map.colour to be case, space"),
        ("?tab=map&map.at=0.5,0.5,0;0.1,-0.2,3", "map.at is '0.5,0.5,0;0.1"),
        ("?tab=robustness&robustness.word=3&robustness.text=a+b", "word is '3', not a whole"),
        ("?tab=map&map.left=table-of-somebody", "map.left is 'table-of-somebody'"),
        ("?tab=map&map.lasso=left:1", "map.lasso is 'left:1', not a shape"),
        ("?tab=inside&inside.head=9.9", "inside.head is '9.9', not one of mean, 1"),
        ("?tab=inside-pairs&inside-pairs.run=all", "inside-pairs.run is 'all'"),
        ("?tab=robustness&robustness.word=1e400", "robustness.word is '1e400'"),
        ("?tab=cost&width=1e9", "width is '1e9', not a whole number from"),
        ("?tab=your-model&your-model.sauce=ours", "there is no 'your-model.sauce'"),
        ("?tab=training&training.seed=1", "there is no 'training.seed'"),
    ):
        assert expected in said(query), (query, said(query))
