"""Makes the tables of visitors' own models spaces of the map, beside the code of their tokens.

Notable:

- A table stays in memory as long as an uploaded file would, for the visitor who read it, under a
  key that cannot be guessed. It is never written to disk. If there are too many, the oldest is
  dropped.
- The map shows the tokens with bytes and a usable row: all of them or, if there are too many, the
  first, which are the most frequent in most vocabularies.

>>> from kronviz.maps.lookup import look_up  # doctest: +SKIP
>>> table = as_own_model(vectors, tokens, source="mine")  # doctest: +SKIP
>>> look_up("nation", predictor, *table.spaces)  # doctest: +SKIP
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict

import torch

from kronviz.maps.spaces import TABLE, OwnModel, OwnModelTokens, Vectors, known_table
from kronviz.predictor import clean_text
from kronviz.probes.cross_model.table import VectorTable
from kronviz.probes.cross_model.tokens import TokenList
from kronviz.probes.cross_model.view import View
from kronviz.strings import DEFAULT_POS_DIM, positions

MAX_TOKENS = 60_000
MAX_VALUES = 40_000_000
"""Most numbers of one table on the map: GPT-2's 50,257 rows of 768 fit."""
KEPT_VALUES = 100_000_000
KEPT_S = 1800
_SLACK_S = 0.05
"""The timer fires a little late, so that the oldest table has expired by then."""


def as_own_model(
    table: VectorTable, tokens: TokenList, *, source: str = "", pos_dim: int = DEFAULT_POS_DIM
) -> OwnModel:
    """Make two spaces of the map from a table; they exist while the result is referenced.

    Args:
        source: a name for the table.
        pos_dim: positions of the byte code, 4 to 64.

    Raises:
        InputError: the table does not fit the tokens.
    """
    pos_dim = positions(pos_dim)
    ids = View(table, tokens, pos_dim).ids.tolist()
    listed = len(ids)
    ids = ids[: min(MAX_TOKENS, MAX_VALUES // table.vectors.shape[1])]
    key = secrets.token_hex(8)
    starts = {place for place, token in enumerate(ids) if tokens.starts[token]}
    on_map = OwnModelTokens(TABLE + key, [tokens.tokens[token] for token in ids], ids, starts)
    vectors = Vectors(torch.from_numpy(table.vectors[ids]), overwrite=True)
    model = OwnModel(key, clean_text(source), listed, on_map, vectors, pos_dim)
    known_table(model)
    return model


class Shelf:
    """The own models of all visitors, the latest of each.

    Args:
        kept_s: seconds that a table stays.
        values: most numbers in all tables.
    """

    def __init__(self, kept_s: float = KEPT_S, values: int = KEPT_VALUES):
        self._kept_s, self._values = kept_s, values
        self._tables: OrderedDict[str, tuple[float, OwnModel]] = OrderedDict()
        self._owned: dict[str, str] = {}
        self._lock = threading.Lock()
        self._clock: threading.Timer | None = None

    def put(self, visitor: str, table: OwnModel) -> None:
        """Store a visitor's table in place of their earlier one."""
        with self._lock:
            before = self._owned.get(visitor)
            self._owned[visitor] = table.key
            if before is not None and before not in self._owned.values():
                self._tables.pop(before, None)
            self._tables[table.key] = (time.monotonic(), table)
            self._purge()
            self._wind()

    def lend(self, visitor: str, key: str) -> bool:
        """Give another visitor a stored table; return whether it is still there."""
        with self._lock:
            self._purge()
            if key in self._tables:
                self._owned[visitor] = key
            return key in self._tables

    def of(self, visitor: str) -> OwnModel | None:
        """Return a visitor's table."""
        with self._lock:
            self._purge()
            entry = self._tables.get(self._owned.get(visitor, ""))
            return entry[1] if entry else None

    def _ring(self) -> None:
        with self._lock:
            self._clock = None
            self._purge()
            self._wind()

    def _wind(self) -> None:
        """Start the timer for the expiry of the oldest table."""
        if self._clock is None and self._tables:
            since, _ = next(iter(self._tables.values()))
            left = since + self._kept_s - time.monotonic()
            self._clock = threading.Timer(max(left, 0) + _SLACK_S, self._ring)
            self._clock.daemon = True
            self._clock.start()

    def _purge(self) -> None:
        oldest = time.monotonic() - self._kept_s
        size = sum(table.vectors.rows.numel() for _, table in self._tables.values())
        for key, (since, table) in list(self._tables.items()):
            if since > oldest and (size <= self._values or len(self._tables) == 1):
                break
            size -= table.vectors.rows.numel()
            del self._tables[key]
        self._owned = {who: key for who, key in self._owned.items() if key in self._tables}
