"""Keep uploaded files in a separate folder of bounded size, and delete old ones.

Notable:

- An upload reserves its announced size before its first byte is read; without an announced size it
  reserves as it arrives. So simultaneous uploads cannot exceed their common limit.
- Gradio deletes a complete file when its time is up, and a file with an invalid form at once.
  Uploads that break off, grow too large or never end are turned into such forms here.
- The progress of an upload is tracked and reported here, because Gradio would keep every name that
  is asked for, forever.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qs

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.formparsers import MultiPartException
from starlette.types import Message, Receive, Scope, Send

from kronviz.app.server.bodies import Refused

KEPT_S = 1800.0
"""Seconds that a file is kept after the last write; `own_model.KEPT_S` is for what was read."""
MOST_BYTES = 3_200_000_000
"""Largest size of all files together, in bytes."""
MORE = 200_000
"""Bytes that an upload may have in addition to its file."""
MOST_FILES = 8
"""Most files in an upload."""
_FOLDER = "GRADIO_TEMP_DIR"
_LEAST = 160_000
"""Smallest size that a file counts as, in bytes: so there are at most 20,000, quickly listed."""
_STEP = 8_000_000
_IDLE_S, _LONGEST_S, _WAIT_S, _BEAT_S = 60.0, 1800.0, 3.0, 0.2
MAX_BOUNDARY = 200
"""Bytes of an upload's boundary."""
_FILE_NAME = re.compile(rb'filename="([^"\r\n]{1,500})"')
_TOO_LARGE = "The upload is larger than the maximum allowed size of {:,} bytes; send less."


def use_own_folder() -> None:
    """Make Gradio put files into a subfolder of its own, which all our processes share."""
    gradio = Path(os.environ.get(_FOLDER) or Path(tempfile.gettempdir(), "gradio"))
    own = gradio if gradio.name == "kronviz" else gradio / "kronviz"
    os.environ[_FOLDER] = str(own.resolve())


def folder() -> Path:
    """Return the folder from which files may be served."""
    return Path(os.environ[_FOLDER]).resolve()


def delete_old(kept_s: float = KEPT_S) -> int:
    """Delete files that were not written to for ``kept_s`` seconds, and empty folders.

    Returns:
        The size of the other files in bytes.
    """
    now, total, own = time.time(), 0, os.environ[_FOLDER]
    for folder, _, names in os.walk(own, topdown=False):
        for name in names:
            path = Path(folder, name)
            try:
                stat = path.lstat()
                if now - stat.st_mtime > kept_s:
                    path.unlink()
                else:
                    total += max(stat.st_size, _LEAST)
            except FileNotFoundError:  # Another process was there first.
                continue
        with contextlib.suppress(OSError):  # A folder that is not empty, for example.
            if folder != own and now - os.stat(folder).st_mtime > kept_s:
                os.rmdir(folder)
    return total


def have_room() -> bool:
    """Delete old files; return whether the others and all reservations fit."""
    return delete_old() + sum(one.reserved - one.came for one in _under_way) <= MOST_BYTES


class Upload:
    """One upload in progress.

    Args:
        scope: scope of the request.
        largest: largest size of a file in bytes.
    """

    def __init__(self, scope: Scope, largest: int):
        headers = dict(scope["headers"])
        query = parse_qs(scope["query_string"].decode("latin-1"))
        _, given = parse_options_header(headers.get(b"content-type", b""))
        boundary = given.get(b"boundary", b"")
        if len(boundary) > MAX_BOUNDARY:
            raise Refused(400, f"The boundary of an upload has at most {MAX_BOUNDARY} bytes.")
        self.identifier = query.get("upload_id", [""])[0]
        self.name = ""
        self.reserved = self.came = 0
        self.watched = False
        self._limit = largest + MORE
        self._begin = boundary and b"--" + boundary
        self._end = self._begin and self._begin + b"--"
        self._tail, self._parts = b"", 0
        self._began = time.monotonic()

    async def begin(self, announced: int) -> None:
        """Reserve the announced size; `Refused` if it is too large or there is no room."""
        if announced > self._limit:
            raise Refused(413, _TOO_LARGE.format(self._limit))
        _under_way.append(self)
        await self._reserve(max(announced, _STEP))

    async def _reserve(self, size: int) -> None:
        # Reserved first, so that simultaneous uploads see it.
        self.reserved += size
        if not await run_in_threadpool(have_room):
            raise Refused(
                503, "No room for the file: too many others are here. Try again in half an hour."
            )

    def received(self, receive: Receive) -> Receive:
        """Return the body for Gradio to read; any problem becomes an error of the form.

        Gradio deletes the received part of a form with an error.
        """
        whole = False

        async def counted() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            if time.monotonic() - self._began > _LONGEST_S:
                raise MultiPartException("The upload took too long; send a smaller file.")
            try:
                message = await asyncio.wait_for(receive(), _IDLE_S)
            except TimeoutError:
                raise MultiPartException("The upload broke off.") from None
            if message["type"] == "http.disconnect":
                raise MultiPartException("The upload broke off.")
            body = message.get("body", b"")
            if not self.name:
                named = _FILE_NAME.search(body[:4_000])
                self.name = named[1].decode("utf-8", "replace") if named else ""
            self.came += len(body)
            if self.came > self._limit:
                # Gradio answers these words with status 413.
                raise MultiPartException(_TOO_LARGE.format(self._limit))
            if self.came > self.reserved:
                try:
                    await self._reserve(_STEP)
                except Refused as refused:
                    raise MultiPartException(str(refused)) from None
            if self._begin:
                # A boundary that ends in this part of the body was not counted before.
                cut = self._tail[1 - len(self._begin) :]
                self._parts += (cut + body).count(self._begin)
            if self._parts > MOST_FILES + 1:
                raise MultiPartException(f"Upload at most {MOST_FILES} files at a time.")
            self._tail = (self._tail + body)[-len(self._end) - 8 :]
            if not message.get("more_body") and self._end not in self._tail:
                raise MultiPartException("The form of the upload has no end.")
            whole = not message.get("more_body")
            return message

        return counted

    def end(self) -> None:
        """Release the reservation."""
        if self in _under_way:
            _under_way.remove(self)


async def tell_progress(scope: Scope, send: Send) -> None:
    """Stream the progress of an upload to the page until it has ended.

    Raises:
        Refused: there is no such upload, or another page follows it already.
    """
    query = parse_qs(scope["query_string"].decode("latin-1"))
    identifier = query.get("upload_id", [""])[0]
    until = time.monotonic() + _WAIT_S
    while not (
        matching := [one for one in _under_way if identifier and one.identifier == identifier]
    ):
        if time.monotonic() > until:
            raise Refused(404, "There is no upload of that name.")
        await asyncio.sleep(_BEAT_S)
    (upload, *_) = matching
    if upload.watched:
        raise Refused(404, "Another page is told how far this upload is.")
    upload.watched, told = True, 0
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while upload in _under_way:
        came, told = upload.came - told, upload.came
        said = {"msg": "update", "orig_name": upload.name, "chunk_size": came}
        await send(_event(said, more=True))
        await asyncio.sleep(_BEAT_S)
    await send(_event({"msg": "done"}, more=False))


def _event(said: dict[str, object], *, more: bool) -> Message:
    body = f"data: {json.dumps(said)}\n\n".encode()
    return {"type": "http.response.body", "body": body, "more_body": more}


_under_way: list[Upload] = []
