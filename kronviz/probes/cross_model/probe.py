"""The figures of any model's table, beside those of the byte code of the same tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from kronviz import codec
from kronviz.maps import layout
from kronviz.maps.neighbors import CodeTable, Neighbor, top
from kronviz.predictor import InputError, clean_text
from kronviz.probes.cross_model.lexicon import BUCKETS, Lexicon, lexicon, pairs_of
from kronviz.probes.cross_model.progress import Enough, Progress, Teller
from kronviz.probes.cross_model.report import (
    SPECTRUM_ROWS,
    Anisotropy,
    Asked,
    Bucket,
    CrossModelReport,
    MapPoint,
    Share,
)
from kronviz.probes.cross_model.tokens import TokenList
from kronviz.probes.cross_model.vectors import VectorTable
from kronviz.probes.intervals import bootstrap_intervals
from kronviz.strings import DEFAULT_POS_DIM, positions, readable, whole_number
from kronviz.tokenizer import TokenBytes

WORDS = ("run", "nation", "code", "act", "build", "time")
MAX_WORDS, MAX_WORD_BYTES = 12, 60
NEAREST = 10
PAIRS = 1_000
PROBED = 200
MAP_TOKENS, MAX_MAP_TOKENS = 1_500, 4_000
RANDOM_PAIRS = 10_000
SPECTRUM_AXES = 10
MIN_TOKENS = 16
RELATIONS = ("typographic", "morphological", "other")
SPACES = ("table", "code")
MAX_SEED = 2**31 - 1

STOPPED = "The run was stopped; what had been measured by then is shown."


def compare_table(
    table: VectorTable,
    tokens: TokenList,
    *,
    source: str = "",
    words: Sequence[str] = WORDS,
    pos_dim: int = DEFAULT_POS_DIM,
    seed: int = 1,
    map_tokens: int = 0,
    progress: Progress | None = None,
) -> CrossModelReport:
    """Run the cross-model probe on a table and its tokens.

    Args:
        source: a name for the report.
        words: at most `MAX_WORDS` words whose neighbours are listed.
        pos_dim: of the byte code, 4 to 64.
        seed: of the words, the pairs, the intervals and the map.
        map_tokens: how many tokens are laid out, at most `MAX_MAP_TOKENS`; 0 for no map.
        progress: told first about the figures, then from 0 again about the map.

    Raises:
        InputError: the table does not fit the tokens, or an argument is out of range.
    """
    teller = Teller(progress)
    report = figures(
        table, tokens, source=source, words=words, pos_dim=pos_dim, seed=seed, progress=teller
    )
    if not map_tokens or teller.enough:
        return report
    return lay_out(report, table, tokens, count=map_tokens, progress=teller)


def figures(
    table: VectorTable,
    tokens: TokenList,
    *,
    source: str = "",
    words: Sequence[str] = WORDS,
    pos_dim: int = DEFAULT_POS_DIM,
    seed: int = 1,
    progress: Progress | None = None,
) -> CrossModelReport:
    """Everything of the probe but the map; arguments as for `compare_table`."""
    started = time.perf_counter()
    tell = Teller(progress)
    pos_dim, seed = positions(pos_dim), whole_number(seed, "seed", 0, MAX_SEED)
    wanted = _checked_words(words)
    ids, problems = usable(table, tokens)
    found = lexicon(tokens, ids)
    rng = np.random.default_rng(seed)
    view = _View(table.vectors, tokens, ids, found, pos_dim)
    buckets: list[Bucket] = []
    for place, bucket in enumerate(BUCKETS):
        if tell(0.1 * (place + 1)):
            buckets.append(_bucket(view, bucket, rng, seed))
    shares = _shares(view, rng, seed, tell) if tell(0.4) else ()
    asked, missing = _asked(view, wanted) if tell(0.9) else ((), [])
    anisotropy = _anisotropy(view.rows, rng, seed) if tell(0.92) else None
    if missing:
        problems.append(f"Not a token of this vocabulary: {', '.join(missing)}.")
    if not found.words:
        problems.append(
            "No token is a whole word of letters in lower case, so no neighbours are counted."
        )
    if tell.enough:
        problems.append(STOPPED)
    return CrossModelReport(
        source=clean_text(source),
        tensor=clean_text(table.name),
        dtype=table.dtype,
        rows=table.rows,
        dims=table.vectors.shape[1],
        scheme=tokens.scheme,
        tokens=len(tokens),
        used=len(ids),
        words=len(found.words),
        pos_dim=pos_dim,
        seed=seed,
        buckets=tuple(buckets),
        shares=shares,
        asked=asked,
        anisotropy=anisotropy,
        points=(),
        problems=tuple(problems),
        seconds=time.perf_counter() - started,
    )


def lay_out(
    report: CrossModelReport,
    table: VectorTable,
    tokens: TokenList,
    *,
    count: int = MAP_TOKENS,
    progress: Progress | None = None,
) -> CrossModelReport:
    """The report with a map of both spaces, of the same tokens; without one where it is stopped.

    Args:
        count: 16 to `MAX_MAP_TOKENS` tokens: every form of the asked words, their nearest, and
            others drawn by the report's seed.
        progress: told about both layouts together.

    Raises:
        InputError: ``count`` is out of range.
    """
    started = time.perf_counter()
    count = whole_number(count, "map_tokens", MIN_TOKENS, MAX_MAP_TOKENS)
    ids, _ = usable(table, tokens)
    found = lexicon(tokens, ids)
    chosen, groups = _mapped(report, ids, found, min(count, len(ids)))
    rows = torch.from_numpy(table.vectors[[ids[place] for place in chosen]])
    data = [tokens.tokens[ids[place]] for place in chosen]

    tell = Teller(progress)
    # The mean is taken off: a direction that all rows share would hide what tells them apart.
    centred = (rows - torch.from_numpy(table.vectors[ids].mean(0))).numpy()
    spaces = (centred, dense_codes(data, report.pos_dim))
    try:
        places = [
            layout(vectors, seed=report.seed, progress=tell.part(half / 2, 0.5))
            for half, vectors in enumerate(spaces)
        ]
    except Enough:
        return report
    points = tuple(
        MapPoint(
            ids[place],
            readable(data[i]),
            groups.get(place, ""),
            *(round(float(value), 4) for value in (*places[0][i], *places[1][i])),
        )
        for i, place in enumerate(chosen)
    )
    return replace(report, points=points, seconds=report.seconds + time.perf_counter() - started)


def dense_codes(data: Sequence[bytes], pos_dim: int) -> NDArray[np.float32]:
    """Codes of strings, without the cells that none of them lights: ``(n, lit cells)``."""
    cells = [codec.cells(string, pos_dim) for string in data]
    lit, columns = np.unique(np.concatenate(cells), return_inverse=True)
    codes = np.zeros((len(data), len(lit)), np.float32)
    lengths = [len(own) for own in cells]
    rows = np.repeat(np.arange(len(data)), lengths)
    codes[rows, columns] = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths)
    return codes


class _View:
    """The usable tokens of a table: their rows, their codes and their spelling."""

    def __init__(
        self,
        vectors: NDArray[np.float32],
        tokens: TokenList,
        ids: Sequence[int],
        found: Lexicon,
        pos_dim: int,
    ):
        self.ids, self.spelling, self.pos_dim = ids, found, pos_dim
        self.data = [tokens.tokens[token] for token in ids]
        self.starts = [tokens.starts[token] for token in ids]
        self.rows = torch.from_numpy(vectors[np.asarray(ids)])
        self.units = F.normalize(self.rows, dim=1)
        self.codes = CodeTable.of(TokenBytes.of(self.data), pos_dim)

    def nearest(self, place: int, space: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Places and cosines of the nearest tokens of one, itself left out."""
        if space == "table":
            similar = (self.units @ self.units[place]).double().numpy()
        else:
            similar = self.codes.similarities(self.data[place])
        similar[place] = -np.inf
        near = top(similar, min(NEAREST, len(similar) - 1))
        return near, similar[near]

    def neighbors(self, place: int, space: str) -> tuple[Neighbor, ...]:
        """The same as results."""
        return tuple(
            Neighbor(
                self.ids[near],
                readable(self.data[near]),
                self.data[near].hex(),
                float(cosine),
                self.spelling.relation(place, near),
            )
            for near, cosine in zip(*self.nearest(place, space), strict=True)
        )


