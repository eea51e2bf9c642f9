"""What strangers may do: no pickle, no foreign file, no path, no traceback, limits, headers."""

from __future__ import annotations

import json
import os
import pickle
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from gradio.utils import get_upload_folder
from loops import run

from kronviz.app.server import guard, uploads
from kronviz.checkpoint import load_arm
from kronviz.checkpoint_files import CheckpointError

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from fuzz import fuzz  # noqa: E402


def sources() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split()]


def test_nothing_is_read_from_a_pickle() -> None:
    pattern = re.compile(
        r"\bimport (?:c?pickle|dill|joblib|shelve|marshal)\b|\bfrom (?:c?pickle|dill|joblib)\b"
        r"|torch\.load\(|allow_pickle\s*=\s*True|read_pickle|weights_only\s*=\s*False"
    )
    for path in sources():
        if path.is_relative_to(ROOT / "tests"):
            continue
        assert not pattern.search(path.read_text(encoding="utf-8")), path
        for call in re.findall(r"np\.load\([^)]*\)", path.read_text(encoding="utf-8")):
            assert "allow_pickle=False" in call, path
    for weights in (ROOT / "checkpoints").rglob("*"):
        assert weights.suffix not in (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".npy"), weights


class Trap:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("import builtins; builtins.sprung = True",))


@pytest.mark.parametrize("kind", ["pickle", "torch", "numpy"])
def test_a_pickle_in_place_of_weights_is_refused_unread(
    kind: str, pair_folder: Path, tmp_path: Path
) -> None:
    import builtins
    import shutil

    folder = tmp_path / "bpe"
    shutil.copytree(pair_folder / "bpe", folder)
    (shard,) = folder.glob("*.safetensors")
    with shard.open("wb") as file:
        if kind == "pickle":
            pickle.dump(Trap(), file)
        elif kind == "torch":
            torch.save({"wte.weight": Trap()}, file)
        else:
            np.save(file, np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(CheckpointError):
        load_arm(folder)
    assert not hasattr(builtins, "sprung")


def test_every_answer_carries_the_headers(served: str) -> None:
    for path in ("", "config", "theme.css", "gradio_api/info", "nowhere", "gradio_api/file=/x"):
        headers = httpx.get(served + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "script-src 'self' 'nonce-" in headers["content-security-policy"]
        assert "unsafe-inline" not in headers["content-security-policy"].split("style-src")[0]


def test_a_nonce_is_used_once_and_stands_on_every_script(served: str) -> None:
    pages = [httpx.get(served) for _ in range(2)]
    nonces = [re.search(r"'nonce-([^']+)'", p.headers["content-security-policy"]) for p in pages]
    assert len({nonce[1] for nonce in nonces if nonce}) == 2
    for page, nonce in zip(pages, nonces, strict=True):
        assert nonce is not None
        scripts = re.findall(r"<script[^>]*>", page.text)
        assert scripts
        assert all(f'nonce="{nonce[1]}"' in script for script in scripts)


def test_nothing_beyond_the_page_is_served(served: str) -> None:
    for path in (
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=../../etc/passwd",
        "gradio_api/file=%2e%2e%2fapp.py",
        "gradio_api/file=C:\\windows\\win.ini",
        "gradio_api/file=https://example.com/",
        f"gradio_api/file={ROOT}/checkpoints/tiny/kron/config.json",
        f"gradio_api/file={ROOT}/app.py",
        "gradio_api/file/etc/passwd",
        "gradio_api/proxy=https://x.hf.space/",
        "gradio_api/runs",
        "gradio_api/deep_link?session_hash=x",
        "gradio_api/custom_component/x/client/component/index.js",
        "gradio_api/heartbeat/visitor",
        "assets/..%2f..%2f..%2fetc%2fpasswd",
        "static/..%2f..%2froutes.py",
        "monitoring",
        "monitoring/summary",
        "openapi.json",
        "docs",
    ):
        answer = httpx.get(served + path)
        assert answer.status_code in (403, 404)
        assert str(ROOT) not in answer.text
        assert "root:" not in answer.text


def test_the_page_asks_for_no_line_that_stays_open(served: str) -> None:
    assert httpx.get(f"{served}config").json()["connect_heartbeat"] is False


def test_what_is_too_large_is_refused(served: str) -> None:
    large = json.dumps({"clean": "a" * guard.MAX_JSON, "typo": "b"})
    url = f"{served}gradio_api/call/v2/compare"
    assert httpx.post(url, content=large).status_code == 413

    def unannounced() -> Iterator[bytes]:
        yield from (
            large[start : start + 500_000].encode() for start in range(0, len(large), 500_000)
        )

    headers = {"content-type": "application/json"}
    assert httpx.post(url, content=unannounced(), headers=headers).status_code == 413
    with socket.create_connection(("127.0.0.1", httpx.URL(served).port)) as line:
        line.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000000\r\n\r\n"
        )
        assert b" 413 " in line.recv(1000)


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def files() -> set[Path]:
    return {path for path in Path(get_upload_folder()).rglob("*") if path.is_file()}


def begun(served: str, part: bytes) -> socket.socket:
    """The beginning of an upload of one megabyte."""
    line = socket.create_connection(("127.0.0.1", httpx.URL(served).port))
    line.sendall(
        b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n"
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.npy"\r\n\r\n' + part
    )
    return line


def test_an_upload_that_breaks_off_leaves_nothing(served: str) -> None:
    before = files()
    with begun(served, b"0" * 300_000):
        eventually(lambda: files() != before)
    eventually(lambda: files() == before)


def test_a_file_that_another_process_left_is_deleted() -> None:
    left = Path(get_upload_folder()) / "left-by-a-killed-process"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"0")
    uploads.delete_old()
    assert left.exists()
    os.utime(left, (0, 0))
    uploads.delete_old()
    assert not left.exists()


