"""The byte view for programs: five named endpoints with plain arguments and JSON results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kronviz.app.components import PAIR, Answer, add_endpoint, answer, of_pair
from kronviz.app.context import Context
from kronviz.maps.neighbors import NeighborSettings, neighbors
from kronviz.predictor import Predictor
from kronviz.probes.byteview import encode
from kronviz.probes.collisions import CollisionSettings, collisions
from kronviz.probes.editwalk import WalkSettings, edit_walk
from kronviz.probes.stringpair import PairSettings, compare_strings
from kronviz.settings import StringSettings, endpoint

ENCODE = """Show what the byte-level model is given for a string.

The string's bytes light cells of a grid of 256 byte values by pos_dim positions; that grid,
normalised and projected, is the embedding. The answer holds every lit cell with its character, byte
(hex), position (from 1) and what it adds to the trained embedding, the bytes that were cut, the
moments of the code, its exact inverse, and the tokens that the tokenizer makes of the string."""
SIMILARITY = """Compare two strings: shared, moved, lost and new bytes, and their similarity.

The answer holds the cosine of the two codes (shared cells over the root of the product of the
lengths), of the byte-level model's trained embeddings, and of the rows of the learned table where
each string is one token."""
EDIT_WALK = "Try one edit at every place of a string and report how similar the result still is."
NEIGHBORS = """Find the tokens nearest to a string in the byte code and in both trained tables.

Each neighbour carries its cosine and its relation to the string: typographic (the same word but for
case, leading space and punctuation), morphological (one word holds the other) or other."""
COLLISIONS = "Count the tokens of a vocabulary that share their code with another, and list them."


def add_endpoints(context: Context) -> None:
    """Publish the endpoints. Call inside a `gr.Blocks`."""
    for function in endpoints(context):
        add_endpoint(function, "bytes", limit=2)


def endpoints(context: Context) -> tuple[Callable[..., Answer], ...]:
    """Return the endpoints, functions of plain values, for the API and for agents."""

    def published(
        settings: type, name: str, says: str, ask: Callable[[Predictor, Any], object], order: str
    ) -> Callable[..., Answer]:
        return endpoint(settings, of_pair(context.predictor, ask), name, says, PAIR, order.split())

    def walk(predictor: Predictor, asked: WalkSettings) -> object:
        kinds = [asked.kind] if asked.kind else None
        return edit_walk(asked.text, predictor, pos_dim=asked.positions, kinds=kinds)

    def near(predictor: Predictor, asked: NeighborSettings) -> object:
        words = asked.vocabulary or None
        return neighbors(
            asked.text, predictor, k=asked.k, pos_dim=asked.positions, vocabulary=words
        )

    def counted(checked: Callable[[], CollisionSettings]) -> Answer:
        return answer(lambda: collisions(**vars(checked())))

    return (
        published(
            StringSettings,
            "encode",
            ENCODE,
            lambda models, asked: encode(asked.text, models, pos_dim=asked.positions),
            "text pos_dim pair",
        ),
        published(
            PairSettings,
            "similarity",
            SIMILARITY,
            lambda models, asked: compare_strings(
                asked.first, asked.second, models, pos_dim=asked.positions
            ),
            "first second pos_dim pair",
        ),
        published(WalkSettings, "edit_walk", EDIT_WALK, walk, "text kind pos_dim pair"),
        published(NeighborSettings, "neighbors", NEIGHBORS, near, "text k vocabulary pos_dim pair"),
        endpoint(CollisionSettings, counted, "collisions", COLLISIONS),
    )
