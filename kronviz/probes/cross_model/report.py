"""What the cross-model probe finds, as results that can be written as JSON and read back."""

from __future__ import annotations

from dataclasses import dataclass

from kronviz.maps.neighbors import Neighbor
from kronviz.probes.intervals import Interval

SPECTRUM_ROWS = 8_192


@dataclass(frozen=True)
class Bucket:
    """Mean cosine of one kind of pairs.

    Attributes:
        bucket: ``typographic``, ``morphological`` or ``unrelated``.
        same_bytes: how many pairs are of tokens with equal bytes, whose codes cannot differ.
        table: mean cosine of the rows with its 95% interval; ``None`` where there are no pairs.
        centred: the same after the mean row of the table is taken off.
        code: of the byte codes.
        examples: pairs as readable text, at most six.
    """

    bucket: str
    pairs: int
    same_bytes: int
    table: Interval | None
    centred: Interval | None
    code: Interval | None
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Margin:
    """How much nearer a word is to itself with an ending than to a word at random, in cosine.

    Attributes:
        table: of the rows as they are, with its 95% interval.
        code: of the byte codes of the same pairs.
        paper_table, paper_code: the same difference of the paper's means over six models.
    """

    table: Interval
    code: Interval
    paper_table: float
    paper_code: float


@dataclass(frozen=True)
class Share:
    """What the ten nearest tokens of a word are, as shares with 95% intervals over words.

    Attributes:
        space: ``table`` or ``code``.
        words: that were asked.
    """

    space: str
    words: int
    typographic: Interval
    morphological: Interval
    other: Interval


@dataclass(frozen=True)
class Asked:
    """One word and its nearest tokens.

    Attributes:
        word: as it was asked.
        id: of the token that was found for it; ``text`` and ``hex`` are that token's.
        table: nearest in the table, nearest first; ``code`` likewise.
    """

    word: str
    id: int
    text: str
    hex: str
    table: tuple[Neighbor, ...]
    code: tuple[Neighbor, ...]


@dataclass(frozen=True)
class Anisotropy:
    """How far the rows point the same way.

    Attributes:
        cosine: mean cosine of two tokens drawn at random, with its 95% interval.
        mean_share: length of the mean row over the mean length of a row: 0 where directions cancel
            out, 1 where all are one.
        first_axis, ten_axes: share of the variance along the first principal axis, and the first
            ten, of at most `SPECTRUM_ROWS` rows.
        norm_mean, norm_deviation: of the lengths of rows.
    """

    cosine: Interval
    mean_share: float
    first_axis: float
    ten_axes: float
    norm_mean: float
    norm_deviation: float


@dataclass(frozen=True)
class MapPoint:
    """A token on both maps; ``word`` is the asked word whose form it is, or empty."""

    id: int
    text: str
    word: str
    table_x: float
    table_y: float
    code_x: float
    code_y: float


@dataclass(frozen=True)
class CrossModelReport:
    """The cross-model probe of one table.

    Attributes:
        source: what was read, as the person named it.
        tensor, dtype, rows, dims: of the table as it was stored.
        scheme: how the token strings were written.
        tokens: ids of the token list; ``used`` are those with bytes and with a row to look at.
        words: how many of them are whole words in lower case.
        margin: ``None`` where there are no pairs of words.
        anisotropy: ``None`` where the run was stopped; the other parts may be incomplete then.
        points: of the map; empty where none was laid out.
        warnings: sentences that put the figures themselves in doubt.
        problems: a sentence for everything that was left out or guessed.
    """

    source: str
    tensor: str
    dtype: str
    rows: int
    dims: int
    scheme: str
    tokens: int
    used: int
    words: int
    pos_dim: int
    seed: int
    buckets: tuple[Bucket, ...]
    shares: tuple[Share, ...]
    asked: tuple[Asked, ...]
    margin: Margin | None
    anisotropy: Anisotropy | None
    points: tuple[MapPoint, ...]
    warnings: tuple[str, ...]
    problems: tuple[str, ...]
    seconds: float

    def bucket(self, name: str) -> Bucket:
        """Return one kind of pairs; without a pair where a stopped run did not come to it."""
        found = (found for found in self.buckets if found.bucket == name)
        return next(found, Bucket(name, 0, 0, None, None, None, ()))
