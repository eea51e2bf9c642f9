"""The registry of input embeddings, and each against its formula written out."""

from __future__ import annotations

import math
import re
from typing import cast

import numpy as np
import pytest
import torch
from each import on_each
from torch import nn

from kronviz import codec
from kronviz.arms import ARMS, input_embedding
from kronviz.arms.bags import BagEmbedding
from kronviz.arms.context import ContextEmbedding
from kronviz.arms.shuffled import shuffle
from kronviz.arms.whitened import WhitenedKronecker
from kronviz.embedding import KroneckerEmbedding
from kronviz.model import GPT, KVCache, ModelConfig
from kronviz.ngrams import BEGIN, END, Rule
from kronviz.tokenizer import TokenBytes, load_tokenizer

WORDS = [b" the", b"of", b"off", b" Paris", b"\xe2\x82", b"a", b"", b"internationalization"]
VOCABULARY = TokenBytes.of(WORDS)
COUNTS = np.array([900, 500, 30, 9, 1, 60, 0, 2])


def hashed(symbols: tuple[int, ...], rows: int) -> int:
    """FNV-1a and MurmurHash3's finaliser, as their authors write them."""
    value = 2166136261
    for symbol in symbols:
        value = ((value ^ symbol) * 16777619) % 2**32
    value ^= value >> 16
    value = value * 0x85EBCA6B % 2**32
    value ^= value >> 13
    value = value * 0xC2B2AE35 % 2**32
    return (value ^ (value >> 16)) % rows


def test_the_rows_of_a_string_are_those_of_all_its_ngrams() -> None:
    for data in WORDS:
        symbols = (BEGIN, *data, END)
        expected = [
            hashed(symbols[start : start + n], 8192)
            for n in (2, 3, 4)
            for start in range(len(symbols) - n + 1)
        ]
        assert Rule(8192).cells(data).tolist() == expected


def test_a_bag_is_the_scaled_centred_sum_of_its_rows() -> None:
    for own in (0, 3, len(WORDS)):
        embedding = BagEmbedding(VOCABULARY, 6, Rule(64), own).double()
        weight = embedding.weight.detach()
        for token, data in enumerate(WORDS):
            cells = [*Rule(64).cells(data), *([64 + token] if token < own else [])]
            total = sum(weight[int(cell)] for cell in cells) - len(cells) * weight.mean(0)
            expected = math.sqrt(len(weight) / len(cells)) * total
            torch.testing.assert_close(embedding(torch.tensor(token)), expected)


def test_a_string_embeds_as_its_token_and_can_be_forced() -> None:
    for name in ("ngram", "ngram-word", "hybrid", "pairs", "kron", "kron-mlp"):
        embedding, _ = input_embedding(name, VOCABULARY, 4, 2)
        ids = torch.arange(len(WORDS) - 2)
        torch.testing.assert_close(embedding(ids), embedding.embed_bytes(WORDS[:-2]))
        forced = embedding(ids[None], {(0, 1): b"new"})[0]
        torch.testing.assert_close(forced[1:2], embedding.embed_bytes([b"new"]))
        torch.testing.assert_close(forced[2:], embedding(ids)[2:])


def test_of_equal_tokens_the_first_lends_its_row_to_a_string() -> None:
    embedding = BagEmbedding([b"a", b"b", b"a"], 4, Rule(64), 3)
    first = embedding(torch.tensor([0]))
    torch.testing.assert_close(embedding.embed_bytes([b"a"]), first)
    torch.testing.assert_close(embedding(torch.tensor([1]), {(0,): b"a"}), first)
    torch.testing.assert_close(embedding.byte_parts(b"a"), first)


def test_gradients_of_a_bag_are_right() -> None:
    embedding = BagEmbedding(VOCABULARY, 3, Rule(16), 2).double()
    ids = torch.tensor([[0, 1], [1, 7]])
    embed = lambda w: torch.func.functional_call(embedding, {"weight": w}, ids)  # noqa: E731
    assert torch.autograd.gradcheck(embed, embedding.weight)


