"""Bodies of requests: how large one may be, and how much may stand in it.

What a program sends is read, parsed and walked on the event loop, by this app and then by Gradio,
which copies every value several times: a body of four megabytes of empty lists held everybody up
for ten seconds. So a body has a limit of bytes and of values, and is counted before it is walked.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

MAX_JSON = 600_000
"""Bytes of a call. The largest that a page makes has 500 sentences of a thousand characters."""
MAX_INLINE = 8_000_000
"""Bytes of a call that holds files, written in base64."""
MAX_OTHER = 16_000
"""Bytes of any other request."""
MAX_VALUES, MAX_DEPTH = 20_000, 32
"""Values of all kinds in a body, and how deep they may lie in one another."""
MAX_BRACKETS = 12_000
"""Opening brackets and braces of a body. Every list that is made may set off Python's collector of
garbage, so they are counted before any is; the largest call has 5,000 pairs."""
SMALL, MOST_HELD = 64_000, 48_000_000
"""Bytes of a body that is read whatever else comes in, and of all others together while they do."""
IDLE_S, LONGEST_S = 10.0, 60.0
"""How long a body may bring nothing, and take to come."""
_FEW_COMMAS = 20_000
"""Commas of a body with files; base64 has none, and the words beside it few."""


class Refused(HTTPException):
    """A request that goes no further, with its status and one sentence."""

    def __init__(self, status: int, sentence: str):
        super().__init__(status, sentence)

    def __str__(self) -> str:
        return str(self.detail)


def limited(receive: Receive, limit: int) -> Receive:
    """Return a body that may not grow beyond a limit, whatever its header says."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise Refused(413, f"The request is larger than {limit:,} bytes; send less.")
        return message

    return counted


async def whole(receive: Receive, limit: int) -> bytes:
    """Return a body once all of it is there.

    Raises:
        Refused: it is larger than ``limit`` bytes, comes too slowly, or many large ones come.
        ClientDisconnect: the line broke off.
    """
    parts: list[bytes] = []
    counted, size, until = limited(receive, limit), 0, time.monotonic() + LONGEST_S
    try:
        while True:
            try:
                left = min(IDLE_S, until - time.monotonic())
                message = await asyncio.wait_for(counted(), left)
            except TimeoutError:
                raise Refused(408, "The request came too slowly; send it again.") from None
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            _hold(parts, size)
            if not message.get("more_body"):
                return b"".join(parts)
    finally:
        _held.pop(id(parts), None)


def _hold(parts: list[bytes], size: int) -> None:
    """Note how much of a body has come; `Refused` where all large ones are too much."""
    if size > SMALL:
        _held[id(parts)] = size
        if sum(_held.values()) > MOST_HELD:
            raise Refused(503, "Busy: many large requests are coming in; ask again in a minute.")


_held: dict[int, int] = {}


def again(body: bytes, receive: Receive) -> Receive:
    """Return a body that was read already, as if it came only now."""
    parts = [body]

    async def replay() -> Message:
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        return await receive()

    return replay


def parsed(body: bytes) -> Any:
    """Return the value that a JSON body holds.

    Raises:
        Refused: it is not JSON, or more stands in it than `MAX_VALUES` and `MAX_DEPTH` allow.
    """
    if body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
        raise Refused(413, f"The body holds more than {MAX_BRACKETS:,} lists; send less.")
    if len(body) > MAX_JSON and body.count(b",") > _FEW_COMMAS:
        raise Refused(413, f"The request is larger than {MAX_JSON:,} bytes; send less.")
    try:
        found = json.loads(body)
    except RecursionError:
        raise Refused(422, "The body is JSON nested too deeply; send plain values.") from None
    except ValueError:
        raise Refused(422, "The body is not JSON.") from None
    _check_size(found)
    return found


def _check_size(found: Any) -> None:
    level, values = [found], 1
    for _ in range(MAX_DEPTH):
        inside: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inside += one.values()
            elif isinstance(one, list):
                inside += one
            if values + len(inside) > MAX_VALUES:
                raise Refused(413, f"The body holds more than {MAX_VALUES:,} values; send less.")
        if not inside:
            return
        values += len(inside)
        level = inside
    raise Refused(422, "The body is JSON nested too deeply; send plain values.")
