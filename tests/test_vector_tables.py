"""Tables of vectors out of files and from a server: numbers exact, everything else refused."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from kronviz.predictor import InputError
from kronviz.probes.cross_model import table as module
from kronviz.probes.cross_model.choice import Matrix, choose
from kronviz.probes.cross_model.hub import fetch
from kronviz.probes.cross_model.vectors import read_vectors

ROWS, DIMS = 40, 6
TABLE = torch.randn(ROWS, DIMS, generator=torch.Generator().manual_seed(1))
TOKENS = json.dumps([f"word{i}" for i in range(ROWS)]).encode()


def written(path: Path, **tensors: torch.Tensor) -> Path:
    save_file({name.replace("__", "."): tensor for name, tensor in tensors.items()}, path)
    return path


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_float_type_is_read_exactly(tmp_path: Path, dtype: torch.dtype) -> None:
    path = written(tmp_path / "a.safetensors", wte__weight=TABLE.to(dtype), other=torch.zeros(3))
    found = read_vectors(path)
    assert found.name == "wte.weight"
    assert found.rows == ROWS
    assert np.array_equal(found.vectors, TABLE.to(dtype).float().numpy())


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
def test_npy_is_read_in_either_order(tmp_path: Path, dtype: str) -> None:
    expected = TABLE.numpy().astype(dtype)
    for order in (expected, np.asfortranarray(expected)):
        np.save(tmp_path / "a.npy", order)
        assert np.array_equal(read_vectors(tmp_path / "a.npy").vectors, expected.astype("<f4"))


def test_the_token_table_is_found_among_other_matrices() -> None:
    bert = {"embeddings.position_embeddings.weight": (512, 8),
            "embeddings.word_embeddings.weight": (90, 8), "pooler.weight": (9000, 8)}  # fmt: skip
    assert choose_tensor(bert) == "embeddings.word_embeddings.weight"
    llama = {"model.embed_tokens.weight": (90, 8), "lm_head.weight": (900, 8)}
    assert choose_tensor(llama) == "model.embed_tokens.weight"
    assert choose_tensor(llama, "lm_head.weight") == "lm_head.weight"
    assert choose_tensor({"a": (20, 4), "b": (90, 4), "c": (900,)}) == "b"
    with pytest.raises(InputError, match="no matrix called 'nothing'"):
        choose_tensor(bert, "nothing")
    with pytest.raises(InputError, match="no matrix"):
        choose_tensor({"a": (9,)})


def test_of_a_large_table_the_first_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 20 * DIMS)
    path = written(tmp_path / "a.safetensors", wte__weight=TABLE)
    np.save(tmp_path / "a.npy", TABLE.numpy())
    for found in (read_vectors(path), read_vectors(tmp_path / "a.npy")):
        assert found.rows == ROWS
        assert np.array_equal(found.vectors, TABLE[:20].numpy())


def choose_tensor(shapes: dict[str, tuple[int, ...]], wanted: str = "") -> str:
    return choose([Matrix(*pair) for pair in shapes.items()], "a.safetensors", wanted)[0]


def header(**entry: Any) -> bytes:
    text = json.dumps({"wte.weight": {"dtype": "F32", "shape": [20, 4], **entry}}).encode()
    return struct.pack("<Q", len(text)) + text


def npy(text: bytes) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", b"\0" * 1_000_000)
    return file.getvalue()


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


REFUSED = {
    "empty": (b"", "no safetensors file"),
    "text": (b"run 0.1 0.2 0.3\n" * 50, "no safetensors file"),
    "zip": (zipped(), "an archive"),
    "pickle": (pickle.dumps({"weight": [1.0] * 99}), "a pickle"),
    "short": (header(data_offsets=[0, 320]) + b"\0" * 100, "ends before"),
    "offsets": (header(data_offsets=[0, 9]) + b"\0" * 400, "does not fit its shape"),
    "offsets of text": (header(data_offsets="x") + b"\0" * 400, "does not fit its shape"),
    "shape": (header(shape=[-1, "x"], data_offsets=[0, 320]), "no matrix"),
    "int8": (header(dtype="I8", data_offsets=[0, 80]) + b"\0" * 400, "stored as I8"),
    "few rows": (header(shape=[3, 4], data_offsets=[0, 48]) + b"\0" * 48, "3 rows"),
    "wide": (header(shape=[20, 99999], data_offsets=[0, 7999920]) + b"\0" * 48, "99,999 numbers"),
    "list": (struct.pack("<Q", 2) + b"[]", "no safetensors file"),
    "deep": (struct.pack("<Q", 90_000) + b"[" * 90_000, "no safetensors file"),
    "npy of objects": (saved(np.array([[{}] * 3] * 20)), "array of objects"),
    "npy of text": (saved(np.array([["a"] * 3] * 20)), "matrix"),
    "npy of whole numbers": (saved(np.ones((20, 4), int)), "matrix"),
    "npy of one axis": (saved(np.ones(20)), "matrix"),
    "npy cut": (saved(np.ones((20, 4)))[:-8], "damaged"),
    "npy header begun": (npy(b"\0\0{"), "damaged"),
    "npy header deep": (npy(b"(" * 9000), "damaged"),
    "npy header of odd keys": (npy(b"{1: 2, 'shape': 3}"), "damaged"),
    "npy header of an odd type": (
        npy(b"{'shape':(20,4),'fortran_order':False,'descr':[()]}"),
        "damaged",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_files_are_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    data, said = REFUSED[name]
    path = tmp_path / "mine.bin"
    path.write_bytes(data)
    with pytest.raises(InputError, match=said) as refusal:
        read_vectors(path)
    assert "\n" not in str(refusal.value)
    assert str(tmp_path) not in str(refusal.value)


@given(data=st.binary(max_size=300))
def test_any_file_is_read_or_refused(tmp_path_factory: Any, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    for start in (b"", b"\x93NUMPY\x01\0", struct.pack("<Q", max(len(data), 2))):
        path.write_bytes(start + data)
        with pytest.raises(InputError):
            read_vectors(path)


# ---- the Hub, at its boundary: HTTP ----

FILES: dict[str, bytes] = {}
ASKED: list[tuple[str, str | None, str | None]] = []


class Server(BaseHTTPRequestHandler):
    """Serves `FILES` by ranges, as the Hub does, and remembers what it was asked."""

    ranges = True

    def do_GET(self) -> None:
        path, asked = self.path.lstrip("/"), self.headers.get("Range")
        ASKED.append((path, asked, self.headers.get("Authorization")))
        if path not in FILES:
            self.send_response(404 if "public" in path else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data, status = FILES[path], 200
        if asked and self.ranges:
            first, last = asked.removeprefix("bytes=").split("-")
            data, status = data[int(first) : int(last) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    FILES.clear()
    ASKED.clear()
    monkeypatch.setattr(Server, "ranges", True)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def publish(name: str, **files: bytes) -> None:
    for file, data in files.items():
        FILES[f"{name}/resolve/main/{file.replace('__', '.')}"] = data


def test_only_the_table_travels(hub: str) -> None:
    weights = save({"wte.weight": TABLE, "h.0.weight": torch.zeros(400, 400)})
    publish("some/public", model__safetensors=weights, tokenizer__json=TOKENS)
    seen: list[tuple[int, int]] = []
    found = fetch("some/public", endpoint=hub, progress=lambda *at: seen.append(at))
    assert np.array_equal(found.table.vectors, TABLE.numpy())
    assert found.tokens.tokens[3] == b"word3"
    assert found.transferred < len(weights) / 100
    assert seen[-1] == (TABLE.numel() * 4,) * 2
    assert not [token for _, _, token in ASKED if token]


def test_of_several_files_only_the_right_one_is_opened(hub: str) -> None:
    index = {"weight_map": {"model.embed_tokens.weight": "b.safetensors", "x": "a.safetensors"}}
    publish(
        "some/public",
        model__safetensors__index__json=json.dumps(index).encode(),
        b__safetensors=save({"model.embed_tokens.weight": TABLE.bfloat16()}),
        tokenizer__json=TOKENS,
    )
    found = fetch("some/public", endpoint=hub)
    assert np.array_equal(found.table.vectors, TABLE.bfloat16().float().numpy())
    assert not [path for path, _, _ in ASKED if "a.safetensors" in path]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "is not there"),
        ({"tokenizer__json": TOKENS}, "has no model.safetensors"),
        ({"tokenizer__json": TOKENS, "model__safetensors": b"<html></html>"}, "no safetensors"),
        ({"tokenizer__json": b"{", "model__safetensors": save({"wte": TABLE})}, "not valid JSON"),
        ({"tokenizer__json": TOKENS, "model__safetensors__index__json": b"[]"}, "damaged"),
        ({"tokenizer__json": TOKENS, "model__safetensors__index__json":
          b'{"weight_map": {"wte.weight": "../../x.safetensors"}}'}, "names no safetensors"),
    ],
)  # fmt: skip
def test_a_model_without_what_is_needed_is_refused(
    hub: str, files: dict[str, bytes], said: str
) -> None:
    publish("some/public", **files)
    with pytest.raises(InputError, match=said):
        fetch("some/public", endpoint=hub)


def test_a_server_without_ranges_is_not_read_in_full(
    hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "ranges", False)
    publish("some/public", model__safetensors=save({"wte": TABLE}), tokenizer__json=TOKENS)
    with pytest.raises(InputError, match="whole files only"):
        fetch("some/public", endpoint=hub)


@pytest.mark.parametrize("name", ["", "../x", "a/b/c", "http://x", "a b", "a/..", "x" * 300, "a\n"])
def test_names_that_are_none_ask_nothing(hub: str, name: str) -> None:
    if name == "a\n":
        name = "a\nb"
    with pytest.raises(InputError, match="looks like"):
        fetch(name, endpoint=hub)
    assert ASKED == []


def test_a_hub_that_cannot_be_reached_is_said_so() -> None:
    with pytest.raises(InputError, match="cannot be reached"):
        fetch("some/public", endpoint="http://127.0.0.1:9")


def test_a_stop_ends_the_transfer(hub: str) -> None:
    def stop(done: int, size: int) -> None:
        raise InterruptedError

    publish("some/public", model__safetensors=save({"wte": TABLE}), tokenizer__json=TOKENS)
    with pytest.raises(InterruptedError):
        fetch("some/public", endpoint=hub, progress=stop)
