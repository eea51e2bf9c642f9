"""Queues and threads for the app's work, and the sessions of its visitors.

Notable:

- Gradio's queue delivers an answer in a second request, which must reach the same process as the
  first. Answers that follow typing must not depend on that, so they bypass the queue.
- Long runs wait in Gradio's queue. A visitor can see the run's place there, and leave.
- Gradio copies the whole page for every visitor and every call to an endpoint, to make deep links.
  This app has no deep links: `session` copies one template instead, so that a thousand visitors
  take little time and memory.
- `leave` notes that a visitor has disconnected, and a run checks `still_there` at each step.
- Each kind of work has a few threads, on which its requests wait: a request in one tab never
  blocks another tab.
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
"""Queues of long runs."""
CAPACITY = 1_000
"""Number of visitors whose state is kept."""
_Session = state_holder.SessionState
_UNCHANGED = {"__type__": "update"}
_apps: WeakSet[gr.Blocks] = WeakSet()
_gone: OrderedDict[str, None] = OrderedDict()
_visitor: ContextVar[str] = ContextVar("visitor", default="")


@dataclass(frozen=True)
class Endpoint:
    """A named endpoint: its queue and its docstring."""

    queue: str
    doc: str


endpoints: dict[str, Endpoint] = {}
"""All named endpoints of this process."""


def offer(function: Callable[..., Any], name: str, queue: str) -> Callable[..., Any]:
    """Return a function to publish as an endpoint, in which `still_there` knows the visitor.

    Args:
        function: a function with annotated arguments.
        name: name of the endpoint.
        queue: concurrency id of the queue in which calls wait.
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
    """Use an app's queue in this module, and make its visitors' states here."""
    _apps.add(app)
    state_holder.SessionState = session  # type: ignore[assignment,misc]


@functools.lru_cache(maxsize=4)
def _template(blocks: gr.Blocks) -> object:
    return _Session(blocks)


def session(blocks: gr.Blocks) -> object:
    """Return the state of a new visitor, copied from one template."""
    made = copy.copy(_template(blocks))
    # Its values belong to the visitor; the page itself is not copied yet.
    for name, value in vars(made).items():
        vars(made)[name] = {} if isinstance(value, dict) else copy.copy(value)
    return made


def place_in_queue(concurrency_id: str, session: str, function: Callable[..., Any]) -> int | None:
    """Return the place of a visitor's run in Gradio's queue: 1 is the next to start.

    Args:
        session: the visitor's session, from `gr.Request`.
        function: function of the waiting listener.

    Returns:
        The place, or ``None`` if no such run waits.
    """
    for place, (_, event) in enumerate(_waiting(concurrency_id), start=1):
        if _is(event, session, function):
            return place
    return None


def waiting(concurrency_id: str) -> int:
    """Return the number of runs that wait in one of Gradio's queues, without the active ones."""
    return sum(1 for _ in _waiting(concurrency_id))


async def leave_queue(
    concurrency_id: str, session: str, function: Callable[..., Any], outputs: int
) -> bool:
    """Take a visitor's waiting run out of Gradio's queue and tell its page.

    Args:
        outputs: number of the listener's outputs, which stay unchanged.
    """
    for app, event in _waiting(concurrency_id):
        if _is(event, session, function):
            await app._queue.clean_events(event_id=event._id)
            message = ProcessCompletedMessage(
                output={"data": [_UNCHANGED] * outputs}, success=True, event_id=event._id
            )
            messages = app._queue.pending_messages_per_session[session]
            messages.put_nowait(message)
            return True
    return False


def leave(visitor: str) -> None:
    """Note that nobody waits for a visitor's answers any more."""
    _gone[visitor] = None
    while len(_gone) > MOST_KNOWN:
        _gone.popitem(last=False)


def come_back(visitor: str) -> None:
    """Note that a visitor makes calls again."""
    _gone.pop(visitor, None)


def still_there(visitor: str = "") -> Callable[..., bool]:
    """Return a `Progress` that ends a run at its next step once its visitor has left.

    Args:
        visitor: the session; by default that of the current endpoint call (see `offer`).

    Returns:
        A function that returns True while someone waits for the answer and then raises `Stopped`,
        because nobody would see a partial result.
    """
    asked = visitor or _visitor.get()

    def there(*_: object) -> bool:
        if asked in _gone:
            raise Stopped
        return True

    return there


def _waiting(concurrency_id: str) -> Iterator[tuple[gr.Blocks, Any]]:
    for app in list(_apps):
        calls = app._queue.event_queue_per_concurrency_id.get(concurrency_id)
        for event in list(calls.queue) if calls else []:
            yield app, event


def _is(event: Any, session: str, function: Callable[..., Any]) -> bool:
    return event.session_hash == session and event.fn.fn is function


class Line:
    """A few threads for one kind of work, which wraps the functions that do it.

    Args:
        name: name of the threads.
        places: number of requests that run at a time.
    """

    def __init__(self, name: str, places: int = 2):
        self._threads = ThreadPoolExecutor(places, thread_name_prefix=name)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """Return a function that runs on these threads, for listeners with ``queue=False``."""

        @functools.wraps(function)
        async def answer(*arguments: Any) -> Any:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, safe, *arguments)

        def safe(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except (KeyboardInterrupt, SystemExit) as error:
                # It would end the event loop and thus the app.
                raise RuntimeError(type(error).__name__) from error

        return answer