def test_uploads_are_refused_when_there_are_too_many(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, form = f"{served}gradio_api/upload", {"files": ("a.npy", b"0" * 1000)}
    assert httpx.post(url, files=form).status_code == 200
    monkeypatch.setattr(uploads, "MOST_BYTES", 5000)
    answer = httpx.post(url, files=form)
    assert answer.status_code == 503
    assert answer.text == (
        "No room for the file: too many others are here. Try again in half an hour."
    )


def test_a_refused_call_says_why(served: str) -> None:
    for path, body, status, said in (
        ("call/nowhere", {"data": []}, 404, "no endpoint called 'nowhere'"),
        ("call/v2/nowhere", {}, 404, "no endpoint called 'nowhere'"),
        ("call/compare", {"data": ["a"]}, 422, "compare needs typo"),
        ("call/compare", {"data": ["a", "b", "", "d", "e"]}, 422, "takes 4 values"),
        ("call/v2/compare", {"clean": "a", "tpyo": "b"}, 422, "no value called 'tpyo'"),
        ("call/compare", [1], 422, "a list of its values"),
        ("run/compare", {"data": ["a", "b", ""]}, 404, "no listener"),
        (
            "call/table_of_files",
            {"data": [{"path": "http://example.com/a", "meta": {"_type": "gradio.FileData"}}]},
            422,
            "A file is sent, not fetched",
        ),
        ("call/compare", {"data": [[{"a": {"path": "HTTPS://example.com"}}]]}, 422, "not fetched"),
        ("run/predict", {"data": [], "fn_index": 0, "session_hash": "x"}, 422, "number of values"),
    ):
        answer = httpx.post(f"{served}gradio_api/{path}", json=body)
        assert answer.status_code == status
        assert said in answer.json()["detail"]


def test_an_answer_of_another_process_is_said_to_be_elsewhere(served: str) -> None:
    for path in ("queue/data?session_hash=unknown", "call/compare/unknown"):
        assert "holds no answer of that name" in httpx.get(f"{served}gradio_api/{path}").text


def test_random_calls_end_in_no_500_and_show_no_insides(served: str) -> None:
    kinds, faults = run(fuzz(served, 60, seed=7))
    assert faults == []
    assert kinds["answered"] > 5
    assert sum(kinds.values()) == 60


def test_no_address_is_fetched_whichever_way_a_call_comes(served: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.3)
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/v.npy"
        file = {"path": address, "url": address, "meta": {"_type": "gradio.FileData"}}
        tool = {"name": "table_of_bytes", "arguments": {"vectors": file, "tokens": file}}
        rpc = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": tool}
        ways: dict[str, object] = {
            "call/table_of_files": {"data": [file, file]},
            "call/v2/table_of_files": {"vectors": file, "tokens": file},
            "queue/join": {"data": [file], "fn_index": 0, "session_hash": "v"},
            "run/table_of_files": {"data": [file, file]},
            "mcp/": rpc,
        }
        for path, body in ways.items():
            accept = {"accept": "application/json, text/event-stream"}
            httpx.post(f"{served}gradio_api/{path}", json=body, headers=accept)
        with pytest.raises(TimeoutError):
            elsewhere.accept()
