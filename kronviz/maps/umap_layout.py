"""Lays out any vectors by UMAP, reproducibly.

Notable:

- The neighbours are exact (`nearest`) and the layout starts from the two main axes, so the seed is
  the only source of chance.
- Progress is read from umap-learn's progress bar, which writes to a stream of ours.
- One layout at a time: numba's thread pools abort if two run at once.
- umap-learn is compiled once per process, which cannot be stopped. It happens in a thread of its
  own (`compile_ahead`), and a layout that waits for it can be stopped. It takes about ten seconds
  the first time; machine code of the slowest parts is then kept on disk, as umap-learn keeps more.
"""

from __future__ import annotations

import re
import threading
import warnings
from concurrent.futures import Future, wait
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kronviz.maps.nearest import Nearest, nearest
from kronviz.progress import LOOK_S, Progress, holding, part, tell

SEARCH_SHARE = 0.3
"""The search for neighbours as a share of a layout's progress."""
SPREAD = 10.0
ROWS = 256
EXACT_DIMS = 1024
"""Up to so many dimensions the main axes are computed exactly."""
TRIED, ITERATIONS = 12, 9
"""For more dimensions, the size of the iterated subspace, and the number of iterations."""
EPOCHS, MANY = 200, 1000
"""Epochs for more than `MANY` points; for fewer, umap-learn's own 500."""
_one_at_a_time, _compiling = threading.Lock(), threading.Lock()
_compiled: Future[None] | None = None


