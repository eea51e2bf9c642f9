"""Simulate many visitors and their browsers: measure failures, response times and memory.

    python benchmarks/load.py [--visitors 50] [--every 2] [--minutes 10] [--via page|queue]
                              [--processes 1] [--flood 500]
    python benchmarks/load.py --hostile [--visitors 30] [--every 2] [--minutes 1.5]

Starts the app, or several processes of it behind a proxy that sends each request to the next one.
Every visitor opens the page and compares a different text every two seconds. ``page`` sends the
requests of the page, ``queue`` those of programs, through Gradio's queue. Everything stays on
127.0.0.1 and ends by itself.

``--hostile`` adds, for the second half of the time, a visitor who sends all the requests of
`hostile.py`, over and over; p95 must not double.

``--flood`` instead sends many different comparisons at once, while one visitor types in the byte
view and another lets the models write, and prints the answer of each.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
from hostile import KINDS, attack
from running import HOST, ROOT, App, free_port

SAMPLE_S = 10.0
TIMEOUT_S = 60.0


@dataclass
class Tally:
    """The results of visitors' requests.

    Attributes:
        seconds: times of successful answers; refusals, which are quick, and failures are left out.
        failures: a description of each failure.
        busy: the messages of those who were told to wait.
    """

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)

    def p95(self) -> float:
        """Return the 95th percentile of the seconds."""
        late = sorted(self.seconds) or [float("nan")]
        return late[min(int(len(late) * 0.95), len(late) - 1)]

    def row(self, label: str) -> str:
        asked = len(self.seconds) + len(self.failures) + len(self.busy)
        late = sorted(self.seconds) or [float("nan")]
        p50, p95 = statistics.median(late), self.p95()
        return (
            f"{label:<28} asked {asked:6,}  failed {len(self.failures):4,}"
            f"  busy {len(self.busy):4,}  p50 {p50 * 1e3:7.0f} ms  p95 {p95 * 1e3:7.0f} ms"
            f"  longest {late[-1] * 1e3:7.0f} ms"
        )


class Page:
    """The configuration that a browser has after opening the app."""

    def __init__(self, url: str, config: dict[str, Any]):
        self.url, self.config = url, config
        self._parts = {
            part["props"].get("elem_id"): part["id"]
            for part in config["components"]
            if part["props"].get("elem_id")
        }

    def listener(self, part: str, event: str) -> dict[str, Any]:
        """Return the listener to an event of the component with an element id."""
        wanted = [self._parts[part], event]
        return next(d for d in self.config["dependencies"] if wanted in map(list, d["targets"]))

    def endpoint(self, name: str) -> dict[str, Any]:
        return next(d for d in self.config["dependencies"] if d["api_name"] == name)

    def values(self, listener: dict[str, Any]) -> list[Any]:
        """Return the initial values of a listener's fields."""
        held = {part["id"]: part["props"].get("value") for part in self.config["components"]}
        return [held.get(part) for part in listener["inputs"]]


async def ask(
    client: httpx.AsyncClient, page: Page, listener: dict[str, Any], data: list[Any], visitor: str
) -> Any:
    """Send data to a listener as Gradio's page does; return its outputs or raise."""
    body = {
        "data": data,
        "event_data": None,
        "fn_index": listener["id"],
        "trigger_id": None,
        "session_hash": visitor,
    }
    if listener["queue"] is False:
        answer = await client.post(f"{page.url}gradio_api/run/predict", json=body)
        answer.raise_for_status()
        return answer.json()["data"]
    (await client.post(f"{page.url}gradio_api/queue/join", json=body)).raise_for_status()
    stream = client.stream(
        "GET", f"{page.url}gradio_api/queue/data", params={"session_hash": visitor}
    )
    async with stream as lines:
        lines.raise_for_status()
        async for line in lines.aiter_lines():
            if not line.startswith("data:"):
                continue
            message = json.loads(line[5:])
            if message["msg"] == "process_completed":
                if not message["success"]:
                    raise RuntimeError(str(message["output"].get("error")))
                return message["output"].get("data")
            if message["msg"] in ("unexpected_error", "close_stream"):
                raise RuntimeError(message.get("message") or message["msg"])
    raise RuntimeError("the stream ended before the answer")


