"""Start kronviz: ``kronviz`` or ``python app.py`` serves it on http://127.0.0.1:7860.

On Hugging Face Spaces it listens on all addresses. ``GRADIO_SERVER_NAME`` and
``GRADIO_SERVER_PORT`` change the address; if a requested port is taken, the app exits.
``KRONVIZ_FRAME_ANCESTORS`` names the sites that may embed it. Nothing is downloaded or reported.
"""

from __future__ import annotations

import argparse
import functools
import os
from pathlib import Path

# Read by Gradio and its client library when they are imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Gradio's queue summarises its last 10,000 requests after each one: more work than an answer.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")

from kronviz import cli
from kronviz.app.server import address
from kronviz.checkpoint_files import list_pairs
from kronviz.paths import CHECKPOINTS


def main() -> None:
    """Load every pair of models, then serve the app until it is stopped."""
    cli.run(_serve)


def _serve() -> None:
    parser = argparse.ArgumentParser(prog="kronviz", description=__doc__)
    parser.add_argument("--checkpoints", type=Path, help="folder of the pairs")
    root = parser.parse_args().checkpoints or CHECKPOINTS
    say = functools.cache(functools.partial(print, flush=True))
    # Checked before the slow imports, so that a taken port or a damaged file is reported at once.
    port = address.port()
    for pair in list_pairs(root, whole=True):
        for problem in pair.problems:
            say(problem)
    from kronviz.app.context import device, load_context
    from kronviz.app.page import build_app, launch
    from kronviz.app.server import guard
    from kronviz.serving import share_cores

    guard.frame_ancestors()
    share_cores()
    context = load_context(root, device(), say)
    launch(build_app(context), server_port=port)
    cli.leave()
