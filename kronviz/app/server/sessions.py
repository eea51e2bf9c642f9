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
        self.capacity = CAPACITY

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            session = copy.copy(self._pattern)
            session.blocks_config = copy.copy(self.blocks.default_config)
            session.config_values, session.state_data, session._state_ttl = {}, {}, {}
            self.session_data[session_id] = session
        return super().__getitem__(session_id)
