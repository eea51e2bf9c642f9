"""Tables that people bring, as spaces of the map: against NumPy, kept for a while, then gone."""

from __future__ import annotations

import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import draw_quickly
from starlette.applications import Starlette
from starlette.testclient import TestClient
from test_cross_model import TOKENS, VECTORS, table
from test_html import read
from test_tab_map import unpacked

from kronviz.app.context import Context
from kronviz.app.tabs.map import view as map_view
from kronviz.app.tabs.map.api import endpoints
from kronviz.app.tabs.map.files import routes
from kronviz.app.tabs.map.tab import _choices
from kronviz.app.tabs.your_model.api import endpoints as table_endpoints
from kronviz.maps.lookup import distances, family_figures, look_up
from kronviz.maps.spaces import OwnModel
from kronviz.maps.store import MapError, read_map
from kronviz.predictor import InputError, Predictor
from kronviz.probes import own_model
from kronviz.probes.cross_model import read_tokens
from kronviz.probes.own_model import Shelf, as_own_model


@pytest.fixture
def mine() -> OwnModel:
    return as_own_model(table(), TOKENS, source="mine")


def test_neighbours_are_those_of_the_original_rows(
    mine: OwnModel, small_predictor: Predictor
) -> None:
    found = look_up(" run", small_predictor, *mine.spaces, k=5)
    rows = VECTORS[1:].astype(float)
    rows -= rows.mean(0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    similar = rows @ rows[0]
    similar[0] = -2
    left, right = found.sides
    assert (left.standing.basis, left.standing.token) == ("token", 0)
    assert [one.id for one in left.standing.neighbors] == np.argsort(-similar)[:5].tolist()
    assert left.standing.neighbors[0].similarity == pytest.approx(similar.max(), abs=1e-4)
    assert right.standing.neighbors[0].text == " runs"
    assert {member.text for member in left.family} >= {" runs", "run", " Run", " running"}
    assert mine.tokens.ids[0] == 1
    apart = distances([" run", " walk"], small_predictor, *mine.spaces)
    walk = [token.decode() for token in TOKENS.tokens].index(" walk") - 1
    assert apart.left[0][1] == pytest.approx(1 - rows[0] @ rows[walk], abs=1e-4)
    (run,) = [one for one in family_figures(small_predictor, mine.spaces[0]) if one.family == "run"]
    assert run.tokens == 9


def test_a_word_that_is_no_token_is_cut_into_the_longest_that_are(
    mine: OwnModel, small_predictor: Predictor
) -> None:
    texts = [mine.tokens.token_text(token) for token in mine.tokens.cut(b" housesrunningtime")]
    assert texts == [" houses", "running", "time"]
    standing = look_up(" houserun", small_predictor, *mine.spaces).sides[0].standing
    assert (standing.basis, standing.token) == ("mean", None)
    with pytest.raises(InputError, match="No token of your table"):
        look_up("äöü", small_predictor, *mine.spaces)


def test_a_vocabulary_without_blanks_finds_words_all_the_same(small_predictor: Predictor) -> None:
    strings = [
        "[PAD]",
        *(f"##{w}" for w in ("run", "s", "ing")),
        "run",
        "runs",
        "walk",
        *"abcdefghijklm",
    ]
    pieces = read_tokens("\n".join(strings).encode(), "vocab.txt")
    rows = np.random.default_rng(0).normal(size=(len(strings), 4)).astype(np.float32)
    mine = as_own_model(table(rows), pieces)
    assert mine.tokens.find(b" run") == strings.index("run") - 1
    assert mine.tokens.cut(b"runing") == [strings.index(s) - 1 for s in ("run", "##ing")]
    assert (
        look_up(" run", small_predictor, *mine.spaces).sides[1].standing.neighbors[0].text == "run"
    )


def test_large_tables_give_their_first_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_model, "MAX_VALUES", 20 * VECTORS.shape[1])
    mine = as_own_model(table(), TOKENS)
    assert (len(mine.tokens.ids), mine.listed) == (20, 44)
    assert mine.tokens.ids.tolist() == list(range(1, 21))


