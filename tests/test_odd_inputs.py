"""Every odd string in every field: answered or refused in one sentence, and inert on the page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from odd_inputs import FEW, FEW_MARKUP, LONG, MARKUP, ODD, VARIED
from test_cross_model import TOKENS, table
from test_html import Reader, read

from kronviz.app.components.html import clean_text, element
from kronviz.app.context import Context, load_context
from kronviz.app.tabs.bytes import api as bytes_api
from kronviz.app.tabs.bytes import grid, lists, pair, walk
from kronviz.app.tabs.bytes import tab as bytes_tab
from kronviz.app.tabs.compare import tab as compare
from kronviz.app.tabs.compare.view import ROWS
from kronviz.app.tabs.cost import tab as cost
from kronviz.app.tabs.generate import tab as generate
from kronviz.app.tabs.generate.api import endpoints as generate_endpoints
from kronviz.app.tabs.inside import view as inside_view
from kronviz.app.tabs.map import view as map_view
from kronviz.app.tabs.map import words as map_words
from kronviz.app.tabs.robustness import tab as robustness_tab
from kronviz.app.tabs.robustness import view as robustness_view
from kronviz.app.tabs.your_model.view import report_view
from kronviz.figures.cross_model import token_map
from kronviz.maps.lookup import distances, look_up, place_words
from kronviz.maps.neighbors import neighbors
from kronviz.predictor import InputError, Predictor
from kronviz.probes.byteview import encode
from kronviz.probes.cross_model import TokenList, compare_table
from kronviz.probes.cross_model.report import MapPoint
from kronviz.probes.editwalk import edit_walk
from kronviz.probes.inside import InsideSettings, inside
from kronviz.probes.robustness import MisspellingSettings, robustness
from kronviz.probes.stringpair import compare_strings

OURS = frozenset(
    "a b bdi br button caption col colgroup data dd details div dl dt figure h2 h3 i input label "
    "li mark ol option p section select small span strong summary table tbody td th thead tr ul"
    "".split()
)
"""The elements that our pages are made of; everything else came to life from what was typed."""
DRAWN = OURS | set("svg path line rect text title figcaption".split())


@pytest.fixture(scope="module")
def context(pair_folder: Path) -> Context:
    return load_context(pair_folder.parent)


def inert(page: str, elements: Iterable[str] = OURS) -> Reader:
    """What a browser would see: our elements, no handler, no link but to the page's own data."""
    seen = read(page)
    for tag, attributes in seen.tags:
        assert tag in elements
        assert not [name for name in attributes if name.startswith("on")]
        assert re.fullmatch(r"data:[\w/;=-]+,[^\s\"'<>]*", attributes.get("href") or "data:x,")
    return seen


def refused_in_a_sentence(page: str) -> bool:
    if 'role="alert"' not in page:
        return False
    sentence = read(page.split('role="alert">')[1].split("</p>")[0]).said
    assert sentence.endswith(".")
    assert len(sentence) < 300
    return True


def test_as_content_and_as_attribute() -> None:
    for text in ODD:
        seen = read(element("p", text, title=text))
        expected = clean_text(text).replace("\0", "\ufffd")
        assert seen.said == expected
        assert seen.tags == [("p", {"title": expected})]


def test_compare(context: Context) -> None:
    for text in VARIED:
        page = compare._answer(context, text, f"{text} teh", None, 3)
        inert(page, OURS - {"a"})
        assert refused_in_a_sentence(page) or page.count("<tr") == 2 * (ROWS + 1)
    assert refused_in_a_sentence(compare._answer(context, "The end", LONG[0], None, 3))


def test_generate(context: Context) -> None:
    knobs = (0.7, 0.9, 1, 42, 5, None)
    for text in VARIED:
        for mode, slotted in (("typo", ""), ("slot", text + "{}")):
            *_, (page, _, _) = generate._written(
                context, mode, text, text, slotted, text[:60], *knobs
            )
            inert(page)
            assert refused_in_a_sentence(page) or "data-finished" in page
    found = generate_endpoints(context)[0](prompt=MARKUP[0], max_tokens=1)
    assert found["continuations"][0]["prompt"] == MARKUP[0]


