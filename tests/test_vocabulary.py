"""The bytes of tokens, against tokenizers' own decoding and against the reference package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiktoken
import torch

from kronviz import codec
from kronviz.embedding import KroneckerEmbedding
from kronviz.tokenizer import load_tokenizer
from kronviz.vocabulary import MARK, token_bytes

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")
TEXT = [
    "The naïve café in the Straße serves running runners, and the runner runs.",
    "日本語の文字列と emoji 🙂🙃, numbers 1234 and code: foo_bar(x) == [y]",
    "a stone's throw from the river; the rivers of stones and gardens",
] * 4
SPECIAL = ["<s>", "</s>", "<unk>", "<pad>"]


def byte_level() -> Any:
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(TEXT, trainer)
    return made


def word_piece() -> Any:
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.decoder = tokenizers.decoders.WordPiece(cleanup=False)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=names, show_progress=False
    )
    made.train_from_iterator(TEXT, trainer)
    return made


def llama() -> Any:
    """SentencePiece's BPE with bytes to fall back to, as Llama 2 has it."""
    found = tokenizers.Tokenizer(tokenizers.models.BPE())
    found.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=300, show_progress=False)
    found.train_from_iterator(TEXT, trainer)
    model = json.loads(found.to_str())["model"]
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *model["vocab"]]
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            {piece: place for place, piece in enumerate(pieces)},
            [tuple(pair) for pair in model["merges"]],
            byte_fallback=True,
            unk_token="<unk>",
        )
    )
    decoders = tokenizers.decoders
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    normalizers = tokenizers.normalizers
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.add_special_tokens(SPECIAL)
    return made


def unigram() -> Any:
    made = tokenizers.Tokenizer(tokenizers.models.Unigram())
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    made.decoder = tokenizers.decoders.Metaspace()
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(TEXT, trainer)
    return made


def word_ends() -> Any:
    """GPT-1's way: the last piece of a word is marked."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE(end_of_word_suffix="</w>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.decoder = tokenizers.decoders.BPEDecoder(suffix="</w>")
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    made.train_from_iterator(TEXT, trainer)
    return made


MAKERS = {
    "byte-level": byte_level,
    "WordPiece": word_piece,
    "SentencePiece BPE": llama,
    "SentencePiece Unigram": unigram,
    "word ends": word_ends,
}
each = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def wrapped(raw: Any) -> Any:
    """A fast tokenizer of transformers around one of tokenizers."""
    names = {token.content for token in raw.get_added_tokens_decoder().values()}
    roles = {
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
        "cls_token": "[CLS]", "sep_token": "[SEP]",
    }  # fmt: skip
    roles = {role: name for role, name in roles.items() if name in names}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw, **roles)


@each
def test_true_bytes_are_what_a_token_adds_to_the_text(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    raw = make()
    tokens = token_bytes(raw, 16)
    assert len(tokens) == raw.get_vocab_size()
    word = raw.encode("runner stone").ids
    before = raw.decode(word, skip_special_tokens=False)
    special = {n for n, token in raw.get_added_tokens_decoder().items() if token.special}
    compared = 0
    for number, data in enumerate(tokens):
        if number in special:
            assert data == raw.id_to_token(number).encode()
            continue
        if make is word_ends:
            # The blank after a word belongs to its last piece, which ours is before another.
            assert data.decode() == raw.id_to_token(number).replace("</w>", " ")
            continue
        after = raw.decode([*word, number, *word[-1:]], skip_special_tokens=False)
        last = raw.decode([*word, *word[-1:]], skip_special_tokens=False)[len(before) :]
        added = after.removeprefix(before).removesuffix(last)
        if "\N{REPLACEMENT CHARACTER}" not in added:
            compared += 1
            assert added.encode() == data, raw.id_to_token(number)
    assert compared > 0.4 * len(tokens) or make is word_ends
    # By whatever way it is given.
    raw.save(str(tmp_path / "tokenizer.json"))
    others = [wrapped(raw), tmp_path, tmp_path / "tokenizer.json", str(tmp_path)]
    for other in others:
        assert token_bytes(other, 16) == tokens


@each
def test_the_text_comes_back(make: Callable[[], Any]) -> None:
    raw = make()
    tokens = token_bytes(raw, 16)
    for text in TEXT[:3]:
        found = b"".join(
            tokens[number] for number in raw.encode(text, add_special_tokens=False).ids
        )
        if make in (byte_level, llama):
            assert found.decode().removeprefix(" ") == text
        else:
            assert found.split() == raw.decode(raw.encode(text).ids).encode().split()


@each
def test_the_references_own_way(make: Callable[[], Any]) -> None:
    """A checkpoint that was trained with the package gives the package's vectors."""
    for pos_dim in (2, 8, 16):
        reference = pytest.importorskip("kronecker_embeddings")
        raw = make()
        tokenizer = wrapped(raw)
        theirs = reference.KroneckerEmbedding(len(tokenizer), 5, tokenizer, pos_dim=pos_dim)
        ids = torch.arange(len(tokenizer))
        for given in (tokenizer, raw):
            ours = KroneckerEmbedding.from_tokenizer(given, 5, pos_dim, bytes="reference")
            ours.load_state_dict(theirs.state_dict())
            torch.testing.assert_close(ours(ids), theirs(ids), rtol=1e-5, atol=1e-5)
        true = KroneckerEmbedding.from_tokenizer(tokenizer, 5, pos_dim)
        true.load_state_dict(theirs.state_dict())
        assert (true(ids) - theirs(ids)).abs().max() > 0.1