def test_a_whitened_projection_folds_into_a_plain_one() -> None:
    pos_dim = 4
    trained = WhitenedKronecker(VOCABULARY, 5, pos_dim, COUNTS)
    plain = KroneckerEmbedding(VOCABULARY, 5, pos_dim, encoder="reference")
    with torch.no_grad():
        plain.weight.copy_(trained.folded())
    ids = torch.arange(len(WORDS))
    forced = {(0,): b"new"}
    for mode in (True, False):
        trained.train(mode)
        for found, expected in (
            (trained(ids), plain(ids)),
            (trained(ids, forced), plain(ids, forced)),
            (trained.embed_bytes(WORDS), plain.embed_bytes(WORDS)),
            (trained.byte_parts(b"off"), plain.byte_parts(b"off")),
        ):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    exported = trained.to_reference_state_dict()
    assert torch.equal(exported["projection.weight"], plain.weight.t())
    with pytest.raises(RuntimeError, match="load it into a KroneckerEmbedding"):
        trained.load_state_dict(exported)


def test_a_whitening_of_a_code_whose_every_cell_is_used_is_finite() -> None:
    letters = TokenBytes.of([bytes([i]) for i in range(256)])
    trained = WhitenedKronecker(letters, 4, 1, np.ones(256, np.int64))
    vectors = trained(torch.arange(256))
    assert vectors.isfinite().all()
    # All directions but that of the mean, which is centred away, are equally frequent.
    trained.whitening = nn.Identity()
    torch.testing.assert_close(vectors, trained(torch.arange(256)), atol=1e-4, rtol=1e-4)


def test_whitening_is_the_inverse_root_of_the_second_moment() -> None:
    pos_dim = 2
    trained = WhitenedKronecker(VOCABULARY, 5, pos_dim, COUNTS)
    codes = np.stack(
        [
            codec.z_code(w[:pos_dim], pos_dim) if w else np.zeros(codec.dimension(pos_dim))
            for w in WORDS
        ]
    )
    shares = COUNTS / COUNTS.sum()
    moment = codes.T @ (codes * shares[:, None])
    values, vectors = np.linalg.eigh(moment)
    root = vectors @ np.diag((values.clip(0) + 1) ** -0.5) @ vectors.T
    loud = math.sqrt(np.trace(moment) / np.trace(root @ moment @ root))
    expected = codes @ root @ trained.weight.detach().double().numpy() * loud
    seen = COUNTS > 0
    found = trained(torch.arange(len(WORDS))).detach().numpy()
    np.testing.assert_allclose(found[seen], expected[seen], atol=2e-5)


def test_a_spelling_bee_is_half_a_table_and_half_rotated_bytes() -> None:
    pos_dim, width = 8, 4
    embedding, _ = input_embedding("spelling-bee", VOCABULARY, width, pos_dim)
    table, letters = embedding.weight.detach(), embedding.letters.detach()
    for token, data in enumerate(WORDS):
        total = torch.zeros(width)
        for position, byte in enumerate(data[:pos_dim]):
            for pair, speed in enumerate((1.0, 0.01)):
                c, s = math.cos(position * speed), math.sin(position * speed)
                x, y = letters[byte, 2 * pair : 2 * pair + 2]
                total[2 * pair : 2 * pair + 2] += torch.stack([x * c - y * s, x * s + y * c])
        expected = (table[token] + total / math.sqrt(max(min(len(data), pos_dim), 1))) / 2
        torch.testing.assert_close(embedding(torch.tensor([token]))[0], expected)


TEXT = (
    "The internationalisation of mispeled wrods, isn’t it? naïve 12345, the 3rd well-known wrods, "
    "isn’t it? " + "anti" * 12
)
"""Has split words, a phrase twice, letters after a digit and after a mark, and a word too long."""


