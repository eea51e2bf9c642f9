"""Listeners that answer in one request, whichever process of the app it reaches.

Notable:

- Gradio's queue hands an answer out in a second request, which has to reach the process that got
  the first. What follows typing must not depend on that, so it passes the queue by.
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


def runs_ahead(concurrency_id: str) -> int:
    """How many runs of a kind are under way or wait in Gradio's queue, seen from a listener."""
    blocks = LocalContext.blocks.get()
    queue = blocks and blocks._queue.event_queue_per_concurrency_id.get(concurrency_id)
    return len(queue.queue) + queue.current_concurrency if queue else 0


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
