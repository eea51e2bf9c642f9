"""Measure the memory of long runs, and how soon they end after their visitor leaves.

    python benchmarks/long_runs.py [--seconds 8] [--runs sweep table …]

Starts the app, and each kind of run once through its endpoint. After some seconds the visitor
leaves in the middle of the answer. Prints how much memory the app used above its idle state, how
long processors worked, and how long the app kept working after that; the limits are 1 GB and two
seconds. ``table_of_files`` uploads a table of 4,000 × 16,384 and lays all of it out: 60 seconds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from running import App
from wide_tables import SHAPES, made

RUNS: dict[str, dict[str, Any]] = {
    "robustness": {},
    "sweep": {},
    "recovery": {},
    "continuation": {
        "documents": ["The sun rises in the east and sets in the west. " * 400] * 8,
        "count": 200,
    },
    "layers": {},
    "echo": {"seeds": 5, "max_tokens": 200},
    "inside": {
        "clean": "the sun rises in the east and sets in the west and " * 4 + "the end",
        "typo": "teh sun rises in the east and sets in the wset and " * 4 + "the end",
    },
    "inside_pairs": {"seed": 7},
    "table": {"map_tokens": 4000},
    "table_of_files": {"map_tokens": 4000},
    "generate": {"prompt": "The king lived in a castle with his", "max_tokens": 200},
}
QUIET_SHARE, BEAT_S, LONGEST_S = 0.1, 0.25, 240.0


class Watch:
    """Samples the memory of the app four times a second."""

    def __init__(self, app: App):
        self._app, self._over = app, threading.Event()
        self.most = 0.0
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self._over.wait(BEAT_S / 2):
            self.most = max(self.most, self._app.memory_mb())

    def end(self) -> float:
        """Stop sampling; return the peak memory in MB."""
        self._over.set()
        return self.most


def worked_s(app: App) -> float:
    """Return the processor seconds that the app has used."""
    fields = Path(f"/proc/{app.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until_quiet(app: App) -> float:
    """Return the seconds until the app is almost idle."""
    began, before, quiet = time.monotonic(), worked_s(app), 0
    while time.monotonic() - began < LONGEST_S:
        time.sleep(BEAT_S)
        now = worked_s(app)
        quiet = quiet + 1 if now - before < QUIET_SHARE * BEAT_S else 0
        before = now
        if quiet == 3:
            return max(0.0, time.monotonic() - began - 3 * BEAT_S)
    return float("inf")


def uploaded(app: App) -> dict[str, Any]:
    """Upload the wide table of `wide_tables`; return the files as an endpoint takes them."""
    rows, dims, _ = SHAPES["wide"]
    with tempfile.TemporaryDirectory() as folder:
        sent = [("files", path.open("rb")) for path in made(Path(folder), rows, dims)]
        url = f"{app.url}gradio_api/upload"
        answer = httpx.post(url, files=sent, trust_env=False, timeout=600)
    answer.raise_for_status()
    given = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in answer.json()]
    return dict(zip(("vectors", "tokens"), given, strict=True))


def measure(app: App, name: str, seconds: float) -> None:
    """Start a run, leave it, and print a line."""
    files = uploaded(app) if name == "table_of_files" else {}
    idle, watch, worked = app.memory_mb(), Watch(app), worked_s(app)
    url = f"{app.url}gradio_api/call/v2/{name}"
    answer = httpx.post(url, json=RUNS[name] | files, trust_env=False, timeout=60)
    answer.raise_for_status()
    began, said = time.monotonic(), "left"
    # A separate timeout, because a computing run sends nothing for up to fifteen seconds.
    with httpx.Client(trust_env=False, timeout=httpx.Timeout(5, read=seconds)) as client:
        try:
            with client.stream("GET", f"{url}/{answer.json()['event_id']}") as told:
                for line in told.iter_lines():
                    if line.startswith("event: ") and "heartbeat" not in line:
                        said = line[7:]
                        break
                    if time.monotonic() - began > seconds:
                        break
        except httpx.ReadTimeout:
            said = "left"
    after = until_quiet(app)
    took = time.monotonic() - began - after
    print(
        f"{name:14} {said:9} after {took:5.1f} s ({worked_s(app) - worked:.1f} s worked), went on "
        f"for {after:4.1f} s; memory {idle:,.0f} MB before, {watch.end() - idle:+,.0f} at most",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--runs", nargs="+", choices=list(RUNS), default=list(RUNS))
    options = parser.parse_args()
    app = App()
    try:
        app.wait()
        until_quiet(app)
        for name in options.runs:
            measure(app, name, options.seconds)
    finally:
        app.stop()


if __name__ == "__main__":
    main()