def test_byte_view(context: Context) -> None:
    ask = bytes_api.endpoints(context)[0]
    for text in FEW:
        size = len(clean_text(text).encode())
        first, shown, *others = bytes_tab._views(context, text, "run", 16, "insert", 1, None)[:4]
        for page in (first, shown, *others):
            inert(page, DRAWN)
        assert ("kv-refused" in shown) == (not 0 < size <= 200)
        try:
            answer = ask(text)
        except gr.Error as refusal:
            assert not 0 < size <= 200
            assert str(refusal.message).endswith(".")
        else:
            assert bytes.fromhex(answer["hex"]).decode() == clean_text(text)


def test_neighbours_and_edits_of_markup(small_predictor: Predictor) -> None:
    for text in FEW_MARKUP:
        steps = edit_walk(text, small_predictor)
        point = walk.nearest(steps, "swap", 2)
        twins = compare_strings(text, point.text, small_predictor) if point else None
        inert(grid.view(encode(text, small_predictor)), DRAWN)
        inert(pair.view(compare_strings(text, text[::-1], small_predictor)), DRAWN)
        inert(walk.view(steps, "swap", point, twins), DRAWN)
        inert(lists.nearest(neighbors(text, small_predictor)), DRAWN)


def test_robustness(context: Context) -> None:
    for text in VARIED:
        found = robustness_tab._words(context, text, 1, None)
        for page in (found.words, found.strip):
            inert(page)
    sentences = "\n".join(text for text in ODD if len(text) < 500)
    asked = MisspellingSettings(sentences=tuple(sentences.split("\n")), kinds=("swap",))
    made = robustness_tab._given(robustness_tab.SENTENCES, None, asked, lambda _: True)
    run = robustness(context.predictor(), made)
    assert run.done > 50
    inert(robustness_view.pairs_view(run))


def test_inside(small_predictor: Predictor) -> None:
    for text in MARKUP[::4]:
        report = inside(
            small_predictor,
            InsideSettings(f"{text} the", f"{text} teh", parts=("residual", "bytes")),
        )
        inert(inside_view.answer(report, "residual", "kl", 1))


def test_map(context: Context) -> None:
    predictor = context.predictor()
    short = [
        text for text in dict.fromkeys(map(clean_text, VARIED)) if 0 < len(text.encode()) <= 60
    ]
    for text in short:
        try:
            found = look_up(text, predictor)
        except InputError as refusal:
            assert str(refusal).endswith(".")
        else:
            inert(map_view.answer(found))
    words = [text for text in short if text.strip()][:60]
    apart = distances(words, predictor)
    inert(map_words.placed(place_words(words, predictor), apart))
    assert map_words.distances_csv(distances(["=1", "b"], predictor)).splitlines()[1][:5] == "'=1,b"


def test_your_model() -> None:
    """Each as a token of a table, as the name of a file, and as the name of a point of the map."""
    as_bytes = [
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()[:4000] or b"x"
        for text in ODD
    ]
    size = len(TOKENS) - 1
    for start in range(0, len(ODD), size):
        part = tuple(as_bytes[start : start + size])
        odd = TokenList((*part, *TOKENS.tokens[len(part) :]), TOKENS.starts, "SentencePiece", 0)
        report = compare_table(table(), odd, words=["run", *MARKUP[:3]])
        inert(report_view(report))
    for text in FEW_MARKUP:
        inert(report_view(replace(report, source=text)))
    points = tuple(MapPoint(0, text, "", 0, 0, 0, 0) for text in ODD)
    drawn = token_map(replace(report, points=points), "table").data[0].customdata
    assert len(drawn) == len(ODD)
    assert not [text for text, *_ in drawn if "<" in text]


def test_cost() -> None:
    for ask in cost.endpoints():
        for text in ("", MARKUP[0], "0", "-5", "1e5", "r50k_base\0", "\ud800", "é" * 9999):
            with pytest.raises(gr.Error, match=r"no vocabulary|must be a whole number") as refusal:
                ask(text)
            assert len(str(refusal.value.message)) < 400
