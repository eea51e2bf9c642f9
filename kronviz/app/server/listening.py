"""Keep track of callers, and of whether they listen for their answers.

Notable:

- Gradio takes a call in one request and answers in another, a stream of messages. It also works for
  callers who never open that stream, and keeps their messages. Beyond 2,000 callers it drops the
  oldest ones, so many calls without a stream would end other visitors' runs. Here the calls that
  nobody listens to are dropped instead; callers who listen are never dropped.
- A broken connection ends the visitor's runs at once. Gradio checks the connection only before each
  message, up to fifteen seconds late.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
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
MOST_INLINE = 8
"""Most waiting calls that contain files, each of several megabytes."""


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
        self._dropping: set[asyncio.Task[None]] = set()

    def knows(self, visitor: str) -> bool:
        """Return whether there are or will be messages for a visitor."""
        return visitor in self._queue.pending_messages_per_session

    def asked(self, visitor: str) -> None:
        """Note that a visitor has made a call and should listen soon."""
        queueing.come_back(visitor)
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

    def check_room(self, queue: str, visitor: str = "", inline: str = "") -> None:
        """Refuse a call if too many of its kind, or of its visitor, are waiting.

        Args:
            inline: the endpoint, if its values contain whole files.

        Raises:
            Refused: the queue is full, or the visitor has too many runs in it.
        """
        found = self._queue.event_queue_per_concurrency_id.get(queue)
        waiting = list(found.queue) if found else []
        own = [event for event in waiting if event.session_hash == visitor]
        if queue in queueing.LONG and len(own) >= MOST_OF_ONE:
            raise Refused(
                503, f"{MOST_OF_ONE} runs of yours wait already; ask again once they have ended."
            )
        self._make_room(waiting, CROWD, WAITING)
        if inline:
            alike = [event for event in waiting if event.fn.api_name == inline]
            self._make_room(alike, MOST_INLINE, MOST_INLINE)

    def _make_room(self, waiting: list[Any], crowd: int, most: int) -> None:
        """Drop a waiting call without a listener; `Refused` if there is none and too many wait."""
        if len(waiting) < crowd:
            return
        before = time.monotonic() - YOUNG_S
        for event in waiting:
            since = self._silent.get(event.session_hash, before)
            if since < before:
                self._drop(event.session_hash, since)
                return
        if len(waiting) >= most:
            raise Refused(
                503,
                f"Busy: this would be number {len(waiting) + 1:,} in the queue; ask again in a few "
                "seconds.",
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
            # A complete answer also ends the connection; other runs of the visitor continue.
            if not complete:
                end()
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
                    self.asked(visitor)  # For a new call that came while the stream ended.
                elif visitor not in self._streams and visitor not in self._silent:
                    self._let_go(visitor)
