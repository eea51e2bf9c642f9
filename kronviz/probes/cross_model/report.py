"""The results of the cross-model probe."""

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
        same_bytes: number of pairs of tokens with the same bytes, whose codes cannot differ.
        table: mean cosine of the rows with its 95% interval; ``None`` if there are no pairs.
        centred: the same after subtracting the table's mean row.
        code: the same for the byte codes.
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
    """How much closer a word is to itself with an ending than to a random word, in cosine.

    Attributes:
        table: for the uncentred rows, with its 95% interval.
        code: for the byte codes of the same pairs.
        paper_table, paper_code: the same differences of the paper's means over six models.
    """

    table: Interval
    code: Interval
    paper_table: float
    paper_code: float


@dataclass(frozen=True)
class Share:
    """The relations of words to their ten nearest tokens, as shares with 95% intervals over words.

    Attributes:
        space: ``table`` or ``code``.
        words: number of words.
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
        word: the word as given.
        id, text, hex: the token that was found for it.
        table, code: the nearest tokens in the table and in the code, nearest first.
    """

    word: str
    id: int
    text: str
    hex: str
    table: tuple[Neighbor, ...]
    code: tuple[Neighbor, ...]


@dataclass(frozen=True)
class Anisotropy:
    """How much the rows point in the same direction.

    Attributes:
        cosine: mean cosine of random pairs of tokens, with its 95% interval.
        mean_share: norm of the mean row divided by the mean norm of the rows: 0 if directions
            cancel out, 1 if all are the same.
        first_axis, ten_axes: share of the variance along the first principal axis, and along the
            first ten, of at most `SPECTRUM_ROWS` rows.
        norm_mean, norm_deviation: mean and standard deviation of the norms of the rows.
    """

    cosine: Interval
    mean_share: float
    first_axis: float
    ten_axes: float
    norm_mean: float
    norm_deviation: float


@dataclass(frozen=True)
class MapPoint:
    """A token on both maps; ``word`` is the given word of which it is a form, or empty."""

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
        source: what was read, as the user named it.
        tensor, dtype, rows, dims: the table's name, type and shape as stored.
        scheme: how the token strings were written.
        tokens, used: number of tokens in the list, and of those with bytes and a usable row.
        words: number of used tokens that are whole words in lower case.
        margin: ``None`` if there are too few pairs of words.
        anisotropy: ``None`` if the run was stopped; then other parts may be incomplete, too.
        points: points of the map; empty if there is none.
        warnings: sentences on why the figures may be wrong.
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
        """Return one kind of pairs; an empty one if the run was stopped before it."""
        named = (bucket for bucket in self.buckets if bucket.bucket == name)
        return next(named, Bucket(name, 0, 0, None, None, None, ()))
