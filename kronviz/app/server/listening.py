"""Keep track of callers, and of whether they listen for their answers.

Notable:

- Gradio takes a call in one request and answers in another, a stream of messages. It also works for
  callers who never open that stream, and keeps their messages. Beyond 2,000 callers it drops the
  oldest ones, so many calls without a stream would end other visitors' runs. Here the calls that
  nobody listens to are dropped instead; callers who listen are never dropped.
- A broken connection ends the visitor's runs at once. Gradio checks the connection only before each
  message, up to fifteen seconds late.
- One person can open any number of sessions, so waiting calls are also counted by network address,
  and addresses take turns in a queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Any

import gradio as gr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kronviz.app.server import queueing
from kronviz.app.server.bodies import Refused

KEPT_S = 30.0
"""Seconds that a call waits, runs and is kept if its caller does not open the stream."""
MOST = 1_000
"""Most calls without a stream; beyond that the oldest is dropped."""
WAITING = 500
"""Most calls that wait in one queue."""
CROWD, YOUNG_S = 100, 3.0
"""Number of calls from which a queue is crowded, and the seconds after which a call that nobody
listens to then loses its place to a new one."""
MOST_OF_ONE = 16
"""Most waiting long runs of one visitor."""
MOST_LONG, MOST_QUICK = 64, 250
"""Most waiting calls of one address in one queue: of long runs, and of others.

