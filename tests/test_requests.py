"""What programs and strangers send to the whole app, as `app.py` builds it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import importlib
import inspect
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from jsonschema import Draft202012Validator
from loops import run
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from kronviz.app.server import bodies, connections, guard, listening, uploads
from kronviz.maps.umap_layout import main_axes
from kronviz.probes.pairs import PairSet, load_pairs

FEW: dict[str, Any] = {
    "count": 1, "repeats": 1, "seeds": 1, "max_tokens": 1, "tries": 1, "later": 1, "tokens": 16,
    "strengths": [1], "kinds": ["swap"], "strings": ["zorb"], "prompts": ["The {} is"],
    "sentences": ["The sun rises"], "passages": ["The sun rises in the east, as it always has."],
    "pairs": [{"clean": "The sun", "typo": "Teh sun"}], "d_model": 16, "limit": 3, "k": 3,
    "words": ["run", "runs", "sun", "son", "sin"], "prompt": "The sun", "clean": "The sun",
    "typo": "Teh sun", "text": "The sun", "word": "run",
    "documents": ["The sun rises in the east and sets in the west. " * 12], "context": 8,
    "first": "run", "second": "running", "string": "run",
}  # fmt: skip
"""Values that keep a call short."""


JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def endpoints(served: str) -> dict[str, list[dict[str, Any]]]:
    named = httpx.get(f"{served}gradio_api/info").json()["named_endpoints"]
    return {name.lstrip("/"): found["parameters"] for name, found in named.items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("table")
    words = [f"word{number}" for number in range(40)]
    np.save(folder / "v.npy", np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32))
    (folder / "t.json").write_text(json.dumps(words))
    return folder / "v.npy", folder / "t.json"


def inline(files: tuple[Path, Path]) -> dict[str, Any]:
    vectors, tokens = (base64.b64encode(path.read_bytes()).decode() for path in files)
    return {"vectors": vectors, "tokens": tokens, "vectors_name": "v.npy", "tokens_name": "t.json"}


def left() -> set[Path]:
    return {path for path in Path(get_upload_folder()).rglob("*") if path.is_file()}


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_documents_names_are_those_that_are_served(
    app: gr.Blocks, endpoints: dict[str, list[dict[str, Any]]]
) -> None:
    assert {"compare", "table", "table_of_files", "table_of_bytes", "measure", "cost"} <= {
        *endpoints
    }
    assert not [name for name in endpoints if name[-2:] == "_1"]
    for function in app.fns.values():
        name = str(function.api_name)
        if name not in endpoints:
            continue
        optional = {
            one.name
            for one in inspect.signature(function.fn).parameters.values()
            if one.default is not inspect.Parameter.empty
        }
        said = {one["parameter_name"] for one in endpoints[name] if one["parameter_has_default"]}
        assert optional <= said, name


def test_optional_arguments_may_be_left_out_and_files_leave_nothing(
    served: str, files: tuple[Path, Path]
) -> None:
    client = Client(served, verbose=False)
    said = client.predict(*map(handle_file, files), api_name="/table_of_files")
    assert said["tokens"] == 40
    before = left()
    again = client.predict(**inline(files), api_name="/table_of_bytes")
    assert {**again, "seconds": 0} == {**said, "seconds": 0}
    client.predict(*map(handle_file, files), api_name="/table_of_files")
    assert not [path for path in left() - before if path.stat().st_size == 0]
    assert client.predict("r50k_base", 16, 16, "float32", 16, api_name="/measure")


def test_a_value_of_the_wrong_kind_is_a_sentence_at_every_endpoint(
    served: str, endpoints: dict[str, list[dict[str, Any]]]
) -> None:
    client = httpx.Client(timeout=60)

    def said(name: str, values: dict[str, Any]) -> str:
        url = f"{served}gradio_api/call/v2/{name}"
        answer = client.post(url, json=values)
        if answer.status_code != 200:
            return answer.json()["detail"]
        told = client.get(f"{url}/{answer.json()['event_id']}").text
        assert "event: error" in told, (name, values)
        return json.loads(told.rpartition("data: ")[2])["error"]

    for name, parameters in endpoints.items():
        known = {one["parameter_name"] for one in parameters}
        needed = {one["parameter_name"] for one in parameters if not one["parameter_has_default"]}
        usual = {key: value for key, value in FEW.items() if key in needed}
        for parameter in sorted(known):
            for value in ({"a": 1}, *([False, "x" * 5_000] if parameter == "pair" else ())):
                sentence = said(name, {**usual, parameter: value})
                assert sentence.endswith("."), (name, parameter, sentence)
                assert len(sentence) < 400, (name, parameter)
                assert "error of the app" not in sentence, (name, parameter)


def test_files_are_named_by_their_path_and_numbers_are_not_rounded(
    served: str, files: tuple[Path, Path]
) -> None:
    client = httpx.Client(base_url=f"{served}gradio_api/", timeout=60)
    paths = client.post("upload", files=[("files", path.open("rb")) for path in files]).json()
    named = {what: {"path": path} for what, path in zip(("vectors", "tokens"), paths, strict=True)}

    def said(**values: object) -> str:
        answer = client.post("call/v2/table_of_files", json=named | values)
        if answer.status_code != 200:
            return answer.json()["detail"]
        return client.get(f"call/v2/table_of_files/{answer.json()['event_id']}").text

    assert '"tokens": 40' in said()
    assert '"tokens": 40' in said(vectors=named["vectors"] | {"size": "x", "meta": 3})
    assert "pos_dim is 16.7; it must be a whole number" in said(pos_dim=16.7)
    assert "seed is True; it must be a whole number" in said(seed=True)
    assert "not a file that was uploaded" in said(tokens={"path": "/etc/passwd"})


def test_values_that_would_have_no_effect_are_named(served: str) -> None:
    """Otherwise an answer to another question looks like the one that was asked for."""
    client = Client(served, verbose=False)
    pairs = [{"clean": "The sun", "typo": "Teh sun"}]
    for name, values, sentence in (
        ("robustness", {"kinds": ["swap"]}, "kinds has no effect without sentences"),
        ("robustness", {"pairs": pairs, "edits": 2}, "edits has no effect without sentences"),
        ("robustness", {"pairs": pairs, "sentences": ["The sun"]}, "pairs or sentences, not both"),
        ("robustness", {"pairs": [pairs[0] | {"expcted": " is"}]}, "Pair 1 has 'expcted'; a pair"),
        ("robustness", {"pairs": {}}, "pairs must be a list"),
        ("table_of_bytes", {"vectors": ""}, "vectors is empty"),
        ("recovery", {"clean": "The sun", "typo": "Teh sun", "later": 3}, "later has no effect"),
        ("sweep", {"sentences": ["The sun"], "count": 7}, "count has no effect without our own"),
        ("continuation", {"count": 7}, "count has no effect without documents"),
        ("table", {"tensor": "wte"}, "tensor has no effect without a model"),
        ("table", {"model": "a/b", "pair": "toy"}, "a model or a pair of models, not both"),
    ):
        with pytest.raises(AppError, match=re.escape(sentence)):
            client.predict(**values, api_name=f"/{name}")
    answer = httpx.get(f"{served}gradio_api/mcp/schema?tools=compare,comprae")
    assert answer.json()["detail"] == "There is no tool called 'comprae'."


def test_an_agent_can_call_every_tool(
    served: str,
    endpoints: dict[str, list[dict[str, Any]]],
    files: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = PairSet(load_pairs().pairs[:3])
    monkeypatch.setattr("kronviz.app.tabs.inside.api.load_pairs", lambda: few)
    # UMAP, which would compile for ten seconds, has tests of its own.
    monkeypatch.setattr("kronviz.maps.fresh.layout", lambda vectors, **settings: main_axes(vectors))

    async def ask() -> None:
        async with (
            streamablehttp_client(f"{served}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            refused: dict[str, str] = {}
            tools = (await session.list_tools()).tools
            assert {tool.name for tool in tools} == endpoints.keys() - {"table_of_files"}
            for tool in tools:
                Draft202012Validator.check_schema(tool.inputSchema)
                own = {
                    "table_of_bytes": inline(files),
                    "minimal_pairs": {"sentences": ["The sun rises. | The sun rise."]},
                    # Without the values that have no effect beside others.
                    "robustness": {"pairs": None},
                    "recovery": {"clean": None, "typo": None},
                    "sweep": {"sentences": None},
                }
                values = FEW | own.get(tool.name, {})
                wanted = tool.inputSchema["properties"]
                given = {
                    name: value
                    for name, value in values.items()
                    if name in wanted and Draft202012Validator(wanted[name]).is_valid(value)
                }
                assert {*tool.inputSchema.get("required", [])} <= {*given}, tool.name
                Draft202012Validator(tool.inputSchema).validate(given)
                answer = await session.call_tool(tool.name, given)
                if answer.isError:
                    refused[tool.name] = answer.content[0].text
                else:
                    json.loads(answer.content[0].text)

            assert refused == {}

    run(ask())


NESTED = {
    "lists": b'{"data": [[' + b"[]," * 150_000 + b"[]]]}",
    "numbers": b'{"data": [[' + b"1," * 190_000 + b"1]]}",
    "deep": b"[" * 100_000,
    "deep and whole": b'{"data": ' + b"[" * 500 + b"]" * 500 + b"}",
    "not a number": b'{"data": [NaN]}',
    "a number too large": b'{"data": [1e400]}',
    "a name given twice": b'{"data": [{"a": 1, "a": 2}]}',
    "a number of 5,000 digits": b'{"data": [' + b"9" * 5_000 + b"]}",
}


def test_a_body_of_many_or_odd_values_is_refused(served: str) -> None:
    for path in ("call/compare", "call/v2/compare", "queue/join", "run/predict", "mcp/"):
        for body in NESTED.values():
            headers = {
                "content-type": "application/json",
                "accept": "application/json, text/event-stream",
            }
            answer = httpx.post(f"{served}gradio_api/{path}", content=body, headers=headers)
            assert answer.status_code in (413, 422)
            assert answer.json()["detail"].endswith(".")


def test_what_cannot_be_repeated_is_refused_in_a_sentence(served: str) -> None:
    for body in (b'{"session_hash": 5}', b'{"event_id": "\\ud800"}', b"[1]", b"{}"):
        answer = httpx.post(f"{served}gradio_api/cancel", content=body)
        assert (answer.status_code, answer.json()["detail"][:9]) == (422, "A cancell")
    known = {"session_hash": "v", "fn_index": 1, "event_id": "x"}
    assert httpx.post(f"{served}gradio_api/cancel", json=known).json() == {"success": True}


def test_an_agent_that_sends_many_wrong_values_is_answered_soon(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A schema would be checked on the event loop, value by value, while everybody waits.
    checked: list[object] = []
    monkeypatch.setattr("jsonschema.validate", lambda *given, **named: checked.append(given))
    call = {"name": "robustness", "arguments": {"sentences": [*range(15_000)]}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {"accept": "application/json, text/event-stream"}
    answer = httpx.post(f"{served}gradio_api/mcp/", json=body, headers=headers)
    assert '"isError":true' in answer.text
    assert len(answer.text) < 1_000
    assert checked == []


def test_what_is_too_large_is_refused_before_it_is_read(served: str) -> None:
    for path, limit, status in (
        ("call/compare", bodies.MAX_JSON, 413),
        ("call/nowhere", bodies.MAX_JSON, 404),
        ("mcp/", bodies.MAX_INLINE, 413),
        ("cancel", bodies.MAX_OTHER, 413),
        ("nowhere", bodies.MAX_OTHER, 413),
    ):
        with socket.create_connection(("127.0.0.1", httpx.URL(served).port)) as line:
            line.sendall(
                f"POST /gradio_api/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Content-Type: application/json\r\nContent-Length: {limit + 1}\r\n\r\n".encode()
            )
            assert f" {status} ".encode() in line.recv(1000), path


def test_bodies_that_never_end_hold_little(
    served: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bodies, "MOST_HELD", 150_000)
    monkeypatch.setattr(bodies, "IDLE_S", 1.0)
    head = b"POST /gradio_api/call/compare HTTP/1.1\r\nHost: a\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: 99999\r\n\r\n"
    with contextlib.ExitStack() as lines:
        said = []
        for _ in range(2):
            line = socket.create_connection(("127.0.0.1", httpx.URL(served).port))
            lines.enter_context(line).sendall(head + b" " * 90_000)
            eventually(lambda: bool(bodies._held))
            said.append(line)
        assert [b" 408 " in said[0].recv(1000), b" 503 " in said[1].recv(1000)] == [True, True]
        lines.enter_context(
            socket.create_connection(("127.0.0.1", httpx.URL(served).port))
        ).sendall(head + b" " * 90_000)
        eventually(lambda: bool(bodies._held))
    eventually(lambda: not bodies._held)
    assert "Traceback" not in caplog.text
    texts = {"clean": "The sun", "typo": "Teh sun" + " " * 90_000}
    assert httpx.post(f"{served}gradio_api/call/v2/compare", json=texts).status_code == 200


def test_a_connection_whose_request_does_not_come_is_closed(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is an open file of the process, and one client can open thousands."""
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    head = b"GET /robots.txt HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    place = ("127.0.0.1", httpx.URL(served).port)
    with contextlib.ExitStack() as lines:
        silent, slow, second = (
            lines.enter_context(socket.create_connection(place, timeout=20)) for _ in range(3)
        )
        slow.sendall(head)
        second.sendall(head + b"\r\n")
        assert second.recv(4_000).startswith(b"HTTP/1.1 ")
        second.sendall(head)
        assert [line.recv(4_000) for line in (silent, slow)] == [b"", b""]
        while second.recv(4_000):
            pass


