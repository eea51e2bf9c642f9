"""Every name of Gradio that the app uses and that Gradio's documentation does not promise.

Each has the reason why it is used. A name that is in use but not in `PRIVATE` fails a test, as does
one that Gradio has renamed; see ``tests/test_gradio.py``. Known to pass: `PASSES`.
"""

from __future__ import annotations

PASSES = ("6.31.0",)
"""Versions of Gradio with which all tests pass."""

PRIVATE = {
    "gradio.blocks.Blocks._queue": "how many wait for a kind of work is asked before one more does",
    "gradio.blocks.Blocks.fns": "a request names a listener by number; its values are counted",
    "gradio.blocks.Blocks.get_api_info": "arguments of an endpoint and their defaults",
    "gradio.context.Context.block": "what a view does when its tab is opened",
    "gradio.context.LocalContext.blocks": "the app that a listener runs in",
    "gradio.processing_utils.async_ssrf_protected_get": "replaced: no address is ever fetched",
    "gradio.queueing.Queue.event_queue_per_concurrency_id": "a visitor's place in the queue",
    "gradio.queueing.Queue.active_jobs": "whether the visitor of a run still waits for it",
    "gradio.queueing.Queue.clean_events": "runs of a visitor who has left end at once",
    "gradio.queueing.Queue.event_ids_to_events": "whether a stream of answers is held here",
    "gradio.queueing.Queue.pending_event_ids_session": "the same",
    "gradio.queueing.Queue.pending_messages_per_session": "the same",
    "gradio.queueing.Queue.remove_from_queue": "a visitor leaves the queue",
    "gradio.queueing.Queue.send_message": "whoever left the queue is told so",
    "gradio.queueing.Event.session_hash": "whose run waits",
    "gradio.queueing.Event.fn": "which run waits",
    "gradio.queueing.Event.alive": "whether the visitor of a run still waits for it",
    "gradio.queueing.Event._id": "the name by which a run leaves the queue",
    "gradio.queueing.EventQueue.current_concurrency": "whether a run would start at once",
    "gradio.queueing.EventQueue.queue": "who waits, in order",
    "gradio.server_messages.ProcessCompletedMessage": "the message that ends a run that has left",
    "gradio.state_holder.SessionState": "a visitor's state, of which one pattern is made",
    "gradio.state_holder.StateHolder.set_blocks": "visitors' states are made from one pattern",
    "gradio.state_holder.StateHolder.session_data": "the same",
    "gradio.mcp.GradioMCPServer.tool_to_endpoint": "a tool is called what its endpoint is",
    "gradio.mcp.GradioMCPServer.get_input_schema": "tools that take files are left out",
    "gradio.mcp.GradioMCPServer.tool_prefix": "the same names as in Gradio's list",
    "gradio.mcp.GradioMCPServer.postprocess_output_data": "replaced: tools answer in JSON",
    "gradio.mcp.GradioMCPServer._execute_tool_without_progress": "replaced: a call waits without a "
    "thread, and ends when its agent has left",
    "gradio.mcp.GradioMCPServer._execute_tool_with_progress": "the same",
}
