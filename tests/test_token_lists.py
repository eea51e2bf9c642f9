"""Token strings of other people's vocabularies become the bytes that they stand for."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
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

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import token_bytes

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


def test_each_scheme_writes_bytes_its_own_way() -> None:
    for string, scheme, data in (
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
    ):
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
    unused = read_tokens(b"[PAD]\n[unused3]\n[unused4]\nrun\n##ing")
    assert unused.special == bert.special + 1
    assert read_tokens(b'["a", "b c"]').tokens == (b"a", b"b c")
    gaps = read_tokens(b'{"a": 0, "b": 3}')
    assert gaps.tokens == (b"a", b"", b"", b"b")
    ranks = b"\n".join(base64.b64encode(t) + b" %d" % i for i, t in enumerate([b"\xe2", b" run"]))
    assert read_tokens(ranks).tokens == (b"\xe2", b" run")


def growing(content: int, steps: int) -> bytes:
    """A tokenizer whose decoder puts many characters in place of each one, several times."""
    step = {"type": "Replace", "pattern": {"String": "x"}, "content": "x" * content}
    decoder = {"type": "Sequence", "decoders": [step] * steps}
    vocab = {"x" + "y" * i: i for i in range(20)}
    return json.dumps({"model": {"vocab": vocab}, "decoder": decoder}).encode()


def test_what_is_no_token_list_is_refused_in_one_sentence() -> None:
    for data, said in (
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
        (b'{"a": 99999999}', "begins at id 99,999,999"),
        (b'{"a": 0, "b": 400000}', f"the limit is {MAX_TOKENS:,}"),
        (
            b'{"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 99999999, "content": "x"}]}',
            f"{MAX_TOKENS:,}",
        ),
        (json.dumps(["x" * 5000]).encode(), "5,000 bytes"),
        (b"caf\xe9\nrun\n", "not UTF-8"),
        (b"x" + b"\n" * 500_000, f"{MAX_TOKENS:,}"),
        (b"\x0a\x03\x0a\x01a\0" + b"\x10\0" * 600_000, "another kind"),
        # A pattern that tries each way to cut a number takes an hour for these, and holds all up.
        (b"\n".join([b"a 1 1 1 1 1 " + b"1" * 100_000 + b"x"] * 9), "100,013 bytes"),
        (b"x" * 5000, "5,000 bytes"),
        # Small files whose tokens grow to gigabytes, or take hours.
        (growing(64, 3), "262,144 characters"),
        (growing(65, 1), "more than 64 characters"),
        (growing(1, 17), "more than 16 strings"),
    ):
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


WORDS = "run runs running nation nations code codes coded act acts acting build time walk".split()


def tokenizer(model: dict[str, Any], strings: list[str], **parts: Any) -> bytes:
    vocab = {string: i for i, string in enumerate(strings)}
    return json.dumps({"model": {"type": "BPE", "vocab": vocab, **model}, **parts}).encode()


def read(data: bytes, name: str = "tokenizer.json") -> list[tuple[bytes, bool]]:
    found = read_tokens(data, name)
    return list(zip(found.tokens, found.starts, strict=True))


def test_a_tokenizer_json_is_read_as_it_says() -> None:
    ends = [f"{w}</w>" for w in WORDS]
    expected = [*((w.encode(), True) for w in WORDS), (b"run", False), (b"code", False)]
    whole = tokenizer({"end_of_word_suffix": "</w>"}, [*ends, "run", "code"])
    assert read(whole) == expected
    # The decoder alone says it, too.
    decoder = {"type": "BPEDecoder", "suffix": "</w>"}
    assert read(tokenizer({}, [*ends, "run", "code"], decoder=decoder)) == expected
    # One that no string gives away.
    odd = tokenizer({"end_of_word_suffix": "~"}, [f"{w}~" for w in WORDS] + ["run", "code"])
    assert read(odd) == expected
    inside = tokenizer({"continuing_subword_prefix": "@@"}, ["run", "@@ing", "@@"])
    assert read(inside) == [(b"run", True), (b"ing", False), (b"@@", False)]
    other = {"type": "WordPiece", "continuing_subword_prefix": "~"}
    assert read(tokenizer(other, ["run", "~ing", "##ing"])) == [
        (b"run", True), (b"ing", False), (b"##ing", True),
    ]  # fmt: skip
    marked = {"type": "Metaspace", "replacement": "_"}
    assert read(tokenizer({}, ["_run", "ning"], pre_tokenizer=marked)) == [
        (b" run", True), (b"ning", False),
    ]  # fmt: skip
    replaced = [{"type": "Replace", "pattern": {"String": "·"}, "content": " "},
                {"type": "Replace", "pattern": {"String": "¶"}, "content": "\n"}]  # fmt: skip
    steps = {"type": "Sequence", "decoders": replaced}
    assert read(tokenizer({}, ["·run", "¶"], decoder=steps)) == [(b" run", True), (b"\n", False)]
    # Without byte fallback, <0x0A> is six characters of text.
    assert read(tokenizer({}, ["_<0x0A>", "<0x0A>"], pre_tokenizer=marked))[1][0] == b"<0x0A>"


def test_parts_of_odd_kinds_are_passed_over() -> None:
    odd = {"type": [], "unk_token": {"a": 1}, "continuing_subword_prefix": ["x"]}
    vocab = {f"w{i}": i for i in range(20)}
    given = {"model": {**odd, "vocab": vocab}, "decoder": [1], "pre_tokenizer": "x"}
    assert len(read_tokens(json.dumps(given).encode())) == 20


def test_special_tokens_at_the_end_may_have_no_row() -> None:
    added = [5, {"id": 2, "content": "<image>", "special": True}, {"id": 3, "content": "<more>"}]
    found = read_tokens(tokenizer({}, ["▁run", "▁runs"], added_tokens=added))
    assert (found.tokens, found.tail) == ((b" run", b" runs", b"", b"<more>"), 2)


ALPHABET = list(pre_tokenizers.ByteLevel.alphabet())


@pytest.mark.parametrize("suffix", ["", "</w>"])
def test_a_bare_list_is_byte_level_by_its_alphabet(suffix: str) -> None:
    # A Chinese vocabulary: hardly a token begins with a space.
    write = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str
    texts = [text * n for text in set("人人生而自由在尊严和权利上一律平等") for n in range(1, 4)]
    strings = [*ALPHABET, *(write(text)[0][0] + suffix for text in texts)]
    found = read_tokens(json.dumps({s: i for i, s in enumerate(strings)}).encode(), "vocab.json")
    assert found.scheme == BYTE_LEVEL.name
    assert list(found.tokens[256:]) == [text.encode() for text in texts]


def test_other_marks_show_in_a_bare_list() -> None:
    for mark, place in (("</w>", "end"), ("@@", "front"), ("##", "front")):
        strings = [w + mark if place == "end" else mark + w for w in WORDS[:4]] + WORDS[4:]
        found = read("\n".join(strings).encode(), "vocab.txt")
        assert [token for token, _ in found] == [w.encode() for w in WORDS], mark
        assert found[0][1] == (place == "end")
        assert found[-1][1] == (place != "end")
    joined = read("\n".join([f"{w}@@" for w in WORDS] + WORDS).encode(), "vocab.txt")
    assert joined[0] == (b"run", False)
    assert joined[-1] == (b"walk", True)
    # Words that hold a mark by chance are not a scheme.
    plain = [*(f"word{i}" for i in range(300)), "##", "C##", "@@"]
    assert read_tokens("\n".join(plain).encode(), "v.txt").scheme == PLAIN.name


def test_marks_of_byte_order_are_no_token() -> None:
    listed = json.dumps(WORDS)
    for data in (
        b"\xef\xbb\xbf" + listed.encode(),
        b"\xff\xfe" + listed.encode("utf-16-le"),
        b"\xef\xbb\xbf" + "\r\n".join(WORDS).encode(),
        b"\xfe\xff" + "\n".join(WORDS).encode("utf-16-be"),
    ):
        assert read_tokens(data).tokens == tuple(w.encode() for w in WORDS)


def lines(*columns: list[Any], between: str = " ") -> bytes:
    return "\n".join(between.join(map(str, row)) for row in zip(*columns, strict=True)).encode()


COUNTS = [1000 - 7 * i for i in range(len(WORDS))]


def test_lines_with_more_than_a_token_are_read_or_refused_but_never_misread() -> None:
    plain = tuple(w.encode() for w in WORDS)
    ids = list(range(len(WORDS)))
    for data, note in (
        (lines(WORDS, ids), "ids"),
        (lines(ids, WORDS, between="\t"), "ids"),
        (lines(["word", *WORDS], ["count", *COUNTS], between="\t"), "word"),
        (lines(["n", *ids], ["Label", *WORDS], ["x", *ids], between="\t"), "label"),
    ):
        found = read_tokens(data, "metadata.tsv")
        assert found.tokens == plain
        assert note in found.notes[0]
    scored = lines(
        ["<unk>", *(f"▁{w}" for w in WORDS)], [0, *(-0.5 - i for i in ids)], between="\t"
    )
    assert read_tokens(scored, "spm.vocab").tokens[1] == b" run"
    vector = " ".join(["0.25"] * 8)
    for data, said in (
        (lines(WORDS, COUNTS), "like a list of counts"),
        (lines(WORDS, COUNTS, between="\t"), "like a list of counts"),
        (lines(["the", "and", "code"] * 9, list(range(900, 873, -1))), "like a list of counts"),
        (lines(["a", *WORDS], ["b", *WORDS], ["c", *COUNTS], between="\t"), "none is called word"),
        (lines(WORDS, [vector] * len(WORDS)), "give it as the vectors"),
        (b"#version: 0.2\nr u\nru n\n", "merge rules"),
        (b"1 'a' 1\n2 'b' 1\n3 b'\\xff' 1\n", "RWKV"),
        (json.dumps({"<pad>": 5000, "<more>": 5001}).encode(), "added tokens only"),
        (b"[" + b'{"":0},' * 600_000 + b"0]", "far more parts"),
    ):
        with pytest.raises(InputError, match=said):
            read_tokens(data, "list.txt" if data[:1] not in b"[{" else "vocab.json")


def test_a_sentencepiece_model_is_read_as_its_library_does(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    texts = tmp_path / "text.txt"
    texts.write_text("\n".join(TEXT))
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts), model_writer=made, vocab_size=330, byte_fallback=True,
        hard_vocab_limit=False, minloglevel=2, user_defined_symbols=["<mine>"],
    )  # fmt: skip
    found = read_tokens(made.getvalue(), "tokenizer.model")
    processor = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    ids = range(processor.get_piece_size())
    assert len(found) == len(ids)
    assert [not token for token in found.tokens] == [
        processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i) for i in ids
    ]
    for text in ["The runner ran 人 🙂", "Naïve café <mine>"]:
        joined = b"".join(found.tokens[i] for i in processor.encode(text)).decode()
        assert joined.removeprefix(" ") == processor.decode(processor.encode(text)) == text
    with pytest.raises(InputError, match="damaged"):
        read_tokens(made.getvalue()[:-3], "tokenizer.model")


def test_mistral_s_own_format_is_read() -> None:
    entries = [{"rank": i, "token_bytes": base64.b64encode(w).decode()}
               for i, w in enumerate([b"\xe2", b" run", b"left out"])]  # fmt: skip
    config = {"default_vocab_size": 5, "default_num_special_tokens": 3}
    found = read_tokens(json.dumps({"config": config, "vocab": entries}).encode(), "tekken.json")
    assert found.tokens == (b"", b"", b"", b"\xe2", b" run")


def test_real_vocabularies_agree_with_their_own_libraries() -> None:
    """What is here of `benchmarks/token_bytes.py`, on fewer texts; its page lists the others."""
    texts = token_bytes.texts(60)
    cases = list(token_bytes.installed())
    assert len(cases) >= 3
    for case in cases:
        assert [text for text in texts if not case.agrees(text)] == [], case.name
