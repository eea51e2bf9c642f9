"""Where uploaded files lie: a folder of our own, of bounded size, with nothing old in it.

Gradio deletes a file that came in whole once its time is up. It forgets what it did not finish: of
a line that broke off, of a form without an end, of a process that was killed, the file would stay.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path

KEPT_S = 1800.0
"""How long a file stays that nobody writes to, as `own_model.KEPT_S` is of what was read."""
MOST_BYTES = 3_200_000_000
"""All files together."""
_FOLDER, _BLOCK = "GRADIO_TEMP_DIR", 4096


def use_own_folder() -> None:
    """Have Gradio put files into a folder of ours within its own, shared by all our processes."""
    gradio = Path(os.environ.get(_FOLDER) or Path(tempfile.gettempdir(), "gradio"))
    own = gradio if gradio.name == "kronviz" else gradio / "kronviz"
    os.environ[_FOLDER] = str(own.resolve())


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


def have_room(size: int) -> bool:
    """Whether a file of so many bytes can come in, once the old ones are gone."""
    return delete_old() + size <= MOST_BYTES
