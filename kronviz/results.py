"""Converts every result, a frozen data class, to JSON and back."""

from __future__ import annotations

import functools
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

Result = TypeVar("Result")


def to_dict(result: object) -> dict[str, Any]:
    """Return a result as plain dicts, lists, strings and numbers, ready for ``json.dumps``."""
    return _adapter(cast(Any, type(result))).dump_python(result, mode="json")


def to_json(result: object, indent: int | None = None) -> str:
    """Return a result as JSON. Infinities and NaN become ``null``."""
    return _adapter(cast(Any, type(result))).dump_json(result, indent=indent).decode()


def from_json(cls: type[Result], text: str | bytes) -> Result:
    """Return the result that `to_json` wrote; `pydantic.ValidationError` for any other text."""
    return _adapter(cast(Any, cls)).validate_json(text)


@functools.cache
def _adapter(cls: Any) -> TypeAdapter:
    return TypeAdapter(cls)
