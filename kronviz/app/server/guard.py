"""Check every request before Gradio sees it, and the headers and wording of every answer.

Notable:

- Named endpoints are checked here: an unknown name, a body of the wrong shape or a missing value
  gets one sentence with status 4xx; values with a default may be left out.
- Routes of Gradio that this app does not need are closed: fetching other addresses, custom
  components, editing, monitoring.
- Every answer has a Content-Security-Policy. Scripts of the page have a nonce, so that an inline
  script or an ``on…`` attribute that got into a page would not run. Gradio compiles the page's own
  functions at run time, which needs ``unsafe-eval``.
- An unexpected error becomes a sentence without paths; the details go to the log.
"""

from __future__ import annotations

import html
import json
import logging
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kronviz.app.server import mcp, queueing, uploads
from kronviz.app.server.bodies import (
    MAX_INLINE,
    MAX_JSON,
    MAX_OTHER,
    Refused,
    again,
    limited,
    parsed,
    too_large,
    whole,
)
from kronviz.app.server.listening import Listening, address_of
from kronviz.errors import InputError
from kronviz.probes.cross_model.token_files import check_size

MAX_PATH, MAX_QUERY = 2_000, 20_000
"""Largest address and query string in bytes. The page's own requests carry the query of its link,
so a link that opens the page must not be too long for them either."""
INLINE = frozenset({"table_of_bytes"})
"""Endpoints whose values may contain whole files."""
OF_FILES = frozenset({"table_of_files"})
"""Endpoints whose values name files that were uploaded before."""
_IDENTIFIER = re.compile(r"[\w-]{1,64}", re.ASCII)
_RANGE = re.compile(rb"bytes=(\d{0,15})-(\d{0,15})")
_API = "/gradio_api"
_CLOSED = re.compile(
    r"/gradio_api/(proxy=|custom_component|stream|component_server|process_recording|heartbeat"
    r"|vibe|dev/|deep_link|runs|run-history|profiling|reset)|/(monitoring|svelte|login|logout|pwa|openapi\.json|docs|redoc)",
    re.IGNORECASE,
)
_DIRECT = re.compile(rf"{_API}/(?:run|api)/[^/]+/?$|{_API}/queue/join/?$")
_MCP = re.compile(rf"{_API}/mcp(/|$)")
_CALL = re.compile(rf"{_API}/call/(v2/)?([^/]+)/?$")
_EVENT = re.compile(rf"{_API}/call/(?:v2/)?[^/]+/([^/]+)/?$")
_CANCEL = {"session_hash": str, "fn_index": int, "event_id": str}
_JSON = re.compile(rb"application/([\w.-]+\+)?json\b", re.IGNORECASE)
_EVENT_ID = re.compile(rb'"event_id":\s*"(\w+)"')
_LOST = (
    b'event: error\ndata: {"msg": "unexpected_error", "success": false, "session_not_found": true, '
    b'"message": "This process holds no answer of that name; ask again."}\n\n'
)
_POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors {ancestors}"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "strict-origin-when-cross-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "cross-origin-opener-policy": "same-origin-allow-popups",
}
_log = logging.getLogger("kronviz")


FRAME_ANCESTORS = "KRONVIZ_FRAME_ANCESTORS"
_SOURCE = re.compile(r"\*|'self'|'none'|https?://(\*\.)?[A-Za-z0-9.-]+(:(\d+|\*))?")


def frame_ancestors(environment: Mapping[str, str] = os.environ) -> str:
    """Return the sites that may embed the app, from ``KRONVIZ_FRAME_ANCESTORS``.

    Raises:
        InputError: one of its words is not a site.
    """
    given = environment.get(FRAME_ANCESTORS, "").split()
    for word in given:
        if not _SOURCE.fullmatch(word):
            raise InputError(
                f"{FRAME_ANCESTORS} has {word[:60]!r}; name sites such as https://example.org, "
                "with spaces between them."
            )
    return " ".join(given) or "'self' https://huggingface.co"


