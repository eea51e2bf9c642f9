"""The byte view from the outside: what its markup says, and what its endpoints answer or refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from test_byteview import STRINGS
from test_codec import PUBLISHED
from test_html import read

from kronviz.app.context import Context, load_context
from kronviz.app.tabs.bytes import grid as bytes_grid
from kronviz.app.tabs.bytes import pair as bytes_pair
from kronviz.app.tabs.bytes import tab
from kronviz.app.tabs.bytes import walk as bytes_walk
from kronviz.app.tabs.bytes.api import endpoints
from kronviz.maps.neighbors import neighbors
from kronviz.predictor import Predictor
from kronviz.probes.byteview import encode
from kronviz.probes.collisions import collisions
from kronviz.probes.editwalk import EDIT_KINDS, edit_walk
from kronviz.probes.stringpair import compare_strings
from kronviz.results import to_dict


@pytest.fixture(scope="module")
def context(pair_folder: Path) -> Context:
    return load_context(pair_folder.parent)


def tags(markup: str, class_: str) -> list[dict[str, Any]]:
    """Attributes of the elements that carry a class."""
    return [
        dict(attributes)
        for _, attributes in read(markup).tags
        if class_ in (attributes.get("class") or "").split()
    ]


def test_the_grid_has_the_cells_of_the_string(small_predictor: Predictor) -> None:
    for pos_dim in (8, 16, 32):
        for text in STRINGS:
            found = encode(text, small_predictor, pos_dim=pos_dim)
            shown = bytes_grid.view(found)
            lit = {(cell["data-position"], cell["data-byte"]) for cell in tags(shown, "kv-lit")}
            kept = text.encode()[: found.length]
            assert lit == {(str(place), f"{byte:02x}") for place, byte in enumerate(kept, start=1)}
            rows = len(tags(shown, "kv-strip"))
            empty = sum(int(gap["style"].split("--rows: ")[1]) for gap in tags(shown, "kv-gap"))
            assert rows == len(set(kept))
            assert rows + empty == 256
            assert bool(tags(shown, "kv-cut-line")) == (found.length < len(text.encode()))
            assert ("Cut after byte" in read(shown).said) == (found.length < len(text.encode()))
            assert len(tags(shown, "kv-share")) == (found.length if pos_dim == 16 else 0)


def test_marks_are_told_by_more_than_colour(small_predictor: Predictor) -> None:
    shown = bytes_pair.view(compare_strings("compute", "copmutes", small_predictor))
    marks = [box["data-mark"] for box in tags(shown, "kv-twin") if "data-mark" in box]
    assert marks.count("shared") == 2 * 5
    assert marks.count("moved") == 2 * 2
    assert marks.count("new") == 1
    assert len(tags(shown, "kv-tie-shared")) == 5
    assert len(tags(shown, "kv-tie-moved")) == 2
    assert "0.668" in read(shown).said


def test_the_walk_shows_every_kind_and_the_chosen_edit(small_predictor: Predictor) -> None:
    walk = edit_walk("compute", small_predictor)
    point = bytes_walk.nearest(walk, "insert", 1)
    assert point is not None
    shown = bytes_walk.view(walk, "insert", point, compare_strings("compute", point.text))
    assert [panel["data-kind"] for panel in tags(shown, "kv-fall")] == list(EDIT_KINDS)
    assert len(tags(shown, "kv-column")) == len(walk.points)
    assert len(tags(shown, "kv-column-here")) == 1
    said = read(shown).said
    assert "leaves a similarity of at least 0.86" in said
    assert "0.00 at the front and 0.94 at the end" in said
    assert "one letter becomes an x" in said
    other = bytes_walk.view(edit_walk("box"), "case", None, None)
    assert "one letter becomes a z" in read(other).said
    assert bytes_walk.nearest(edit_walk("1"), "case", 1) is None


def test_collisions_are_counted_for_three_vocabularies() -> None:
    shown = tab._shared("r50k_base", "reference", 16)
    said = read(shown).said
    for figure in ("50,256", "50,226", "49,893", "GPT-2", "cl100k", "o200k"):
        assert figure in said
    found = collisions("r50k_base", rule="reference")
    assert f"{found.n_groups} codes are shared by several tokens" in said


def test_endpoints_give_the_same_results_as_python(
    client: Client, context: Context, small_predictor: Predictor
) -> None:
    assert client.predict("naïve", api_name="/encode") == to_dict(encode("naïve", small_predictor))
    assert client.predict("run", " run", api_name="/similarity") == to_dict(
        compare_strings("run", " run", small_predictor)
    )
    assert client.predict("run", "swap", api_name="/edit_walk") == to_dict(
        edit_walk("run", small_predictor, kinds=["swap"])
    )
    assert client.predict("run", 3, api_name="/neighbors") == to_dict(
        neighbors("run", small_predictor, k=3)
    )
    assert client.predict("r50k_base", 16, "reference", 2, api_name="/collisions") == to_dict(
        collisions("r50k_base", pos_dim=16, rule="reference", limit=2)
    )


def test_the_pairs_of_the_paper_by_api(client: Client) -> None:
    for first, second, cosine in PUBLISHED:
        found = client.predict(first, second, api_name="/similarity")
        assert round(found["code_cosine"], 3) == cosine


def test_a_refusal_is_one_sentence(client: Client) -> None:
    for name, arguments, sentence in (
        ("/encode", ("",), "The string is empty"),
        ("/encode", ("x" * 201,), "201 bytes; this view takes 200"),
        ("/encode", ("run", 3), "pos_dim is 3"),
        ("/encode", ("run", 16, "nobody"), "no pair of models called 'nobody'"),
        ("/edit_walk", ("run", "melt"), "no kind of edit called 'melt'"),
        ("/neighbors", ("run", 0), "k is 0"),
        ("/neighbors", ("run", 5, "klingon"), "no vocabulary called 'klingon'"),
        ("/collisions", ("r50k_base", 16, "mine"), "no rule called 'mine'"),
    ):
        with pytest.raises(AppError, match=sentence):
            client.predict(*arguments, api_name=name)


def refusal_of(ask: Callable[..., Any], *arguments: object) -> str | None:
    """The sentence that an endpoint refuses with; ``None`` where it answers."""
    try:
        answer = ask(*arguments)
    except gr.Error as error:
        return str(error.message)
    assert isinstance(answer, dict)
    return None


def test_endpoints_answer_or_refuse_whatever_they_are_sent(context: Context) -> None:
    for number in range(5):
        ask = endpoints(context)[number]
        texts = ("", "run", "x" * 100_000)
        values = [None, True, 0, -1, 2.5, float("nan"), 1e300, *texts, [], {}, ["run"], [[]]]
        for first in values:
            for second in values:
                sentence = refusal_of(ask, first, second)
                assert sentence is None or sentence.endswith(".")
                assert sentence is None or len(sentence) < 300


def test_the_picture_says_that_it_reads_the_first_bytes_of_a_longer_string(
    context: Context,
) -> None:
    assert "”: 6 bytes, written in two" in tab._method(context, "magnet", None)
    assert "”: its first 16 bytes, written in two" in tab._method(context, "magnet" * 4, None)