def in_context_model() -> tuple[GPT, list[bytes], list[int]]:
    torch.manual_seed(0)
    tokenizer = load_tokenizer("r50k_base:512")
    config = ModelConfig("ngram-words", "r50k_base:512", 16, n_layer=1, n_head=1, n_ctx=256)
    model = GPT(config).eval()
    nn.init.normal_(model.wte.pairs)  # type: ignore[arg-type]
    ids = tokenizer.encode(TEXT)
    return model, [tokenizer.token_bytes(i) for i in ids], ids


def words_of(tokens: list[bytes]) -> list[tuple[bytes, bytes | None]]:
    """The word so far and the word before of every token, read by a regular expression."""
    found: list[tuple[bytes, bytes | None]] = []
    first = 0
    for place, token in enumerate(tokens):
        joined = place and re.search(rb"[a-zA-Z\x80-\xff]$", tokens[place - 1])
        if not (joined and re.match(rb"[a-zA-Z\x80-\xff]", token)):
            first = place
        before = found[first - 1][0] if first else None
        found.append((b"".join(tokens[first : place + 1]), before))
    return found


def test_in_context_a_token_is_embedded_as_its_word_and_the_word_before() -> None:
    model, tokens, ids = in_context_model()
    words = words_of(tokens)
    assert (b" internationalisation", b"The") in words
    assert words[-1][0] == b" " + b"anti" * 12
    embedding = cast(ContextEmbedding, model.wte)
    found = embedding.in_context(torch.tensor([ids, ids]))
    rows = {}
    for place, (word, before) in enumerate(words):
        alone = embedding.embed_bytes([word if word == tokens[place] else word[-24:]])[0]
        pair = (found[:, place] - alone) / math.sqrt(8192 / 16)
        torch.testing.assert_close(pair[0], pair[1])
        if before is None:
            assert pair.abs().max() < 1e-6
            continue
        near = (embedding.pairs - pair[0]).abs().amax(1)
        assert near.min() < 1e-6
        # Equal pairs have one row, wherever they stand.
        assert rows.setdefault((before, word), int(near.argmin())) == int(near.argmin())
    assert len(set(rows.values())) > 0.9 * len(rows)


def test_however_a_word_is_split_it_ends_with_the_same_vector() -> None:
    model, _, _ = in_context_model()
    ends = []
    for second in ([b" mis", b"spelling"], [b" m", b"i", b"sspe", b"lling"], [b" misspelling"]):
        pieces = [b" a", b" o", b"f", *second]
        ids = torch.zeros(1, len(pieces), dtype=torch.long)
        forced = {(0, place): piece for place, piece in enumerate(pieces)}
        ends.append(model.embed(ids, forced=forced)[0, -1])
    torch.testing.assert_close(ends[1], ends[0])
    torch.testing.assert_close(ends[2], ends[0])


def test_a_forced_string_goes_on_in_the_word_of_an_earlier_call() -> None:
    model, _, _ = in_context_model()
    ids = torch.tensor(load_tokenizer("r50k_base:512").encode(" a interest it")).expand(2, -1)
    whole = model.embed(ids, forced={(1, 3): b"nal"})
    before, rest = ids[:, :2], ids[:, 2:]
    time = rest.shape[1]
    for place in (1, 1 - time):
        found = model.embed(rest, before, {(1, place): b"nal"})
        torch.testing.assert_close(found, whole[:, 2:])
    for place in (time, -1 - time):
        with pytest.raises(IndexError):
            model.embed(rest, before, {(1, place): b"nal"})
    with pytest.raises(ValueError, match=r"forced has the key \(1,\); each must have 2 numbers"):
        model.embed(rest, before, {(1,): b"nal"})


