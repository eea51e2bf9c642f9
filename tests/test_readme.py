"""The examples of the README and of the endpoints' page do what they say, on the small pair."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = "\n".join(
    (ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/endpoints.md")
)
ADDRESS = "http://127.0.0.1:7860"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def needs_the_app(code: str) -> bool:
    return ADDRESS in code


def run(command: list[str]) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_way_has_an_example() -> None:
    code = "\n".join(blocks("python") + blocks("bash"))
    for way in ("Predictor.load", "gradio_client", "curl", "ClientSession"):
        assert way in code


def test_python_examples_run(served: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = "\n\n".join(blocks("python")).replace(ADDRESS, served.rstrip("/"))
    # In a thread: beside a browser, this one has an event loop already.
    with ThreadPoolExecutor() as pool:
        pool.submit(exec, code, {"__name__": "__main__"}).result(120)
    said = capsys.readouterr().out
    assert said.count("bpe") >= 2
    assert "'compare'" in said
    assert '{"pair": "toy", "clean": "The sun rises in the"' in said


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_examples_run(served: str) -> None:
    for code in filter(needs_the_app, blocks("bash")):
        said = run(["bash", "-euo", "pipefail", "-c", code.replace(ADDRESS, served.rstrip("/"))])
        assert "event: complete" in said
        (answer,) = json.loads(said.split("data: ")[1])
        assert [arm["arm"] for arm in answer["arms"]] == ["bpe", "kron"]


def test_the_setting_for_agents_is_json() -> None:
    (setting,) = filter(needs_the_app, blocks("json"))
    assert json.loads(setting)["mcpServers"]
