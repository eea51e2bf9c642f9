"""The names of the map's spaces: by model, or as the visitor's own table."""

from __future__ import annotations

from typing import Protocol

from kronviz.app.components import Markup, arm_name, element
from kronviz.maps.spaces import TABLE, TABLE_CODE


class InSpace(Protocol):
    """Any result that belongs to a space."""

    @property
    def space(self) -> str: ...

    @property
    def arm(self) -> str: ...


def is_own_model(space: str) -> bool:
    """Return whether a space belongs to a visitor's own table."""
    return space.startswith((TABLE, TABLE_CODE))


def name_of(side: InSpace) -> Markup:
    """Return the name of a space in a sentence: its model, or “your table”."""
    if not is_own_model(side.space):
        return arm_name(side.arm)
    name = "your table" if side.space.startswith(TABLE) else "its byte code"
    return element("span", name, class_="kv-arm-name", data_arm=side.arm)


def heading(side: InSpace, title: str) -> Markup:
    """Return the heading of a space's panel."""
    more = "" if is_own_model(side.space) else f", {title}"
    return element("h3", name_of(side), more, class_="kv-heading")
