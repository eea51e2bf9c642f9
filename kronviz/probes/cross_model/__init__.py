"""The cross-model probe on a table of vectors that somebody else trained (paper, section 6).

Notable:

- The same tokens are looked at twice: by the cosine of their rows in the table, and by the cosine
  of their byte codes, which needs no training and no model.
- Cosines of the table are taken as they are, as in the paper, and again after the mean row is
  taken off: rows of most tables share a large part that says nothing about a token.
- Tokens are read before vectors: their number tells which matrix of a file is the table, and
  `belonging` tests whether the two are of one model at all.
- A map lays out some thousand tokens, all forms of the asked words among them, by UMAP.

>>> from kronviz.probes.cross_model import compare_table, read_files  # doctest: +SKIP
>>> report = compare_table(*read_files("model.safetensors", "tokenizer.json"))  # doctest: +SKIP
"""

from __future__ import annotations

from kronviz.probes.cross_model.files import read_files
from kronviz.probes.cross_model.probe import TableProbe, TableSettings, compare_table, run
from kronviz.probes.cross_model.report import CrossModelReport, MapPoint
from kronviz.probes.cross_model.table import VectorTable
from kronviz.probes.cross_model.token_files import read_tokens
from kronviz.probes.cross_model.tokens import TokenList
from kronviz.probes.cross_model.vectors import read_vectors

__all__ = [
    "CrossModelReport",
    "MapPoint",
    "TableProbe",
    "TableSettings",
    "TokenList",
    "VectorTable",
    "compare_table",
    "read_files",
    "read_tokens",
    "read_vectors",
    "run",
]