def usable(table: VectorTable, tokens: TokenList) -> tuple[list[int], list[str]]:
    """Ids that have bytes and a row that can be compared, and what was left out."""
    rows, problems = len(table.vectors), []
    if table.rows < len(tokens):
        raise InputError(
            f"The table has {table.rows:,} rows and the token list {len(tokens):,} tokens, so they "
            "belong to different models; choose both from one."
        )
    if rows < table.rows:
        problems.append(f"Of {table.rows:,} rows the first {rows:,} are read, as many as fit.")
    if table.rows > len(tokens):
        spare = table.rows - len(tokens)
        problems.append(f"{spare:,} rows at the end have no token and are left out.")
    count = min(rows, len(tokens))
    lengths = np.linalg.norm(table.vectors[:count].astype(np.float64, copy=False), axis=1)
    broken = ~np.isfinite(lengths)
    # A norm in float32 units: a square that overflows belongs to a row that cannot be compared.
    fine = np.isfinite(lengths) & (lengths > 0) & (lengths < 1e18)
    if broken.any():
        first = int(np.flatnonzero(broken)[0])
        problems.append(
            f"{int(broken.sum()):,} rows hold numbers that are not finite (the first is row "
            f"{first:,}) and are left out."
        )
    if (lengths == 0).any():
        problems.append(f"{int((lengths == 0).sum()):,} rows are all zero and are left out.")
    ids = [token for token in range(count) if fine[token] and tokens.tokens[token]]
    if len(ids) < MIN_TOKENS:
        raise InputError(
            f"Only {len(ids)} tokens have both bytes and a row of finite numbers; that is too few "
            "to compare."
        )
    return ids, problems


