"""Paths of the files that come with the package.

In a checkout they are beside the package; in an installation they are inside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


ASSETS = _folder("assets")
CHECKPOINTS = _folder("checkpoints")
