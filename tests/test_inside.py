"""The inside of both networks against plain loops with hooks, metrics in float64 and autograd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kronviz.arms import input_embedding
from kronviz.metrics import kl_divergence
from kronviz.model import GPT
from kronviz.predictor import InputError, Predictor
from kronviz.probes.inside import (
    THINGS,
    Followed,
    Inside,
    InsideSettings,
    Survey,
    command,
    inside,
    survey,
)
from kronviz.probes.inside.attribution import _clenshaw_curtis
from kronviz.probes.inside.damage import Damage
from kronviz.probes.inside.patching import Patch, resume
from kronviz.probes.inside.runs import Run, trace
from kronviz.probes.inside.survey import _joining
from kronviz.probes.inside.words import AlignedWord, align_words
from kronviz.probes.intervals import Interval, ratio_differences, ratio_intervals
from kronviz.probes.outcomes import outcomes
from kronviz.probes.pairs import Pair, PairSet, load_pairs
from kronviz.progress import Step
from kronviz.results import from_json, to_json
from kronviz.typos import KINDS, misspell

CLEAN, TYPO = "The capital of France is", "The captial of Frnace is"


@pytest.fixture(scope="module")
def report(tiny_predictor: Predictor) -> Inside:
    return inside(tiny_predictor, InsideSettings(CLEAN, TYPO, right="Paris"))


@pytest.mark.parametrize(("clean", "typo"), [("A ship ", "A shpi"), ("A ship ", "A shpi ")])
def test_the_right_answer_is_the_same_token_on_every_tab(
    tiny_predictor: Predictor, clean: str, typo: str
) -> None:
    """It follows a space; one of the texts may end in it, or both."""
    pair = Pair("1", "made up", clean, typo, expected=" sails ")
    right = tiny_predictor.compare(clean, typo, " sails ").arms[0].answer
    assert right is not None
    wanted = right.text
    traced = (
        inside(tiny_predictor, InsideSettings(clean, typo, right=" sails ", parts=())).arms[0].lens
    )
    assert {line.token for line in traced if line.target == "answer"} == {wanted}
    assert [[one.answer for one in batch] for batch in outcomes(tiny_predictor, [pair])] == [
        [wanted]
    ]


def words_of(predictor: Predictor, clean: str, typo: str) -> tuple[AlignedWord, ...]:
    tokenizer = predictor.tokenizer
    return align_words(
        *([tokenizer.token_bytes(i) for i in tokenizer.encode(text)] for text in (clean, typo))
    )


def shown(predictor: Predictor, clean: str, typo: str) -> list[tuple[str, str]]:
    """Changed words as the texts have them."""
    ids = [predictor.tokenizer.encode(text) for text in (clean, typo)]
    return [
        tuple(
            predictor.tokenizer.decode(own[slice(*span)])
            for own, span in zip(ids, (word.clean, word.typo), strict=True)
        )
        for word in words_of(predictor, clean, typo)
        if word.changed
    ]


@contextmanager
def hooked(*hooks: Any) -> Iterator[None]:
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def last_logits(model: GPT, text: list[int]) -> Tensor:
    return model(torch.tensor([text])).logits[0, -1]


def recorded(model: GPT, ids: list[int]) -> dict[str, Tensor]:
    """The inside of a plain forward pass, as hooks see it."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, given: Any, result: Any = None) -> None:
            seen[name] = (given[0] if result is None else result).detach()[0]

        return hook

    hooks = []
    for layer, block in enumerate(model.blocks):
        hooks += [
            block.register_forward_pre_hook(keep(f"residual{layer}")),
            block.attention.register_forward_hook(keep(f"attention{layer}")),
            block.mlp.register_forward_hook(keep(f"mlp{layer}")),
            block.attention.proj.register_forward_pre_hook(keep(f"head{layer}")),
        ]
    with hooked(*hooks), torch.no_grad():
        model(torch.tensor([ids]))
    return seen