def _bucket(view: _View, bucket: str, rng: np.random.Generator, seed: int) -> Bucket:
    pairs = pairs_of(bucket, view.spelling, PAIRS, rng)
    if not pairs:
        return Bucket(bucket, 0, 0, None, None, None, ())
    first, second = torch.tensor(pairs).T
    mean = view.rows.mean(0)
    columns = [
        F.cosine_similarity(view.rows[first].double(), view.rows[second].double()).numpy(),
        F.cosine_similarity(
            (view.rows[first] - mean).double(), (view.rows[second] - mean).double()
        ).numpy(),
        np.array([codec.similarity(view.data[a], view.data[b], view.pos_dim) for a, b in pairs]),
    ]
    table, centred, code = bootstrap_intervals(np.stack(columns, 1), seed)
    same = sum(view.data[a] == view.data[b] for a, b in pairs)
    examples = tuple((readable(view.data[a]), readable(view.data[b])) for a, b in pairs[:6])
    return Bucket(bucket, len(pairs), same, table, centred, code, examples)


def _shares(view: _View, rng: np.random.Generator, seed: int, tell: Teller) -> tuple[Share, ...]:
    words = np.array(view.spelling.words, np.int64)
    if not len(words):
        return ()
    probed = np.sort(rng.choice(words, min(PROBED, len(words)), replace=False)).tolist()
    counted: dict[str, list[list[float]]] = {space: [] for space in SPACES}
    for done, place in enumerate(probed):
        if not tell(0.4 + 0.5 * done / len(probed)):
            break
        for space in SPACES:
            near, _ = view.nearest(place, space)
            marks = [view.spelling.relation(place, other) for other in near.tolist()]
            counted[space].append([marks.count(name) / len(marks) for name in RELATIONS])
    return tuple(
        Share(space, len(shares), *bootstrap_intervals(shares, seed))
        for space, shares in counted.items()
        if shares
    )


