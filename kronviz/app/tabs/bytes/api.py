"""The byte view for programs: its five named endpoints, with plain arguments and JSON results."""

from __future__ import annotations

from collections.abc import Callable

from kronviz.app.components import Answer, add_endpoint, answer, typed
from kronviz.app.context import Context
from kronviz.maps.neighbors import neighbors
from kronviz.predictor import Predictor
from kronviz.probes.byteview import encode
from kronviz.probes.collisions import collisions
from kronviz.probes.editwalk import edit_walk
from kronviz.probes.stringpair import compare_strings


def add_endpoints(context: Context) -> None:
    """Publish the endpoints. Call inside a `gr.Blocks`."""
    for function in endpoints(context):
        add_endpoint(function, "bytes", limit=2)


def endpoints(context: Context) -> tuple[Callable[..., Answer], ...]:
    """The endpoints as functions of plain values, for the API and for agents."""

    def models(pair: str) -> Predictor:
        return context.predictor(typed(pair or "", "pair"))

    def encode_(text: str, pos_dim: int = 0, pair: str = "") -> Answer:
        """Show what the byte-level model is given for a string.

        The string's bytes light cells of a grid of 256 byte values by pos_dim positions; that
        grid, normalised and projected, is the embedding. The answer holds every lit cell with its
        character, byte (hex), position (from 1) and what it adds to the trained embedding, the
        bytes that were cut, the moments of the code, its exact inverse, and the tokens that the
        tokenizer makes of the string.

        Args:
            text: Any string of 1 to 200 bytes.
            pos_dim: Positions of the code, 4 to 64; 0 for what the model was trained with.
            pair: Which pair of models is asked; empty for the default pair.
        """
        return answer(lambda: encode(text, models(pair), pos_dim=_size(pos_dim)))

    def similarity(first: str, second: str, pos_dim: int = 0, pair: str = "") -> Answer:
        """Compare two strings: shared, moved, lost and new bytes, and their similarity.

        The answer holds the cosine of the two codes (shared cells over the root of the product of
        the lengths), of the byte-level model's trained embeddings, and of the rows of the learned
        table where each string is one token.

        Args:
            first: A string of 1 to 200 bytes.
            second: Another one.
            pos_dim: Positions of the code, 4 to 64; 0 for what the model was trained with.
            pair: Which pair of models is asked; empty for the default pair.
        """
        return answer(lambda: compare_strings(first, second, models(pair), pos_dim=_size(pos_dim)))

    def edit_walk_(text: str, kind: str = "", pos_dim: int = 0, pair: str = "") -> Answer:
        """Try one edit at every place of a string and report how similar the result still is.

        Args:
            text: A string of 1 to 200 bytes.
            kind: substitute, insert, delete, swap, case or space; empty for all of them.
            pos_dim: Positions of the code, 4 to 64; 0 for what the model was trained with.
            pair: Which pair of models is asked; empty for the default pair.
        """
        kinds = [kind] if kind else None
        return answer(lambda: edit_walk(text, models(pair), pos_dim=_size(pos_dim), kinds=kinds))

    def neighbors_(
        text: str, k: int = 10, vocabulary: str = "", pos_dim: int = 0, pair: str = ""
    ) -> Answer:
        """Find the tokens nearest to a string in the byte code and in both trained tables.

        Each neighbour carries its cosine and its relation to the string: typographic (the same
        word but for case, leading space and punctuation), morphological (one word holds the
        other) or other.

        Args:
            text: A string of 1 to 200 bytes.
            k: How many neighbours, 1 to 100.
            vocabulary: r50k_base, cl100k_base or o200k_base for the code; empty for the pair's.
            pos_dim: Positions of the code, 4 to 64; 0 for what the model was trained with.
            pair: Which pair of models is asked; empty for the default pair.
        """
        return answer(
            lambda: neighbors(
                text, models(pair), k=k, pos_dim=_size(pos_dim), vocabulary=vocabulary or None
            )
        )

    def collisions_(
        vocabulary: str = "r50k_base", pos_dim: int = 16, rule: str = "true", limit: int = 20
    ) -> Answer:
        """Count the tokens of a vocabulary that share their code with another, and list them.

        Args:
            vocabulary: r50k_base (GPT-2's), cl100k_base or o200k_base.
            pos_dim: Positions of the code, 4 to 64.
            rule: true for the bytes that a token stands for, reference for decode([id]).encode().
            limit: How many groups are listed, largest first, 0 to 500.
        """
        return answer(lambda: collisions(vocabulary, pos_dim=pos_dim, rule=rule, limit=limit))

    published = (encode_, similarity, edit_walk_, neighbors_, collisions_)
    for function in published:
        function.__name__ = function.__name__.rstrip("_")
    return published


def _size(pos_dim: int) -> int | None:
    return None if pos_dim == 0 and not isinstance(pos_dim, bool) else pos_dim
