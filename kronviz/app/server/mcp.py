"""The endpoints as MCP tools for agents, listed from the app's API and called like any endpoint.

Notable:

- The server is that of the `mcp` package. A call is a request to this app in the same process: it
  is checked, queued and answered like one over HTTP.
- An agent that leaves closes its connection, like any other visitor.
- A tool has the name of its endpoint. Endpoints that take uploaded files are not tools, because
  agents cannot upload.
- Gradio's own server stays, because the page uses it to tell visitors about MCP.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kronviz.app.server.bodies import MAX_INLINE, Refused
from kronviz.app.server.queueing import endpoints

PATH = "/gradio_api/mcp"
_LOOK_S = 0.5
"""Seconds between checks whether an agent has left."""
_ARGUMENT = re.compile(r"^    (\w+): (.+(?:\n {8,}.+)*)", re.MULTILINE)
_PASSED_ON = (b"host", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-for")

Information = Callable[[Scope], Awaitable[dict[str, Any]]]
"""Returns the named endpoints as in ``/gradio_api/info``, on behalf of a request."""


def available() -> bool:
    """Return whether the ``mcp`` package is installed."""
    return importlib.util.find_spec("mcp") is not None


async def ask(
    app: ASGIApp,
    scope: Scope,
    method: str,
    path: str,
    sent: object = None,
    gone: asyncio.Event | None = None,
) -> tuple[int, bytes]:
    """Send a request to this app; return the status and the body of its answer.

    Args:
        scope: scope of the request on whose behalf this one is sent.
        sent: the body, sent as JSON.
        gone: set once nobody waits for the answer any more.
    """
    body = b"" if sent is None else json.dumps(sent).encode()
    headers = [pair for pair in scope["headers"] if pair[0] in _PASSED_ON]
    headers += [(b"content-type", b"application/json")] if body else []
    headers += [(b"content-length", str(len(body)).encode())] if body else []
    own = {**scope, "method": method, "path": path, "raw_path": path.encode()}
    own |= {"query_string": b"", "headers": headers}
    parts, status, unread = [], 500, [body]

    async def receive() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    await app(own, receive, send)
    return status, b"".join(parts)


class Tools:
    """The MCP server: a web application for some paths below `PATH`, which passes on the rest.

    Args:
        app: application that answers the calls to endpoints.
        rest: application that answers all other requests.
        information: the endpoints.
        name: name of the server.
    """

    def __init__(self, app: ASGIApp, rest: ASGIApp, information: Information, name: str):
        from mcp.server.lowlevel import Server
        from mcp.server.sse import SseServerTransport
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        self._app, self._rest, self._information = app, rest, information
        self._server: Any = Server(name)
        self._server.list_tools()(self._tools)
        # The endpoint checks its values; checking a schema would block the event loop for seconds.
        self._server.call_tool(validate_input=False)(self._call)
        # The package's own limit is smaller than that of a call with files.
        self._lines = StreamableHTTPSessionManager(
            self._server, stateless=True, max_request_body_size=MAX_INLINE
        )
        self._events = SseServerTransport(f"{PATH}/messages/", max_request_body_size=MAX_INLINE)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Return the context in which the app runs; can be entered once."""
        return self._lines.run()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request below `PATH`."""
        below = scope["path"].removeprefix(PATH).strip("/")
        reads = b"text/event-stream" in dict(scope["headers"]).get(b"accept", b"")
        if below in ("schema", "sse") and scope["method"] != "GET":
            raise Refused(405, "This is read with GET.")
        if below == "schema":
            tools = [_written(tool) for tool in await self._chosen(Request(scope))]
            await JSONResponse(tools)(scope, receive, send)
        elif below == "sse":
            async with self._events.connect_sse(scope, receive, send) as (read, write):
                start = self._server.create_initialization_options()
                await self._server.run(read, write, start)
        elif below == "messages":
            await self._events.handle_post_message(scope, receive, send)
        elif below in ("", "http") and (scope["method"] != "GET" or reads):
            await self._lines.handle_request(scope, receive, send)
        else:
            await self._rest(scope, receive, send)

    async def _chosen(self, request: Request) -> list[Any]:
        """Return the tools named in the address, comma-separated, or all of them."""
        asked = request.query_params.get("tools", "")
        names = [_prefix() + name for name in asked.split(",")]
        tools = _described(await self._information(request.scope))
        known = {tool.name for tool in tools}
        if asked and (unknown := [name for name in names if name not in known]):
            raise Refused(404, f"There is no tool called {unknown[0][:40]!r}.")
        return [tool for tool in tools if not asked or tool.name in names]

    async def _tools(self) -> list[Any]:
        return await self._chosen(self._server.request_context.request)

    async def _call(self, name: str, arguments: dict[str, Any]) -> list[Any]:
        """Call an endpoint like a program, for as long as the agent waits."""
        from mcp.types import TextContent

        if name not in {tool.name for tool in await self._tools()}:
            raise ValueError(f"There is no tool called {name[:40]!r}.")
        request: Request = self._server.request_context.request
        gone = asyncio.Event()
        endpoint = name.removeprefix(_prefix())
        asking = asyncio.create_task(self._answer(request.scope, endpoint, arguments, gone))
        # The exception is read, because asyncio would log it if the agent cancels meanwhile.
        asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            # The request of the message ends at once; its answer goes out in another request.
            watched = not request.url.path.startswith(f"{PATH}/messages")
            while not (await asyncio.wait([asking], timeout=_LOOK_S))[0]:
                if watched and await request.is_disconnected():
                    break
        finally:
            gone.set()
        return [TextContent(type="text", text=await asking)]

    async def _answer(
        self, scope: Scope, name: str, arguments: dict[str, Any], gone: asyncio.Event
    ) -> str:
        path = f"/gradio_api/call/v2/{name}"
        status, body = await ask(self._app, scope, "POST", path, arguments)
        said = json.loads(body)
        if status != 200:
            raise ValueError(said["detail"])
        path = f"{path}/{said['event_id']}"
        _, told = await ask(self._app, scope, "GET", path, gone=gone)
        kind, _, written = told.decode().rstrip().rpartition("\nevent: ")[2].partition("\ndata: ")
        result = json.loads(written or "null")
        if not kind.endswith("complete"):
            sentence = result.get("error") if isinstance(result, dict) else result
            raise ValueError(sentence or "This could not be answered; the log of the app says why.")
        return json.dumps(result[0], ensure_ascii=False)


def _prefix() -> str:
    """Return the prefix of tool names in a Space, the same as Gradio's."""
    space = os.environ.get("SPACE_ID", "").rpartition("/")[2]
    return f"{space}_" if space else ""