def test_a_table_is_there_for_its_visitor_as_long_as_it_is_kept(
    small_predictor: Predictor,
) -> None:
    shelf = Shelf(kept_s=0.15, values=2 * VECTORS.size)
    first = as_own_model(table(), TOKENS)
    names = first.spaces
    shelf.put("me", first)
    assert shelf.of("me") is first
    assert shelf.of("you") is None
    assert shelf.lend("you", first.key)
    assert shelf.of("you") is first
    shelf.put("she", as_own_model(table(), TOKENS))
    shelf.put("he", as_own_model(table(), TOKENS))
    assert shelf.of("me") is None
    del first
    with pytest.raises(InputError, match="no longer in memory"):
        look_up("run", small_predictor, *names)
    time.sleep(0.2)
    assert shelf.of("he") is None
    assert not shelf.lend("me", names[0])


def test_a_shelf_has_one_clock_and_forgets_though_nobody_asks() -> None:
    shelf = Shelf(kept_s=0.2)
    before = threading.active_count()
    kept = []
    for number in range(5):
        mine = as_own_model(table(), TOKENS)
        shelf.put(f"visitor {number}", mine)
        kept.append(weakref.ref(mine))
    del mine
    assert threading.active_count() <= before + 1
    until = time.monotonic() + 10
    while any(one() for one in kept) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(one() for one in kept)


def test_its_map_is_drawn_served_and_forgotten(mine: OwnModel, small_predictor: Predictor) -> None:
    context = Context({"toy": small_predictor}, root=Path("nowhere"))
    client = TestClient(Starlette(routes=routes(context)))
    left, right = mine.spaces
    with pytest.raises(MapError, match="not been drawn"):
        read_map(small_predictor, left)
    assert client.get(f"/kronviz/map/toy/{left}").json()["drawable"]
    draw_quickly(small_predictor, left, right)
    about, arrays = unpacked(client.get(f"/kronviz/map/toy/{left}").content)
    assert arrays["points"].size == 2 * 44
    assert about["arm"] == "bpe"
    _, words = unpacked(client.get(f"/kronviz/tokens/{about['vocabulary']}").content)
    assert words["ids"].tolist() == list(range(1, 45))
    assert words["family"][0] == 1
    page = read(map_view.answer(look_up(" run", small_predictor, left, right)))
    assert "your table" in page.said
    assert "its byte code" in page.said
    assert client.get("/kronviz/tokens/table:0000").status_code == 404
    assert client.get("/kronviz/map/toy/table:0000").status_code == 404


def test_the_map_offers_it_and_programs_can_ask_for_it(small_predictor: Predictor) -> None:
    context = Context({"toy": small_predictor}, root=Path("nowhere"))
    ask, *_ = table_endpoints(context)
    assert "spaces" not in ask(words=["run"])
    names = ask(words=["run"], on_map=True)["spaces"]
    tools: dict[str, Any] = {tool.__name__: tool for tool in endpoints(context)}
    found = tools["map_word"](" the", names[0], names[1])
    assert [side["space"] for side in found["sides"]] == names
    mine = as_own_model(table(), TOKENS)
    assert [_choices(small_predictor, side, mine)[-1][1] for side in ("left", "right")] == list(
        mine.spaces
    )


def test_a_word_that_is_no_token_as_typed_is_the_token_after_a_space_or_in_another_case(
    mine: OwnModel, small_predictor: Predictor
) -> None:
    found = look_up("STONES", small_predictor, *mine.spaces)
    left, right = found.sides
    assert (found.text, left.text, right.text) == ("STONES", "stones", "stones")
    assert left.standing.basis == "token"
    assert mine.tokens.token_text(left.standing.token or 0) == "stones"
    page = read(map_view.answer(found))
    assert "read as stones" in page.said
    typed = look_up(" Stones", small_predictor, *mine.spaces)
    assert typed.sides[0].text == " Stones"
    assert "read as" not in read(map_view.answer(typed)).said
    own = look_up("zqx", small_predictor, *mine.spaces[1:], *mine.spaces[1:])
    assert own.sides[0].text == "zqx"
