"""Run the app as a separate process, for benchmarks that act like a browser."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
LONGEST_S = 300.0


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return found.getsockname()[1]


class App:
    """``python app.py``, or another script, started at once on a free port."""

    def __init__(self, script: str = "app.py") -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}/"
        environment = os.environ | {
            "GRADIO_SERVER_PORT": str(self.port),
            "GRADIO_SERVER_NAME": HOST,
        }
        # A file, because nothing reads a pipe before the end, and a full one would block the app.
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self.process = subprocess.Popen(
            [sys.executable, script],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=self.said,
        )

    def wait(self) -> None:
        """Wait until it serves its page; `SystemExit` if it stops or takes five minutes."""
        deadline = time.monotonic() + LONGEST_S
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(
                    "app.py stopped before it served a page; start it by hand to see why"
                )
            try:
                with direct.open(self.url) as page:
                    page.read()
                return
            except urllib.error.URLError:
                time.sleep(0.05)
        raise SystemExit("app.py served no page within five minutes")

    def memory_mb(self) -> float:
        """Return the memory in MB that it uses now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> str:
        """Stop it and return its log."""
        self.process.terminate()
        self.process.wait()
        self.said.seek(0)
        return self.said.read().decode(errors="replace")


@contextlib.contextmanager
def address(url: str | None) -> Iterator[str]:
    """Yield the address of a running app: the given one, or one that is started for the block."""
    if url is not None:
        yield url.rstrip("/")
        return
    app = App()
    try:
        app.wait()
        yield app.url.rstrip("/")
    finally:
        app.stop()
