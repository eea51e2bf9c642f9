"""Measures any model's table, and the byte code of the same tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kronviz import codec
from kronviz.maps import layout
from kronviz.maps.neighbors import canonical
from kronviz.predictor import InputError, clean_text
from kronviz.probes.cross_model.belonging import belonging
from kronviz.probes.cross_model.geometry import anisotropy, copies, pair_cosines
from kronviz.probes.cross_model.lexicon import BUCKETS, pairs_of
from kronviz.probes.cross_model.report import (
    Anisotropy,
    Asked,
    Bucket,
    CrossModelReport,
    MapPoint,
    Margin,
    Share,
)
from kronviz.probes.cross_model.table import MAX_MAP_TOKENS, VectorTable
from kronviz.probes.cross_model.tokens import TokenList
from kronviz.probes.cross_model.view import MIN_TOKENS, SPACES, WORDS_AT_ONCE, View
from kronviz.probes.intervals import bootstrap_intervals, difference_interval
from kronviz.progress import Latch, Progress, Stopped, goes_on, part
from kronviz.published import CROSS_MODEL
from kronviz.settings import setting
from kronviz.strings import DEFAULT_POS_DIM, positions, readable, whole_number

WORDS = ("run", "nation", "code", "act", "build", "time")
MAX_WORDS, MAX_WORD_BYTES = 12, 60
PAIRS = 1_000
PROBED = 200
MIN_KIN = 5
"""Fewest pairs of words for a headline."""
MAP_TOKENS = 1_500
RELATIONS = ("typographic", "morphological", "other")
MAX_SEED = 2**31 - 1
ALIKE = 0.999
"""Mean cosine of random pairs of rows above which all rows count as one direction."""

STOPPED = "The run was stopped; these are the figures measured by then."


@dataclass(frozen=True)
class TableSettings:
    """The settings of the cross-model probe."""

    words: tuple[str, ...] = setting(
        WORDS, f"Words whose nearest tokens are listed; empty for {len(WORDS)} common ones"
    )
    pos_dim: int = setting(
        DEFAULT_POS_DIM, "Positions of the byte code", low=4, high=64, link="positions"
    )
    map_tokens: int = setting(
        0,
        "Tokens that UMAP lays out; 0 for no map",
        low=0,
        high=MAX_MAP_TOKENS,
        option="--map",
        link="map",
    )
    seed: int = setting(1, "Seed of the words, the pairs, the intervals and the map")
    tensor: str = setting("", "Name of the table, if it is not found automatically")


@dataclass(frozen=True)
class ModelTableSettings(TableSettings):
    """The settings of the probe on the table of a public model, or of the pair."""

    model: str = setting(
        "",
        "A public model on the Hugging Face Hub, whose table is fetched; empty for the bpe model "
        "of the pair",
    )


def run(
    table: VectorTable,
    tokens: TokenList,
    asked: TableSettings,
    source: str = "",
    progress: Progress | None = None,
) -> CrossModelReport:
    """Run the cross-model probe on a table and its tokens.

    Args:
        source: a name for the report.
        progress: called for the figures, then from 0 again for the map.

    Raises:
        InputError: the table does not fit the tokens, or a setting is out of range.
    """
    tell = Latch(progress)
    probe = TableProbe(table, tokens, asked, source)
    report = probe.figures(tell)
    if not asked.map_tokens or tell.stopped:
        return report
    return probe.lay_out(report, asked.map_tokens, tell)


def compare_table(
    table: VectorTable,
    tokens: TokenList,
    *,
    source: str = "",
    words: Sequence[str] = TableSettings.words,
    pos_dim: int = TableSettings.pos_dim,
    seed: int = TableSettings.seed,
    map_tokens: int = TableSettings.map_tokens,
    progress: Progress | None = None,
) -> CrossModelReport:
    """Call `run` with settings by name, see `TableSettings`."""
    asked = TableSettings(words, pos_dim, map_tokens, seed)  # type: ignore[arg-type]
    return run(table, tokens, asked, source, progress)


class TableProbe:
    """The probe step by step: neighbours of words (quick), then figures, then a map.

    Arguments as for `run`.
    """

    def __init__(
        self, table: VectorTable, tokens: TokenList, asked: TableSettings, source: str = ""
    ):
        self._started = time.perf_counter()
        self._seed = whole_number(asked.seed, "seed", 0, MAX_SEED)
        self._words = _checked_words(asked.words)
        self._source = clean_text(source)
        self.view = View(table, tokens, positions(asked.pos_dim))

    def neighbors(self) -> CrossModelReport:
        """Look the words up; return a report with their nearest tokens only."""
        view = self.view
        places = {word: view.find(word) for word in self._words}
        known = [place for place in places.values() if place is not None]
        near = dict(
            zip(known, zip(*(view.neighbors(known, s) for s in SPACES), strict=True), strict=True)
        )
        asked = tuple(
            Asked(word, int(view.ids[p]), readable(view.data[p]), view.data[p].hex(), *near[p])
            for word, p in places.items()
            if p is not None
        )
        missing = [f"“{word}”" for word, place in places.items() if place is None]
        problems = list(view.problems)
        if missing:
            problems.append(
                "Not a single token of this vocabulary, in any case, with or without a space: "
                f"{', '.join(missing)}."
            )
        table, tokens = view.table, view.tokens
        return CrossModelReport(
            source=self._source,
            tensor=clean_text(table.name),
            dtype=table.dtype,
            rows=table.rows,
            dims=table.vectors.shape[1],
            scheme=tokens.scheme,
            tokens=len(tokens),
            used=len(view.ids),
            words=0,
            pos_dim=view.pos_dim,
            seed=self._seed,
            buckets=(),
            shares=(),
            asked=asked,
            margin=None,
            anisotropy=None,
            points=(),
            warnings=tuple(view.warnings),
            problems=tuple(problems),
            seconds=time.perf_counter() - self._started,
        )

    def figures(
        self, progress: Progress | None = None, known: CrossModelReport | None = None
    ) -> CrossModelReport:
        """Measure everything except the map.

        Args:
            known: the result of `neighbors`, if it was called before.

        Raises:
            InputError: all rows of the table are the same.
        """
        tell = Latch(progress)
        goes_on(tell, 0.0)
        report = known or self.neighbors()
        goes_on(tell, 0.02)
        view, seed = self.view, self._seed
        spelling = view.spelling
        goes_on(tell, 0.05)
        repeated = copies(view.table.vectors, view.ids)
        if repeated == len(view.ids) - 1:
            raise InputError(
                f"All {len(view.ids):,} rows of this table are the same, so no two tokens are "
                "closer than others; check that this is the right tensor and a trained one."
            )
        rng = np.random.default_rng(seed)
        buckets: list[Bucket] = []
        cosines: dict[str, NDArray[np.float64]] = {}
        drawn: list[tuple[int, int]] = []
        for place, bucket in enumerate(BUCKETS):
            if goes_on(tell, 0.1 * (place + 1)):
                pairs = pairs_of(bucket, spelling, PAIRS, rng)
                figures, cosines[bucket] = self._bucket(bucket, pairs)
                buckets.append(figures)
                drawn += pairs if bucket != "unrelated" else []
        shares = self._shares(rng, tell) if goes_on(tell, 0.4) else ()
        measured = self._anisotropy(rng, tell) if goes_on(tell, 0.92) else None
        warnings, problems = list(report.warnings), list(report.problems)
        if measured and measured.cosine.mean > ALIKE:
            warnings.append(
                "All rows of this table point in the same direction, so cosines say nothing about "
                "it; check that this is the right tensor."
            )
        if repeated > 0.01 * len(view.ids):
            problems.append(
                f"{repeated:,} rows are copies of others, which is common for tokens that were "
                "never trained."
            )
        warnings += self._doubts(drawn) if goes_on(tell, 0.96) else []
        if not spelling.words:
            problems.append("No token is a whole word in lower case, so no neighbours are counted.")
        if tell.stopped:
            problems.append(STOPPED)
        return replace(
            report,
            words=len(spelling.words),
            buckets=tuple(buckets),
            shares=shares,
            margin=_margin(cosines, seed),
            anisotropy=measured,
            warnings=tuple(warnings),
            problems=tuple(problems),
            seconds=time.perf_counter() - self._started,
        )

    def lay_out(
        self,
        report: CrossModelReport,
        count: int = MAP_TOKENS,
        progress: Progress | None = None,
    ) -> CrossModelReport:
        """Add a map of the same tokens in both spaces; a stopped run adds none.

        Args:
            count: 16 to `MAX_MAP_TOKENS` tokens: every form of the given words, their nearest
                tokens, and others drawn by the seed.
            progress: called with the share of both layouts done.

        Raises:
            InputError: ``count`` is out of range.
        """
        started = time.perf_counter()
        count = whole_number(count, "map_tokens", MIN_TOKENS, MAX_MAP_TOKENS)
        view = self.view
        chosen, groups = _mapped(report, view, min(count, len(view.ids)))
        data = [view.data[place] for place in chosen]
        places = []

        def rows() -> NDArray[np.float32]:
            """Return the chosen rows, centred: a direction that all share hides differences."""
            copied = view.table.vectors[view.ids[chosen]]
            copied -= view.mean.astype(np.float32)
            return copied

        try:
            # Made one after the other, because each may take a quarter of a gigabyte.
            for half, vectors in enumerate((rows, lambda: dense_codes(data, report.pos_dim))):
                told = part(progress, half / 2, 0.5)
                places.append(layout(vectors(), seed=report.seed, progress=told, overwrite=True))
        except Stopped:
            return report
        points = tuple(
            MapPoint(
                int(view.ids[place]),
                readable(data[i]),
                groups.get(place, ""),
                *(round(float(value), 4) for value in (*places[0][i], *places[1][i])),
            )
            for i, place in enumerate(chosen)
        )
        return replace(
            report, points=points, seconds=report.seconds + time.perf_counter() - started
        )

    def _bucket(
        self, bucket: str, pairs: list[tuple[int, int]]
    ) -> tuple[Bucket, NDArray[np.float64]]:
        view = self.view
        if not pairs:
            return Bucket(bucket, 0, 0, None, None, None, ()), np.zeros((0, 3))
        first, second = (view.ids[places] for places in np.array(pairs).T)
        data = [(view.data[a], view.data[b]) for a, b in pairs]
        columns = np.stack(
            [
                pair_cosines(view.table.vectors, first, second),
                pair_cosines(view.table.vectors, first, second, view.mean),
                np.array([codec.similarity(a, b, view.pos_dim) for a, b in data]),
            ],
            axis=1,
        )
        table, centred, code = bootstrap_intervals(columns, self._seed)
        same = sum(a == b for a, b in data)
        examples = tuple((readable(a), readable(b)) for a, b in data[:6])
        return Bucket(bucket, len(pairs), same, table, centred, code, examples), columns

    def _shares(self, rng: np.random.Generator, tell: Progress) -> tuple[Share, ...]:
        view = self.view
        words = np.array(view.spelling.words, np.int64)
        if not len(words):
            return ()
        probed = np.sort(rng.choice(words, min(PROBED, len(words)), replace=False)).tolist()
        counted: dict[str, list[list[float]]] = {space: [] for space in SPACES}
        for start in range(0, len(probed), WORDS_AT_ONCE):
            if not goes_on(tell, 0.4 + 0.5 * start / len(probed)):
                break
            some = probed[start : start + WORDS_AT_ONCE]
            for space in SPACES:
                for place, (near, _) in zip(some, view.nearest(some, space), strict=True):
                    marks = [view.spelling.relation(place, other) for other in near.tolist()]
                    counted[space].append([marks.count(name) / len(marks) for name in RELATIONS])
        return tuple(
            Share(space, len(shares), *bootstrap_intervals(shares, self._seed))
            for space, shares in counted.items()
            if shares
        )

    def _anisotropy(self, rng: np.random.Generator, tell: Progress) -> Anisotropy | None:
        view = self.view
        return anisotropy(
            view.table.vectors,
            view.ids,
            view.lengths,
            view.mean,
            rng,
            self._seed,
            lambda: goes_on(tell, 0.94),
        )

    def _doubts(self, pairs: list[tuple[int, int]]) -> list[str]:
        """Return a warning if tokens of related spelling are no closer than chance."""
        view = self.view
        rng = np.random.default_rng(self._seed)
        tested = belonging(view.table.vectors, view.ids, pairs, view.mean, rng)
        if tested is None or not tested.doubtful:
            return []
        return [
            "This table and these tokens do not seem to belong together: the "
            f"{tested.pairs:,} pairs of tokens of similar spelling are no closer than tokens with "
            f"similar ids ({tested.errors:.1f} standard errors; all-MiniLM-L6-v2’s table has 75). "
            "The figures below mean nothing unless both files are of one trained model."
        ]


def dense_codes(data: Sequence[bytes], pos_dim: int) -> NDArray[np.float32]:
    """Return the codes of strings, without the cells that none of them sets: ``(n, cells)``."""
    cells = [codec.cells(string, pos_dim) for string in data]
    used, columns = np.unique(np.concatenate(cells), return_inverse=True)
    codes = np.zeros((len(data), len(used)), np.float32)
    lengths = [len(own) for own in cells]
    rows = np.repeat(np.arange(len(data)), lengths)
    codes[rows, columns] = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths)
    return codes


def _margin(cosines: dict[str, NDArray[np.float64]], seed: int) -> Margin | None:
    related, unrelated = (
        cosines.get(name, np.zeros((0, 3))) for name in ("morphological", "unrelated")
    )
    if min(len(related), len(unrelated)) < MIN_KIN:
        return None
    table, code = (difference_interval(related[:, c], unrelated[:, c], seed) for c in (0, 2))
    paper = [
        (CROSS_MODEL["morphological"][space].value or 0)
        - (CROSS_MODEL["unrelated"][space].value or 0)
        for space in SPACES
    ]
    return Margin(table, code, round(paper[0], 3), round(paper[1], 3))


def _mapped(report: CrossModelReport, view: View, count: int) -> tuple[list[int], dict[int, str]]:
    """Return the indices of the tokens on the map, and the given word for each of its forms."""
    groups: dict[int, str] = {}
    for asked in report.asked:
        form = canonical(bytes.fromhex(asked.hex))
        for place, own in enumerate(view.spelling.forms):
            if own and own == form:
                groups.setdefault(place, asked.word)
    at = {int(token): place for place, token in enumerate(view.ids)}
    near = [at[n.id] for asked in report.asked for n in (*asked.table, *asked.code)]
    first = list(dict.fromkeys([*groups, *near]))[:count]
    rest = np.setdiff1d(np.arange(len(view.ids)), first)
    drawn = np.random.default_rng(report.seed).choice(rest, count - len(first), replace=False)
    return sorted([*first, *drawn.tolist()]), groups


def _checked_words(words: Sequence[str]) -> list[str]:
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        raise InputError("The words must be a list of texts.")
    unique = list(dict.fromkeys(clean_text(word).rstrip() for word in words if word.strip()))
    if len(unique) > MAX_WORDS:
        raise InputError(f"There are {len(unique)} words; give at most {MAX_WORDS}.")
    long = next((word for word in unique if len(word.encode()) > MAX_WORD_BYTES), None)
    if long:
        raise InputError(f"“{long[:20]}…” is longer than {MAX_WORD_BYTES} bytes; give words.")
    return unique