def layout(
    vectors: NDArray[np.floating],
    *,
    neighbors: int = 15,
    min_dist: float = 0.1,
    seed: int = 1,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> NDArray[np.float32]:
    """Lay out vectors on a plane by UMAP with cosine distance.

    The same vectors and arguments give the same picture. The first call waits for `compile_ahead`.
    Time grows with ``n² d``; 50,000 vectors take a minute.

    Args:
        vectors: shape ``(n, d)``.
        neighbors: UMAP's ``n_neighbors``, at most ``n - 1``.
        min_dist: how close points may lie, 0 to 1.
        seed: seed of the layout.
        progress: called with the share done.
        overwrite: use float32 vectors as working memory, so that they need no second copy.

    Returns:
        Coordinates, float32, shape ``(n, 2)``.

    Raises:
        ValueError: the shape is not ``(n, d)``, a value is not finite, or an argument is out of
            range.
        Stopped: ``progress`` returned ``False``.
    """
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2:
        raise ValueError(f"vectors have shape {vectors.shape}; they must be (n, d)")
    if neighbors < 2:
        raise ValueError(f"neighbors is {neighbors!r}; it must be at least 2")
    if not 0 <= min_dist <= 1:
        raise ValueError(f"min_dist is {min_dist!r}; it must be 0 to 1")
    if len(vectors) < 4:
        return main_axes(vectors, seed)

    search = part(progress, 0, SEARCH_SHARE)
    optimization = part(progress, SEARCH_SHARE, 1 - SEARCH_SHARE)
    most = min(neighbors, len(vectors) - 1) - 1 or 1
    near = nearest(vectors, most, search, overwrite=overwrite)
    start = main_axes(vectors, seed, optimization, overwrite=overwrite)
    return lay_out(near, start, min_dist, seed, optimization)


def lay_out(
    near: Nearest,
    start: NDArray[np.float32],
    min_dist: float = 0.1,
    seed: int = 1,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Lay out points whose neighbours are known.

    Args:
        near: the neighbours of every point.
        start: the initial coordinates, float32, shape ``(n, 2)``.
        min_dist, seed, progress: as for `layout`.

    Returns:
        Coordinates, float32, shape ``(n, 2)``.
    """
    ready = compile_ahead()
    while not ready.done():
        tell(progress, 0)
        wait([ready], LOOK_S)
    ready.result()
    with holding(_one_at_a_time, progress):
        return _optimized(near, start, min_dist, seed, progress)


def compile_ahead() -> Future[None]:
    """Import and compile umap-learn in a thread of its own, at the first call.

    Returns:
        A future that is done when umap-learn is compiled, or has the error if that failed.
    """
    global _compiled
    with _compiling:
        if _compiled is None:
            _compiled = Future()
            threading.Thread(target=_compile, args=[_compiled], daemon=True).start()
        return _compiled


def _compile(done: Future[None]) -> None:
    try:
        points = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from umap.umap_ import compute_membership_strengths, smooth_knn_dist
        smooth_knn_dist.enable_caching()
        compute_membership_strengths.enable_caching()
        _optimized(nearest(points, 7), main_axes(points), 0.1, 1, None)
    except BaseException as error:
        done.set_exception(error)
    else:
        done.set_result(None)


def _optimized(
    near: Nearest,
    start: NDArray[np.float32],
    min_dist: float,
    seed: int,
    progress: Progress | None,
) -> NDArray[np.float32]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        # umap-learn counts a point among its own neighbours.
        own = np.arange(len(start))[:, None]
        ids = np.hstack([own, near.ids]).astype(np.int32)
        distances = np.hstack([np.zeros_like(own), 1 - near.similarity.clip(-1, 1)])
        reducer = UMAP(
            n_neighbors=ids.shape[1],
            min_dist=min_dist,
            init=start,
            n_epochs=EPOCHS if len(start) > MANY else None,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(ids, distances.astype(np.float32), None),
            tqdm_kwds={"disable": False, "file": _Listener(progress), "mininterval": 0.1},
        )
        return np.asarray(reducer.fit_transform(start), np.float32)


def main_axes(
    vectors: NDArray[np.float32],
    seed: int = 1,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
) -> NDArray[np.float32]:
    """Project the directions of vectors on their two main axes, as a start for a layout.

    The signs of the axes are fixed, and a little noise separates points that coincide. Not
    scikit-learn's `PCA`: it works in float32, and a picture changes with the last digits of its
    start.

    Args:
        overwrite: as for `layout`.

    Returns:
        Coordinates within ±`SPREAD`, float32, shape ``(n, 2)``.

    Raises:
        Stopped: ``progress`` returned ``False``.
    """
    count = len(vectors)
    if not count:
        return np.zeros((0, 2), np.float32)
    units = vectors if overwrite else vectors.copy()
    for first in range(0, count, ROWS):
        # In blocks: NumPy's norm makes two copies of its argument.
        rows = units[first : first + ROWS]
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    units -= units.mean(0)
    axes = _two_axes(units, progress)
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    flat = np.zeros((count, 2))
    for first in range(0, count, ROWS):
        # In blocks: a product with float64 axes first converts all rows to float64.
        flat[first : first + ROWS, : axes.shape[1]] = units[first : first + ROWS] @ axes
    return spread_out(flat, seed)


def _two_axes(units: NDArray[np.float32], progress: Progress | None) -> NDArray[np.float64]:
    """Return the two main axes of centred vectors: float64, ``(d, 2)`` or fewer."""
    if units.shape[1] <= EXACT_DIMS:
        wide = units.astype(np.float64)
        _, axes = np.linalg.eigh(wide.T @ wide)
        return axes[:, ::-1][:, :2]
    # An eigendecomposition takes d³ operations; subspace iteration is linear in d.
    matrix = torch.from_numpy(units)
    basis = torch.randn(units.shape[1], TRIED, generator=torch.Generator().manual_seed(0))
    for step in range(2 * ITERATIONS):
        tell(progress, 0)
        basis, _ = torch.linalg.qr((matrix.T if step % 2 else matrix) @ basis)
    tell(progress, 0)
    _, _, rotation = torch.linalg.svd(matrix @ basis, full_matrices=False)
    return (basis @ rotation[:2].T).double().numpy()


def spread_out(flat: NDArray[np.floating], seed: int = 1) -> NDArray[np.float32]:
    """Return the coordinates scaled to ±`SPREAD`, with a little noise."""
    scaled = flat * (SPREAD / max(float(np.abs(flat).max(initial=0)), 1e-12))
    noise = np.random.default_rng(seed).normal(scale=SPREAD * 1e-5, size=flat.shape)
    return (scaled + noise).astype(np.float32)


class _Listener:
    """A stream for a progress bar that passes the share it reads on to a `Progress`."""

    def __init__(self, progress: Progress | None):
        self._progress = progress

    def write(self, text: str) -> int:
        counted = re.search(r"(\d+)\s*/\s*(\d+)", text)
        if counted:
            done, total = map(int, counted.groups())
            tell(self._progress, done, total)
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)
