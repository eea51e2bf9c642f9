"""Shared parts of all endpoints: arguments of any JSON type are checked, a refusal is one sentence,
and an answer is plain dicts and lists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from kronviz.app.components.html import clean_text
from kronviz.app.components.runs import QUEUE, failure, lane
from kronviz.app.server.queueing import offer, still_there
from kronviz.predictor import InputError, Predictor
from kronviz.progress import Progress
from kronviz.results import to_dict
from kronviz.settings import endpoint

Answer = dict[str, Any]
PAIR = {"pair": (str, "", "Which pair of models is asked; empty for the default pair")}
"""The argument that most endpoints take in addition to a probe's settings."""


def answer(ask: Callable[[], object], queue: str | None = None) -> Any:
    """Call ``ask`` and return its answer as an endpoint gives it, ready for JSON.

    Args:
        queue: the queue whose lane a long run holds; see `runs.Lane`.

    Raises:
        gr.Error: there is no answer; the message is one sentence that says why.
    """
    try:
        result = ask() if queue is None else lane(queue).alone(ask, still_there())
        return result if isinstance(result, dict | list) else to_dict(result)
    except BaseException as error:
        raise gr.Error(failure(error), print_exception=False) from None


def of_pair(
    models: Callable[[str | None], Predictor],
    ask: Callable[[Predictor, Any], object],
    queue: str | None = None,
) -> Callable[..., Any]:
    """Return the function that `settings.endpoint` calls to ask one pair of models; see `PAIR`.

    Args:
        models: maps the name of a pair to its models, see `Context.predictor`.
        ask: maps models and checked settings to a result.
        queue: as for `answer`.
    """

    def asked(checked: Callable[[], Any], pair: str = "") -> Any:
        return answer(lambda: ask(models(optional(pair, "pair")), checked()), queue)

    return asked


def publish(
    models: Callable[[str | None], Predictor],
    settings: type,
    run: Callable[[Predictor, Any, Progress], object],
    name: str,
    says: str,
    queue: str | None = QUEUE,
) -> None:
    """Publish a probe for programs and agents. Call inside a `gr.Blocks`.

    Args:
        models: as for `of_pair`.
        settings: the probe's settings class; the endpoint's arguments are made from it.
        run: maps models, settings and a progress to a result.
        says: a description of the probe and its answer.
        queue: the queue whose lane a long run holds; ``None`` for a quick one.
    """
    asked = of_pair(models, lambda predictor, given: run(predictor, given, still_there()), queue)
    add_endpoint(endpoint(settings, asked, name, says, PAIR), queue or name)


def add_endpoint(function: Callable[..., Any], queue: str, limit: int = 1) -> None:
    """Publish a function of plain values under its own name. Call inside a `gr.Blocks`.

    Args:
        queue: the queue in which calls wait.
        limit: number of calls answered at a time.
    """
    name = function.__name__
    published = offer(function, name, queue)
    gr.api(published, api_name=name, concurrency_limit=limit, concurrency_id=queue)


def optional(value: object, name: str) -> str:
    """Return a text, empty for ``None``; `InputError` names a value that is not a text."""
    return "" if value is None else typed(value, name)


def typed(value: object, name: str) -> str:
    """Return a value that has to be a text; `InputError` names it if it is not."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text in quotes.")
    return clean_text(value)
