"""The endpoints as tools for agents, over MCP: Gradio's server, answering in JSON."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import gradio as gr


def available() -> bool:
    """Whether the package is installed that speaks MCP."""
    return importlib.util.find_spec("mcp") is not None


def answer_in_json(app: gr.Blocks) -> None:
    """Let the MCP server of a launched app write results as JSON.

    Gradio writes a dictionary as Python does, with single quotes and ``None``.
    """
    server = getattr(app, "mcp_server_obj", None)
    if server is None:
        return
    text = server.types.TextContent

    def written(data: list[Any], root_url: str) -> list[Any]:
        return [text(type="text", text=json.dumps(part, ensure_ascii=False)) for part in data]

    server.postprocess_output_data = written
