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
from kronviz.probes.cross_model import read_files, read_tokens
from kronviz.probes.cross_model import table as module
from kronviz.probes.cross_model.choice import Matrix, choose, fits
from kronviz.probes.cross_model.hub import fetch
from kronviz.probes.cross_model.vectors import read_vectors
from kronviz.progress import Step, Stopped

ROWS, DIMS = 40, 6
TABLE = torch.randn(ROWS, DIMS, generator=torch.Generator().manual_seed(1))
TOKENS = json.dumps([f"word{i}" for i in range(ROWS)]).encode()
OUTSIDE = b'{"weight_map": {"wte.weight": "../../x.safetensors"}}'


def written(path: Path, **tensors: torch.Tensor) -> Path:
    save_file({name.replace("__", "."): tensor for name, tensor in tensors.items()}, path)
    return path


def test_every_float_type_is_read_exactly(tmp_path: Path) -> None:
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        path = written(
            tmp_path / "a.safetensors", wte__weight=TABLE.to(dtype), other=torch.zeros(3)
        )
        found = read_vectors(path)
        assert found.name == "wte.weight"
        assert found.rows == ROWS
        assert np.array_equal(found.vectors, TABLE.to(dtype).float().numpy())


def test_npy_is_read_in_either_order(tmp_path: Path) -> None:
    for dtype in ("<f2", "<f4", ">f4", "<f8"):
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


def test_a_table_with_a_row_for_each_token_is_no_guess_and_others_are() -> None:
    tokens = read_tokens(json.dumps([f"w{i}" for i in range(20)]).encode(), "tokens.json")
    wte, head, shared = "wte.weight", "lm_head.weight", "shared.weight"
    for shapes, name, note in (
        ({wte: (20, 4), head: (20, 4)}, wte, ""),
        ({wte: (20, 4), shared: (20, 4)}, shared, f"{wte} would fit as well"),
        ({wte: (9, 4)}, wte, "though it has 9 rows for 20 tokens"),
        ({"a": (20, 4), "b": (30, 4)}, "a", "is a guess: its rows fit the 20 tokens"),
        ({head: (20, 4)}, head, "though its name is that of an output head"),
    ):
        matrices = [Matrix(*pair) for pair in shapes.items()]
        chosen, notes = choose(matrices, "a.safetensors", tokens=tokens)
        assert chosen == name
        assert [note in said for said in notes] == [True] * bool(note)


def test_of_a_large_table_the_first_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", (20 + module.MAX_MAP_TOKENS) * DIMS)
    path = written(tmp_path / "a.safetensors", wte__weight=TABLE)
    np.save(tmp_path / "a.npy", TABLE.numpy())
    for found in (read_vectors(path), read_vectors(tmp_path / "a.npy")):
        assert found.rows == ROWS
        assert np.array_equal(found.vectors, TABLE[:20].numpy())
    for name in ("a.safetensors", "a.npy"):
        with pytest.raises(Stopped):
            read_vectors(tmp_path / name, progress=lambda step: step.done < 0)


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
    "empty": (b"", "not a safetensors file"),
    "text": (b"run 0.1 0.2 0.3\n" * 50, "not a safetensors file"),
    "zip": (zipped(), "an archive"),
    "pickle": (pickle.dumps({"weight": [1.0] * 99}), "a pickle"),
    "short": (header(data_offsets=[0, 320]) + b"\0" * 100, "ends before"),
    "offsets": (header(data_offsets=[0, 9]) + b"\0" * 400, "does not fit its shape"),
    "three offsets": (header(data_offsets=[0, 320, 9]) + b"\0" * 400, "does not fit its shape"),
    "offsets of text": (header(data_offsets="x") + b"\0" * 400, "does not fit its shape"),
    "shape": (header(shape=[-1, "x"], data_offsets=[0, 320]), "no matrix"),
    "int8": (header(dtype="I8", data_offsets=[0, 80]) + b"\0" * 400, "stored as I8"),
    "few rows": (header(shape=[3, 4], data_offsets=[0, 48]) + b"\0" * 48, "3 rows"),
    "wide": (header(shape=[20, 99999], data_offsets=[0, 7999920]) + b"\0" * 48, "99,999 numbers"),
    "list": (struct.pack("<Q", 2) + b"[]", "not a safetensors file"),
    "many parts": (
        struct.pack("<Q", 9_000_007) + b'{"a":[' + b"[]," * 2_999_999 + b"[]]}",
        "not a safetensors file",
    ),
    "digits": (b"a " + b"1" * 200_000 + b"x\n", "not a safetensors file"),
    "type": (header(dtype={"F": 1}, data_offsets=[0, 320]) + b"\0" * 320, "unknown type"),
    "json": (b'{"a": 1}', "JSON without vectors"),
    "json list": (b'[["a"]]', "JSON without vectors"),
    "deep": (struct.pack("<Q", 90_000) + b"[" * 90_000, "not a safetensors file"),
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


