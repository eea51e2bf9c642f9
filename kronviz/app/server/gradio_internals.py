"""Every undocumented name of Gradio that the app uses, each with its reason.

A test fails if a name in use is not in `PRIVATE`, or if Gradio has renamed it; see
``tests/test_gradio.py``. `PASSES` lists the known good versions.
"""

from __future__ import annotations

PASSES = ("6.31.0",)
"""Versions of Gradio with which all tests pass."""

PRIVATE = {
    "gradio.block_function.BlockFunction.concurrency_id": "which queue a listener waits in",
    "gradio.block_function.BlockFunction.fn": "which of a visitor's runs waits",
    "gradio.blocks.Blocks._queue": "the queue, for all that follows",
    "gradio.blocks.Blocks.fns": "a request names a listener by number",
    "gradio.blocks.Blocks.server": "idle connections stay open longer than proxies keep theirs",
    "gradio.queueing.Event._id": "the name by which a run leaves the queue",
    "gradio.queueing.Event.fn": "which run waits",
    "gradio.queueing.Event.session_hash": "whose run waits",
    "gradio.queueing.EventQueue.queue": "who waits, in order: addresses take turns",
    "gradio.queueing.Queue.clean_events": "a visitor leaves the queue; runs of one who left end",
    "gradio.queueing.Queue.event_queue_per_concurrency_id": "the queue of one kind of work",
    "gradio.queueing.Queue.pending_event_ids_session": "a visitor is forgotten with all of it",
    "gradio.queueing.Queue.pending_messages_per_session": "replaced: who listens is kept",
    "gradio.server_messages.ProcessCompletedMessage": "the message to a visitor who left the queue",
    "gradio.state_holder.SessionState": "replaced: a visitor's state is made from one pattern",
}
