"""Time from ``python app.py`` to the first served page, in a fresh process.

    python benchmarks/start.py [--runs 3]

The baseline in the same run is ``import gradio, torch``; no such app can start faster.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from running import App


def first_page() -> float:
    """Start the app, wait for its page and stop it; return the seconds to the page."""
    started = time.perf_counter()
    app = App()
    try:
        app.wait()
        return time.perf_counter() - started
    finally:
        app.stop()


def imports() -> float:
    """Return the seconds that a fresh process takes to import Gradio and PyTorch."""
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
