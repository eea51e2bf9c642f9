"""Seconds from ``python app.py`` to the first page served, in a fresh process.

    python benchmarks/start.py [--runs 3]

The peer in the same run is ``import gradio, torch``, below which no such app can start.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PORT = 7891


def first_page() -> float:
    """Start the app, wait for its page, stop it; seconds."""
    environment = os.environ | {"GRADIO_SERVER_PORT": str(PORT)}
    started = time.perf_counter()
    app = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            if app.poll() is not None:
                raise SystemExit(
                    "app.py stopped before it served a page; start it by hand to see why"
                )
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/") as page:
                    page.read()
                return time.perf_counter() - started
            except urllib.error.URLError:
                time.sleep(0.05)
    finally:
        app.terminate()
        app.wait()


def imports() -> float:
    """Seconds that a fresh process takes to import Gradio and PyTorch."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import gradio, torch"], check=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    imports()
    floor = statistics.median(imports() for _ in range(runs))
    start = statistics.median(first_page() for _ in range(runs))
    print(f"import gradio, torch       {floor:6.2f} s   1")
    print(f"python app.py, first page  {start:6.2f} s   {start / floor:.2f}")


if __name__ == "__main__":
    main()
