"""The endpoints as tools for agents, over MCP: Gradio's server, answering in JSON."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from typing import Any

import gradio as gr

from kronviz.app.server.queueing import abandon, left

_endings: set[asyncio.Task[None]] = set()
_LOOK_S = 0.5
"""How often it is looked whether an agent is gone."""


def available() -> bool:
    """Whether the package is installed that speaks MCP."""
    return importlib.util.find_spec("mcp") is not None


def serve_tools(app: gr.Blocks) -> None:
    """Let the MCP server of a launched app list what an agent can call, and answer in JSON.

    A tool is called what its endpoint is. An endpoint that takes uploaded files is none: an agent
    has no way to upload. Gradio writes a dictionary as Python does, with single quotes and
    ``None``; here results are JSON.
    """
    server = getattr(app, "mcp_server_obj", None)
    if server is None:
        return
    text = server.types.TextContent

    async def waited(job: Any, *_: Any) -> list[Any]:
        """Wait for a call without a thread of its own; one whose agent has left ends soon.

        Gradio waits in one of its forty threads, which serve files, too, and lets the run go on.
        """
        request = server.mcp_server.request_context.request
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        job.future.add_done_callback(lambda _: loop.call_soon_threadsafe(done.set))
        try:
            while not done.is_set():
                try:
                    await asyncio.wait_for(done.wait(), _LOOK_S)
                except TimeoutError:
                    if request is not None and await request.is_disconnected():
                        raise ConnectionError from None
        except (ConnectionError, asyncio.CancelledError):
            event = str(job.communicator.event_id) if job.communicator else ""
            job.future.add_done_callback(lambda _: left.discard(event))
            ending = asyncio.create_task(abandon(app._queue, event))
            _endings.add(ending)
            ending.add_done_callback(_endings.discard)
            raise
        return [job.result()]

    def written(data: list[Any], root_url: str) -> list[Any]:
        return [text(type="text", text=json.dumps(part, ensure_ascii=False)) for part in data]

    server.postprocess_output_data = written
    server._execute_tool_without_progress = waited
    server._execute_tool_with_progress = waited
    takes_files = {name for name in server.tool_to_endpoint if server.get_input_schema(name)[1]}
    # Gradio names a tool after the Python function, and two of one name apart.
    server.tool_to_endpoint = {
        server.tool_prefix + endpoint.lstrip("/"): endpoint
        for name, endpoint in server.tool_to_endpoint.items()
        if name not in takes_files
    }
