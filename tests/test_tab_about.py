"""About reads its figures from files and draws what the model computes; a link shows the app."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest
import torch
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from test_html import read
from test_probe_training import write_log

from kronviz import codec, published
from kronviz.app.components.html import element, escape
from kronviz.app.components.numbers import label, marked, number, sentence
from kronviz.app.context import Context
from kronviz.app.explain import EXPLANATIONS
from kronviz.app.guide import STEPS
from kronviz.app.page import TABS
from kronviz.app.server.link_preview import app_settings
from kronviz.app.tabs.about import tab as about
from kronviz.app.theme import ASSETS
from kronviz.predictor import InputError, Predictor
from kronviz.probes.card import training_sources
from kronviz.probes.method import method
from kronviz.probes.pairs import PairSet, load_pairs
from kronviz.probes.robustness import robustness
from kronviz.probes.stored_runs import StoredRobustness


def test_every_tab_is_explained_and_every_step_has_a_tab() -> None:
    names = {tab.name for tab in TABS}
    assert names <= set(EXPLANATIONS)
    assert {step.tab for step in STEPS} <= names
    assert len(STEPS) == 5


def test_the_parts_of_the_picture_add_up_to_the_code_times_the_projection(
    small_predictor: Predictor,
) -> None:
    found = method(" house", small_predictor, numbers=8)
    wte = small_predictor.arms["kron"].wte
    code = torch.from_numpy(codec.z_code(b" house", wte.pos_dim)).double()
    expected = (code @ wte.weight.detach().double())[:8]
    parts = torch.tensor([*found.rows, found.common], dtype=torch.float64).sum(0)
    torch.testing.assert_close(parts, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.tensor(found.vector).double(), parts, rtol=1e-6, atol=1e-9)
    assert [cell.byte for cell in found.cells] == list(b" house")
    with pytest.raises(InputError, match="numbers"):
        method(" house", small_predictor, numbers=0)


def test_the_endpoint_answers_plain_numbers_and_refuses_in_a_sentence(
    small_predictor: Predictor,
) -> None:
    ask = about.method_endpoint(Context({"toy": small_predictor}))
    assert len(ask("run", 5)["vector"]) == 5
    with pytest.raises(gr.Error, match="empty"):
        ask("")
    with pytest.raises(gr.Error, match="no pair"):
        ask("run", 5, "other")


def test_figures_and_sources_come_from_the_files_of_the_pair(
    tmp_path: Path, small_predictor: Predictor
) -> None:
    write_log(tmp_path / "p" / "bpe", [5.0, 4.0, 3.0, 2.0], norm=2.0, step_seconds=1.0)
    write_log(tmp_path / "p" / "kron", [4.0, 2.5, 1.5, 1.25], norm=1.0, step_seconds=1.25)
    (tmp_path / "p" / "kron" / "README.md").write_text(
        "# card\n\n## Data\n\n| source | what | licence |\n| --- | --- | --- |\n"
        "| tales <b> | old ones | public domain |\n\n## Made by\n\n| a | b | c |\n"
    )
    parts = about._page(Context({"p": small_predictor}, (), tmp_path), "p")
    figures = read(parts["figures"]).said
    assert "0.7500 nats" in figures
    assert "1.60× fewer" in figures or "times fewer" in figures
    for figure in (published.GAP_NATS, published.SAVED, published.STEP_OVERHEAD):
        assert figure.text + figure.where in figures
    assert "tales <b>old onespublic domain" in read(parts["sources"]).said
    assert len(training_sources(tmp_path / "p" / "kron")) == 1
    assert training_sources(tmp_path / "nowhere") == ()


def test_a_number_keeps_its_value_and_only_numbers_are_marked() -> None:
    assert read(number(-0.20765, 3, sign=True)).said == "−0.208"
    assert read(number(0.2173, 1, percent=True)).said == "21.7%"
    text = "GPT-2 <b>, o200k: 29 of 32,000, −1.50 s and +3.1 M in 1.2.3"
    seen = read(marked(text))
    assert seen.said == text
    assert [dict(a)["value"] for _, a in seen.tags] == ["32000", "-1.5", "3.1"]


def test_a_link_carries_this_apps_words_and_a_whole_address(tmp_path: Path) -> None:
    template = Path(gr.__file__).parent / "templates" / "frontend" / "index.html"
    written = template.read_text(encoding="utf-8").replace("{{ base_url | default('./') }}", "./")
    settings = app_settings("kronviz: a title", "A “sentence”.", ASSETS / "preview.png")
    routes = [Route("/", lambda request: HTMLResponse(written)), *settings["routes"]]
    app = Starlette(routes=routes, middleware=settings["middleware"])
    client = TestClient(app, base_url="http://demo.example")
    page = client.get("/?view=api", headers={"x-forwarded-proto": "https"}).text
    assert 'property="og:image" content="https://demo.example/preview.png"' in page
    for name in ("og:title", "og:image", "og:url", "twitter:card", "twitter:title"):
        assert page.count(f'"{name}"') == 1, name
    assert "A “sentence”." in page
    assert 'charset="utf-8"' in page
    assert page.count("<meta") < written.count("<meta") + 4
    assert "<base" in written
    assert "<base" not in page, "charts would be clipped by the page's address, which changes"
    picture = client.get("/preview.png")
    assert picture.headers["content-type"] == "image/png"
    assert len(picture.content) < 200_000
    assert app_settings("t", "s", tmp_path / "none.png")["routes"] == []


def test_what_is_shown_first_comes_before_the_apps_configuration() -> None:
    template = Path(gr.__file__).parent / "templates" / "frontend" / "index.html"
    config = '{"theme_hash":"c0ffee","components":["</gradio-app>"]}'
    written = template.read_text(encoding="utf-8").replace("{{ config | toorjson }}", config)
    written = written.replace("{{ gradio_api_info | toorjson }}", "{}")
    first = "<div id='kv-first'>seen at once</div>"
    settings = app_settings("title", "sentence", ASSETS / "preview.png", first)
    routes = [Route("/", lambda request: HTMLResponse(written))]
    app = Starlette(routes=routes, middleware=settings["middleware"])
    page = TestClient(app).get("/?view=api").text
    assert page.count(first) == page.count(f"window.gradio_config = {config};") == 1
    assert page.index("</head>") < page.index(first) < page.index("window.gradio_config = ")


def test_a_name_keeps_its_own_numbers_apart_from_what_was_typed() -> None:
    said = sentence([escape('<i> "3.14"'), ", cosine 0.833, of 50,257"])
    (_, named), *others = read(element("span", **label(said))).tags
    assert others == []
    assert named["aria-label"] == '<i> "3.14", cosine 0.833, of 50,257'
    parts = read(named["data-said"])
    assert parts.said == named["aria-label"]
    assert [dict(a)["value"] for _, a in parts.tags] == ["0.833", "50257"]
    assert label("no figure here")["data_said"] is None


def test_the_spelling_test_stands_beside_the_papers_or_says_how_it_is_measured(
    tmp_path: Path, small_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arm in ("bpe", "kron"):
        write_log(tmp_path / "p" / arm, [4.0, 3.0, 2.0], norm=2.0, step_seconds=1.0)
    context = Context({"p": small_predictor}, (), tmp_path)
    figures = read(about._page(context, "p")["figures"]).said
    assert "47.3% and 55.5%" in figures
    assert "python -m kronviz.probes.stored_runs checkpoints/p" in figures
    report = robustness(small_predictor, PairSet(load_pairs().pairs[:6]), seed=2)
    found = StoredRobustness({}, "", "the command that measures it", report)
    monkeypatch.setattr(about, "stored_run", lambda folder: found)
    figures = read(about._page(context, "p")["figures"]).said
    row = report.metric("kl_nats")
    assert row is not None
    for arm in row.arms:
        value = arm.value
        assert f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]" in figures
    assert "the command that measures it over 6 pairs of texts" in figures
