"""The oracle is tiktoken itself, and the published hashes and sizes of its vocabularies."""

from __future__ import annotations

import hashlib
import socket

import pytest
import tiktoken
from each import on_each
from hypothesis import given
from hypothesis import strategies as st

from kronviz import tokenizer as module
from kronviz.tokenizer import VOCABULARIES, TokenBytes, VocabularyError, load_tokenizer, rank_file

ODD_TEXTS = [
    "",
    "\0",
    "\ud800 lone",
    "\u200b\u200d\u202eright-to-left",
    "👩‍🚀👨‍👩‍👧‍👦🏳️‍🌈",
    "नमस्ते",
    "Z̷̢̛͎a̸l̴g̶o̵",
    "<|endoftext|> <|fim_prefix|>",
    "a" * 1_000_000,
    " " * 1_000_000,
    "ab \n" * 250_000,
]


def test_rank_files_are_the_ones_that_tiktoken_expects() -> None:
    for name in VOCABULARIES:
        assert hashlib.sha256(rank_file(name).read_bytes()).hexdigest() == VOCABULARIES[name].sha256


def test_loads_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    load_tokenizer.cache_clear()
    for name, size in (("r50k_base", 50_257), ("cl100k_base", 100_277), ("o200k_base", 200_019)):
        assert load_tokenizer(name).n_vocab == size, name


@given(st.text())
def test_ids_and_bytes_are_tiktokens(text: str) -> None:
    tokenizer = load_tokenizer("r50k_base")
    ids = tokenizer.encode(text)
    assert ids == tokenizer._encoding.encode(text, disallowed_special=())
    assert b"".join(map(tokenizer.token_bytes, ids)).decode() == text
    assert tokenizer.decode(ids) == text


def test_r50k_has_the_ids_of_gpt2() -> None:
    assert load_tokenizer("r50k_base").encode("Hello, I'm a language model,") == [
        15496, 11, 314, 1101, 257, 3303, 2746, 11,
    ]  # fmt: skip


def test_bytes_of_every_id_are_the_true_ones() -> None:
    tokenizer = load_tokenizer("cl100k_base")
    unused = 0
    for token_id in range(tokenizer.n_vocab):
        try:
            expected = tokenizer._encoding.decode_single_token_bytes(token_id)
        except KeyError:
            expected, unused = b"", unused + 1
        assert tokenizer.token_bytes(token_id) == expected
    assert unused == 16


def test_first_merges_of_a_vocabulary() -> None:
    whole, cut = load_tokenizer("r50k_base"), load_tokenizer("r50k_base:8192")
    assert (cut.n_vocab, cut.eot_id) == (8193, 8192)
    assert cut.token_bytes(8192) == b"<|endoftext|>"
    assert all(cut.token_bytes(i) == whole.token_bytes(i) for i in range(8192))
    text = "Typographic variants of kubernetes"
    assert cut.decode(cut.encode(text)) == text
    assert max(cut.encode(text)) < 8192


@on_each("name", [*VOCABULARIES, "r50k_base:8192"])
def test_odd_texts_neither_crash_nor_hang(name: str) -> None:
    # A cut vocabulary cuts long texts with the pattern of the whole one.
    for text in ODD_TEXTS if name in VOCABULARIES else ODD_TEXTS[:8]:
        tokenizer = load_tokenizer(name)
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text.encode("utf-16", "surrogatepass").decode(
            "utf-16", "replace"
        )
        assert tokenizer.eot_id not in ids


def test_unknown_vocabularies_are_refused_in_one_sentence() -> None:
    for name in ("gpt5", "r50k_base:1", "r50k_base:x", "r50k_base:99999"):
        with pytest.raises(VocabularyError, match=r"there are|can be cut"):
            load_tokenizer(name)


def test_damaged_and_missing_files_are_named_and_left_alone(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RANK_FILES", tmp_path)
    load_tokenizer.cache_clear()
    with pytest.raises(VocabularyError, match="missing"):
        load_tokenizer("r50k_base")
    rank_file("r50k_base").write_bytes(b"IQ== 0\n")
    with pytest.raises(VocabularyError, match="damaged"):
        load_tokenizer("r50k_base")
    assert rank_file("r50k_base").exists()


@given(st.lists(st.binary(max_size=20)))
def test_ragged_bytes_round_trip(tokens: list[bytes]) -> None:
    packed = TokenBytes.of(tokens)
    assert [packed[i] for i in range(len(packed))] == tokens
    with pytest.raises(IndexError):
        packed[len(tokens)]


def test_token_text_shows_every_byte() -> None:
    tokenizer = load_tokenizer("r50k_base")
    assert tokenizer.token_text(tokenizer.encode(" hello")[0]) == " hello"
    assert "\\x" in tokenizer.token_text(tokenizer.encode("न")[0])


def test_tiktoken_would_use_the_same_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(module.RANK_FILES))
    assert tiktoken.get_encoding("r50k_base").encode("hello") == load_tokenizer("r50k_base").encode(
        "hello"
    )