def test_in_context_ids_are_integers_of_batch_and_time_beside_the_weight() -> None:
    embedding = ContextEmbedding(VOCABULARY, 4, Rule(64))
    ids = torch.tensor([[0, 1]])
    for wrong in (ids.float(), ids.bool(), ids[0].tolist()):
        for arguments in ((wrong,), (ids, wrong)):
            with pytest.raises(TypeError, match="must be a tensor of int64"):
                embedding.in_context(*arguments)  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="ids hold -1"):
        embedding.in_context(ids, ids - 1)
    for wrong in (ids[0], ids[None]):
        for name, arguments in {"ids": (wrong,), "before": (ids, wrong)}.items():
            with pytest.raises(ValueError, match=rf"^{name} has shape .* must be \(batch, time\)"):
                embedding.in_context(*arguments)
    with pytest.raises(ValueError, match="same batch in ids and before"):
        embedding.in_context(ids, ids.repeat(2, 1))
    for arguments in ((ids.to("meta"),), (ids, ids.to("meta"))):
        with pytest.raises(RuntimeError, match="ids are on meta and the weight on cpu"):
            embedding.in_context(*arguments)


def test_in_context_every_encoder_has_the_same_vectors_and_gradients() -> None:
    model, _, ids = in_context_model()
    embedding = cast(ContextEmbedding, model.wte).double()
    found = []
    for encoder in ("fused", "reference"):
        embedding.encoder = encoder
        embedding.zero_grad()
        vectors = embedding.in_context(torch.tensor([ids]))
        (vectors**2).sum().backward()
        found.append((vectors.detach(), embedding.weight.grad, embedding.pairs.grad))
    torch.testing.assert_close(found[0], found[1])


def test_a_word_goes_on_in_the_next_call_of_the_cache() -> None:
    model, _, ids = in_context_model()
    cache = KVCache()
    pieces = [model(part, cache=cache).logits for part in torch.tensor([ids]).split(1, dim=1)]
    torch.testing.assert_close(torch.cat(pieces, 1), model(torch.tensor([ids])).logits)


@on_each("arm", ARMS)
def test_an_arm_keeps_half_precision_and_takes_an_empty_batch(arm: str) -> None:
    embedding, _ = input_embedding(arm, VOCABULARY, 4, 4, COUNTS)
    with torch.no_grad():
        for parameter in embedding.parameters():
            parameter.normal_()
    embed = getattr(embedding, "in_context", embedding)
    ids = torch.arange(8).view(2, 4)
    exact, made = embed(ids), embed(ids[:0])
    assert made.shape == (0, 4, 4)
    made.sum().backward()
    embedding.bfloat16()
    rounded = embed(ids)
    assert rounded.dtype == torch.bfloat16
    assert (rounded - exact).norm() < 0.02 * exact.norm()


def test_shuffled_tokens_keep_their_lengths_and_lose_their_spelling() -> None:
    words = [f"w{i:03}".encode() for i in range(200)] + [b"x" * n for n in range(20)]
    dealt = shuffle(TokenBytes.of(words))
    spelled = [dealt[i] for i in range(len(words))]
    assert sorted(spelled) == sorted(words)
    assert [len(w) for w in spelled] == [len(w) for w in words]
    assert sum(a == b for a, b in zip(spelled[:200], words, strict=False)) < 20


@on_each("arm", ARMS)
def test_every_arm_makes_a_model_that_learns(arm: str) -> None:
    torch.manual_seed(0)
    config = ModelConfig(arm, "r50k_base:512", d_model=16, n_layer=1, n_head=1, n_ctx=8, pos_dim=2)
    counts = np.ones(576, np.int64)
    model = GPT(config, counts)
    ids = torch.randint(0, 500, (4, 9))
    before = model.loss(ids[:, :-1], ids[:, 1:])
    before.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert (model.lm_head.weight is model.input_weight()) == ARMS[arm].tied
    torch.optim.Adam(model.parameters(), 1e-3).step()
    assert model.loss(ids[:, :-1], ids[:, 1:]) < before


def test_an_unknown_arm_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match="arm is 'both'; it must be one of bpe"):
        input_embedding("both", VOCABULARY, 4, 4)