def _described(named: dict[str, Any]) -> list[Any]:
    """Return the endpoints that an agent can call, as tools."""
    from mcp.types import Tool

    tools = []
    for path, about in named.items():
        name, parameters = path.lstrip("/"), about["parameters"]
        if any(one["type"].get("title") == "FileData" for one in parameters):
            continue
        documented = _ARGUMENT.findall(endpoints[name].doc.partition("\nArgs:")[2])
        words = {argument: " ".join(said.split()) for argument, said in documented}
        schema = {
            "type": "object",
            "properties": {
                one["parameter_name"]: one["type"]
                | _if_any(description=words.get(one["parameter_name"]))
                | _if_any(default=one["parameter_default"])
                for one in parameters
            },
        } | _if_any(
            required=[p["parameter_name"] for p in parameters if not p["parameter_has_default"]]
        )
        tools.append(
            Tool(name=_prefix() + name, description=about["description"], inputSchema=schema)
        )
    return tools


def _if_any(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value}


def _written(tool: Any) -> dict[str, Any]:
    """Return a tool in the form of ``/gradio_api/mcp/schema``."""
    endpoint = tool.name.removeprefix(_prefix())
    meta = {"file_data_present": False, "mcp_type": "tool", "endpoint_name": endpoint}
    said = tool.model_dump(include={"name", "description", "inputSchema"})
    return {**said, "meta": meta}