def _policy(nonce: str) -> str:
    return _POLICY.format(nonce=nonce, ancestors=frame_ancestors())


class Guard:
    """The middleware that checks requests and answers.

    Args:
        blocks: the app.
        largest: largest size of a file in bytes.
        name: name of the app for agents; without it there are no tools for them.
    """

    def __init__(self, app: ASGIApp, blocks: gr.Blocks, largest: int, name: str = ""):
        self._app, self._blocks, self._largest = app, blocks, largest
        self._endpoints: dict[str, dict[str, Any]] = {}
        self._listeners: dict[int, dict[str, Any]] = {}
        self._listening = Listening(blocks)
        self._tools = mcp.Tools(self, app, self._information, name) if name else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, pass it on, and add headers to the answer."""
        if scope["type"] == "lifespan" and self._tools:
            async with self._tools.running():
                await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        try:
            path = scope["path"]
            _check_head(scope, path)
            if path == f"{_API}/upload_progress":
                await uploads.tell_progress(scope, answer.send)
            elif _brings(path) and scope["method"] == "POST":
                await self._upload(scope, receive, answer.send)
            elif path == "/" and scope["method"] == "HEAD":
                # Gradio requests this of itself before it serves; making a page would take long.
                await answer.say(200, "")
            elif scope["method"] == "GET" and (visitor := _visitor(scope)):
                if self._listening.knows(visitor):
                    with self._listening.line(address_of(scope)):
                        await self._listening.stream(
                            self._app, scope, receive, answer.send, visitor
                        )
                else:
                    await answer.lost()
            elif self._tools and _MCP.match(path):
                checked = await self._checked(scope, receive)
                with self._listening.line(address_of(scope)):
                    await self._tools(scope, checked, answer.send)
            else:
                checked = await self._checked(scope, receive)
                posted = scope["method"] == "POST"
                send = self._queued(answer.send, scope, path) if posted else answer.send
                await self._app(scope, checked, send)
        except Refused as refused:
            await answer.say(refused.status_code, str(refused))
        except ClientDisconnect:
            return  # The client has left.
        except Exception as error:
            if answer.begun:
                _log.warning("The answer to %s broke off: %s.", scope["path"], type(error).__name__)
                await answer.end()
                return
            status = getattr(error, "status_code", 500)
            _log.exception("A request to %s could not be answered.", scope["path"])
            await answer.say(status, "This could not be answered; the log of the app says why.")

    def _queued(self, send: Send, scope: Scope, path: str) -> Send:
        """Return a function that sorts the queues by turns and then sends the answer to a call."""
        call = bool(_CALL.match(path))

        async def sent(message: Message) -> None:
            if call and (match := _EVENT_ID.search(message.get("body", b""))):
                self._listening.asked(match[1].decode(), address_of(scope))
            self._listening.take_turns()
            await send(message)

        return sent

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        upload = uploads.Upload(scope, self._largest)
        try:
            await upload.begin(_number(dict(scope["headers"]).get(b"content-length")))
            # Without a name Gradio does not track the progress; `tell_progress` does.
            await self._app({**scope, "query_string": b""}, upload.received(receive), send)
        except TypeError:
            # Gradio's error for a form with texts in place of files.
            raise Refused(422, "An upload is a form of files, each with a file name.") from None
        finally:
            upload.end()

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        """Check the headers before the body arrives, and then the body."""
        path = scope["path"]
        # Gradio routes the path as it is, but the name of a file in it may be decoded later.
        for said in (path, unquote(path)):
            if _CLOSED.match(said) or not _may_be_served(said):
                raise Refused(404, "There is nothing here.")
        if scope["method"] != "POST":
            return limited(receive, MAX_OTHER)
        size = _number(dict(scope["headers"]).get(b"content-length"))
        call = _CALL.match(path)
        if call:
            parameters = await self._parameters(call[2], scope)
        direct = bool(_DIRECT.match(path))
        agent = _MCP.match(path)
        limit = MAX_OTHER if not (call or direct or agent) else MAX_JSON
        if agent or direct or (call and call[2] in INLINE):
            limit = MAX_INLINE
        if size > limit:
            raise too_large(limit)
        cancels = path.rstrip("/") == f"{_API}/cancel"
        if limit == MAX_OTHER and not cancels:
            return limited(receive, limit)
        kind = dict(scope["headers"]).get(b"content-type", b"")
        if not (agent or cancels or _JSON.match(kind)):
            raise Refused(415, "A call is JSON; send it with Content-Type: application/json.")
        written = await whole(receive, limit)
        body = parsed(written)
        if agent:
            # Gradio reuses these headers for a request with a body of another size.
            drop = (b"transfer-encoding", b"content-length")
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in drop]
            return again(written, receive)
        if cancels:
            # Gradio quotes a wrong body in its answer, which fails for some values.
            if not isinstance(body, dict) or any(
                not isinstance(body.get(name), kind) for name, kind in _CANCEL.items()
            ):
                raise Refused(422, f"A cancelled run is named by {' and '.join(_CANCEL)}.")
            return again(written, receive)
        if _names_an_address(body):
            raise Refused(422, "A file is sent, not fetched: upload it, and give its path here.")
        if call:
            body = self._call(call[2], body, parameters, scope, named=bool(call[1]))
            if call[2] in OF_FILES:
                await run_in_threadpool(_check_files, body, parameters)
        else:
            await self._listener(body, len(written), scope)
            if path.rstrip("/").endswith("/join"):
                self._listening.asked(body["session_hash"], address_of(scope))
            else:
                queueing.come_back(body["session_hash"])
        written = json.dumps(body).encode()
        scope["headers"] = [
            (name, value) for name, value in scope["headers"] if name != b"content-length"
        ] + [(b"content-length", str(len(written)).encode())]
        return again(written, receive)

    def _call(
        self,
        name: str,
        body: Any,
        parameters: list[dict[str, Any]],
        scope: Scope,
        *,
        named: bool,
    ) -> Any:
        """Return the checked body of a call to an endpoint, with defaults for missing values."""
        if named:
            if not isinstance(body, dict):
                raise Refused(422, f"{name} takes an object of its values by their names.")
            unknown = body.keys() - {one["parameter_name"] for one in parameters}
            if unknown:
                raise Refused(422, f"{name} has no value called {_short(min(unknown))}.")
            missing = [
                one["parameter_name"]
                for one in parameters
                if not one["parameter_has_default"] and one["parameter_name"] not in body
            ]
        else:
            if not isinstance(body, dict) or not isinstance(body.get("data"), list):
                raise Refused(422, f'{name} takes an object with a list of its values as "data".')
            data, left = body["data"], parameters[len(body["data"]) :]
            if len(data) > len(parameters):
                raise Refused(422, f"{name} takes {len(parameters)} values; {len(data)} came.")
            missing = [one["parameter_name"] for one in left if not one["parameter_has_default"]]
            data += [one["parameter_default"] for one in left if one["parameter_has_default"]]
            if not isinstance(body.pop("session_hash", ""), str | None):
                raise Refused(422, "session_hash is a text.")
        if missing:
            raise Refused(422, f"{name} needs {' and '.join(missing)}.")
        if name in queueing.endpoints:
            inline = name if name in INLINE else ""
            queue = queueing.endpoints[name].queue
            self._listening.check_room(queue, address_of(scope), inline=inline)
        return body

    async def _listener(self, body: Any, size: int, scope: Scope) -> None:
        """Check a call to a listener of the page, by its number."""
        if not isinstance(body, dict) or not isinstance(body.get("data"), list):
            raise Refused(422, 'A listener takes an object with a list as "data".')
        number, visitor = body.get("fn_index"), body.get("session_hash")
        if not self._listeners:
            _, said = await mcp.ask(self._app, scope, "GET", "/config")
            self._listeners = {one["id"]: one for one in json.loads(said)["dependencies"]}
        if not isinstance(number, int) or number not in self._listeners:
            raise Refused(404, "There is no listener of that number.")
        name = str(self._listeners[number]["api_name"])
        if size > MAX_JSON and name not in INLINE:
            raise too_large(MAX_JSON)
        if not isinstance(visitor, str) or not 0 < len(visitor) <= 64:
            raise Refused(422, "session_hash is a text of up to 64 characters.")
        if len(body["data"]) != len(self._listeners[number]["inputs"]):
            raise Refused(422, "The listener takes another number of values.")
        self._listening.check_room(
            self._blocks.fns[number].concurrency_id,
            address_of(scope),
            visitor,
            name if name in INLINE else "",
        )

    async def _information(self, scope: Scope) -> dict[str, Any]:
        """Return the named endpoints as the app lists them."""
        if not self._endpoints:
            _, said = await mcp.ask(self._app, scope, "GET", f"{_API}/info")
            self._endpoints = json.loads(said)["named_endpoints"]
        return self._endpoints

    async def _parameters(self, name: str, scope: Scope) -> list[dict[str, Any]]:
        endpoint = (await self._information(scope)).get(f"/{name}")
        if endpoint is None:
            raise Refused(
                404, f"There is no endpoint called {_short(name)}; {_API}/info lists them."
            )
        return endpoint["parameters"]


class _Answer:
    """Adds headers to an answer, and a nonce to the scripts of a page."""

    def __init__(self, scope: Scope, send: Send):
        self._send, self._scope = send, scope
        self.begun = False
        self._nonce = secrets.token_urlsafe(16)
        self._start: Message | None = None
        self._held = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = message.setdefault("headers", [])
            present = {name.lower() for name, _ in headers}
            added = _HEADERS | {"content-security-policy": _policy(self._nonce)}
            headers += [
                (name.encode(), value.encode())
                for name, value in added.items()
                if name.encode() not in present
            ]
            kind = dict(headers).get(b"content-type", b"")
            direct = self._scope["path"].startswith(f"{_API}/run/")
            refused = message["status"] == 422 or (message["status"] == 500 and direct)
            if kind.startswith(b"text/html") or refused:
                self._start = message
                return
        elif self._start is not None:
            self._held += message.get("body", b"")
            if message.get("more_body"):
                return
            await self._whole(self._start, self._held)
            return
        await self._send(message)

    async def _whole(self, start: Message, body: bytes) -> None:
        """Send an answer that was held back until it was complete."""
        if start["status"] == 500:
            # Gradio's code for any exception; here the values cannot come from the page.
            start["status"] = 422
            try:
                said = json.loads(body)
            except ValueError:
                said = None
            sentence = (said.get("error") if isinstance(said, dict) else None) or (
                "These values cannot be answered; reload the page."
            )
            # Gradio's page shows it as HTML, and it may quote the request.
            body = json.dumps({"error": html.escape(str(sentence))}).encode()
        elif start["status"] == 422:
            body = _in_a_sentence(body)
        else:
            body = re.sub(rb"<script(?=[\s>])", b'<script nonce="%s"' % self._nonce.encode(), body)
        start["headers"] = [
            (name, str(len(body)).encode() if name == b"content-length" else value)
            for name, value in start["headers"]
        ]
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})

    async def lost(self) -> None:
        """Tell the client in a stream that there is nothing to stream."""
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": _LOST})

    async def end(self) -> None:
        """End an answer that broke off."""
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def say(self, status: int, sentence: str) -> None:
        """Send one sentence, as Gradio's own refusals are written."""
        # Gradio's page shows an upload's refusal unchanged.
        answer: Response = (
            PlainTextResponse(sentence, status)
            if _brings(self._scope["path"])
            else JSONResponse({"detail": sentence, "error": sentence}, status)
        )

        async def nothing() -> Message:
            return {"type": "http.disconnect"}

        await answer(self._scope, nothing, self.send)


