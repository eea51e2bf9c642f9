"""What Gradio keeps of a visitor: here next to nothing, because a view lives in its link.

Gradio writes the whole page down anew for every visitor and for every call to an endpoint, so that
it can make a deep link of it. This app has no such links; without them a visitor costs no time,
and a thousand of them little memory.
"""

from __future__ import annotations

import copy
import functools

import gradio as gr
from gradio import state_holder

CAPACITY = 1_000
_Session = state_holder.SessionState


@functools.lru_cache(maxsize=4)
def _pattern(blocks: gr.Blocks) -> object:
    return _Session(blocks)


def session(blocks: gr.Blocks) -> object:
    """Return the state of a new visitor, made from one pattern."""
    made = copy.copy(_pattern(blocks))
    # What it holds is the visitor's own; of the page nothing is written down yet.
    for name, value in vars(made).items():
        vars(made)[name] = {} if isinstance(value, dict) else copy.copy(value)
    return made


def keep_little() -> None:
    """Have Gradio make its visitors' states here."""
    state_holder.SessionState = session  # type: ignore[assignment,misc]