def test_a_connection_that_takes_no_answer_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would hold a megabyte for as long as its client likes."""
    monkeypatch.setattr(connections, "READ_S", 0.02)
    base: Any = type("Base", (), dict.fromkeys(("pause_writing", "resume_writing"), lambda _: None))

    async def looked_at(left: list[int], resumes: bool) -> list[str]:
        said: list[str] = []
        line = connections.impatient(base)()
        line.transport = SimpleNamespace(
            get_write_buffer_size=lambda: left.pop(0), abort=lambda: said.append("aborted")
        )
        line.pause_writing()
        if resumes:
            line.resume_writing()
        await asyncio.sleep(0.3)
        return said

    assert run(looked_at([9, 8, 7, 7], False)) == ["aborted"]
    assert run(looked_at([9], True)) == []


def test_an_upload_whose_parts_cannot_be_counted_is_refused(served: str) -> None:
    parts = "".join(
        f'--{{0}}\r\nContent-Disposition: form-data; name="files"; filename="{i}.npy"\r\n\r\n1\r\n'
        for i in range(uploads.MOST_FILES + 1)
    )
    for written, boundary, sentence in (
        ("boundary={0}", "b" * 201, "has at most 200 bytes"),
        ("boundary={0}", "b" * 50_000, "has at most 200 bytes"),
        ('Boundary="{0}"', "a b", "at most 8 files"),
    ):
        kind = f"multipart/form-data; {written.format(boundary)}"
        body = f"{parts.format(boundary)}--{boundary}--\r\n"
        answer = httpx.post(
            f"{served}gradio_api/upload", content=body, headers={"content-type": kind}
        )
        assert (answer.status_code, sentence in answer.text) == (400, True), answer.text


def test_upgrades_and_malformed_requests_leave_no_line_in_the_log(
    served: str, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: %b\r\nSec-WebSocket-Version: 13\r\n"
    for head, answer in (
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + upgrade % b"websocket", b"200"),
        (b"GET /gradio_api/queue/join HTTP/1.1\r\nHost: a\r\n" + upgrade % b"h2c", b"405"),
        (b"\x16\x03\x01 no HTTP\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n", b"400"),
    ):
        with socket.create_connection(("127.0.0.1", httpx.URL(served).port), timeout=20) as line:
            line.sendall(head + b"\r\n")
            assert line.recv(4_000).startswith(b"HTTP/1.1 " + answer), head
    assert not caplog.records


def test_agents_open_lines_with_get_alone(served: str) -> None:
    for method in ("HEAD", "PUT", "POST", "DELETE"):
        for path in ("sse", "schema"):
            url = f"{served}gradio_api/mcp/{path}"
            assert httpx.request(method, url, json={}).status_code == 405, (method, path)


def test_few_calls_with_files_inside_wait(
    app: gr.Blocks,
    served: str,
    files: tuple[Path, Path],
    batches: tuple[threading.Event, Iterator[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "MOST_INLINE", 2)
    url = f"{served}gradio_api/call/v2/"
    long = httpx.post(f"{url}robustness", json={})
    assert batches[0].wait(20)
    calls = [httpx.post(f"{url}table_of_bytes", json=inline(files)) for _ in range(3)]
    assert [call.status_code for call in calls] == [200, 200, 503]
    # Who listens and leaves ends a call.
    listened = ("table_of_bytes", calls[0]), ("table_of_bytes", calls[1]), ("robustness", long)
    for name, call in listened:
        with httpx.stream("GET", f"{url}{name}/{call.json()['event_id']}"):
            pass
    is_over(app, batches[1])


def test_a_large_body_holds_files_alone(served: str) -> None:
    plain = {"vectors": "a" * 1_000_000, "tokens": "b", "words": ["x"] * 30_000}
    for path, body in (
        ("call/v2/table_of_bytes", json.dumps(plain)),
        ("queue/join", json.dumps({"data": ["a" * 1_000_000], "fn_index": 0, "session_hash": "v"})),
    ):
        answer = httpx.post(f"{served}gradio_api/{path}", content=body, headers=JSON)
        assert answer.status_code in (413, 422)


def test_a_token_list_of_millions_of_parts_is_refused_before_its_run_waits(
    served: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    large = tmp_path / "t.json"
    large.write_bytes(b"{" + b'"":0,' * 3_000_000 + b'"":0}')
    sent = [("files", path.open("rb")) for path in (files[0], large)]
    paths = httpx.post(f"{served}gradio_api/upload", files=sent).json()
    given = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]
    named = dict(zip(("vectors", "tokens"), given, strict=True))
    for way, body in (("call", {"data": given}), ("call/v2", named)):
        Path(paths[1]).write_bytes(large.read_bytes())
        answer = httpx.post(f"{served}gradio_api/{way}/table_of_files", json=body)
        assert answer.status_code == 413
        assert not Path(paths[1]).exists()
        assert answer.json()["detail"].startswith("The token list is JSON of far more parts")


BROKEN = ("--5", "0-1,2-3", "a-b", "5-2", "-", "9" * 99)


def test_what_is_not_json_or_not_for_an_endpoint_is_one_sentence(served: str) -> None:
    visitor = httpx.Client(base_url=served)
    call, json_ = "gradio_api/call/v2/compare", "application/json"
    body = b'{"clean": "a", "typo": "b"}'
    for path, kind, content, status, said in (
        (call, "text/plain", body, 415, "with Content-Type: application/json"),
        (call, "application/x-www-form-urlencoded", body, 415, "with Content-Type"),
        (call, "application/json; charset=utf-8", body, 200, ""),
        (
            "gradio_api/call/compare%252Fx",
            json_,
            b'{"data": []}',
            404,
            "no endpoint called",
        ),
        ("gradio_api/run/predict%252Fx", json_, b"[" * 15_000, 413, "more than 12,000 lists"),
        ("gradio_api/queue%252Fjoin", json_, b'{"data": []}', 404, "Not Found"),
    ):
        answer = visitor.post(path, content=content, headers={"content-type": kind})
        assert answer.status_code == status, (path, kind, answer.text)
        assert said in answer.json().get("detail", "")
    answer = visitor.get("gradio_api/queue/data")
    assert (answer.status_code, answer.json()["detail"]) == (
        422, "This request cannot be answered: session_hash: field required.",
    )  # fmt: skip


def test_a_form_of_texts_or_of_many_files_is_refused_and_leaves_nothing(served: str) -> None:
    visitor = httpx.Client(base_url=served)
    before = set(uploads.folder().rglob("*"))
    for form, status, said in (
        ([("files", (None, "a text", None))], 422, "each with a file name"),
        ([("files", (f"{i}.npy", b"0" * i)) for i in range(9)], 400, "at most 8 files"),
        ([("files", (f"{i}.npy", b"0" * 80_000)) for i in range(9)], 400, "at most 8 files"),
    ):
        answer = visitor.post("gradio_api/upload", files=form)
        assert (answer.status_code, said in answer.text) == (status, True), answer.text
        assert not [path for path in set(uploads.folder().rglob("*")) - before if path.is_file()]
    form = [("files", (f"{i}.npy", b"0" * i)) for i in range(8)]
    assert len(visitor.post("gradio_api/upload", files=form).json()) == 8


def test_a_broken_range_is_one_sentence(served: str, files: tuple[Path, Path]) -> None:
    for range_ in [f"bytes={asked}" for asked in BROKEN] + ["x"]:
        sent = httpx.post(
            f"{served}gradio_api/upload", files={"files": files[0].open("rb")}
        ).json()[0]
        url = f"{served}gradio_api/file={sent}"
        assert httpx.get(url, headers={"range": "bytes=0-3"}).content == files[0].read_bytes()[:4]
        answer = httpx.get(url, headers={"range": range_})
        assert answer.status_code == 416
        assert answer.json()["detail"].endswith(".")


def test_a_long_address_is_refused_and_nothing_is_kept_of_it(served: str) -> None:
    long = "x" * 60_000
    for path in ("gradio_api/upload_progress?upload_id=", "gradio_api/info?", "?text=", "config?"):
        assert httpx.get(f"{served}{path}{long}").status_code == 414
    for identifier in ("a" * 65, "%00", "ä", ""):
        answer = httpx.get(f"{served}gradio_api/upload_progress?upload_id={identifier}")
        assert answer.status_code == 422


def begun(served: str, head: bytes, query: str = "") -> socket.socket:
    line = socket.create_connection(("127.0.0.1", httpx.URL(served).port))
    line.settimeout(20)
    line.sendall(
        f"POST /gradio_api/upload{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n".encode()
        + head
    )
    return line


PART = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.npy"\r\n\r\n'


def test_uploads_reserve_what_they_announce(
    served: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = left()
    # What another test began may not have ended yet, and is neither of these two.
    eventually(lambda: not uploads._under_way)
    with monkeypatch.context() as empty:  # A folder where files of other tests do not come and go.
        empty.setenv("GRADIO_TEMP_DIR", str(tmp_path))
        empty.setattr(uploads, "MOST_BYTES", 25_000_000)
        with begun(served, b"Content-Length: 20000000\r\n\r\n" + PART):
            eventually(lambda: bool(uploads._under_way))
            with begun(served, b"Content-Length: 20000000\r\n\r\n" + PART) as second:
                assert b" 503 " in second.recv(1000)
    eventually(lambda: not uploads._under_way)
    monkeypatch.setattr(uploads, "MOST_BYTES", uploads.delete_old() + 9_000_000)
    chunk = b"400000\r\n" + b"0" * 0x400000 + b"\r\n"
    with begun(served, b"Transfer-Encoding: chunked\r\n\r\n") as line:
        first = b"%x\r\n%s\r\n" % (len(PART), PART)
        line.sendall(first)
        said = b""
        for _ in range(6):
            try:
                line.sendall(chunk)
            except OSError:
                break
        try:
            said = line.recv(4000)
        except OSError:  # Closed while it was still being sent to.
            said = b" 400 "
        assert b" 400 " in said or b" 503 " in said
    eventually(lambda: left() == before)


def test_a_form_without_an_end_leaves_nothing(served: str) -> None:
    before = left()
    with begun(served, b"Content-Length: 100000\r\n\r\n") as line:
        line.sendall(PART + b"0" * (100_000 - len(PART)))
        assert b" 400 " in line.recv(1000)
    eventually(lambda: left() == before)


def test_the_page_is_told_how_far_an_upload_is(served: str) -> None:
    head = b"Content-Length: 300000\r\n\r\n"
    with begun(served, head, "?upload_id=abc") as line:
        line.sendall(PART + b"0" * 200_000)
        url = f"{served}gradio_api/upload_progress?upload_id=abc"
        with httpx.stream("GET", url) as told:
            lines = (json.loads(text[6:]) for text in told.iter_lines() if text)
            # It may be asked before the server has read what was sent.
            update = next(one for one in lines if one.get("chunk_size", 0) > 100_000)
            assert (update["msg"], update["orig_name"]) == ("update", "a.npy")
            end = b"\r\n--x--\r\n"
            line.sendall(b"0" * (100_000 - len(PART) - len(end)) + end)
            assert b" 200 " in line.recv(1000)
            assert list(lines)[-1] == {"msg": "done"}
    assert guard.uploads._under_way == []


LONG = (
    ("kronviz.probes.outcomes", "_read_batch"),
    ("kronviz.probes.recovery", "passage_runs"),
    ("kronviz.probes.minimal_pairs", "_judged"),
    ("kronviz.app.tabs.generate.tab", "side_by_side"),
    ("kronviz.probes.echo", "echo_runs"),
    ("kronviz.app.tabs.layers.tab", "layers"),
    ("kronviz.app.tabs.inside.pairs", "survey"),
    ("kronviz.app.tabs.your_model.tab", "TableProbe"),
    ("kronviz.app.tabs.map.tab", "lay_out_words"),
    ("kronviz.app.tabs.map.tab", "map_of"),
    ("kronviz.app.tabs.cost.tab", "measure_times"),
    ("kronviz.app.tabs.inside.view", "answer"),
)
"""What the long runs of the page compute with."""


def run_on_page(served: str, function: Any) -> str:
    """All that the page is told of one of its long runs, begun with what its fields hold."""
    visitor = f"visitor{function._id}"
    # Texts of its own, for the answer to the page's is kept.
    data = [
        f"{part.value} today" if isinstance(part, gr.Textbox) and part.value else part.value
        for part in function.inputs
    ]
    body = {"data": data, "fn_index": function._id, "session_hash": visitor, "trigger_id": None}
    httpx.post(f"{served}gradio_api/queue/join", json=body).raise_for_status()
    url = f"{served}gradio_api/queue/data?session_hash={visitor}"
    with httpx.stream("GET", url, timeout=60) as told:
        lines = []
        for line in told.iter_lines():
            lines.append(line)
            if "process_completed" in line:
                break
    return "\n".join(lines)


def test_an_error_in_any_long_run_is_one_sentence_and_it_can_run_again(
    app: gr.Blocks, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Any:
        # Who only expects an Exception is found out.
        raise KeyboardInterrupt("boom /secret/path")

    for module, name in LONG:
        monkeypatch.setattr(importlib.import_module(module), name, broken)
    long = [
        function
        for function in app.fns.values()
        if function.api_visibility == "private"
        and function.queue
        and inspect.isgeneratorfunction(function.fn)
    ]
    assert len(long) >= 12
    for function in long:
        said = run_on_page(served, function)
        assert re.search("ended early|not enough memory", said), (function.fn, said[-500:])
        assert '"success":true' in said.replace(" ", "").splitlines()[-1]
        assert "secret" not in said
        names = [str(part.elem_id) for part in function.outputs]
        if any(name.endswith("-cancel") for name in names):
            # Run can be pressed again, Cancel cannot.
            last = json.loads(said.splitlines()[-1][5:])["output"]["data"]
            run, cancel = last[-2:]
            assert run["interactive"] is True
            assert cancel["interactive"] is False


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, Iterator[int]]:
    """A run without an end: set once it has begun, and counting its batches."""
    begun, counted = threading.Event(), itertools.count()

    def endless(*_: object) -> Iterator[tuple[Any, ...]]:
        while True:
            begun.set()
            next(counted)
            time.sleep(0.05)
            yield ()

    monkeypatch.setattr("kronviz.probes.robustness.outcomes", endless)
    monkeypatch.setattr("kronviz.probes.robustness.summarise", lambda *_, **__: {})
    return begun, counted


def is_over(app: gr.Blocks, counted: Iterator[int]) -> None:
    """Check that the run ends, and that nothing of it goes on."""
    queue = app._queue.event_queue_per_concurrency_id["lab"]
    eventually(lambda: not queue.queue and queue.current_concurrency == 0)
    reached = next(counted)
    time.sleep(0.15)
    assert next(counted) == reached + 1


def test_a_call_whose_visitor_left_ends_soon(
    app: gr.Blocks, served: str, batches: tuple[threading.Event, Iterator[int]]
) -> None:
    begun, counted = batches
    url = f"{served}gradio_api/call/v2/robustness"
    event = httpx.post(url, json={}).json()["event_id"]
    with httpx.stream("GET", f"{url}/{event}"):
        assert begun.wait(20)
        # A connection that broke after another took over ends nothing.
        with httpx.stream("GET", f"{url}/{event}"):
            pass
        reached = next(counted)
        eventually(lambda: next(counted) > reached + 5)
    is_over(app, counted)


def test_a_call_whose_agent_left_ends_soon_and_quietly(
    app: gr.Blocks,
    served: str,
    batches: tuple[threading.Event, Iterator[int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun, counted = batches
    call = {"method": "tools/call", "params": {"name": "robustness", "arguments": {}}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, **call}).encode()
    with socket.create_connection(("127.0.0.1", httpx.URL(served).port)) as line:
        line.sendall(
            b"POST /gradio_api/mcp/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: application/json\r\n"
            b"Accept: application/json, text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"%x\r\n%s\r\n0\r\n\r\n"
            % (len(body), body)
        )
        assert begun.wait(20)
    is_over(app, counted)
    # What a task raised that nobody asks any more is logged once the task is collected.
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_call_that_nobody_listens_to_ends_soon(
    app: gr.Blocks,
    served: str,
    batches: tuple[threading.Event, Iterator[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "KEPT_S", 0.5)
    begun, counted = batches
    url = f"{served}gradio_api/call/v2/robustness"
    events = [httpx.post(url, json={}).json()["event_id"] for _ in range(3)]
    assert begun.wait(20)
    is_over(app, counted)
    for event in events:
        assert "ask again" in httpx.get(f"{url}/{event}").text
    assert not app._queue.pending_event_ids_session.keys() & {*events}


def test_calls_that_nobody_listens_to_take_nothing_from_those_who_do(
    app: gr.Blocks,
    served: str,
    batches: tuple[threading.Event, Iterator[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"MOST": 12, "CROWD": 4, "YOUNG_S": 0, "WAITING": 8, "KEPT_S": 1}.items():
        monkeypatch.setattr(listening, name, value)
    begun, counted = batches
    url, text = f"{served}gradio_api/call/v2/", {"text": "house"}
    event = httpx.post(f"{url}robustness", json={}).json()["event_id"]
    with httpx.stream("GET", f"{url}robustness/{event}"):
        assert begun.wait(20)
        calls = [httpx.post(f"{url}encode", json=text).json()["event_id"] for _ in range(14)]
        # Long runs that nobody listens to make room for others.
        for _ in range(10):
            assert httpx.post(f"{url}robustness", json={}).status_code == 200
        reached = next(counted)
        eventually(lambda: next(counted) > reached + 5)
        known = app._queue.pending_messages_per_session
        assert event in known
        assert not hasattr(known, "max_size")  # Gradio's own drops who asked first.
    assert "ask again" in httpx.get(f"{url}encode/{calls[0]}").text
    is_over(app, counted)


def test_one_visitor_cannot_fill_the_queue_of_long_runs(
    app: gr.Blocks, served: str, batches: tuple[threading.Event, Iterator[int]]
) -> None:
    begun, counted = batches
    number = next(one._id for one in app.fns.values() if one.api_name == "robustness")
    values = [None] * len(app.fns[number].inputs)
    body = {"data": values, "fn_index": number, "session_hash": "many"}

    def join() -> int:
        return httpx.post(f"{served}gradio_api/queue/join", json=body).status_code

    assert join() == 200
    with httpx.stream("GET", f"{served}gradio_api/queue/data?session_hash=many"):
        assert {join() for _ in range(listening.MOST_OF_ONE)} == {200}
        assert join() == 503
        begun.wait(1)
    is_over(app, counted)


def test_one_address_cannot_fill_a_queue_and_takes_turns_with_others(
    app: gr.Blocks,
    served: str,
    batches: tuple[threading.Event, Iterator[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"MOST_LONG": 5, "TURN": 2, "YOUNG_S": 60, "MOST_STREAMS": 1}.items():
        monkeypatch.setattr(listening, name, value)
    begun, counted = batches
    url = f"{served}gradio_api/call/v2/robustness"

    def call(address: str) -> httpx.Response:
        return httpx.post(url, json={}, headers={"x-forwarded-for": address})

    first = call("203.0.113.1").json()["event_id"]
    near = {"x-forwarded-for": "203.0.113.1"}
    with httpx.stream("GET", f"{url}/{first}", headers=near):
        assert begun.wait(20)
        many = [call("203.0.113.1").json()["event_id"] for _ in range(5)]
        refused = call("203.0.113.1")
        assert refused.status_code == 503
        assert refused.json()["detail"].startswith("5 calls from your network address wait already")
        other = [call("203.0.113.2").json()["event_id"] for _ in range(3)]
        waiting = app._queue.event_queue_per_concurrency_id["lab"].queue
        places = [event.session_hash for event in waiting]
        assert places == [*many[:2], *other[:2], *many[2:4], other[2], many[4]]
        refused = httpx.get(f"{url}/{many[0]}", headers=near)
        assert refused.status_code == 503
        assert refused.json()["detail"].startswith("1 streams of answers are open to your network")
    # Whoever listened and left has gone: the server notices a moment later, so it may count two.
    monkeypatch.setattr(listening, "MOST_STREAMS", 20)
    for event in (*many, *other):
        address = "203.0.113.2" if event in other else "203.0.113.1"
        with httpx.stream("GET", f"{url}/{event}", headers={"x-forwarded-for": address}) as told:
            assert told.status_code == 200
    is_over(app, counted)


def test_an_address_is_what_the_nearest_proxy_says() -> None:
    def address(near: str, said: str = "") -> str:
        headers = [(b"x-forwarded-for", said.encode())] if said else []
        return listening.address_of({"client": (near, 1), "headers": headers})

    assert address("9.9.9.9") == "9.9.9.9"
    assert address("10.0.0.1", "1.1.1.1, 9.9.9.9") == "9.9.9.9"
    # Whoever has no proxy in front may write what they like there.
    assert address("9.9.9.9", "1.1.1.1") == "9.9.9.9"
    assert address("10.0.0.1", "nonsense") == "10.0.0.1"
    assert address("2606:4700::1") == address("2606:4700::2") != address("2606:4701::1")


def test_an_agent_may_send_as_large_a_file_as_the_tool_says(served: str) -> None:
    size = bodies.MAX_INLINE_FILES
    assert len(base64.b64encode(bytes(size))) < bodies.MAX_INLINE - 100_000

    def called(bytes_: int) -> httpx.Response:
        vectors, tokens = (base64.b64encode(b"x" * size).decode() for size in (bytes_ - 9, 9))
        arguments = {"vectors": vectors, "tokens": tokens, "vectors_name": "v.npy"}
        call = {"name": "table_of_bytes", "arguments": arguments}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        headers = {"accept": "application/json, text/event-stream"}
        return httpx.post(f"{served}gradio_api/mcp/", json=body, headers=headers, timeout=60)

    assert "v.npy is not a" in called(size).text
    assert "The files have 5,900,001 bytes" in called(size + 1).text
    refused = called(size + 200_000)
    assert (refused.status_code, "files of 5.9 MB" in refused.text) == (413, True)
    (tool,) = httpx.get(f"{served}gradio_api/mcp/schema?tools=table_of_bytes").json()
    assert "5.9 MB" in tool["inputSchema"]["properties"]["vectors"]["description"]
