"""The picture of the method beside the texts: bytes, cells and vectors of the word at the cursor.

The server sends the inputs of both models for every token; ``picture.js`` draws one word of them.
"""

from __future__ import annotations

import json

from kronviz.app.components import Markup, element
from kronviz.arms import ARMS
from kronviz.probes.input_words import InputWords


def picture() -> Markup:
    """Return the empty picture, which the script fills in for each answer."""
    return element(
        "section",
        element("p", class_="kv-now-title"),
        element("div", class_="kv-now-sides"),
        aria_label="How both models read the word at the cursor",
        class_="kv-now",
        data_title="the word at the cursor",
        data_sums=json.dumps({arm.name: arm.sum for arm in ARMS.values()}),
    )


def data(inputs: InputWords) -> dict[str, object]:
    """Return attributes with all data of the picture.

    A word is a list: its tokens in each text (first, one past the last), whether it differs, and
    its cosines by arm. Vectors, by arm and id, have two hexadecimal digits per number; 80 is 0.
    """
    words = [
        [word.clean, word.typo, word.changed, {a: round(c, 4) for a, c in word.cosines.items()}]
        for word in inputs.words
    ]
    vectors = {
        arm: {str(token): bytes(value + 128 for value in row).hex() for token, row in rows.items()}
        for arm, rows in inputs.vectors.items()
    }
    return {
        "data_words": json.dumps(words, separators=(",", ":")),
        "data_vectors": json.dumps(vectors, separators=(",", ":")),
    }
