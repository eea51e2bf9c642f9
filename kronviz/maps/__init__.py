"""Maps: vectors of many dimensions laid out in two, and how far such a picture can be trusted.

Notable:

- Neighbours are exact, in the original space; only what is drawn is an approximation.
- umap-learn is imported when something new is laid out, never before: the import takes seconds.
"""

from __future__ import annotations

from kronviz.maps.nearest import Nearest, nearest
from kronviz.maps.umap_layout import layout

__all__ = ["Nearest", "layout", "nearest"]
