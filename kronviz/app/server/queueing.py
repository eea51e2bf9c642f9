"""Listeners that answer in one request, whichever process of the app it reaches.

Notable:

- Gradio's queue hands an answer out in a second request, which has to reach the process that got
  the first. What follows typing must not depend on that, so it passes the queue by.
- Long runs do wait in Gradio's queue. Where one stands there can be asked, and it can be left.
- Each kind of work has a few threads of its own, where its requests wait in line: what somebody
  asks in one tab holds nothing up in another.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gradio.context import LocalContext
from gradio.queueing import Event, Queue
from gradio.server_messages import ProcessCompletedMessage

left: set[str | None] = set()
"""Calls whose agent has left; Gradio asks for an agent itself, and sees nobody leave."""
_LEFT_AS_IT_IS = {"__type__": "update"}


def place_in_queue(concurrency_id: str, session: str, function: Callable[..., Any]) -> int | None:
    """Where a visitor's run stands in Gradio's queue, seen from a listener: 1 is the next to start.

    Args:
        session: the visitor's, from `gr.Request`.
        function: of the listener that waits.

    Returns:
        ``None`` where no such run waits.
    """
    for place, event in enumerate(_waiting(concurrency_id), start=1):
        if _is(event, session, function):
            return place
    return None


def next_number(concurrency_id: str) -> int:
    """The number that a run would have in the queue if it came now; 0 where it would start."""
    queue = _queue()
    found = queue.event_queue_per_concurrency_id.get(concurrency_id) if queue is not None else None
    if found is None or not (found.queue or found.current_concurrency):
        return 0
    return len(found.queue) + 1


async def leave_queue(concurrency_id: str, session: str, function: Callable[..., Any]) -> bool:
    """Take a visitor's run out of Gradio's queue, where it waits there; its page is told so."""
    queue = _queue()
    for event in _waiting(concurrency_id):
        if queue is not None and _is(event, session, function):
            await _take_out(queue, event)
            return True
    return False


async def abandon(queue: Queue, identifier: str) -> None:
    """End a call whose agent has left: at once where it waits, else at its next step."""
    left.add(identifier)
    for waiting in list(queue.event_queue_per_concurrency_id.values()):
        for event in [one for one in waiting.queue if one._id == identifier]:
            await _take_out(queue, event)


async def _take_out(queue: Queue, event: Event) -> None:
    await queue.remove_from_queue(event._id)
    output = {"data": [_LEFT_AS_IT_IS] * len(event.fn.outputs)}
    queue.send_message(event, ProcessCompletedMessage(output=output, success=True))


def still_there() -> Callable[..., bool]:
    """Return a function that says, to a probe that asks, whether its visitor waits for the answer.

    Call it inside an endpoint. Gradio marks an event whose visitor has left, and runs it on.
    """
    queue, event = _queue(), LocalContext.event_id.get(None)

    def there(*_: object) -> bool:
        if event in left:
            return False
        jobs = (
            [job for batch in queue.active_jobs if batch for job in batch]
            if queue is not None
            else []
        )
        return all(job.alive for job in jobs if job._id == event)

    return there


def _queue() -> Queue | None:
    blocks = LocalContext.blocks.get(None)
    return blocks._queue if blocks else None


def _waiting(concurrency_id: str) -> list[Event]:
    queue = _queue()
    found = queue.event_queue_per_concurrency_id.get(concurrency_id) if queue is not None else None
    return list(found.queue) if found else []


def _is(event: Event, session: str, function: Callable[..., Any]) -> bool:
    return event.session_hash == session and event.fn.fn is function


class Line:
    """A few threads for one kind of work; wraps the functions that do it.

    Args:
        name: what the threads are called.
        places: how many requests are worked on at a time.
    """

    def __init__(self, name: str, places: int = 2):
        self._threads = ThreadPoolExecutor(places, thread_name_prefix=name)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """The function as one that waits in this line, for a listener with ``queue=False``."""

        @functools.wraps(function)
        async def answer(*arguments: Any) -> Any:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._threads, functools.partial(function, *arguments)
            )

        return answer
