"""The maps for programs: named endpoints with plain arguments and JSON results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kronviz.app.components import PAIR, Answer, add_endpoint, answer, of_pair, still_there
from kronviz.app.context import Context
from kronviz.maps import lookup
from kronviz.maps.fresh import lay_out_words
from kronviz.maps.lookup import (
    FamilySettings,
    LookUpSettings,
    MapSettings,
    PlaceSettings,
    WordSettings,
)
from kronviz.maps.spaces import space_of
from kronviz.maps.store import map_of, read_map
from kronviz.maps.words import VariantSettings, variants
from kronviz.predictor import Predictor
from kronviz.results import to_dict
from kronviz.settings import endpoint
from kronviz.strings import whole_number

MAP = """Give the map of a space: a UMAP picture of all tokens, and how far it can be trusted.

The answer holds what the map was drawn from and with, its trustworthiness and neighbour overlap,
and the coordinates of tokens by id, 0 to 1 to the right and up."""
MAP_WORD = """Find a word on two maps: its family, its nearest tokens, its place.

Neighbours are those of the original spaces. Each has its cosine and its relation to the word:
typographic, morphological or other."""
VARIANTS = (
    "Make variants of a word: case, leading space, punctuation, endings, typos of every kind."
)
FAMILIES = """Give the eight probe families' figures in one space.

For each family: how many tokens it has, and of the k nearest to them the share that belongs to the
family, and the shares by relation."""


def add_endpoints(context: Context) -> None:
    """Publish the endpoints. Call inside a `gr.Blocks`."""
    for function in endpoints(context):
        add_endpoint(function, "map", limit=2)


def endpoints(context: Context) -> tuple[Callable[..., Any], ...]:
    """Return the endpoints, functions of plain values, for the API and for agents."""

    def published(
        settings: type,
        name: str,
        says: str,
        ask: Callable[[Predictor, Any], object],
        order: str,
        returns: Any = Answer,
    ) -> Callable[..., Any]:
        asked = of_pair(context.predictor, ask)
        return endpoint(settings, asked, name, says, PAIR, order.split(), returns)

    def points(predictor: Predictor, asked: MapSettings) -> Answer:
        if space_of(predictor, asked.space).key:
            layout = map_of(predictor, asked.space, still_there())
        else:
            layout = read_map(predictor, asked.space)
        start = whole_number(asked.first, "first", 0, len(layout.points) - 1)
        shown = layout.unit[start : start + asked.count].round(5).tolist()
        return {**to_dict(layout.facts), "first": start, "points": shown}

    def families(predictor: Predictor, asked: FamilySettings) -> list[Answer]:
        return [to_dict(f) for f in lookup.family_figures(predictor, asked.space, k=asked.k)]

    def varied(checked: Callable[[], VariantSettings]) -> list[str]:
        return answer(lambda: list(variants(**vars(checked()))))

    def laid_out(predictor: Predictor, asked: WordSettings) -> object:
        there = still_there()
        return lay_out_words(asked.words, predictor, asked.left, asked.right, there)

    def of_words(look: Callable[..., object]) -> Callable[[Predictor, WordSettings], object]:
        return lambda models, asked: look(asked.words, models, asked.left, asked.right)

    return (
        published(MapSettings, "map", MAP, points, "space first count pair"),
        published(
            LookUpSettings,
            "map_word",
            MAP_WORD,
            lambda models, a: lookup.look_up(a.text, models, a.left, a.right, k=a.k),
            "text left right k pair",
        ),
        published(
            PlaceSettings,
            "place_words",
            "Place up to 200 typed words on two maps by their neighbours in the original spaces.",
            lambda models, a: lookup.place_words(a.words, models, a.left, a.right, k=a.k),
            "words left right k pair",
        ),
        published(
            WordSettings,
            "lay_out",
            "Lay 5 to 200 typed words out by UMAP on these words alone, in two spaces.",
            laid_out,
            "words left right pair",
        ),
        published(
            WordSettings,
            "word_distances",
            "Give the cosine distances, 0 to 2, between up to 200 words in two spaces.",
            of_words(lookup.distances),
            "words left right pair",
        ),
        endpoint(VariantSettings, varied, "word_variants", VARIANTS, returns=list[str]),
        published(FamilySettings, "map_families", FAMILIES, families, "space k pair", list[Answer]),
    )
