"""Maps: high-dimensional vectors laid out in two dimensions, with measures of faithfulness.

Notable:

- Neighbours are exact, in the original space; only the picture is an approximation.
- umap-learn is imported only when something new is laid out, because the import takes seconds.
"""

from __future__ import annotations

from kronviz.maps.nearest import Nearest, nearest
from kronviz.maps.umap_layout import layout

__all__ = ["Nearest", "layout", "nearest"]
