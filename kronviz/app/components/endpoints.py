"""What all endpoints have in common: arguments of any JSON type are checked, a refusal is one
sentence, an answer is plain dicts and lists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from kronviz.app.components.html import clean_text
from kronviz.app.components.runs import failure, lane
from kronviz.predictor import InputError
from kronviz.results import to_dict

Answer = dict[str, Any]
MAX_SEED = 2**31 - 1


def answer(ask: Callable[[], object], queue: str | None = None) -> Any:
    """What an endpoint returns: the result, ready for JSON.

    Args:
        queue: whose lane a long run holds; see `runs.Lane`.

    Raises:
        gr.Error: there is no answer; its message is one sentence that says why.
    """
    try:
        found = ask() if queue is None else lane(queue).alone(ask)
        return found if isinstance(found, dict | list) else to_dict(found)
    except BaseException as error:
        raise gr.Error(failure(error), print_exception=False) from None


def typed(value: object, name: str) -> str:
    """A checked text; `InputError` by its name if it is none."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text in quotes.")
    return clean_text(value)


def texts(values: object, name: str) -> list[str]:
    """A checked list of texts, empty for nothing."""
    return [typed(value, f"each of the {name}") for value in listed(values, name)]


def listed(values: object, name: str) -> list[Any]:
    """A checked list, empty for nothing."""
    if values is not None and not isinstance(values, list):
        raise InputError(f"{name} must be a list.")
    return values or []