class Texts:
    """Clean and misspelled texts, different for every visitor."""

    def __init__(self) -> None:
        lines = (ROOT / "assets" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
        self._pairs = [(pair["clean"], pair["typo"]) for pair in map(json.loads, lines)]
        self._numbers = itertools.count(1)

    def next(self) -> tuple[str, str]:
        clean, typo = random.choice(self._pairs)
        number = next(self._numbers)
        return f"{number}. {clean}", f"{number}. {typo}"


class Visitors:
    """Visitors of one page."""

    def __init__(self, client: httpx.AsyncClient, page: Page, via: str):
        self.client, self.page, self.texts = client, page, Texts()
        self.via = via
        self.typed = (
            page.listener("kv-clean", "change") if via == "page" else page.endpoint("compare")
        )
        self.numbers = itertools.count(1)

    async def compare(self, visitor: str, tally: Tally) -> None:
        """Send one comparison and record its result."""
        clean, typo = self.texts.next()
        number = next(self.numbers)
        # After the texts: the right answer and the pair, left out, and on the page a number.
        more: list[Any] = [""] * (len(self.typed["inputs"]) - 2)
        if self.via == "page":
            more = ["", None, number]
        started = time.perf_counter()
        try:
            (said,) = await ask(self.client, self.page, self.typed, [clean, typo, *more], visitor)
        except (httpx.HTTPError, RuntimeError, KeyError) as error:
            tally.failures.append(f"{type(error).__name__}: {error}")
            return
        took = time.perf_counter() - started
        if self.via == "queue":
            right = said["clean"] == clean
        else:
            refused = re.search(r'role="alert">([^<]+)<', said)
            if refused and "data-again" in said:
                tally.busy.append(refused[1])
                return
            right = f'data-seq="{number}"' in said and not refused
        if right:
            tally.seconds.append(took)
        else:
            tally.failures.append(f"a wrong answer to {typo!r}")

    async def stay(self, every: float, until: float, tally: Tally) -> None:
        """Type like a visitor until it is time to leave."""
        visitor = uuid.uuid4().hex[:11]
        await asyncio.sleep(random.random() * every)
        (await self.client.get(self.page.url)).raise_for_status()
        due = time.monotonic()
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self.compare(visitor, tally)
            # The next keystroke comes at its time, or as soon as this one is answered if later.
            due = max(due + every, time.monotonic())


async def hold(arguments: argparse.Namespace, visitors: Visitors, apps: list[App]) -> Tally:
    """Send visitors at human speed and print the app's memory."""
    tally = Tally()
    until = time.monotonic() + arguments.minutes * 60
    staying = [
        asyncio.create_task(visitors.stay(arguments.every, until, tally))
        for _ in range(arguments.visitors)
    ]
    memory: list[float] = []
    begun = time.monotonic()
    while not all(task.done() for task in staying):
        await asyncio.wait(staying, timeout=SAMPLE_S)
        memory.append(sum(app.memory_mb() for app in apps))
    await asyncio.gather(*staying)
    print(tally.row(f"{arguments.visitors} visitors, via {arguments.via}"))
    # Caches fill during the first tenth.
    settled = memory[len(memory) // 10 :]
    step = max(1, len(memory) // 10)
    print(
        f"memory, MB, over {time.monotonic() - begun:.0f} s: "
        + " ".join(f"{mb:.0f}" for mb in memory[::step])
        + f"; after the first tenth from {min(settled):.0f} to {max(settled):.0f}"
    )
    return tally


async def hostile(arguments: argparse.Namespace, visitors: Visitors, apps: list[App]) -> Tally:
    """Send visitors at human speed, first alone, then together with a malicious one."""
    arguments.minutes /= 2
    alone = await hold(arguments, visitors, apps)
    sent: Counter[str] = Counter()
    faults: list[str] = []
    limits = httpx.Limits(max_connections=20)
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, limits=limits) as other:
        attacking = asyncio.create_task(attack(other, visitors.page.url, 1, sent, faults))
        beside = await hold(arguments, visitors, apps)
        attacking.cancel()
        await asyncio.wait([attacking])
    before, after = alone.p95(), beside.p95()
    kinds = ", ".join(f"{count} {name}" for name, count in sent.items())
    print(f"hostile meanwhile: {kinds}; {len(faults)} answered wrongly")
    if missing := {kind.__name__ for kind in KINDS} - sent.keys():
        beside.failures.append(f"there was no time for {', '.join(sorted(missing))}")
    for fault in faults[:5]:
        print("  ", fault[:300])
    print(f"p95 of Compare {before:.2f} s alone, {after:.2f} s beside: {after / before:.2f} times")
    print(f"memory after it, MB: {sum(app.memory_mb() for app in apps):.0f}")
    beside.failures += faults
    return beside


async def flood(arguments: argparse.Namespace, visitors: Visitors) -> Tally:
    """Send comparisons all at once, while one visitor types and another lets the models write."""
    client, page = visitors.client, visitors.page
    bytes_typed, written = page.listener("kv-byte-text", "change"), page.endpoint("generate")
    comparing, typing, writing = Tally(), Tally(), Tally()
    over = asyncio.Event()

    async def types() -> None:
        values, numbers = page.values(bytes_typed), itertools.count(1)
        while not over.is_set():
            values[0] = random.choice(("house", "horse", "compute", "naïve")) + str(next(numbers))
            await timed(typing, ask(client, page, bytes_typed, list(values), "typing"))
            await asyncio.sleep(0.2)

    async def writes() -> None:
        data = ["The king lived in", "", 0.7, 0.9, 30, 42, 5, ""]
        while not over.is_set():
            await timed(writing, ask(client, page, written, data, "writing"))

    async def timed(tally: Tally, call: Any) -> None:
        started = time.perf_counter()
        try:
            await call
        except (httpx.HTTPError, RuntimeError) as error:
            tally.failures.append(str(error))
        else:
            tally.seconds.append(time.perf_counter() - started)

    beside = [asyncio.create_task(types()), asyncio.create_task(writes())]
    await asyncio.sleep(2)
    alone = len(typing.seconds), len(writing.seconds)
    started = time.perf_counter()
    await asyncio.gather(
        *(visitors.compare(uuid.uuid4().hex[:11], comparing) for _ in range(arguments.flood))
    )
    took = time.perf_counter() - started
    over.set()
    await asyncio.gather(*beside)
    print(comparing.row(f"{arguments.flood} at once, via {arguments.via}"))
    print(f"all of them answered or told to wait after {took:.1f} s")
    for sentence in comparing.busy[:1]:
        print(f"told: {sentence}")
    for label, tally, before in (
        ("typing in the byte view", typing, alone[0]),
        ("letting the models write", writing, alone[1]),
    ):
        print(Tally(tally.seconds[:before]).row(f"{label}, before"))
        print(Tally(tally.seconds[before:], tally.failures).row(f"{label}, beside"))
    return comparing


def proxy(port: int, targets: list[str]) -> None:
    """Serve a port by sending requests to the processes in turn."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    turn = itertools.cycle(targets)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, limits=limits)

    async def forward(request: Request) -> StreamingResponse:
        headers = [(k, v) for k, v in request.headers.raw if k not in (b"connection",)]
        url = f"{next(turn)}{request.url.path.lstrip('/')}?{request.url.query}"
        sent = client.build_request(
            request.method, url, headers=headers, content=await request.body()
        )
        answer = await client.send(sent, stream=True)

        async def body() -> Any:
            try:
                async for part in answer.aiter_raw():
                    yield part
            finally:
                await answer.aclose()

        kept = {k: v for k, v in answer.headers.items() if k not in ("transfer-encoding", "date")}
        return StreamingResponse(body(), answer.status_code, headers=kept)

    app = Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST", "HEAD"])])
    uvicorn.run(app, host=HOST, port=port, log_level="error")


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--visitors", type=int, help="default: 50, with --hostile 30")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between comparisons")
    parser.add_argument("--minutes", type=float, help="default: 10, with --hostile 1.5")
    parser.add_argument("--via", choices=["page", "queue"], default="page")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--flood", type=int, default=0, help="instead send this many comparisons at once"
    )
    parser.add_argument("--hostile", action="store_true", help="add a malicious visitor")
    parser.add_argument("--proxy", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.visitors = arguments.visitors or (30 if arguments.hostile else 50)
    arguments.minutes = arguments.minutes or (1.5 if arguments.hostile else 10.0)
    if arguments.proxy:
        raise AssertionError("the proxy runs without an event loop of its own")
    random.seed(1)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    apps = [App() for _ in range(arguments.processes)]
    front = None
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, limits=limits) as client:
            for app in apps:
                app.wait()
            url = apps[0].url
            if len(apps) > 1:
                port = free_port()
                url = f"http://{HOST}:{port}/"
                front = subprocess.Popen(
                    [sys.executable, __file__, "--proxy", str(port), *[app.url for app in apps]]
                )
                await asyncio.sleep(3)
            config = (await client.get(f"{url}config")).json()
            visitors = Visitors(client, Page(url, config), arguments.via)
            print(f"{len(apps)} process(es), {os.cpu_count()} cores, {url}")
            if arguments.flood:
                tally = await flood(arguments, visitors)
            elif arguments.hostile:
                tally = await hostile(arguments, visitors, apps)
            else:
                tally = await hold(arguments, visitors, apps)
    finally:
        if front is not None:
            front.terminate()
            front.wait()
        said = [app.stop() for app in apps]
    for failure in sorted(set(tally.failures))[:5]:
        print("failed:", failure[:200])
    for text in said:
        if "Traceback" in text:
            print("the app said:", text[-1500:])
    return int(bool(tally.failures))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--proxy"]:
        proxy(int(sys.argv[2]), sys.argv[3:])
    else:
        raise SystemExit(asyncio.run(main()))
