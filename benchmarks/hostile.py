"""Send the requests of a malicious visitor, each with a check of the answer.

`fuzz.py` draws from these, and in `load.py --hostile` one visitor sends them while others compare.
Each raises `Fault` if the app answers with anything but a sentence.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import h11
import httpx

Kind = Callable[[httpx.AsyncClient, str, random.Random], Awaitable[None]]
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
PATIENCE_S = 8.0
PATHS = ("call/compare", "call/v2/table", "call/nowhere", "queue/join", "mcp/", "cancel", "nowhere")


class Fault(AssertionError):
    """An answer that the app should not give."""


async def nested_body(client: httpx.AsyncClient, url: str, chance: random.Random) -> None:
    """Send four megabytes of lists, or a hundred thousand brackets, to a random endpoint."""
    body = chance.choice(
        (
            b'{"data": [[' + b"[]," * 1_300_000 + b'[]], "x", ""]}',
            b'{"data": [[' + b"[]," * 150_000 + b"[]]]}",
            b'{"data": [{' + b'"":0,' * 100_000 + b'"":0}]}',
            b"[" * 100_000,
        )
    )
    await refused(client, f"{url}gradio_api/{chance.choice(PATHS)}", body)


async def large_body(client: httpx.AsyncClient, url: str, chance: random.Random) -> None:
    """Send twenty megabytes of text, with its length announced or in chunks."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a" * 1_000_000

    path = chance.choice(PATHS)
    body: Any = chunks() if chance.random() < 0.5 else b"a" * 20_000_000
    await refused(client, f"{url}gradio_api/{path}", body)


async def refused(client: httpx.AsyncClient, address: str, body: Any) -> None:
    """Send a body that the app must refuse with a sentence."""
    try:
        answer = await client.post(address, content=body, headers=JSON)
    except (httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadError):
        return  # The app refused and closed the connection during the upload.
    check(answer, (400, 404, 405, 413, 422))


def check(answer: httpx.Response, statuses: tuple[int, ...]) -> None:
    """Raise `Fault` unless an answer has one of the statuses and shows no internals."""
    if answer.status_code not in statuses:
        raise Fault(f"{answer.request.url.path}: {answer.status_code} {answer.text[:200]}")
    if "Traceback" in answer.text or "site-packages" in answer.text:
        raise Fault(f"{answer.request.url.path} shows its insides: {answer.text[:200]}")


async def long_address(client: httpx.AsyncClient, url: str, chance: random.Random) -> None:
    """Send sixty kilobytes of query string."""
    path = chance.choice(("gradio_api/upload_progress?upload_id=", "gradio_api/info?", "?text="))
    check(await client.get(f"{url}{path}{'x' * 60_000}"), (400, 414))


async def broken_range(client: httpx.AsyncClient, url: str, chance: random.Random) -> None:
    """Request an invalid range of bytes."""
    asked = chance.choice(("--5", "0-1,2-3", "5-2", "-", "a-b"))
    answer = await client.get(f"{url}favicon.ico", headers={"range": f"bytes={asked}"})
    check(answer, (416,))


async def upload(client: httpx.AsyncClient, url: str, chance: random.Random) -> None:
    """Send an upload that never ends, or one whose announced size is too large."""
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.npy"\r\n\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x"}
    kind = chance.random()
    if kind < 0.4:
        body: Any = part + b"0" * 3_000_000
        headers["content-length"] = str(len(body))
    elif kind < 0.7:
        body, headers["content-length"] = part, str(10**12)
    else:

        async def chunks() -> AsyncIterator[bytes]:
            yield part
            for _ in range(10):
                yield b"0" * 1_000_000

        body = chunks()
    try:
        answer = await client.post(f"{url}gradio_api/upload", content=body, headers=headers)
    except (httpx.HTTPError, h11.LocalProtocolError):
        return
    check(answer, (400, 413, 503))


async def large_tokens(client: httpx.AsyncClient, url: str, chance: random.Random) -> None:
    """Send twenty or sixty megabytes of JSON as a token list, with a table of four rows."""
    pairs = chance.choice((3_300_000, 10_000_000))
    tokens = b"{" + b'"":0,' * pairs + b'"":0}'
    table = (
        b"\x93NUMPY\x01\x00v\x00"
        + (b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4), }".ljust(117) + b"\n")
        + bytes(64)
    )
    files = [("files", ("v.npy", table)), ("files", ("t.json", tokens))]
    answer = await client.post(f"{url}gradio_api/upload", files=files)
    check(answer, (200, 503))
    if answer.status_code == 200:
        given = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in answer.json()]
        answer = await client.post(f"{url}gradio_api/call/table_of_files", json={"data": given})
        check(answer, (413,))


