"""Redraw what a page shows of the chosen models when others are chosen.

Until then the page dims the old figures (``stale`` in ``assets/kronviz.js``), which would be wrong
under the name of the new models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import gradio as gr

from kronviz.app.components.links import hidden_text
from kronviz.app.components.run_controls import QUIET

STORED, ANSWER = "kv-of-models", "kv-answer-of-models"


class Redrawn:
    """The parts that show stored figures of the chosen models.

    One call draws all of them, since Gradio's page asks the listeners of an event one after
    another.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[Callable[..., Any], Sequence[Any], Sequence[Any]]] = []

    def add(self, draw: Callable[..., Any], outputs: Sequence[Any], *inputs: Any) -> None:
        """Add parts of a view.

        Args:
            draw: maps the name of the models and the values of ``inputs`` to the values of
                ``outputs``; to the value itself if there is one output.
        """
        _name(outputs, STORED)
        self._parts.append((draw, inputs, outputs))

    def begin(self, pair: gr.Radio) -> None:
        """Dim all parts when other models are chosen. Call before all views, to be the first."""
        self._chosen, self._drawn = hidden_text(), hidden_text()
        # Gradio may tell of the same choice twice.
        take = "(models, last) => { if (models !== last) window.kronviz?.stale(); return models; }"
        pair.change(None, [pair, self._chosen], self._chosen, js=take, **QUIET)

    def connect(self) -> None:
        """Redraw all parts when other models are chosen. Call after all views."""
        self._chosen.render()
        self._drawn.render()

        def redraw(models: str, *values: Any) -> list[Any]:
            given = iter(values)
            drawn: list[Any] = []
            for draw, inputs, outputs in self._parts:
                new = draw(models, *islice(given, len(inputs)))
                drawn += [new] if len(outputs) == 1 else new
            return [*drawn, models]

        every = [one for _, inputs, _ in self._parts for one in inputs]
        shown = [part for _, _, outputs in self._parts for part in outputs]
        # A separate event does not wait for the views' own requests.
        drawn = self._chosen.change(
            redraw, [self._chosen, *every], [*shown, self._drawn], queue=False, **QUIET
        )
        _brighten(drawn, self._chosen, self._drawn, f".{STORED}")


def answers(parts: Sequence[Any], pair: Any = None, of: Any = None, *drawn: Any) -> None:
    """Dim parts that a view draws itself until it has done so for the chosen models.

    Args:
        parts: components with an ``elem_id``. Without the other arguments, the page notices that
            the number of the question in a part (``data-seq``) has changed.
        pair: the choice of models.
        of: a `hidden_text`, the last output of the listeners that draw the parts
            (`naming_models`).
        drawn: what Gradio returned for those listeners.
    """
    _name(parts, ANSWER)
    for listener in drawn:
        _brighten(listener, pair, of, ", ".join(f"#{part.elem_id}" for part in parts))


def naming_models(draw: Callable[..., Any], place: int = -1) -> Callable[..., tuple[Any, ...]]:
    """Return a function that returns, after the values of ``draw``, the models it drew them for.

    Args:
        place: which argument of ``draw`` that is.
    """

    def drawn(*state: Any) -> tuple[Any, ...]:
        made = draw(*state)
        return *(made if isinstance(made, tuple) else (made,)), state[place]

    return drawn


def _brighten(drawn: Any, chosen: Any, of: gr.Textbox, parts: str) -> None:
    """End the dimming of parts; if others have been chosen meanwhile, leave it to their answer."""
    now = f"window.kronviz?.fresh({json.dumps(parts)})"
    then = f"(chosen, of) => {{ if ((chosen ?? '') === (of ?? '')) {now}; }}"
    drawn.then(None, [chosen, of], None, js=then, **QUIET)


def _name(parts: Sequence[Any], name: str) -> None:
    for part in parts:
        part.elem_classes = [*(part.elem_classes or []), name]