def _in_a_sentence(body: bytes) -> bytes:
    """Return a refusal with one sentence in place of FastAPI's list, which quotes the request."""
    try:
        problems = json.loads(body)["detail"]
        (*_, name), words = problems[0]["loc"], problems[0]["msg"]
    except (ValueError, LookupError, TypeError):
        return body
    sentence = f"This request cannot be answered: {str(name)[:40]}: {words.lower()}."
    return json.dumps({"detail": sentence, "error": sentence}).encode()


def _brings(path: str) -> bool:
    """Return whether a path is one for uploads."""
    return path.rstrip("/") == f"{_API}/upload"


def _may_be_served(path: str) -> bool:
    """Return whether a path is not for files, or is for a file in the cache."""
    if not path.startswith(f"{_API}/file"):
        return True
    asked = os.path.normpath(path.removeprefix(f"{_API}/file").lstrip("=/").join(("/", "")))
    return Path(asked).is_relative_to(uploads.folder())


def _check_files(body: Any, parameters: list[dict[str, Any]]) -> None:
    """Refuse a call with a file that was not uploaded or holds far more than a vocabulary."""
    for place, parameter in enumerate(parameters):
        if parameter["type"].get("title") != "FileData":
            continue
        name = parameter["parameter_name"]
        given = body["data"][place] if isinstance(body.get("data"), list) else body.get(name)
        path = given.get("path") if isinstance(given, dict) else None
        if given is not None and not (isinstance(path, str) and _is_plain(path)):
            raise Refused(
                422, f'{name} must be a file that was uploaded, as {{"path": …}}; upload it first.'
            )
        if path is not None:
            if not _may_be_served(f"{_API}/file={path}"):
                raise Refused(422, f"{name} is not a file that was uploaded; upload it first.")
            # Gradio fails on other fields of the wrong type.
            given.clear()
            given.update(path=path, meta={"_type": "gradio.FileData"})
            try:
                check_size(Path(path))
            except InputError as error:
                # The file is of no use to anyone.
                Path(path).unlink(missing_ok=True)
                raise Refused(413, str(error)) from None
            except (OSError, ValueError):
                continue  # The probe that reads it reports what is wrong.


