"""One test over several things of one kind, such as arms or encoders."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def on_each(name: str, values: Iterable[Any]) -> Callable:
    """Return a decorator that runs a test on each value, given as the argument ``name``.

    They are one test, with the same fixtures; the error of a failure names the value.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def each(**fixtures: Any) -> None:
            for value in values:
                try:
                    test(**fixtures, **{name: value})
                except BaseException as error:
                    error.add_note(f"{name}: {getattr(value, '__name__', value)}")
                    raise

        signature = inspect.signature(test)
        rest = [one for one in signature.parameters.values() if one.name != name]
        each.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        return each

    return decorate
