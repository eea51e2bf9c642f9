"""Where the app listens: a port that was asked for and is taken ends it with one sentence."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kronviz.app.server import address
from kronviz.errors import InputError

ROOT = Path(__file__).parent.parent


def test_a_taken_port_ends_the_app_with_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env={**os.environ, "GRADIO_SERVER_PORT": str(number)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stdout == ""
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"kronviz cannot listen on 127.0.0.1, port {number} (")


def test_a_port_that_was_left_to_the_app_is_a_free_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        monkeypatch.setattr(address, "PORT", number)
        for environment in ({}, {"GRADIO_SERVER_PORT": "0"}, {"GRADIO_SERVER_PORT": " "}):
            found = address.port(environment)
            assert found > number
            said = capsys.readouterr().out
            assert said == f"Port {number} is taken; kronviz takes {found}.\n"


def test_what_is_no_port_is_named() -> None:
    for given in ("abc", "-1", "65536", "7" * 5_000, "7860.5", "²"):
        with pytest.raises(InputError, match="GRADIO_SERVER_PORT is "):
            address.port({"GRADIO_SERVER_PORT": given})


def test_what_is_no_address_is_named() -> None:
    for name in ("no host", "x" * 70, "203.0.113.7"):
        with pytest.raises(InputError, match="cannot listen on"):
            address.port({"GRADIO_SERVER_NAME": name, "GRADIO_SERVER_PORT": "7860"})
