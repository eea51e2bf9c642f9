"""Listeners that answer in one request, whichever process of the app it reaches.

Notable:

- Gradio's queue hands an answer out in a second request, which has to reach the process that got
  the first. What follows typing must not depend on that, so it bypasses the queue.
- Long runs do wait in Gradio's queue. A visitor's place there can be asked, and it can be left.
- Gradio writes the whole page down for every visitor and every call to an endpoint, so that it can
  make a deep link of it. This app has no such links: `session` copies one pattern instead, and a
  thousand visitors take little time and memory.
- `leave` notes a visitor who has closed the line, and a run asks `still_there` at each step.
- Each kind of work has a few threads of its own, where its requests wait in line: a request in one
  tab never holds up another tab.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import typing
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import gradio as gr
from gradio import state_holder
from gradio.server_messages import ProcessCompletedMessage

from kronviz.progress import Stopped

MOST_KNOWN = 10_000
LONG = frozenset({"lab", "map"})
"""Queues of runs that take long."""
CAPACITY = 1_000
"""Visitors whose state is kept."""
_Session = state_holder.SessionState
_UNCHANGED = {"__type__": "update"}
_apps: WeakSet[gr.Blocks] = WeakSet()
_gone: OrderedDict[str, None] = OrderedDict()
_visitor: ContextVar[str] = ContextVar("visitor", default="")


@dataclass(frozen=True)
class Endpoint:
    """What is known of a named endpoint: the queue it waits in, and its docstring."""

    queue: str
    doc: str


endpoints: dict[str, Endpoint] = {}
"""All named endpoints of this process."""


def offer(function: Callable[..., Any], name: str, queue: str) -> Callable[..., Any]:
    """Return a function to be published as an endpoint, in which `still_there` knows its visitor.

    Args:
        function: of annotated arguments.
        name: of the endpoint.
        queue: the concurrency id of the queue it waits in.
    """
    endpoints[name] = Endpoint(queue, inspect.getdoc(function) or "")
    signature = inspect.signature(function)
    hints = typing.get_type_hints(function)
    known = [
        each.replace(annotation=hints.get(each.name, each.annotation))
        for each in signature.parameters.values()
    ]

    def offered(request: gr.Request, *arguments: Any) -> Any:
        _visitor.set(str(request.session_hash))
        return function(*arguments)

    async def offered_later(request: gr.Request, *arguments: Any) -> Any:
        _visitor.set(str(request.session_hash))
        return await function(*arguments)

    wrapper: Any = offered_later if inspect.iscoroutinefunction(function) else offered
    asks = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    wrapper.__signature__ = signature.replace(
        parameters=[asks.replace(annotation=gr.Request), *known]
    )
    wrapper.__annotations__ = {"request": gr.Request, **hints}
    wrapper.__name__ = wrapper.__qualname__ = name
    wrapper.__doc__ = function.__doc__
    return wrapper


def watch(app: gr.Blocks) -> None:
    """Have an app's queue asked where somebody waits, and its visitors' states made here."""
    _apps.add(app)
    state_holder.SessionState = session  # type: ignore[assignment,misc]


@functools.lru_cache(maxsize=4)
def _pattern(blocks: gr.Blocks) -> object:
    return _Session(blocks)


def session(blocks: gr.Blocks) -> object:
    """Return the state of a new visitor, made from one pattern."""
    made = copy.copy(_pattern(blocks))
    # What it holds is the visitor's own; of the page nothing is written down yet.
    for name, value in vars(made).items():
        vars(made)[name] = {} if isinstance(value, dict) else copy.copy(value)
    return made


def place_in_queue(concurrency_id: str, session: str, function: Callable[..., Any]) -> int | None:
    """Return where a visitor's run stands in Gradio's queue: 1 is the next to start.

    Args:
        session: the visitor's, from `gr.Request`.
        function: of the listener that waits.

    Returns:
        ``None`` where no such run waits.
    """
    for place, (_, event) in enumerate(_waiting(concurrency_id), start=1):
        if _is(event, session, function):
            return place
    return None


def waiting(concurrency_id: str) -> int:
    """Return how many runs wait in one of Gradio's queues, those under way not counted."""
    return sum(1 for _ in _waiting(concurrency_id))


async def leave_queue(
    concurrency_id: str, session: str, function: Callable[..., Any], outputs: int
) -> bool:
    """Take a visitor's run out of Gradio's queue, where it waits there; its page is told so.

    Args:
        outputs: how many the listener has; they stay as they are.
    """
    for app, event in _waiting(concurrency_id):
        if _is(event, session, function):
            await app._queue.clean_events(event_id=event._id)
            message = ProcessCompletedMessage(output={"data": [_UNCHANGED] * outputs}, success=True)
            app._queue.send_message(event, message)
            return True
    return False


def leave(visitor: str) -> None:
    """Note that nobody waits any more for what a visitor has asked."""
    _gone[visitor] = None
    while len(_gone) > MOST_KNOWN:
        _gone.popitem(last=False)


def come_back(visitor: str) -> None:
    """Note that a visitor asks for something again."""
    _gone.pop(visitor, None)


def still_there(visitor: str = "") -> Callable[..., bool]:
    """Return a `Progress` that ends a run at its next step once its visitor has left.

    Args:
        visitor: the session; an endpoint's own (see `offer`) where none is named.

    Returns:
        A function that returns True, and raises `Stopped` where nobody waits for the answer: what
        a probe sums up of a stopped run would be computed for nobody.
    """
    asked = visitor or _visitor.get()

    def there(*_: object) -> bool:
        if asked in _gone:
            raise Stopped
        return True

    return there


def _waiting(concurrency_id: str) -> Iterator[tuple[gr.Blocks, Any]]:
    for app in list(_apps):
        found = app._queue.event_queue_per_concurrency_id.get(concurrency_id)
        for event in list(found.queue) if found else []:
            yield app, event


def _is(event: Any, session: str, function: Callable[..., Any]) -> bool:
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
        """Return the function as one that waits in this line; its listener has ``queue=False``."""

        @functools.wraps(function)
        async def answer(*arguments: Any) -> Any:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, safe, *arguments)

        def safe(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except (KeyboardInterrupt, SystemExit) as error:
                # It would end the event loop, and so the app.
                raise RuntimeError(type(error).__name__) from error

        return answer