def test_tiktoken() -> None:
    ours = load_tokenizer("r50k_base:1000")
    encoding = tiktoken.Encoding(
        name="cut",
        pat_str=ours._encoding._pat_str,
        mergeable_ranks=ours._encoding._mergeable_ranks,
        special_tokens={"<|endoftext|>": 1000, "<|gap|>": 1003},
    )
    tokens = token_bytes(encoding, 16)
    assert tokens[:1001] == [ours.token_bytes(number) for number in range(1001)]
    assert tokens[1001:] == [b"", b"", b"<|gap|>"]
    embedding = KroneckerEmbedding.from_tokenizer(encoding, 4, num_embeddings=1024, padding_idx=5)
    assert embedding.num_embeddings == 1024
    assert embedding.padding_idx == 5
    assert not embedding(torch.tensor([5, 1001, 1023])).any()
    reference = token_bytes(encoding, 16, bytes="reference")
    half = tokens.index(b"\xe2")
    assert reference[half] == "\N{REPLACEMENT CHARACTER}".encode()
    with pytest.raises(ValueError, match=r"num_embeddings is 7; the tokenizer has 1,004 ids"):
        token_bytes(encoding, 16, num_embeddings=7)


def test_special_tokens_stay_distinguishable() -> None:
    """Names that are equal after the cut, names that are ordinary tokens, and the usual four."""
    for pos_dim in (4, 8, 16):
        raw = byte_level()
        names = [f"<|reserved_special_token_{number}|>" for number in range(20)]
        raw.add_special_tokens(names)
        raw.add_tokens(["<s", "<s>x"])
        tokens = token_bytes(raw, pos_dim)
        cut = [codec.truncate(token, pos_dim) for token in tokens]
        special = [raw.token_to_id(name) for name in [*SPECIAL, *names]]
        for number in special:
            assert cut.count(cut[number]) == 1
            assert cut[number]
        if pos_dim == 16:
            assert tokens[raw.token_to_id("<s>")] == b"<s>"
            assert tokens[raw.token_to_id(names[0])][:1] == MARK
        embedding = KroneckerEmbedding.from_tokenizer(raw, 32, pos_dim)
        vectors = embedding(torch.tensor(special))
        distances = torch.cdist(vectors, embedding(torch.arange(len(tokens))))
        assert ((distances < 0.5).sum(1) == 1).all()


def slow_word_piece(folder: Path) -> tuple[Any, dict[str, bytes]]:
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "run", "##ning", "é"]
    (folder / "vocab.txt").write_text("\n".join(names))
    made = BertTokenizerLegacy(str(folder / "vocab.txt"))
    return made, {"run": b" run", "##ning": b"ning", "[CLS]": b"[CLS]", "é": " é".encode()}


def slow_bytes(folder: Path) -> tuple[Any, dict[str, bytes]]:
    return transformers.ByT5Tokenizer(), {"a": b"a", "\xff": b"\xff", "</s>": b"</s>"}


def slow_words(folder: Path) -> tuple[Any, dict[str, bytes]]:
    (folder / "vocab.json").write_text(json.dumps({"run@@": 0, "ning</w>": 1, "<unk>": 2}))
    (folder / "merges.txt").write_text("#version\nr u\n")
    made = transformers.CTRLTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    return made, {"run@@": b"run"}


@pytest.mark.parametrize("make", [slow_word_piece, slow_bytes, slow_words])
def test_slow_tokenizers(
    make: Callable[[Path], tuple[Any, dict[str, bytes]]], tmp_path: Path
) -> None:
    reference = pytest.importorskip("kronecker_embeddings")
    tokenizer, expected = make(tmp_path)
    tokens = token_bytes(tokenizer, 16)
    for piece, data in expected.items():
        assert tokens[tokenizer.convert_tokens_to_ids(piece)] == data
    buffer, lengths = reference.build_byte_buffer(tokenizer, 16)
    theirs = [bytes(row[:n].tolist()) for row, n in zip(buffer, lengths.tolist(), strict=True)]
    assert token_bytes(tokenizer, 16, bytes="reference") == theirs


@pytest.mark.parametrize("decoder", [None, {"type": "ByteLevel"}])
def test_half_a_surrogate_pair_has_the_bytes_of_a_question_mark(decoder: object) -> None:
    for special in (True, False):
        definition = {
            "model": {"vocab": {"a": 0, "\ud800": 1}},
            "added_tokens": [{"id": 2, "content": "x\ud800", "special": special}],
            "decoder": decoder,
        }
        assert token_bytes(definition, 16) == [b"a", b"?", b"x?"]


def test_what_is_refused(tmp_path: Path) -> None:
    for pieces, added in (({"a": 0, "b": -1}, []), ({"a": 0}, [{"id": -1, "content": "b"}])):
        with pytest.raises(ValueError, match="the tokenizer has the id -1; ids must be 0 or more"):
            token_bytes({"model": {"vocab": pieces}, "added_tokens": added}, 16)
    for wrong in (None, 5, ["a"], object()):
        with pytest.raises(TypeError, match="it must be a tiktoken encoding"):
            KroneckerEmbedding.from_tokenizer(wrong, 4)
        with pytest.raises(TypeError, match="it must be a tiktoken encoding"):
            KroneckerEmbedding.from_tokenizer(wrong, 4, bytes="reference")
    with pytest.raises(ValueError, match="bytes is 'utf-8'"):
        KroneckerEmbedding.from_tokenizer(byte_level(), 4, bytes="utf-8")
    (tmp_path / "a.json").write_text("[1, 2]")
    (tmp_path / "b.json").write_text("{")
    for name in ("a.json", "b.json", "missing.json"):
        with pytest.raises(ValueError, match=name):
            KroneckerEmbedding.from_tokenizer(tmp_path / name, 4)
