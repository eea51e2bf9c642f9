"""Token strings of other people's vocabularies become the bytes that they stand for."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer, UnigramTrainer, WordPieceTrainer

from kronviz.predictor import InputError
from kronviz.probes.cross_model import read_tokens
from kronviz.probes.cross_model.schemes import (
    BYTE_LEVEL,
    PLAIN,
    SENTENCEPIECE,
    WORD_ENDS,
    WORDPIECE,
    Scheme,
)
from kronviz.probes.cross_model.tokens import MAX_TOKENS
from kronviz.tokenizer import load_tokenizer

TEXT = [
    "The running runner ran a run. Naïve café, 北京 and 🙂!",
    "newline\nand\ttab",
    "run runs",
] * 20


def trained(kind: Scheme) -> Tokenizer:
    """A small tokenizer of each family, trained by the library that they come from."""
    special = ["[UNK]", "[PAD]"]
    if kind == BYTE_LEVEL:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = BpeTrainer(
            vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=alphabet
        )
    elif kind == SENTENCEPIECE:
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        trainer = UnigramTrainer(vocab_size=90, special_tokens=special, unk_token="[UNK]")
    else:
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece()
        trainer = WordPieceTrainer(vocab_size=120, special_tokens=special)
    made.train_from_iterator(TEXT, trainer)
    return made


@pytest.mark.parametrize("kind", [BYTE_LEVEL, SENTENCEPIECE, WORDPIECE])
def test_the_bytes_of_a_text_s_tokens_are_the_text(kind: Scheme) -> None:
    made = trained(kind)
    found = read_tokens(made.to_str().encode())
    assert found.scheme == kind.name
    assert len(found) == made.get_vocab_size()
    assert found.special == (1 if kind == BYTE_LEVEL else 2)
    for text in ["The runner ran", "Naïve café run"]:
        encoded = made.encode(text)
        pieces = [found.tokens[i] for i in encoded.ids]
        starts = [found.starts[i] for i in encoded.ids]
        if kind == WORDPIECE:
            covered = [text[a:b].encode() for a, b in encoded.offsets]
            assert pieces == covered
            words = "".join(" " * s + p.decode() for p, s in zip(pieces, starts, strict=True))
            assert words == f" {text}"
        else:
            joined = b"".join(pieces).decode()
            assert joined == (f" {text}" if kind == SENTENCEPIECE else text)
            assert sum(starts) == len(text.split()) - (kind == BYTE_LEVEL)


@given(st.binary(min_size=1, max_size=8))
def test_byte_level_strings_are_any_bytes(data: bytes) -> None:
    # Written by the library itself, byte by byte.
    made = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = data.decode("latin-1")
    written = "".join(piece for piece, _ in made.pre_tokenize_str(text))
    assert BYTE_LEVEL.decode(written) == text.encode()


def test_gpt2_s_own_tokens_come_back_from_their_byte_level_strings() -> None:
    tokenizer = load_tokenizer("r50k_base:3000")
    to_char = {BYTE_LEVEL.decode(c): c for c in pre_tokenizers.ByteLevel.alphabet()}
    assert len(to_char) == 256
    data = [tokenizer.token_bytes(i) for i in range(3000)]
    vocab = {"".join(to_char[bytes((b,))] for b in own): i for i, own in enumerate(data)}
    assert list(read_tokens(json.dumps(vocab).encode()).tokens) == data


@pytest.mark.parametrize(
    ("string", "scheme", "data"),
    [
        ("▁run", SENTENCEPIECE, b" run"),
        ("▁▁▁", SENTENCEPIECE, b"   "),
        ("<0x0A>", SENTENCEPIECE, b"\n"),
        ("<0xE2>", SENTENCEPIECE, b"\xe2"),
        ("<0x0A>", BYTE_LEVEL, b"<0x0A>"),
        ("##ing", WORDPIECE, b"ing"),
        ("##", WORDPIECE, b"##"),
        ("ĠrunĊ", BYTE_LEVEL, b" run\n"),
        ("run</w>", WORD_ENDS, b"run"),
        ("Ġ▁##", PLAIN, "Ġ▁##".encode()),
    ],
)
def test_each_scheme_writes_bytes_its_own_way(string: str, scheme: Scheme, data: bytes) -> None:
    assert scheme.decode(string) == data


def test_llama_like_files_are_byte_fallback_bpe() -> None:
    vocab = {"<unk>": 0, "<s>": 1, "<0x0A>": 2, "▁run": 3, "ning": 4, "<0xFF>": 5}
    file = {
        "added_tokens": [
            {"id": 0, "content": "<unk>", "special": True},
            {"id": 1, "content": "<s>", "special": True},
            {"id": 6, "content": "  Ġ", "special": False},
        ],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}]},
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}]},
        "model": {"type": "BPE", "byte_fallback": True, "vocab": vocab},
    }
    found = read_tokens(json.dumps(file).encode())
    assert found.scheme == SENTENCEPIECE.name
    # An added token is text as it stands.
    assert found.tokens == (b"", b"", b"\n", b" run", b"ning", b"\xff", "  Ġ".encode())
    assert found.starts == (False, False, False, True, False, False, True)


def test_lists_of_lines_json_lists_and_ranks_are_read() -> None:
    bert = read_tokens("[PAD]\n[unused3]\nrun\n##ing\n\u2028\n".encode())
    assert (bert.scheme, bert.tokens) == (
        WORDPIECE.name, (b"", b"", b"run", b"ing", "\u2028".encode()),
    )  # fmt: skip
    assert read_tokens(b'["a", "b c"]').tokens == (b"a", b"b c")
    gaps = read_tokens(b'{"a": 0, "b": 3}')
    assert gaps.tokens == (b"a", b"", b"", b"b")
    ranks = b"\n".join(base64.b64encode(t) + b" %d" % i for i, t in enumerate([b"\xe2", b" run"]))
    assert read_tokens(ranks).tokens == (b"\xe2", b" run")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04zip", "archive"),
        (b"\x80\x04\x95\0\0pickle", "archive or a binary"),
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1, 2]", "list of strings"),
        (b'{"a": "b"}', "another kind"),
        (b'{"a": -1}', "another kind"),
        (b'{"a": true}', "another kind"),
        (b"{}", "another kind"),
        (b'{"model": {"vocab": 5}}', "no vocabulary"),
        (b'{"model": {"vocab": [[1]]}}', "no vocabulary"),
        (b'{"a": 99999999}', f"{MAX_TOKENS:,}"),
        (b'{"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 99999999, "content": "x"}]}',
         f"{MAX_TOKENS:,}"),
        (json.dumps(["x" * 5000]).encode(), "5,000 bytes"),
        (b"caf\xe9\nrun\n", "not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_token_list_is_refused_in_one_sentence(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said.replace("(", r"\(")) as refusal:
        read_tokens(data)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith((".", "?"))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = read_tokens(data)
    except InputError:
        return
    assert len(found.tokens) == len(found.starts)