async def left_run(client: httpx.AsyncClient, url: str, chance: random.Random) -> None:
    """Start a long run and leave after half a second."""
    name = chance.choice(("sweep", "robustness", "layers"))
    answer = await client.post(f"{url}gradio_api/call/v2/{name}", json={})
    check(answer, (200, 503))
    if answer.status_code == 200:
        address = f"{url}gradio_api/call/v2/{name}/{answer.json()['event_id']}"
        try:
            async with asyncio.timeout(0.5), client.stream("GET", address) as told:
                await told.aread()
        except TimeoutError:
            pass


async def silent_calls(client: httpx.AsyncClient, url: str, chance: random.Random) -> None:
    """Make many calls without opening a stream for their answers."""
    name, values = chance.choice((("sweep", {}), ("encode", {"text": "house"})))
    for _ in range(48):
        check(await client.post(f"{url}gradio_api/call/v2/{name}", json=values), (200, 503))


async def many_streams(client: httpx.AsyncClient, url: str, chance: random.Random) -> None:
    """Start many long runs at once, listen to all of them, and leave after a second."""

    async def one() -> None:
        answer = await client.post(
            f"{url}gradio_api/call/v2/sweep", json={"seed": chance.randrange(10**6)}
        )
        check(answer, (200, 503))
        if answer.status_code == 200:
            address = f"{url}gradio_api/call/v2/sweep/{answer.json()['event_id']}"
            async with client.stream("GET", address) as told:
                await told.aread()

    try:
        async with asyncio.timeout(1):
            await asyncio.gather(*(one() for _ in range(20)))
    except (TimeoutError, httpx.HTTPError):
        pass


async def agent(client: httpx.AsyncClient, url: str, chance: random.Random) -> None:
    """Call a tool with something that is not a file or with wrong types, or abandon the call."""
    file = base64.b64encode(chance.randbytes(3_000_000)).decode()
    name, values, patience = chance.choice(
        (
            ("table_of_bytes", {"vectors": file, "tokens": "e30="}, 30.0),
            ("compare", {"clean": {"a": [10**30, None]}, "typo": "\0<img src=x>"}, 30.0),
            ("robustness", {}, 0.5),
        )
    )
    call = {"name": name, "arguments": values}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    try:
        async with asyncio.timeout(patience):
            answer = await client.post(f"{url}gradio_api/mcp/", json=body, headers=JSON)
    except (TimeoutError, httpx.HTTPError):
        return
    check(answer, (200, 503))
    if name != "robustness" and '"isError":true' not in answer.text:
        raise Fault(f"{name} answered to {str(values)[:80]}")


async def slow_body(client: httpx.AsyncClient, url: str, chance: random.Random) -> None:
    """Begin a request of half a megabyte, and leave halfway."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b" " * 50_000
        await asyncio.sleep(5)

    address = f"{url}gradio_api/{chance.choice(('call/compare', 'queue/join', 'mcp/'))}"
    try:
        async with asyncio.timeout(0.5):
            await client.post(address, content=chunks(), headers=JSON)
    except (TimeoutError, httpx.HTTPError):
        pass


KINDS: tuple[Kind, ...] = (
    nested_body,
    large_body,
    long_address,
    broken_range,
    upload,
    large_tokens,
    left_run,
    silent_calls,
    many_streams,
    agent,
    slow_body,
)
QUICK = KINDS[:5]
"""The kinds that are answered at once."""


async def attack(
    client: httpx.AsyncClient, url: str, seed: int, sent: Counter[str], faults: list[str]
) -> None:
    """Send one kind after another until cancelled; count those sent, and note the faults.

    Like the visitor who sends it, a kind does not wait for its turn in a queue: it leaves after
    `PATIENCE_S`.
    """
    chance = random.Random(seed)
    for kind in itertools.cycle(KINDS):
        try:
            async with asyncio.timeout(PATIENCE_S):
                await kind(client, url, chance)
        except TimeoutError:
            pass
        except Exception as error:
            faults.append(f"{kind.__name__}: {error!r}")
        sent[kind.__name__] += 1
