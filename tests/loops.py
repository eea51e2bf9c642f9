"""Coroutines in tests that share a process with a browser's."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any


def run(asked: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a thread of its own: a browser test may have left a loop on this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, asyncio.run, asked).result()
