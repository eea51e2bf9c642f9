"""Draws, stores and reads the maps of a pair, and refuses stored maps of other weights.

Notable:

- A map is a safetensors file: one tensor, the coordinates in 16 bits, and in its header what the
  map shows. The same weights give the same bytes.
- A map stores the fingerprint of the arm that it was drawn from. A map of other weights is never
  shown: `read_map` refuses it in one sentence, and `draw_map` redraws it.
- All maps of a pair have the same orientation: each is rotated and mirrored to match bpe's.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from kronviz.checkpoint_files import FURTHER
from kronviz.maps.faithfulness import Faithfulness, faithfulness
from kronviz.maps.nearest import Nearest, nearest, top
from kronviz.maps.spaces import (
    TABLE,
    Codes,
    Space,
    Vectors,
    contents,
    space_of,
    table_of,
    vocabulary_of,
)
from kronviz.maps.umap_layout import lay_out, main_axes
from kronviz.paths import ASSETS
from kronviz.predictor import InputError, Predictor
from kronviz.progress import Progress, holding, part, tell
from kronviz.results import from_json, to_json
from kronviz.strings import positions

MAPS = ASSETS / "maps"
FORMAT = "kronviz-map-1"
NEIGHBORS, MIN_DIST, SEED = 15, 0.1, 1
STEPS = 65535
SKETCH = 256


class MapError(InputError):
    """A map is missing, damaged or of other weights; the message is one sentence for a user."""


@dataclass(frozen=True)
class MapFacts:
    """What a map shows, and how it was drawn.

    Attributes:
        vocabulary: the vocabulary whose tokens are on it, in order of id.
        fingerprint: that of the arm's weights, or of the code's shape.
        neighbors, min_dist, seed: UMAP's settings; the distance is cosine.
        tokens: number of tokens.
        faithfulness: how far the map can be trusted.
    """

    format: str
    space: str
    vocabulary: str
    fingerprint: str
    neighbors: int
    min_dist: float
    seed: int
    tokens: int
    faithfulness: Faithfulness


@dataclass(frozen=True)
class Map:
    """A picture of a space.

    Attributes:
        points: uint16, shape ``(n, 2)``: right and up, both in steps of the same size.
        stored: whether it was read from a file rather than drawn by this process.
    """

    facts: MapFacts
    points: NDArray[np.uint16]
    stored: bool

    @property
    def unit(self) -> NDArray[np.float32]:
        """Return coordinates from 0 to 1: float32, shape ``(n, 2)``."""
        return self.points.astype(np.float32) / np.float32(STEPS)


_drawn: dict[tuple[str, str, str], Map] = {}
_one_at_a_time = threading.Lock()


def map_file(predictor: Predictor, space: Space, folder: Path = MAPS) -> Path:
    """Return the path of a stored map."""
    return folder / predictor.pair.partition(FURTHER)[0] / f"{space.name}.safetensors"


def fingerprint(predictor: Predictor, space: Space) -> str:
    """Return twelve hex digits that change whenever the map must be redrawn; for a visitor's own
    model, its key.
    """
    if space.key:
        return space.key
    if not space.coded:
        return predictor.fingerprints.get(space.arm, "")
    shape = f"{vocabulary_of(predictor, space)} {positions(None, predictor)}"
    return hashlib.sha256(shape.encode()).hexdigest()[:12]


def read_map(predictor: Predictor, space: str, folder: Path = MAPS) -> Map:
    """Return the map of a space: the stored one, or one drawn by this process.

    Args:
        space: a name in `kronviz.maps.spaces.SPACES`.

    Raises:
        InputError: the pair has no such space.
        MapError: there is no map of these weights yet.
    """
    chosen = space_of(predictor, space)
    current = fingerprint(predictor, chosen)
    drawn = _in_memory(predictor, chosen)
    if drawn is not None:
        return drawn
    if chosen.key:
        raise MapError(f"The map of {chosen.title} has not been drawn yet; draw it here.")
    path = map_file(predictor, chosen, folder)
    command = f"python -m kronviz.maps --pair {predictor.pair} --space {chosen.name}"
    remedy = f"draw it here, or run “{command}”"
    name = f"{chosen.arm}, {chosen.title},"
    if not path.is_file():
        raise MapError(f"The map of {name} has not been drawn yet; {remedy}.")
    stored = _load(path)
    if stored.facts.fingerprint != current or not current:
        raise MapError(
            f"The map of {name} was drawn from other weights ({stored.facts.fingerprint}) than "
            f"those that answer here ({current or 'unknown'}); {remedy}."
        )
    if len(stored.points) != stored.facts.tokens or stored.facts.space != chosen.name:
        raise MapError(f"The file of the map of {name} is damaged; {remedy}.")
    # So that the file is not read again; a retrained pair has another fingerprint.
    _remember(predictor, chosen, stored)
    return stored


def draw_map(predictor: Predictor, space: str) -> Map:
    """Draw the map of a space again, and hold it in memory as long as the process runs.

    Takes a few seconds for 8,193 tokens on two cores, about half a minute for 50,257.
    """
    chosen = space_of(predictor, space)
    with _one_at_a_time:
        return _drawn_now(predictor, chosen, None)


def map_of(predictor: Predictor, space: str, progress: Progress | None = None) -> Map:
    """Return the map of a space, drawn now if there is none of these weights.

    Whoever asks while it is being drawn waits for it; it is drawn once.

    Args:
        progress: called with the share done.

    Raises:
        Stopped: ``progress`` returned ``False``.
    """
    chosen = space_of(predictor, space)
    try:
        return read_map(predictor, space)
    except MapError:
        with holding(_one_at_a_time, progress):
            return _in_memory(predictor, chosen) or _drawn_now(predictor, chosen, progress)


def _drawn_now(predictor: Predictor, space: Space, progress: Progress | None) -> Map:
    drawn = _draw(predictor, space, progress)
    _remember(predictor, space, drawn)
    return drawn


def _in_memory(predictor: Predictor, space: Space) -> Map | None:
    if space.key:
        drawn = table_of(space.key).maps.get(space.name)
        return drawn if isinstance(drawn, Map) else None
    return _drawn.get((predictor.pair, space.name, fingerprint(predictor, space)))


def _remember(predictor: Predictor, space: Space, drawn: Map) -> None:
    """Hold a map in memory; maps of a visitor's own model are freed with it."""
    if space.key:
        table_of(space.key).maps[space.name] = drawn
    else:
        _drawn[predictor.pair, space.name, drawn.facts.fingerprint] = drawn