def patched_by_hooks(
    model: GPT,
    clean: dict[str, Tensor],
    typo: list[int],
    word: AlignedWord,
    thing: str,
    row: int,
) -> Tensor:
    """Logits of one patched run, computed whole: the plain loop that the probe must equal.

    Args:
        clean: what `recorded` saw in the clean run.
    """
    heads = model.config.n_head
    layer, head = divmod(row, heads) if thing == "head" else (row, 0)
    theirs = clean[f"{thing}{layer}"]
    width = model.config.d_model // heads
    columns = slice(head * width, (head + 1) * width) if thing == "head" else slice(None)

    def swap_states(module: Any, given: Any) -> Any:
        (start, end), x = word.typo, given[0]
        swapped = torch.cat([x[:, :start], theirs[None, slice(*word.clean)], x[:, end:]], 1)
        return (swapped, *given[1:])

    def change(x: Tensor) -> Tensor:
        x = x.clone()
        for one, other in word.matched:
            x[0, other, columns] = theirs[one, columns]
        return x

    block = model.blocks[layer]
    hook = {
        "residual": lambda: block.register_forward_pre_hook(swap_states),
        "attention": lambda: block.attention.register_forward_hook(lambda m, g, out: change(out)),
        "mlp": lambda: block.mlp.register_forward_hook(lambda m, g, out: change(out)),
        "head": lambda: block.attention.proj.register_forward_pre_hook(lambda m, g: change(g[0])),
    }[thing]()
    with hooked(hook), torch.no_grad():
        return last_logits(model, typo)


@pytest.mark.parametrize("thing", THINGS)
def test_patching_equals_a_plain_loop_with_hooks(
    tiny_predictor: Predictor, report: Inside, thing: str
) -> None:
    clean, typo = (tiny_predictor.tokenizer.encode(text) for text in (CLEAN, TYPO))
    assert len(clean) != len(typo)
    for arm in report.arms:
        model = tiny_predictor.arms[arm.arm]
        with torch.no_grad():
            base, damaged = last_logits(model, clean), last_logits(model, typo)
        whole = float(kl_divergence(base, damaged))
        top = int(base.argmax())
        logs = [float(logits.double().log_softmax(-1)[top]) for logits in (base, damaged)]
        found, seen = arm.map(thing), recorded(model, clean)
        assert found is not None
        rows = range(0, len(found.outcomes), 5 if thing == "head" else 2)
        assert len(found.outcomes) == arm.blocks * (arm.heads if thing == "head" else 1)
        for row in rows:
            for word, outcome in zip(report.words, found.outcomes[row], strict=True):
                logits = patched_by_hooks(model, seen, typo, word, thing, row)
                kl = float(kl_divergence(base, logits))
                log = float(logits.double().log_softmax(-1)[top])
                assert outcome.kl_nats == pytest.approx(kl, abs=1e-5)
                assert outcome.kl_undone == pytest.approx(1 - kl / whole, abs=1e-4)
                assert outcome.logprob_nats == pytest.approx(log, abs=1e-4)
                undone = (log - logs[1]) / (logs[0] - logs[1])
                assert (outcome.logprob_undone is None) == (logs[0] - logs[1] < 0.01)
                if outcome.logprob_undone is not None:
                    assert outcome.logprob_undone == pytest.approx(undone, abs=1e-3)
                probs, tokens = logits.softmax(-1).topk(5)
                names = [tiny_predictor.tokenizer.token_text(token) for token in tokens.tolist()]
                assert [guess.text for guess in outcome.guesses] == names
                np.testing.assert_allclose([g.prob for g in outcome.guesses], probs, atol=1e-5)


