"""The cross-model probe on a table of vectors that somebody else trained (paper, section 6).

Notable:

- The same tokens are compared twice: by the cosine of their rows in the table, and by the cosine of
  their byte codes, which need no training and no model.
- Cosines of rows are computed as in the paper, and again after subtracting the mean row: rows of
  most tables share a large part that says nothing about a token.
- Tokens are read before vectors, because their number tells which matrix of a file is the table;
  `belonging` tests whether the two are of the same model.
- A map shows up to a few thousand tokens by UMAP, including all forms of the given words.

>>> from kronviz.probes.cross_model import compare_table, read_files  # doctest: +SKIP
>>> report = compare_table(*read_files("model.safetensors", "tokenizer.json"))  # doctest: +SKIP
"""

from __future__ import annotations

from kronviz.probes.cross_model.files import read_files
from kronviz.probes.cross_model.probe import (
    ModelTableSettings,
    TableProbe,
    TableSettings,
    compare_table,
    run,
)
from kronviz.probes.cross_model.report import CrossModelReport, MapPoint
from kronviz.probes.cross_model.table import VectorTable
from kronviz.probes.cross_model.token_files import read_tokens
from kronviz.probes.cross_model.tokens import TokenList
from kronviz.probes.cross_model.vectors import read_vectors

__all__ = [
    "CrossModelReport",
    "MapPoint",
    "ModelTableSettings",
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
