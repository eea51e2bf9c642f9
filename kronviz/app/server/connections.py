"""Close connections that send no request, or take no answer.

uvicorn waits forever for both. A client can open thousands of connections and send one
letter a minute on each, or ask for the page on each and never read it: each is a file that the
process holds open, and a megabyte of answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

HEAD_S = 20.0
"""Seconds for the head of a request to arrive, counted from its first byte or the connection."""
READ_S = 30.0
"""Seconds for a client to take at least a part of an answer that waits for it."""


def impatient(protocol: Any) -> Any:
    """Return a protocol class of uvicorn that closes a connection whose client does nothing.

    Between two requests of a connection, uvicorn's own ``timeout_keep_alive`` applies.

    Args:
        protocol: ``http_protocol_class`` of a uvicorn configuration.
    """

    class Impatient(protocol):  # type: ignore[misc]
        _late: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._answering():
                self._end_waiting()
            elif self._late is None:
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_waiting()
            self._read()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._offer(self.transport.get_write_buffer_size())

        def resume_writing(self) -> None:
            self._read()
            super().resume_writing()

        def _offer(self, left: int) -> None:
            loop = asyncio.get_running_loop()
            self._unread = loop.call_later(READ_S, self._look, left)

        def _look(self, before: int) -> None:
            left = self.transport.get_write_buffer_size()
            if left < before:
                self._offer(left)
            else:
                self._unread = None
                self.transport.abort()

        def _read(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

        def _answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _wait(self) -> None:
            self._late = asyncio.get_running_loop().call_later(HEAD_S, self._close)

        def _end_waiting(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _close(self) -> None:
            self._late = None
            if not self._answering():
                self.transport.close()

    return Impatient