def write_map(predictor: Predictor, drawn: Map, folder: Path = MAPS) -> Path:
    """Store a map; the same map gives the same bytes."""
    path = map_file(predictor, space_of(predictor, drawn.facts.space), folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"points": drawn.points}, path, {"facts": to_json(drawn.facts)})
    return path


def _draw(predictor: Predictor, space: Space, progress: Progress | None) -> Map:
    content = contents(predictor, space)
    neighbors = near(content, NEIGHBORS - 1, part(progress, 0, 0.25))
    start = main_axes(sketch(content), SEED)
    flat = lay_out(neighbors, start, MIN_DIST, SEED, part(progress, 0.25, 0.65))
    anchor = space_of(predictor, "bpe") if "bpe" in predictor.arms else None
    if space.key:
        anchor = space_of(predictor, TABLE + space.key)
    if anchor and anchor != space and not space.whole:
        flat = _turned(predictor, anchor, flat)
    points = _steps(flat)
    facts = MapFacts(
        FORMAT,
        space.name,
        vocabulary_of(predictor, space),
        fingerprint(predictor, space),
        NEIGHBORS,
        MIN_DIST,
        SEED,
        len(points),
        faithfulness(content, points.astype(np.float64), progress=part(progress, 0.9, 0.1)),
    )
    tell(progress, 1)
    return Map(facts, points, False)


def near(content: Vectors | Codes, k: int, progress: Progress | None) -> Nearest:
    """Return the exact nearest neighbours of all tokens of a space."""
    k = min(k, len(content) - 1)
    if isinstance(content, Vectors):
        return nearest(content.rows, k, progress)
    ids = np.empty((len(content), k), np.int64)
    similarity = np.empty((len(content), k), np.float32)
    for start in range(0, len(content), SKETCH):
        rows = np.arange(start, min(start + SKETCH, len(content)))
        block = content.similarities(content.own(rows))
        block[np.arange(len(rows)), rows] = -np.inf
        ids[rows] = top(block, k)
        similarity[rows] = np.take_along_axis(block, ids[rows], 1)
        tell(progress, int(rows[-1]) + 1, len(content))
    return Nearest(ids, similarity)


def sketch(content: Vectors | Codes) -> NDArray[np.float32]:
    """Return vectors with the main axes of the content: the rows, or random projections of the
    codes.
    """
    if isinstance(content, Vectors):
        rows: NDArray[np.float32] = content.rows.numpy()
        return rows
    columns, lengths = content.table.columns, content.table.lengths
    chance = np.random.default_rng(SEED)
    sums = np.zeros((len(content), SKETCH), np.float32)
    for column in columns:
        cells = chance.normal(size=(256, SKETCH)).astype(np.float32)
        filled = column >= 0
        sums[filled] += cells[column[filled]]
    return (sums / np.sqrt(np.maximum(lengths, 1))[:, None]).astype(np.float32)


def _turned(predictor: Predictor, anchor: Space, flat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a picture rotated and mirrored so that its tokens lie closest to the anchor's."""
    try:
        target = read_map(predictor, anchor.name).unit
    except MapError:
        return flat
    if len(target) != len(flat):
        return flat
    mean = flat.mean(0)
    left, _, right = np.linalg.svd((flat - mean).T @ (target - target.mean(0)))
    return ((flat - mean) @ (left @ right)).astype(np.float32)


def _steps(flat: NDArray[np.float32]) -> NDArray[np.uint16]:
    low, high = flat.min(0), flat.max(0)
    size = max(float((high - low).max()), 1e-9)
    # The shorter side is centred, so that both axes have the same scale.
    middle = (low + high) / 2
    unit = (flat - middle) / size + 0.5
    steps: NDArray[np.uint16] = np.rint(unit.clip(0, 1) * STEPS).astype(np.uint16)
    return steps


def _load(path: Path) -> Map:
    try:
        with safe_open(path, "numpy") as opened:
            facts = from_json(MapFacts, opened.metadata()["facts"])
            points = opened.get_tensor("points")
        if facts.format != FORMAT or points.dtype != np.uint16:
            raise ValueError
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        raise MapError(
            f"The file {path.parent.name}/{path.name} of the maps is damaged; restore it, or run "
            f"“python -m kronviz.maps --pair {path.parent.name}”."
        ) from None
    return Map(facts, points, True)
