"""What the spaces of the map are called: by their model, or as a table that the visitor brought."""

from __future__ import annotations

from typing import Protocol

from kronviz.app.components import Markup, arm_name, element
from kronviz.maps.spaces import TABLE, TABLE_CODE


class InSpace(Protocol):
    """Anything that was found in a space."""

    @property
    def space(self) -> str: ...

    @property
    def arm(self) -> str: ...


def is_own_model(space: str) -> bool:
    """Return whether a space is of a table that the visitor brought."""
    return space.startswith((TABLE, TABLE_CODE))


def name_of(found: InSpace) -> Markup:
    """Return what a space is called in a sentence: by its model, or as the visitor's own table."""
    if not is_own_model(found.space):
        return arm_name(found.arm)
    name = "your table" if found.space.startswith(TABLE) else "its byte code"
    return element("span", name, class_="kv-arm-name", data_arm=found.arm)


def heading(found: InSpace, title: str) -> Markup:
    """Return the head of a space's panel."""
    more = "" if is_own_model(found.space) else f", {title}"
    return element("h3", name_of(found), more, class_="kv-heading")
