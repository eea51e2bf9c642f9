"""The maps for programs: named endpoints with plain arguments and JSON results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kronviz.app.components import Answer, add_endpoint, answer, typed
from kronviz.app.context import Context
from kronviz.maps import lookup
from kronviz.maps.fresh import lay_out_words
from kronviz.maps.spaces import space_of
from kronviz.maps.store import Map, map_of, read_map
from kronviz.maps.words import RULES, variants
from kronviz.predictor import Predictor
from kronviz.results import to_dict
from kronviz.strings import whole_number


def add_endpoints(context: Context) -> None:
    """Publish the endpoints. Call inside a `gr.Blocks`."""
    for function in endpoints(context):
        add_endpoint(function, "map", limit=2)


def endpoints(context: Context) -> tuple[Callable[..., Any], ...]:
    """The endpoints as functions of plain values, for the API and for agents."""

    def models(pair: str) -> Predictor:
        return context.predictor(typed(pair or "", "pair"))

    def map_(space: str = "kron", first: int = 0, count: int = 1000, pair: str = "") -> Answer:
        """Give the map of a space: a UMAP picture of all tokens, and how far it can be trusted.

        The answer holds what the map was drawn from and with, its trustworthiness and neighbour
        overlap, and the coordinates of tokens by id, 0 to 1 to the right and up.

        Args:
            space: bpe, bpe-1, bpe-2, kron, kron-1, kron-2, code, kron-whole or code-whole; or a
                space that /table or /table_of_files has named, which is drawn when first asked for.
            first: Id of the first token whose coordinates are given.
            count: How many, 1 to 60,000.
            pair: Which pair of models is asked; empty for the default pair.
        """

        def ask() -> Answer:
            found = drawn(models(pair), space)
            start = whole_number(first, "first", 0, len(found.points) - 1)
            end = start + whole_number(count, "count", 1, 60_000)
            points = found.unit[start:end].round(5).tolist()
            return {**to_dict(found.facts), "first": start, "points": points}

        return answer(ask)

    def drawn(predictor: Predictor, space: str) -> Map:
        given = map_of if space_of(predictor, space).key else read_map
        return given(predictor, space)

    def map_word(
        text: str, left: str = "bpe", right: str = "kron", k: int = 10, pair: str = ""
    ) -> Answer:
        """Find a word on two maps: its family, its nearest tokens, its place.

        Neighbours are those of the original spaces. Each has its cosine and its relation to the
        word: typographic, morphological or other.

        Args:
            text: A word of 1 to 200 bytes, or #123 for the token of that id.
            left: A space, as for the endpoint map.
            right: Another one.
            k: How many neighbours, 1 to 50.
            pair: Which pair of models is asked; empty for the default pair.
        """
        return answer(lambda: lookup.look_up(text, models(pair), left, right, k=k))

    def place_words(
        words: list[str], left: str = "bpe", right: str = "kron", k: int = 10, pair: str = ""
    ) -> Answer:
        """Place up to 200 typed words on two maps by their neighbours in the original spaces.

        Args:
            words: 1 to 200 texts of at most 200 bytes.
            left: A space, as for the endpoint map.
            right: Another one.
            k: How many neighbours each word is given, 1 to 50.
            pair: Which pair of models is asked; empty for the default pair.
        """
        return answer(lambda: lookup.place_words(words, models(pair), left, right, k=k))

    def lay_out(words: list[str], left: str = "bpe", right: str = "kron", pair: str = "") -> Answer:
        """Lay 5 to 200 typed words out by UMAP on these words alone, in two spaces.

        Args:
            words: 5 to 200 texts of at most 200 bytes.
            left: A space, as for the endpoint map.
            right: Another one.
            pair: Which pair of models is asked; empty for the default pair.
        """
        return answer(lambda: lay_out_words(words, models(pair), left, right))

    def word_distances(
        words: list[str], left: str = "bpe", right: str = "kron", pair: str = ""
    ) -> Answer:
        """Give the cosine distances, 0 to 2, between up to 200 words in two spaces.

        Args:
            words: 1 to 200 texts of at most 200 bytes.
            left: A space, as for the endpoint map.
            right: Another one.
            pair: Which pair of models is asked; empty for the default pair.
        """
        return answer(lambda: lookup.distances(words, models(pair), left, right))

    def word_variants(word: str, rules: list[str] | None = None, seed: int = 0) -> list[str]:
        """Make variants of a word: case, leading space, punctuation, endings, typos of every kind.

        Args:
            word: A text of at most 40 characters.
            rules: case, space, punctuation, plural, past, ing, typos; empty for all of them.
            seed: Of the typos.
        """
        return answer(lambda: list(variants(word, rules or tuple(RULES), seed)))

    def map_families(space: str = "kron", k: int = 10, pair: str = "") -> list[Answer]:
        """Give the eight probe families' figures in one space.

        For each family: how many tokens it has, and of the k nearest to them the share that
        belongs to the family, and the shares by relation.

        Args:
            space: A space, as for the endpoint map.
            k: How many neighbours, 1 to 50.
            pair: Which pair of models is asked; empty for the default pair.
        """

        def ask() -> list[Answer]:
            number = whole_number(k, "k", 1, lookup.MAX_K)
            return [to_dict(f) for f in lookup.family_figures(models(pair), space, k=number)]

        return answer(ask)

    map_.__name__ = "map"
    return map_, map_word, place_words, lay_out, word_distances, word_variants, map_families
