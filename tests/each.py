"""One test over several things of one kind, such as arms or encoders."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def on_each(name: str, kinds: Iterable[str] | Mapping[str, Any]) -> Callable:
    """Return a decorator that calls a test with each value as the argument ``name``.

    The calls are one test: fixtures are shared, and the error of a failure names the kind.
    """
    values = kinds if isinstance(kinds, Mapping) else {kind: kind for kind in kinds}

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def each(**fixtures: Any) -> None:
            for kind, value in values.items():
                try:
                    test(**fixtures, **{name: value})
                except BaseException as error:
                    error.add_note(f"{name}: {kind}")
                    raise

        signature = inspect.signature(test)
        rest = [one for one in signature.parameters.values() if one.name != name]
        each.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        return each

    return decorate
