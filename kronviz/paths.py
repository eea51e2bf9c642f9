"""Where the files lie that come with the package.

In a checkout they stand beside it, where people look for them; in an installation inside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


ASSETS = _folder("assets")
CHECKPOINTS = _folder("checkpoints")