def _asked(view: _View, words: Sequence[str]) -> tuple[tuple[Asked, ...], list[str]]:
    found, missing = [], []
    for word in words:
        place = _place(view, word)
        if place is None:
            missing.append(f"«{word}»")
            continue
        near = [view.neighbors(place, space) for space in SPACES]
        data = view.data[place]
        found.append(Asked(word, view.ids[place], readable(data), data.hex(), near[0], near[1]))
    return tuple(found), missing


def _place(view: _View, word: str) -> int | None:
    """The token of a word: the one that begins a word, else any with these bytes."""
    data = word.encode()
    places = [i for i, own in enumerate(view.data) if own in (data, b" " + data)]
    return max(places, key=lambda i: (view.starts[i], -i), default=None)


def _anisotropy(rows: torch.Tensor, rng: np.random.Generator, seed: int) -> Anisotropy:
    lengths = rows.double().norm(dim=1)
    pairs = torch.from_numpy(rng.integers(0, len(rows), (RANDOM_PAIRS, 2)))
    first, second = pairs[pairs[:, 0] != pairs[:, 1]].T
    cosines = F.cosine_similarity(rows[first].double(), rows[second].double())
    drawn = np.sort(rng.choice(len(rows), min(SPECTRUM_ROWS, len(rows)), replace=False))
    axes = _spectrum(rows[torch.from_numpy(drawn)], seed)
    return Anisotropy(
        cosine=bootstrap_intervals(cosines[:, None].numpy(), seed, 500)[0],
        mean_share=float(rows.double().mean(0).norm() / lengths.mean()),
        first_axis=axes[0],
        ten_axes=sum(axes),
        norm_mean=float(lengths.mean()),
        norm_deviation=float(lengths.std()),
    )


def _spectrum(rows: torch.Tensor, seed: int) -> list[float]:
    """Shares of the variance along the first principal axes."""
    centred = rows - rows.mean(0)
    total = float(centred.double().square().sum())
    count = min(SPECTRUM_AXES, *rows.shape)
    if not total:
        return [0.0] * count
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Some axes more than are asked for, so that the last of them is exact too.
        size = min(count + 10, *rows.shape)
        _, values, _ = torch.svd_lowrank(centred, q=size, niter=6)
    return [float(value) ** 2 / total for value in values[:count]]


def _mapped(
    report: CrossModelReport, ids: Sequence[int], found: Lexicon, count: int
) -> tuple[list[int], dict[int, str]]:
    """Places of the tokens on the map, and the asked word of those that are a form of one."""
    groups: dict[int, str] = {}
    for asked in report.asked:
        for place, form in enumerate(found.forms):
            if form == asked.word:
                groups.setdefault(place, asked.word)
    at = {token: place for place, token in enumerate(ids)}
    near = [at[n.id] for asked in report.asked for n in (*asked.table, *asked.code)]
    first = list(dict.fromkeys([*groups, *near]))[:count]
    rest = np.setdiff1d(np.arange(len(ids)), first)
    drawn = np.random.default_rng(report.seed).choice(rest, count - len(first), replace=False)
    return sorted([*first, *drawn.tolist()]), groups


def _checked_words(words: Sequence[str]) -> list[str]:
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        raise InputError("The words must be a list of texts.")
    found = list(dict.fromkeys(clean_text(word).strip().lower() for word in words if word.strip()))
    if len(found) > MAX_WORDS:
        raise InputError(f"There are {len(found)} words; give at most {MAX_WORDS}.")
    long = next((word for word in found if len(word.encode()) > MAX_WORD_BYTES), None)
    if long:
        raise InputError(f"«{long[:20]}…» is longer than {MAX_WORD_BYTES} bytes; give words.")
    return found
