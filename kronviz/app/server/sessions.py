"""What Gradio keeps of a visitor: here next to nothing, because a view lives in its link.

Gradio writes the whole page down anew for every visitor and for every call to an endpoint, so that
it can make a deep link of it. This app has no such links; without them a visitor costs no time,
and a thousand of them little memory.
"""

from __future__ import annotations

import copy

import gradio as gr
from gradio.state_holder import SessionState, StateHolder

CAPACITY = 1_000


class Sessions(StateHolder):
    """Gradio's sessions for an app, each made from one pattern."""

    def __init__(self, blocks: gr.Blocks):
        super().__init__()
        # First of all: from `set_blocks` on, requests that are under way ask here.
        self._pattern = SessionState(blocks)
        self.set_blocks(blocks)

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            session = copy.copy(self._pattern)
            # What it holds is the visitor's own; of the page nothing is written down yet.
            for name, value in vars(session).items():
                vars(session)[name] = {} if isinstance(value, dict) else copy.copy(value)
            self.session_data[session_id] = session
        return super().__getitem__(session_id)