def test_other_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    for name in REFUSED:
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
            codes = {"public": 404, "gated": 403}
            self.send_response(next((codes[one] for one in codes if one in path), 401))
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
    Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def publish(name: str, **files: bytes) -> None:
    for file, data in files.items():
        FILES[f"{name}/resolve/main/{file.replace('__', '.')}"] = data


def test_only_the_table_travels(hub: str) -> None:
    weights = save({"wte.weight": TABLE, "h.0.weight": torch.zeros(400, 400)})
    publish("some/public", model__safetensors=weights, tokenizer__json=TOKENS)
    seen: list[Step] = []
    found = fetch("some/public", endpoint=hub, progress=seen.append)
    assert np.array_equal(found.table.vectors, TABLE.numpy())
    assert found.tokens.tokens[3] == b"word3"
    assert found.transferred < len(weights) / 100
    assert seen[-1] == Step(*(TABLE.numel() * 4,) * 2)
    assert not [token for _, _, token in ASKED if token]


def test_of_several_files_only_the_right_one_is_opened(
    hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_VALUES", 7 * DIMS)
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


def test_a_model_without_what_is_needed_is_refused(hub: str) -> None:
    for files, said in (
        ({}, "does not exist"),
        ({"tokenizer__json": TOKENS}, "has no model.safetensors"),
        ({"tokenizer__json": TOKENS, "model__safetensors": b"<html></html>"}, "not a safetensors"),
        ({"tokenizer__json": b"{", "model__safetensors": save({"wte": TABLE})}, "not valid JSON"),
        ({"tokenizer__json": TOKENS, "model__safetensors__index__json": b"[]"}, "damaged"),
        (
            {
                "tokenizer__json": TOKENS,
                "model__safetensors__index__json": OUTSIDE,
            },
            "names no safetensors",
        ),
    ):
        FILES.clear()
        publish("some/public", **files)
        with pytest.raises(InputError, match=said):
            fetch("some/public", endpoint=hub)
    for name in ("some/gated", "some/private"):
        with pytest.raises(InputError, match="does not exist"):
            fetch(name, endpoint=hub)


def test_a_server_without_ranges_is_not_read_in_full(
    hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "ranges", False)
    publish("some/public", model__safetensors=save({"wte": TABLE}), tokenizer__json=TOKENS)
    with pytest.raises(InputError, match="whole files only"):
        fetch("some/public", endpoint=hub)


def test_names_that_are_none_ask_nothing(hub: str) -> None:
    for name in ("", "../x", "a/b/c", "http://x", "a b", "a/..", "x" * 300, "a\n"):
        if name == "a\n":
            name = "a\nb"
        with pytest.raises(InputError, match="looks like"):
            fetch(name, endpoint=hub)
        assert ASKED == []


def test_a_hub_that_cannot_be_reached_is_said_so() -> None:
    with pytest.raises(InputError, match="cannot be reached"):
        fetch("some/public", endpoint="http://127.0.0.1:9")


def test_a_stop_ends_the_transfer(hub: str) -> None:
    publish("some/public", model__safetensors=save({"wte": TABLE}), tokenizer__json=TOKENS)
    with pytest.raises(Stopped):
        fetch("some/public", endpoint=hub, progress=lambda step: False)


# ---- which tensor, and what to say where there is none ----

LISTED = read_tokens(TOKENS)
FIT, LARGE, OTHER = torch.zeros(ROWS, DIMS), torch.zeros(4 * ROWS, DIMS), torch.zeros(99, DIMS)


def test_rows_fit_tokens_exactly_with_padding_or_without_the_last_special_ones() -> None:
    # 61 tokens of text, then 3 special ones that a table may leave out.
    added = [{"id": 61 + i, "content": f"<{i}>", "special": True} for i in range(3)]
    vocab = {f"w{i}": i for i in range(61)}
    given = {"model": {"type": "BPE", "vocab": vocab}, "added_tokens": added}
    tokens = read_tokens(json.dumps(given).encode(), "tokenizer.json")
    assert len(tokens) == 64
    exact, near, unfit = range(3)
    for rows, fit in ((64, exact), (61, near), (60, unfit), (67, near), (68, unfit), (128, unfit)):
        assert fits(rows, tokens) == fit, rows
    hundred = read_tokens(json.dumps([f"w{i}" for i in range(100)]).encode(), "t.json")
    assert (fits(128, hundred), fits(130, hundred)) == (near, unfit)
    # Of two that fit as well, the one whose rows are nearest.
    two = [Matrix("a", (62, 4)), Matrix("b", (65, 4))]
    assert choose(two, "a.safetensors", tokens=tokens)[0] == "b"


def test_the_number_of_tokens_decides(tmp_path: Path) -> None:
    for tensors, chosen in (
        # The number of tokens beats every name and every size.
        ({"tok.weight": FIT, "ffn.up.weight": LARGE}, "tok.weight"),
        ({"odd": FIT, "decoder.embed_tokens.weight": LARGE}, "odd"),
        (
            {"encoder.embed_tokens.weight": FIT, "decoder.embed_tokens.weight": LARGE},
            "encoder.embed_tokens.weight",
        ),
        ({"embeddings.weight": LARGE, "words": FIT}, "words"),
        # Among equals: input names, then others, then output heads; never positions or layers.
        ({"lm_head.weight": FIT, "model.embed_tokens.weight": FIT}, "model.embed_tokens.weight"),
        ({"output.weight": FIT, "table": FIT}, "table"),
        ({"pos_embed.weight": FIT, "tok.weight": FIT, "h.0.mlp.fc.weight": FIT}, "tok.weight"),
        ({"wpe.weight": FIT, "lm_head.weight": FIT}, "lm_head.weight"),
        (
            {"encoder.embed_tokens.weight": FIT, "decoder.embed_tokens.weight": FIT},
            "encoder.embed_tokens.weight",
        ),
        # Padded.
        ({"a": torch.zeros(64, DIMS), "b": LARGE, "h.0.attn.q_proj.weight": FIT}, "a"),
    ):
        save_file({k: v.clone() for k, v in tensors.items()}, tmp_path / "m.safetensors")
        found = read_vectors(tmp_path / "m.safetensors", tokens=LISTED)
        assert found.name == chosen
        known = chosen.endswith("embed_tokens.weight")
        if not known:
            assert "guess" in found.notes[0]
            others = set(tensors) - {chosen}
            assert any(other in found.notes[0] for other in others)


def said_of(path: Path, tensors: dict[str, Any], tensor: str = "") -> str:
    save_file({k: v.clone() for k, v in tensors.items()}, path)
    with pytest.raises(InputError) as refusal:
        read_vectors(path, tensor, LISTED)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_files_without_a_table_say_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = {"model.layers.1.mlp.up_proj.weight": LARGE, "model.norm.weight": torch.zeros(DIMS)}
    shard = tmp_path / "model-00002-of-00002.safetensors"
    assert "part 2 of 2" in said_of(shard, layer)
    # An output head in a shard is no reason to guess: the table is elsewhere.
    assert "part 2 of 2" in said_of(shard, layer | {"lm_head.weight": FIT})
    index = {"weight_map": {"model.embed_tokens.weight": "model-00001-of-00002.safetensors",
                            "lm_head.weight": shard.name}}  # fmt: skip
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00001-of-00002.safetensors" in said_of(shard, layer)
    with pytest.raises(InputError, match="model-00001-of-00002"):
        read_vectors(tmp_path / "model.safetensors.index.json", tokens=LISTED)
    monkeypatch.setattr("kronviz.probes.cross_model.vectors.MAX_HEADER_BYTES", 100)
    with pytest.raises(InputError, match="JSON without vectors"):
        read_vectors(tmp_path / "model.safetensors.index.json", tokens=LISTED)
    monkeypatch.undo()
    lora = {
        f"base_model.model.h.{i}.attn.q_proj.lora_{ab}.weight": FIT for i in "01" for ab in "AB"
    }
    one = tmp_path / "m.safetensors"
    assert "LoRA" in said_of(one, lora)
    assert "merge" in said_of(one, lora | {"base_model.model.embed_tokens.weight": FIT})
    for kind in (torch.float8_e4m3fn, torch.int8, torch.uint8):
        said = said_of(one, {"model.embed_tokens.weight": FIT.to(kind)})
        assert "get_input_embeddings" in said
    packed = {"model.embed_tokens.qweight": torch.zeros(5, DIMS, dtype=torch.int32),
              "model.embed_tokens.scales": FIT.half()}  # fmt: skip
    assert "packed" in said_of(one, packed)
    for name in ("kernel", "model.embed_tokens.weight"):
        assert "transpose" in said_of(one, {name: torch.zeros(DIMS, ROWS)})
    assert "another part of a model" in said_of(one, {"pos_emb.weight": FIT})
    assert "x (300 × 6)" in said_of(one, {"x": torch.zeros(300, DIMS)})
    assert "no matrix called" in said_of(one, {"x": FIT}, "y")
    assert "a single number" in said_of(one, {"x": FIT, "y": torch.tensor(1.0)}, "y")
    np.save(tmp_path / "t.npy", np.zeros((DIMS, ROWS), np.float32))
    with pytest.raises(InputError, match="transpose"):
        read_vectors(tmp_path / "t.npy", tokens=LISTED)


def test_a_number_with_a_table_s_name_is_no_table(tmp_path: Path) -> None:
    save_file({"embeddings": torch.tensor(1.0), "m": FIT}, tmp_path / "m.safetensors")
    assert read_vectors(tmp_path / "m.safetensors", tokens=LISTED).name == "m"


def test_impossible_offsets_are_damage(tmp_path: Path) -> None:
    for first in (1 << 40, 1 << 62, 1 << 63, 1 << 64, 10**30):
        path = tmp_path / "m.safetensors"
        path.write_bytes(header(data_offsets=[first, first + 320]) + b"\0" * 320)
        with pytest.raises(InputError, match=r"ends before|damaged"):
            read_vectors(path)


# ---- text, which holds the tokens too ----


def test_words_with_vectors_are_both_files_in_one(tmp_path: Path) -> None:
    words = ["the", ". . .", "naïve", "1999", *(f"word{i}" for i in range(ROWS - 4))]
    rows = [f"{w} {' '.join(f'{x:.6f}' for x in row)}" for w, row in zip(words, TABLE, strict=True)]
    for head in ([], [f"{ROWS} {DIMS}"]):
        path = tmp_path / "vectors.txt"
        path.write_text("\n".join(head + rows) + "\n")
        for vectors, tokens in ((path, None), (None, path)):
            table, listed = read_files(vectors, tokens)
            assert np.allclose(table.vectors, TABLE.numpy(), atol=1e-6)
            assert [token.decode() for token in listed.tokens] == words
    rows[7] += " 0.5"
    path.write_text("\n".join(rows))
    assert read_files(path)[1].tokens[7] != b"word3"
    for lines, said in (
        ([*rows[:9], "word 0.1 x"], "Line 10"),
        (["word" + " 1" * 1_100_000], "Line 1 of vectors.txt is longer than 2 MB"),
        (["40 99999", *rows], "has 99,999 numbers for each word"),
    ):
        path.write_text("\n".join(lines))
        with pytest.raises(InputError, match=said):
            read_files(path)


def test_numbers_alone_want_their_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, listed = tmp_path / "vectors.tsv", tmp_path / "tokens.txt"
    numbers.write_text("\n".join("\t".join(f"{x:.6f}" for x in row) for row in TABLE.tolist()))
    listed.write_text("\n".join(f"word{i}" for i in range(ROWS)))
    assert np.allclose(read_files(numbers, listed)[0].vectors, TABLE.numpy(), atol=1e-6)
    with monkeypatch.context() as limit:
        # A list that is cut off at the limit looks like a whole one.
        for module in ("files", "token_files"):
            size = listed.stat().st_size - 1
            limit.setattr(f"kronviz.probes.cross_model.{module}.MAX_FILE_BYTES", size)
        with pytest.raises(InputError, match="larger than the limit"):
            read_files(numbers, listed)
    with pytest.raises(InputError, match="tokens, too"):
        read_files(numbers)
    with pytest.raises(InputError, match="Two files are needed"):
        read_files(None, listed)
    binary = tmp_path / "w2v.bin"
    binary.write_bytes(b"40 6\nword " + TABLE.numpy().tobytes())
    with pytest.raises(InputError, match="binary format"):
        read_files(binary, listed)


def test_a_table_that_no_name_tells_is_found_by_the_headers_of_the_shards(hub: str) -> None:
    index = {"weight_map": {"odd": "b.safetensors", "h.0.mlp.w": "a.safetensors"}}
    publish(
        "some/public",
        model__safetensors__index__json=json.dumps(index).encode(),
        a__safetensors=save({"h.0.mlp.w": LARGE}),
        b__safetensors=save({"odd": TABLE}),
        tokenizer__json=TOKENS,
    )
    found = fetch("some/public", endpoint=hub)
    assert found.table.name == "odd"
    assert np.array_equal(found.table.vectors, TABLE.numpy())