64 are two long runs each for a class of 32 behind one address; 250 are half of a queue."""
MOST_STREAMS = 256
"""Most open streams of one address: four each for two such classes."""
TURN = 8
"""Calls that an address may have in a row: its ninth waits behind the first eight of every other
address, and a class of 32 is answered in four rounds."""
MOST_INLINE = 8
"""Most waiting calls that contain files, each of several megabytes."""


def address_of(scope: Scope) -> str:
    """Return the network address of a request's sender.

    A request from a private address may come from a proxy, whose ``X-Forwarded-For`` ends with the
    sender. All IPv6 addresses of one /64 network count as one.
    """
    near = str((scope.get("client") or ("",))[0])
    said = dict(scope["headers"]).get(b"x-forwarded-for", b"").decode("latin-1")
    try:
        if not ipaddress.ip_address(near).is_private:
            said = ""
        address = ipaddress.ip_address(said.rpartition(",")[2].strip() or near)
    except ValueError:
        return near
    return str(
        ipaddress.ip_network((address, 64), strict=False) if address.version == 6 else address
    )


class _Messages(dict[str, "asyncio.Queue[Any]"]):
    """Messages by visitor, for Gradio; those for a dropped visitor are discarded."""

    def __missing__(self, visitor: str) -> asyncio.Queue[Any]:
        return asyncio.Queue()

    def __delitem__(self, visitor: str) -> None:
        self.pop(visitor, None)


class Listening:
    """The callers of an app.

    Args:
        blocks: the app.
    """

    def __init__(self, blocks: gr.Blocks):
        self._queue: Any = blocks._queue
        # Bounded here; Gradio's own would drop the oldest caller, listening or not.
        self._queue.pending_messages_per_session = _Messages()  # type: ignore[assignment]
        self._silent: OrderedDict[str, float] = OrderedDict()
        self._streams: Counter[str] = Counter()
        self._addresses: dict[str, str] = {}
        self._lines: Counter[str] = Counter()
        self._dropping: set[asyncio.Task[None]] = set()

    def knows(self, visitor: str) -> bool:
        """Return whether there are or will be messages for a visitor."""
        return visitor in self._queue.pending_messages_per_session

    def asked(self, visitor: str, address: str) -> None:
        """Note that a visitor at an address has made a call and should listen soon."""
        queueing.come_back(visitor)
        self._addresses[visitor] = address
        if visitor in self._streams or visitor in self._silent:
            return
        self._silent[visitor] = since = time.monotonic()
        asyncio.get_running_loop().call_later(KEPT_S, lambda: self._drop(visitor, since))
        while len(self._silent) > MOST:
            self._drop(*next(iter(self._silent.items())))

    def _drop(self, visitor: str, since: float) -> None:
        """Drop a visitor who has not listened since a moment."""
        if self._silent.get(visitor) == since:
            del self._silent[visitor]
            self._forget(visitor)

    def _forget(self, visitor: str) -> None:
        """End the runs of a visitor and discard the messages."""

        async def clean() -> None:
            await self._queue.clean_events(session_hash=visitor)
            if visitor not in self._silent and visitor not in self._streams:
                self._let_go(visitor)

        queueing.leave(visitor)
        # Not awaited, because a broken stream can be cancelled at any moment.
        task = asyncio.get_running_loop().create_task(clean())
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    def _let_go(self, visitor: str) -> None:
        self._queue.pending_messages_per_session.pop(visitor, None)
        self._queue.pending_event_ids_session.pop(visitor, None)
        self._addresses.pop(visitor, None)

    @contextlib.contextmanager
    def line(self, address: str) -> Iterator[None]:
        """Count a stream that is open to an address; `Refused` if too many are."""
        if self._lines[address] >= MOST_STREAMS:
            raise Refused(
                503,
                f"{MOST_STREAMS} streams of answers are open to your network address already; "
                "close some of them.",
            )
        self._lines[address] += 1
        try:
            yield
        finally:
            self._lines[address] -= 1
            if not self._lines[address]:
                del self._lines[address]

    def take_turns(self) -> None:
        """Put the first calls of every address before the later calls of any."""
        for calls in self._queue.event_queue_per_concurrency_id.values():
            if len(calls.queue) > TURN:
                before: Counter[str | None] = Counter()
                turns = []
                for event in calls.queue:
                    address = self._addresses.get(event.session_hash)
                    # A call that has just arrived stays last until its address is known.
                    turns.append(before[address] // TURN if address else WAITING)
                    before[address] += 1
                order = sorted(range(len(turns)), key=turns.__getitem__)
                calls.queue[:] = [calls.queue[place] for place in order]

    def check_room(self, queue: str, address: str, visitor: str = "", inline: str = "") -> None:
        """Refuse a call that would wait behind too many others, or too many of the same caller.

        Args:
            inline: the endpoint, if its values contain whole files.

        Raises:
            Refused: the queue is full, or the visitor or the address has many calls in it.
        """
        calls = self._queue.event_queue_per_concurrency_id.get(queue)
        waiting = list(calls.queue) if calls else []
        own = [event for event in waiting if event.session_hash == visitor]
        if queue in queueing.LONG and len(own) >= MOST_OF_ONE:
            raise Refused(
                503, f"{MOST_OF_ONE} runs of yours wait already; ask again once they have ended."
            )
        near = [event for event in waiting if self._addresses.get(event.session_hash) == address]
        most = MOST_LONG if queue in queueing.LONG else MOST_QUICK
        self._make_room(
            near,
            most,
            most,
            f"{most} calls from your network address wait already; ask again once some of them "
            "have ended.",
        )
        self._make_room(waiting, CROWD, WAITING)
        if inline:
            alike = [event for event in waiting if event.fn.fn.__name__ == inline]
            self._make_room(alike, MOST_INLINE, MOST_INLINE)

    def _make_room(self, waiting: list[Any], crowd: int, most: int, sentence: str = "") -> None:
        """Make room in a crowded queue by dropping a call that nobody listens to.

        Raises:
            Refused: there is no such call, and too many others wait.
        """
        if len(waiting) < crowd:
            return
        before = time.monotonic() - YOUNG_S
        for event in waiting:
            since = self._silent.get(event.session_hash, before)
            if since < before:
                self._drop(event.session_hash, since)
                return
        if len(waiting) >= most:
            place = f"{len(waiting) + 1:,}"
            raise Refused(
                503,
                sentence
                or f"Busy: this would be number {place} in the queue; ask again in a few seconds.",
            )

    async def stream(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, visitor: str
    ) -> None:
        """Answer with a visitor's messages, and end its runs as soon as the connection breaks."""
        left, complete, listens = asyncio.Event(), False, True
        begun = [await receive()]
        self._streams[visitor] += 1
        self._silent.pop(visitor, None)

        def end() -> None:
            nonlocal listens
            if listens:
                listens = False
                self._streams[visitor] -= 1
                if not self._streams[visitor]:
                    del self._streams[visitor]

        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()
            # A complete answer also ends the connection; other runs of the visitor continue, as
            # they do if a new connection took over before this one broke.
            if not complete:
                end()
                if visitor not in self._streams:
                    self._forget(visitor)

        async def received() -> Message:
            if begun:
                return begun.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def sent(message: Message) -> None:
            nonlocal complete
            complete = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        listening = asyncio.create_task(listen())
        try:
            await app(scope, received, sent)
        finally:
            listening.cancel()
            if listens:
                end()
                if self._queue.pending_event_ids_session.get(visitor):
                    # Calls that arrived while the stream ended.
                    self.asked(visitor, address_of(scope))
                elif visitor not in self._streams and visitor not in self._silent:
                    self._let_go(visitor)
