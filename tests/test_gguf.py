"""GGUF files made with the library `gguf`: tokens and numbers as it reads them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader, GGUFValueType, GGUFWriter, quants

from kronviz.predictor import InputError
from kronviz.probes.cross_model import read_files
from kronviz.probes.cross_model import table as table_module

ROWS, DIMS = 40, 512
STRINGS = [
    "<unk>",
    "<s>",
    "<0x0A>",
    "▁run",
    "ning",
    "▁",
    *(f"▁word{i}" for i in range(ROWS - 7)),
    "<end>",
]
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)
TYPES = [UNKNOWN, CONTROL, BYTE, *[NORMAL] * (ROWS - 4), CONTROL]
KINDS = [Kind.F32, Kind.F16, Kind.F64, *quants._type_traits]


def written(
    path: Path,
    kind: Kind = Kind.F32,
    model: str = "llama",
    strings: list[str] = STRINGS,
    types: list[int] | None = TYPES,
    name: str = "token_embd.weight",
    rows: int = ROWS,
    more: Callable[[GGUFWriter], None] = lambda _: None,
) -> Path:
    """Write a small model: some keys, the tokens, a table of random blocks and another matrix."""
    writer = GGUFWriter(path, "llama")
    writer.add_name("small")
    writer.add_array("numbers", [1, 2, 3])
    more(writer)
    if strings:
        writer.add_tokenizer_model(model)
        writer.add_token_list(strings)
        if types:
            writer.add_token_types(types)
    writer.add_token_merges(["a b", "b c"])
    rng = np.random.default_rng(0)
    block, width = gguf.GGML_QUANT_SIZES[kind]
    plain = {Kind.F32: np.float32, Kind.F16: np.float16, Kind.F64: np.float64}.get(kind)
    data = rng.normal(size=(rows, DIMS)).astype(plain or np.float32)
    if plain:
        writer.add_tensor(name, data)
    else:
        packed = rng.integers(0, 60, (rows, DIMS // block * width)).astype(np.uint8)
        writer.add_tensor(name, packed, raw_dtype=kind)
    writer.add_tensor("blk.0.ffn_up.weight", rng.normal(size=(99, DIMS)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_every_quantisation_is_dequantised_as_the_library_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in KINDS:
        path = written(tmp_path / "m.gguf", kind)
        monkeypatch.setattr(table_module, "BLOCK_VALUES", 7 * DIMS)
        found, tokens = read_files(path)
        stored = next(t for t in GGUFReader(path).tensors if t.name == "token_embd.weight")
        expected = stored.data if kind == Kind.F64 else quants.dequantize(stored.data, kind)
        np.testing.assert_array_equal(
            found.vectors, expected.reshape(ROWS, DIMS).astype(np.float32)
        )
        assert (found.dtype, found.rows, len(tokens)) == (kind.name, ROWS, ROWS)


def test_tokens_are_the_bytes_that_they_stand_for(tmp_path: Path) -> None:
    for model, strings, types, tokens, starts in (
        (
            "llama",
            ["<s>", "<0x0A>", "▁run", "ning", "▁▁"],
            [CONTROL, BYTE, NORMAL, NORMAL, USER],
            [b"", b"\n", b" run", b"ning", b"  "],
            [0, 0, 1, 0, 1],
        ),
        (
            "gpt2",
            ["<|end|>", "Ġrun", "Ċ", "é", "é"],
            [CONTROL, NORMAL, NORMAL, NORMAL, USER],
            [b"", b" run", b"\n", b"\xe9", "é".encode()],
            [0, 1, 0, 0, 0],
        ),
        (
            "bert",
            ["[CLS]", "▁run", "ning"],
            [CONTROL, NORMAL, NORMAL],
            [b"", b"run", b"ning"],
            [0, 1, 0],
        ),
        ("t5", ["<pad>", "▁run", "s"], [CONTROL, NORMAL, NORMAL], [b"", b" run", b"s"], [0, 1, 0]),
        ("new", ["<s>", "▁run", "ning"], None, [b"", b" run", b"ning"], [0, 1, 0]),
    ):
        fill = [f"▁w{i}" if model != "gpt2" else f"Ġw{i}" for i in range(ROWS - len(strings))]
        kinds = [*types, *[NORMAL] * len(fill)] if types else None
        _, found = read_files(written(tmp_path / "m.gguf", Kind.F32, model, strings + fill, kinds))
        assert list(found.tokens[: len(tokens)]) == tokens
        assert list(map(int, found.starts[: len(starts)])) == starts


def test_the_table_is_found_by_the_number_of_tokens(tmp_path: Path) -> None:
    found, _ = read_files(written(tmp_path / "m.gguf", name="odd.name"))
    assert found.name == "odd.name"
    assert "guess" in found.notes[0]


def refused(path: Path, tokens: Path | None = None) -> str:
    with pytest.raises(InputError) as refusal:
        read_files(path, tokens)
    assert str(path.parent) not in str(refusal.value)
    return str(refusal.value)


def test_keys_of_every_type_are_passed_over(tmp_path: Path) -> None:
    """A number read as one of another width moves all that follows."""
    numbers = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "uint64", "int64",
               "float64", "bool")  # fmt: skip

    def more(writer: GGUFWriter) -> None:
        for name in numbers:
            for key in (f"general.{name}", f"other.{name}"):
                getattr(writer, f"add_{name}")(key, 1)
                kind = GGUFValueType[name.upper()]
                writer.add_key_value(f"{key}s", [1] * 5, GGUFValueType.ARRAY, kind)

    found, tokens = read_files(written(tmp_path / "m.gguf", more=more))
    assert (found.rows, tokens.tokens[3]) == (ROWS, b" run")


def test_files_without_tokens_or_table_say_what_is_missing(tmp_path: Path) -> None:
    bare = written(tmp_path / "bare.gguf", strings=[])
    assert "without tokens" in refused(bare)
    listed = tmp_path / "tokens.txt"
    listed.write_text("\n".join(f"w{i}" for i in range(ROWS)))
    assert read_files(bare, listed)[1].tokens[3] == b"w3"
    part = written(tmp_path / "m-00002-of-00002.gguf", name="blk.1.ffn_down.weight")
    assert "part 2 of 2" in refused(part)
    assert "give it alone" in refused(listed, bare)


def test_tokens_that_are_given_beside_it_are_not_read_in_silence(tmp_path: Path) -> None:
    file, others = written(tmp_path / "m.gguf"), tmp_path / "o.json"
    others.write_text(json.dumps([f"▁other{i}" for i in range(ROWS)]))
    table, tokens = read_files(file, others)
    assert tokens.tokens[3] == b" run"
    assert "The tokens are those of m.gguf; o.json was not used." in table.notes
    bare = written(tmp_path / "bare.gguf", strings=[])
    table, tokens = read_files(bare, others)
    assert tokens.tokens[3] == b" other3"
    assert not any("not used" in note for note in table.notes)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    whole = written(path).read_bytes()
    for cut in (4, 9, 30, 200, 700, len(whole) // 5):
        path.write_bytes(whole[:cut])
        refused(path)
    huge = struct.pack("<Q", 1 << 62)
    for place in (8, 16, 24):
        path.write_bytes(whole[:place] + huge + whole[place + 8 :])
        refused(path)
    # Millions of strings of no bytes, which would be walked one by one.
    list_ = struct.pack("<Q1sIIQ", 1, b"k", 9, 8, 3_000_000) + bytes(24_000_000)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + list_)
    assert "damaged" in refused(path)
    # An array cut in the middle of a number, one larger than any vocabulary, and tokens as numbers.
    for key, kind, count, data, said in (
        (b"general.x", 4, 3, b"abcde", "ends within its header"),
        (b"general.x", 0, 400_001, bytes(400_001), "400,000"),
        (b"tokenizer.ggml.tokens", 4, 2, bytes(8), "damaged"),
    ):
        array = struct.pack("<Q", len(key)) + key + struct.pack("<IIQ", 9, kind, count) + data
        path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + array)
        assert said in refused(path)
    path.write_bytes(whole[:4] + struct.pack(">I", 3) + whole[8:])
    assert "big-endian" in refused(path)
    path.write_bytes(whole[:4] + struct.pack("<I", 1) + whole[8:])
    assert "version 1" in refused(path)
