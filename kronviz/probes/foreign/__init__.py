"""The cross-model probe on a table of vectors that somebody else trained (paper, section 6).

Notable:

- The same tokens are looked at twice: by the cosine of their rows in the table, and by the cosine
  of their byte codes, which needs no training and no model.
- Cosines of the table are taken as they are, as in the paper, and again after the mean row is
  taken off: rows of most tables share a large part that says nothing about a token.
- A map lays out some thousand tokens, all forms of the asked words among them, by UMAP.

>>> from kronviz.probes.foreign import foreign, read_tokens, read_vectors  # doctest: +SKIP
>>> report = foreign(read_vectors("model.safetensors"), read_tokens(data))  # doctest: +SKIP
"""

from __future__ import annotations

from kronviz.probes.foreign.probe import figures, foreign, lay_out
from kronviz.probes.foreign.report import Foreign, MapPoint
from kronviz.probes.foreign.tokens import TokenList, read_tokens
from kronviz.probes.foreign.vectors import VectorTable, read_vectors

__all__ = [
    "Foreign",
    "MapPoint",
    "TokenList",
    "VectorTable",
    "figures",
    "foreign",
    "lay_out",
    "read_tokens",
    "read_vectors",
]
