"""Limits on the bodies of requests, in bytes and in values.

This app and then Gradio read, parse and walk each body on the event loop, and Gradio copies every
value several times: four megabytes of empty lists blocked all visitors for ten seconds. So bodies
have a limit of bytes and of values, and are counted before they are walked.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from kronviz.lines import finite

MAX_JSON = 600_000
"""Largest call in bytes. The largest one of a page has 500 sentences of a thousand characters."""
MAX_INLINE = 8_000_000
"""Largest call with files in base64, in bytes."""
MAX_INLINE_FILES = 5_900_000
"""Largest total of these files, in bytes: base64 makes them a third longer."""
MAX_OTHER = 16_000
"""Largest body of any other request, in bytes."""
MAX_VALUES, MAX_DEPTH = 20_000, 32
"""Largest number of values in a body, and their deepest nesting."""
MAX_BRACKETS = 12_000
"""Most opening brackets and braces in a body. Each new list can trigger Python's garbage collector,
so they are counted before parsing; the largest call has 5,000 pairs."""
SMALL, MOST_HELD = 64_000, 48_000_000
"""Size in bytes up to which a body is always read, and the total of all larger ones at a time."""
IDLE_S, LONGEST_S = 10.0, 60.0
"""Seconds that a body may pause, and may take in all."""
_FEW_COMMAS = 20_000
"""Most commas in a body with files: base64 has none, and the other values few."""


class Refused(HTTPException):
    """A request that is rejected, with a status and one sentence."""

    def __init__(self, status: int, sentence: str):
        super().__init__(status, sentence)

    def __str__(self) -> str:
        return str(self.detail)


def too_large(limit: int) -> Refused:
    """Return the refusal of a body of more than ``limit`` bytes."""
    files = f", which hold files of {MAX_INLINE_FILES / 1e6:g} MB in base64"
    inside = files if limit == MAX_INLINE else ""
    return Refused(413, f"The request is larger than {limit:,} bytes{inside}; send less.")


def limited(receive: Receive, limit: int) -> Receive:
    """Return a body that cannot exceed a limit, whatever its header says."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise too_large(limit)
        return message

    return counted


async def whole(receive: Receive, limit: int) -> bytes:
    """Read a whole body and return it.

    Raises:
        Refused: it is larger than ``limit`` bytes, too slow, or one of too many large ones.
        ClientDisconnect: the connection broke off.
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
    """Record the size of a body so far; `Refused` if all large bodies together are too large."""
    if size > SMALL:
        _held[id(parts)] = size
        if sum(_held.values()) > MOST_HELD:
            raise Refused(503, "Busy: many large requests are coming in; ask again in a minute.")


_held: dict[int, int] = {}


def again(body: bytes, receive: Receive) -> Receive:
    """Return a body that was already read as if it arrived now."""
    parts = [body]

    async def replay() -> Message:
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        return await receive()

    return replay


def parsed(body: bytes) -> Any:
    """Parse a JSON body.

    Raises:
        Refused: it is not JSON, or exceeds `MAX_VALUES` or `MAX_DEPTH`.
    """
    if body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
        raise Refused(413, f"The body holds more than {MAX_BRACKETS:,} lists; send less.")
    if len(body) > MAX_JSON and body.count(b",") > _FEW_COMMAS:
        raise too_large(MAX_JSON)
    try:
        # The next reader would turn such a number into null, and null into the default.
        value = json.loads(
            body, parse_constant=finite, parse_float=finite, object_pairs_hook=_distinct
        )
    except RecursionError:
        raise Refused(422, "The body is JSON nested too deeply; send plain values.") from None
    except ValueError:
        raise Refused(422, "The body is not JSON, or has a number that is not finite.") from None
    _check_size(value)
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object with these names and values; `Refused` if a name is given twice."""
    result = dict(pairs)
    if len(result) < len(pairs):
        raise Refused(422, "An object in the body gives one name twice; give each once.")
    return result


def _check_size(value: Any) -> None:
    level, values = [value], 1
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
