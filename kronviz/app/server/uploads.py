"""Where uploaded files lie: a folder of our own, of bounded size, with nothing old in it.

Notable:

- An upload reserves what it announces before its first byte is read; one that announces nothing
  reserves as it comes. So many at once cannot pass the limit on all of them together.
- Gradio deletes a file that came in whole once its time is up, and one whose form is wrong at once.
  What breaks off, grows too large or has no end is made such a form here.
- How far an upload is, is counted and told here: Gradio would keep each name that somebody asks
  about for ever.
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

from starlette.concurrency import run_in_threadpool
from starlette.formparsers import MultiPartException
from starlette.types import Message, Receive, Scope, Send

from kronviz.app.server.bodies import Refused

KEPT_S = 1800.0
"""How long a file stays that nobody writes to, as `own_model.KEPT_S` is of what was read."""
MOST_BYTES = 3_200_000_000
"""All files together."""
MORE = 200_000
"""Bytes that an upload may have beside its file."""
_FOLDER, _BLOCK = "GRADIO_TEMP_DIR", 4096
_STEP = 8_000_000
_IDLE_S, _LONGEST_S, _WAIT_S, _BEAT_S = 60.0, 1800.0, 3.0, 0.2
_BOUNDARY = re.compile(rb'boundary="?([^";,\s]{1,200})"?')
_FILE_NAME = re.compile(rb'filename="([^"\r\n]{1,500})"')
_TOO_LARGE = "The upload is larger than the maximum allowed size of {:,} bytes; send less."


def use_own_folder() -> None:
    """Have Gradio put files into a folder of ours within its own, shared by all our processes."""
    gradio = Path(os.environ.get(_FOLDER) or Path(tempfile.gettempdir(), "gradio"))
    own = gradio if gradio.name == "kronviz" else gradio / "kronviz"
    os.environ[_FOLDER] = str(own.resolve())


def folder() -> Path:
    """Return the folder that files may be served from."""
    return Path(os.environ[_FOLDER]).resolve()


def delete_old(kept_s: float = KEPT_S) -> int:
    """Delete the files that nobody has written to for ``kept_s`` seconds, and empty folders.

    Returns:
        The bytes that the others take on the disk.
    """
    now, total, own = time.time(), 0, os.environ[_FOLDER]
    for folder, _, names in os.walk(own, topdown=False):
        for name in names:
            path = Path(folder, name)
            try:
                found = path.lstat()
                if now - found.st_mtime > kept_s:
                    path.unlink()
                else:
                    total += max(found.st_size, _BLOCK)
            except FileNotFoundError:  # Another process was there first.
                continue
        with contextlib.suppress(OSError):  # As for a folder that is not empty.
            if folder != own and now - os.stat(folder).st_mtime > kept_s:
                os.rmdir(folder)
    return total


def have_room() -> bool:
    """Return whether all that is here and all that was reserved fits, once the old files are
    gone.
    """
    return delete_old() + sum(one.reserved - one.came for one in _under_way) <= MOST_BYTES


class Upload:
    """One upload while it comes in.

    Args:
        scope: of the request.
        largest: bytes that a file may have.
    """

    def __init__(self, scope: Scope, largest: int):
        headers = dict(scope["headers"])
        query = parse_qs(scope["query_string"].decode("latin-1"))
        boundary = _BOUNDARY.search(headers.get(b"content-type", b""))
        self.identifier = query.get("upload_id", [""])[0]
        self.name = ""
        self.reserved = self.came = 0
        self.watched = False
        self._limit = largest + MORE
        self._end = b"--" + boundary[1] + b"--" if boundary else b""
        self._tail = b""
        self._began = time.monotonic()

    async def begin(self, announced: int) -> None:
        """Reserve what was announced. `Refused` if it is too large or there is no room."""
        if announced > self._limit:
            raise Refused(413, _TOO_LARGE.format(self._limit))
        _under_way.append(self)
        await self._reserve(max(announced, _STEP))

    async def _reserve(self, size: int) -> None:
        # Reserved first: others that come meanwhile must see it.
        self.reserved += size
        if not await run_in_threadpool(have_room):
            raise Refused(
                503, "No room for the file: too many others are here. Try again in half an hour."
            )

    def received(self, receive: Receive) -> Receive:
        """Return the body as Gradio reads it; whatever is wrong with it is an error of the form.

        Gradio deletes what has come of a form with an error.
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
                # Gradio answers 413 to these words.
                raise MultiPartException(_TOO_LARGE.format(self._limit))
            if self.came > self.reserved:
                try:
                    await self._reserve(_STEP)
                except Refused as refused:
                    raise MultiPartException(str(refused)) from None
            self._tail = (self._tail + body)[-len(self._end) - 8 :]
            if not message.get("more_body") and self._end not in self._tail:
                raise MultiPartException("The form of the upload has no end.")
            whole = not message.get("more_body")
            return message

        return counted

    def end(self) -> None:
        """Give back what was reserved."""
        if self in _under_way:
            _under_way.remove(self)


async def tell_progress(scope: Scope, send: Send) -> None:
    """Answer the page's question how far an upload is, until it has ended.

    Raises:
        Refused: there is no such upload, or somebody is told already.
    """
    query = parse_qs(scope["query_string"].decode("latin-1"))
    identifier = query.get("upload_id", [""])[0]
    until = time.monotonic() + _WAIT_S
    while not (found := [one for one in _under_way if identifier and one.identifier == identifier]):
        if time.monotonic() > until:
            raise Refused(404, "There is no upload of that name.")
        await asyncio.sleep(_BEAT_S)
    (upload, *_) = found
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