def _is_plain(path: str) -> bool:
    """Return whether a text may be the path of a file."""
    return path.isprintable() and len(path) <= MAX_PATH


def _names_an_address(body: Any) -> bool:
    """Return whether a file in a body is a web address, which Gradio would fetch."""
    waiting = [body]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            path = one.get("path")
            if isinstance(path, str) and path.lower().lstrip().startswith(("http:", "https:")):
                return True
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return False


def _visitor(scope: Scope) -> str:
    """Return the session or call whose stream of messages is requested; "" for other requests."""
    if scope["path"] == f"{_API}/queue/data":
        return parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
    event = _EVENT.match(scope["path"])
    return event[1] if event else ""


def _check_head(scope: Scope, path: str) -> None:
    """Refuse addresses and ranges that nobody needs, before any of them is stored."""
    query = scope["query_string"]
    if len(scope["path"]) > MAX_PATH or len(query) > MAX_QUERY:
        raise Refused(414, "The address is too long; leave its end out.")
    if path.startswith(f"{_API}/upload"):
        unnamed = "" if path.endswith("_progress") else "x"
        identifier = parse_qs(query.decode("latin-1")).get("upload_id", [unnamed])[0]
        if not _IDENTIFIER.fullmatch(identifier):
            raise Refused(422, "upload_id is a text of up to 64 letters and digits.")
    asked = [value for name, value in scope["headers"] if name == b"range"]
    if asked:
        match = _RANGE.fullmatch(asked[0].strip())
        backwards = match and match[1] and match[2] and int(match[1]) > int(match[2])
        if len(asked) > 1 or not match or backwards or not (match[1] or match[2]):
            raise Refused(416, "The range of bytes cannot be read; ask for one, such as 0-99.")


def _number(header: bytes | None) -> int:
    return int(header) if header and header.isdigit() else 0


def _short(text: str) -> str:
    return repr(text[:40])