def test_everything_undoes_everything_and_nothing_undoes_nothing(
    tiny_predictor: Predictor, report: Inside
) -> None:
    clean, typo = (tiny_predictor.tokenizer.encode(text) for text in (CLEAN, TYPO))
    for arm in report.arms:
        model = tiny_predictor.arms[arm.arm]
        ran, misspelled = trace(model, clean), trace(model, typo)
        damage = Damage(ran, misspelled, tiny_predictor.tokenizer)
        whole = [Patch(layer, 0, len(typo), ran.streams[layer]) for layer in range(arm.blocks + 1)]
        for outcome in damage.outcomes(resume(misspelled, whole)):
            assert outcome.kl_undone == pytest.approx(1, abs=1e-4)
            assert outcome.logprob_undone in (None, pytest.approx(1, abs=1e-4))
        assert arm.typo.kl_undone == 0
        assert arm.clean.kl_undone == 1
        # "The" reads the same in both runs, whatever is taken from it.
        assert not report.words[0].changed
        for found in arm.maps:
            assert {row[0].kl_undone for row in found.outcomes} == {0}


def test_a_share_of_hardly_any_damage_is_none(
    tiny_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, typo = (tiny_predictor.tokenizer.encode(text) for text in (CLEAN, TYPO))
    model = next(iter(tiny_predictor.arms.values()))
    damage = Damage(trace(model, clean), trace(model, typo), tiny_predictor.tokenizer)
    final = trace(model, clean).streams[-1][-1:]
    for drop, kl, none in ((0.011, 1.1e-4, False), (0.009, 0.9e-4, True)):
        monkeypatch.setattr(damage, "_base_log", damage._top_log - drop)
        monkeypatch.setattr(damage, "_base_kl", kl)
        (outcome,) = damage.outcomes(final)
        assert (outcome.logprob_undone is None, outcome.kl_undone is None) == (none, none)


def test_many_patches_are_the_same_in_one_batch_and_in_several(
    tiny_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_predictor.arms["kron"]
    runs = [trace(model, tiny_predictor.tokenizer.encode(text)) for text in (CLEAN, TYPO)]
    chosen = [
        Patch(layer, start, start + 1, torch.randn(size, model.config.d_model))
        for layer in (0, 3, 5, 6)
        for start in range(runs[1].length)
        for size in (1, 3)
    ]
    together = resume(runs[1], chosen)
    monkeypatch.setattr("kronviz.probes.inside.patching.BATCH_TOKENS", 1)
    torch.testing.assert_close(resume(runs[1], chosen), together, atol=1e-4, rtol=1e-4)


def test_words_stand_against_their_pieces(tiny_predictor: Predictor) -> None:
    assert shown(tiny_predictor, CLEAN, TYPO) == [
        (" capital", " captial"),
        (" France", " Frnace"),
    ]
    together = ("Plants need water and sunlight to", "Plants need waterand sunlight to")
    assert shown(tiny_predictor, *together) == [(" water and", " waterand")]
    front = shown(tiny_predictor, "The sun rises", "Teh sun rises")
    assert front == [("The", "Teh")]
    end = shown(tiny_predictor, "She read the book", "She read the boook")
    assert end == [(" book", " boook")]
    assert shown(tiny_predictor, "It is the the end", "It is the end")
    cased = shown(tiny_predictor, "The opposite of hot is", "The OPPOSITE of hot is")
    assert cased == [(" opposite", " OPPOSITE")]
    # A word of several pieces, of which the last alone was changed.
    pieces = "Hyperparameters matter", "Hyperparametres matter"
    assert shown(tiny_predictor, *pieces) == [("Hyperparameters", "Hyperparametres")]
    assert shown(tiny_predictor, "Hello, world", "Hello world") == [("Hello,", "Hello")]
    # Chinese puts no blanks between words; emoji may be several characters.
    assert shown(tiny_predictor, "东京是日本的首都", "东京是日木的首都") == [("本", "木")]
    family = "a family 👨‍👩‍👧 here", "a family 👨‍👩‍👦 here"
    assert shown(tiny_predictor, *family) == [("👨‍👩‍👧", "👨‍👩‍👦")]
    assert shown(tiny_predictor, "שלום עולם", "שלום עלום") == [("עולם", "עלום")]


def test_every_kind_of_misspelling_is_one_and_words_cover_both_texts(
    tiny_predictor: Predictor,
) -> None:
    tokenizer = tiny_predictor.tokenizer
    texts = [(pair.clean, pair.typo) for pair in load_pairs().pairs]
    texts += [
        (clean, misspell(clean, kinds=(kind,), edits=2, seed=seed).text)
        for kind in KINDS
        for seed, (clean, _) in enumerate(texts[::16])
    ]
    for clean, typo in texts:
        if clean == typo:
            continue
        words = words_of(tiny_predictor, clean, typo)
        for side, text in (("clean", clean), ("typo", typo)):
            spans = [getattr(word, side) for word in words]
            assert spans[0][0] == 0
            assert spans[-1][1] == len(tokenizer.encode(text))
            assert all(start < end for start, end in spans)
            assert all(one[1] == other[0] for one, other in pairwise(spans))
        assert any(word.changed for word in words)


def test_texts_that_are_no_misspelling_of_each_other_are_told_so(tiny_predictor: Predictor) -> None:
    for clean, typo, sentence in (
        ("The capital of France is", "The capital of Germany is", "different texts"),
        ("The cat sat on", "A long time ago, far away", "different texts"),
        ("one two three", "one two", "different texts"),
        ("I am in it", "we do go to", "different texts"),
        ("The same", "The same", "Both texts are the same"),
        ("", "x", "clean text is empty"),
        ("word " * 100, "wrod " * 100, "reads up to 64"),
    ):
        with pytest.raises(InputError, match=sentence):
            inside(tiny_predictor, InsideSettings(clean, typo))


def test_the_lens_ends_at_the_models_own_prediction(
    tiny_predictor: Predictor, report: Inside
) -> None:
    answer = tiny_predictor.tokenizer.encode(" Paris")[0]
    compared = tiny_predictor.compare(CLEAN, TYPO)
    for arm, whole in zip(report.arms, compared.arms, strict=True):
        lines = {(line.text, line.target): line for line in arm.lens}
        assert lines["typo", "first"].token == whole.clean_top.text
        for text in ("clean", "typo"):
            line = lines[text, "first"]
            assert line.probs[-1] == pytest.approx(getattr(whole.clean_top, f"{text}_prob"), 1e-3)
            assert line.ranks[-1] == getattr(whole.clean_top, f"{text}_rank")
            model = tiny_predictor.arms[arm.arm]
            ids = torch.tensor(
                [tiny_predictor.tokenizer.encode(CLEAN if text == "clean" else TYPO)]
            )
            with torch.no_grad():
                hidden = model(ids, hidden=True).hidden
                for depth, state in enumerate(hidden):
                    normed = F.layer_norm(state[0, -1], (256,), model.norm.weight)
                    probs = (model.lm_head.weight @ normed)[: model.n_vocab].softmax(-1)
                    own = lines[text, "answer"]
                    assert own.probs[depth] == pytest.approx(float(probs[answer]), rel=1e-3)
                    rank = int((probs > probs[answer]).sum()) + 1
                    assert own.ranks[depth] == pytest.approx(rank, rel=2e-3)


def test_attention_is_what_the_heads_look_at(tiny_predictor: Predictor, report: Inside) -> None:
    ids = tiny_predictor.tokenizer.encode(TYPO)
    model = tiny_predictor.arms["kron"]
    (arm,) = (arm for arm in report.arms if arm.arm == "kron")
    before = recorded(model, ids)
    for layer, block in enumerate(model.blocks):
        with torch.no_grad():
            q, k, _ = block.attention.qkv(block.norm_1(before[f"residual{layer}"])).split(256, -1)
        for look in arm.looks:
            if look.text != "typo":
                continue
            for head in range(4):
                own = slice(head * 64, (head + 1) * 64)
                scores = k[: look.token + 1, own] @ q[look.token, own] / 8
                np.testing.assert_allclose(
                    look.weights[layer][head], scores.softmax(0).numpy(), atol=1e-5
                )
    looking = {(look.text, look.token) for look in arm.looks}
    assert looking == {
        ("clean", 1), ("clean", 3), ("clean", 4), ("typo", 2), ("typo", 6), ("typo", 7)
    }  # fmt: skip
    first = arm.joining[0]
    patterns = trace(model, ids).patterns[first.block - 1, first.head - 1]
    share = (patterns[2, 1] + patterns[5, 4] + patterns[6, 4] + patterns[6, 5]) / 3
    assert first.share == pytest.approx(float(share), abs=1e-5)
    assert list(arm.joining) == sorted(arm.joining, key=lambda head: -head.share)


def test_a_table_has_a_row_for_each_patch_and_the_command_prints_each_part(report: Inside) -> None:
    table, said = command.rows(report), "\n".join(command.lines(report))
    for arm in report.arms:
        own = [row for row in table if row["arm"] == arm.arm]
        heads = [(row["block"], row["head"]) for row in own if row["thing"] == "head"]
        numbers = [(b, h) for b in range(1, arm.blocks + 1) for h in range(1, arm.heads + 1)]
        assert heads == [number for number in numbers for _ in report.words]
        assert {row["head"] for row in own if row["thing"] != "head"} == {""}
        outcomes = [o for part in arm.maps for row in part.outcomes for o in row]
        assert [row["kl_nats"] for row in own] == [outcome.kl_nats for outcome in outcomes]
        assert f"{arm.arm}: clean says {arm.clean.guesses[0].text!r}" in said
        assert f"{arm.joining[0].block}.{arm.joining[0].head} ({arm.joining[0].share:.0%})" in said
    for thing in THINGS:
        assert f"  {thing}" in said


def test_bytes_explain_the_whole_change(tiny_predictor: Predictor, report: Inside) -> None:
    for arm in report.arms:
        found = arm.attribution
        assert found is not None
        assert found.by_byte == (arm.arm == "kron")
        for measure in ("kl_nats", "logprob_nats"):
            total = sum(getattr(byte, measure) for byte in found.bytes)
            total += getattr(found, f"moved_{measure}") + getattr(found, f"fewer_{measure}")
            change = getattr(found, f"change_{measure}")
            assert total == pytest.approx(change, abs=1e-2 * abs(change))
        assert found.change_kl_nats == arm.typo.kl_nats
        word = bytes(byte.byte for byte in found.bytes)
        assert word == b" captial Frnace"
        if not found.by_byte:
            shares = {byte.token: set() for byte in found.bytes}
            for byte in found.bytes:
                shares[byte.token].add(round(byte.kl_nats, 9))
            assert all(len(own) == 1 for own in shares.values())


def test_the_rule_along_the_path_integrates_polynomials_exactly() -> None:
    for stretches in (4, 16):
        nodes, weights = (np.array(part) for part in _clenshaw_curtis(stretches))
        for power in range(stretches + 1):
            assert weights @ nodes**power == pytest.approx(1 / (power + 1), abs=1e-12)


@pytest.mark.parametrize(
    ("clean", "typo"),
    [
        ("The capital of France is", "ThecapitalofFranceis"),
        ("The big capital of France is", "The capital of France is si"),
        ("I am happy 😀 today", "I am happy today"),
        ("สวัสดีชาวโลก", "สวัสดีชาวลโก"),
    ],
)
def test_the_parts_add_up_whatever_was_misspelled(
    tiny_predictor: Predictor, clean: str, typo: str
) -> None:
    for arm in inside(tiny_predictor, InsideSettings(clean, typo, parts=("bytes",))).arms:
        found = arm.attribution
        assert found is not None
        for measure in ("kl", "logprob"):
            change = getattr(found, f"change_{measure}_nats")
            assert abs(found.rest(measure)) <= 1e-2 * max(abs(change), 1e-5)


def test_only_changed_cells_of_the_code_are_blamed(tiny_predictor: Predictor) -> None:
    """Two letters swapped in a word of as many tokens: the other bytes light the same cells."""
    found = inside(
        tiny_predictor,
        InsideSettings("There are seven days", "There are seven dyas", parts=("bytes",)),
    )
    word = next(word for word in found.words if word.changed)
    counts = [end - start for start, end in (word.clean, word.typo)]
    arm = next(arm for arm in found.arms if arm.arm == "kron")
    if counts == [1, 1]:
        shares = {chr(byte.byte): abs(byte.kl_nats) for byte in arm.attribution.bytes}
        assert max(shares[" "], shares["d"], shares["s"]) < 1e-6 < min(shares["a"], shares["y"])


@pytest.mark.parametrize("arm", ["kron", "ngram-2k", "ngram-word", "pairs", "hybrid"])
def test_the_parts_of_an_embedding_add_up_to_it(tiny_predictor: Predictor, arm: str) -> None:
    vocabulary = tiny_predictor.tokenizer.vocabulary
    embedding: Any = input_embedding(arm, vocabulary, 8, 16)[0].eval()
    for data in (b"a", b" the", b"x" * 40, "naïve Zürich façade".encode(), b""):
        parts = embedding.byte_parts(data)
        assert parts.shape == (len(data), 8)
        if not data:
            continue
        torch.testing.assert_close(
            parts.sum(0), embedding.embed_bytes([data])[0].detach(), atol=1e-4, rtol=1e-4
        )


def test_parts_come_one_by_one_and_a_result_is_json(
    tiny_predictor: Predictor, report: Inside
) -> None:
    parts = ("mlp", "bytes")
    followed = Followed(tiny_predictor, CLEAN, TYPO)
    seen = [followed.report(parts[:1]), followed.report(parts)]
    stopped = inside(
        tiny_predictor,
        InsideSettings(CLEAN, TYPO, parts=parts),
        progress=lambda step: step.done < 1,
    )
    at_once = inside(
        tiny_predictor, InsideSettings(CLEAN, TYPO, parts=parts), progress=lambda step: False
    )
    assert at_once.arms
    assert at_once.parts == ()
    assert replace(stopped, seconds=0) == replace(seen[0], seconds=0)
    assert [[found.thing for found in one.arms[0].maps] for one in seen] == [["mlp"], ["mlp"]]
    assert seen[0].arms[0].attribution is None
    assert seen[1].arms[0].attribution is not None
    assert from_json(Inside, to_json(report)) == report
    with pytest.raises(InputError, match="no part called 'brain'"):
        inside(tiny_predictor, InsideSettings(CLEAN, TYPO, parts=("brain",)))


def test_any_number_of_arms_is_followed(tiny_predictor: Predictor) -> None:
    arms = dict(tiny_predictor.arms)
    several = Predictor("several", {**arms, "third": arms["kron"]})
    found = inside(several, InsideSettings(CLEAN, TYPO, parts=("residual", "bytes")))
    assert [arm.arm for arm in found.arms] == ["bpe", "kron", "third"]
    assert replace(found.arms[2], arm="kron") == found.arms[1]
    pairs = PairSet(load_pairs().pairs[:5], ())
    shares = survey(several, pairs, seed=3)
    assert [(found.arm, found.other) for found in shares.differences] == [
        ("kron", "bpe"), ("third", "bpe"),
    ]  # fmt: skip


def test_the_survey_is_the_ratio_of_sums_over_pairs(tiny_predictor: Predictor) -> None:
    pairs = load_pairs().pairs[:3]
    told: list[Step] = []
    found = survey(tiny_predictor, PairSet(pairs, ()), seed=1, progress=told.append)
    assert [(step.done, step.total) for step in told] == [(1, 3), (2, 3), (3, 3)]
    assert found.used == found.done == 3
    for arm in found.arms:
        model = tiny_predictor.arms[arm.arm]
        layers = (0, 3, 5)
        whole, left = 0.0, np.zeros((4, len(layers)))
        for pair in pairs:
            ids = [tiny_predictor.tokenizer.encode(text) for text in (pair.clean, pair.typo)]
            (word,) = (w for w in words_of(tiny_predictor, pair.clean, pair.typo) if w.changed)
            last = AlignedWord(
                (len(ids[0]) - 1, len(ids[0])), (len(ids[1]) - 1, len(ids[1])), False
            )
            seen = recorded(model, ids[0])
            with torch.no_grad():
                base = last_logits(model, ids[0])
                whole += float(kl_divergence(base, last_logits(model, ids[1])))
            places = (("residual", word), ("residual", last), ("attention", word), ("mlp", word))
            for row, (thing, where) in enumerate(places):
                for column, layer in enumerate(layers):
                    logits = patched_by_hooks(model, seen, ids[1], where, thing, layer)
                    left[row, column] += float(kl_divergence(base, logits))
        for place, own in zip(arm.places, left, strict=True):
            means = [place.shares[layer].mean for layer in layers]
            np.testing.assert_allclose(means, 1 - own / whole, atol=1e-4)
            assert all(share.low <= share.mean <= share.high for share in place.shares)
        assert arm.damage_kl_nats.mean == pytest.approx(whole / 3, rel=1e-4)
    assert from_json(Survey, to_json(found)) == found


def test_heads_that_join_pieces_are_counted_from_one_and_averaged_over_pairs() -> None:
    found = _joining([np.array([[0.1, 0.9], [0.3, 0.2]]), None, np.array([[0.1, 0.1], [0.5, 0.2]])])
    assert [(head.block, head.head) for head in found] == [(1, 2), (2, 1), (2, 2), (1, 1)]
    assert [head.share for head in found] == pytest.approx([0.5, 0.4, 0.2, 0.1])


def test_a_survey_that_is_stopped_has_what_was_read(tiny_predictor: Predictor) -> None:
    pairs = PairSet(load_pairs().pairs[:6], ())
    found = survey(tiny_predictor, pairs, progress=lambda step: step.done < 3)
    assert (found.done, found.asked, found.used) == (3, 6, 3)
    assert survey(tiny_predictor, pairs, progress=lambda step: step.done < 2).arms
    assert not survey(tiny_predictor, pairs, progress=lambda step: False).arms


def test_a_ratio_leaves_out_resamples_that_have_none() -> None:
    rows = [[1.0], [1.0], [0.0]]
    assert ratio_intervals(rows, rows, 0) == (Interval(1.0, 1.0, 1.0),)


def test_differences_of_ratios_resample_the_same_pairs() -> None:
    random = np.random.default_rng(0)
    whole = random.exponential(size=(400, 1))
    # Both arms lose the same share of whatever pairs are drawn: there is no doubt about it.
    (sure,) = ratio_differences((whole * 0.7, whole), (whole * 0.5, whole), seed=1)
    assert (sure.low, sure.mean, sure.high) == pytest.approx((0.2, 0.2, 0.2))
    noisy = random.normal(0.5, 0.2, (400, 1)) * whole
    (found,) = ratio_differences((noisy, whole), (whole * 0.5, whole), seed=1)
    spread = np.std(noisy - (found.mean + 0.5) * whole) / whole.mean() / 20
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.1)
    assert found.low < noisy.sum() / whole.sum() - 0.5 < found.high


def test_a_run_is_the_models_own(tiny_predictor: Predictor) -> None:
    ids = tiny_predictor.tokenizer.encode(TYPO)
    for model in tiny_predictor.arms.values():
        found: Run = trace(model, ids)
        hidden = model(torch.tensor([ids]), hidden=True).hidden
        torch.testing.assert_close(
            found.streams, torch.stack(hidden)[:, 0].detach(), atol=1e-4, rtol=1e-4
        )
