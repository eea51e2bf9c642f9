"""The layered probe against its definitions, token by token and with NumPy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from small import small_model
from torch.nn import functional as F

from kronviz.families import FAMILIES
from kronviz.figures import layers as figures
from kronviz.maps.neighbors import canonical
from kronviz.predictor import Predictor
from kronviz.probes import layer_words
from kronviz.probes import layers as probe
from kronviz.probes.layers import KINDS, LayerReport, layers
from kronviz.probes.tables import layer_rows
from kronviz.progress import Step
from kronviz.results import from_json, to_json


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    arms = {arm: small_model(arm, vocabulary="r50k_base:2048") for arm in ("bpe", "kron")}
    return Predictor("layered", arms)


@pytest.fixture(scope="module")
def shares() -> list[float]:
    """What `report` told of its progress."""
    return []


@pytest.fixture(scope="module")
def report(predictor: Predictor, shares: list[float]) -> LayerReport:
    return layers(predictor, lambda step: not shares.append(step.share))


def test_the_report_covers_both_arms_at_every_depth(
    predictor: Predictor, report: LayerReport, shares: list[float]
) -> None:
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert [arm.arm for arm in report.arms] == ["bpe", "kron"]
    for arm in report.arms:
        assert [at.depth for at in arm.depths] == [0, 1, 2]
        assert [pairs.kind for pairs in arm.pairs] == list(KINDS)
        for pairs in arm.pairs:
            assert len(pairs.cosines) == len(pairs.margins) == len(pairs.controls) == 3
    assert report.tokens == predictor.tokenizer.n_vocab
    assert from_json(LayerReport, to_json(report)) == report


def test_shares_are_what_a_slow_reading_of_the_definition_gives(
    predictor: Predictor, report: LayerReport
) -> None:
    tokenizer = predictor.tokenizer
    model = predictor.arms["kron"]
    forms = [canonical(tokenizer.token_bytes(token)) for token in range(tokenizer.n_vocab)]
    with torch.inference_mode():
        states = model(torch.arange(tokenizer.n_vocab)[:, None], hidden=True).hidden
        alone = model(torch.tensor([[300]]), hidden=True).hidden
    torch.testing.assert_close(states[2][300], alone[2][0])
    for depth in range(3):
        vectors = states[depth][:, 0].double().numpy()
        vectors -= vectors.mean(0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        by_family = []
        for family in FAMILIES:
            found = []
            for word in family.members:
                for spelled in (f" {word}", word):
                    ids = tokenizer.encode(spelled)
                    if len(ids) > 1:
                        continue
                    similar = vectors @ vectors[ids[0]]
                    similar[ids[0]] = -2
                    near = [forms[token] for token in np.argsort(-similar)[:10]]
                    found.append(
                        (
                            np.mean([form != word for form in near]),
                            np.mean([family.root in (form or "") for form in near]),
                            np.mean([form in family.members for form in near]),
                        )
                    )
            if found:
                by_family.append(np.mean(found, axis=0))
        arm = report.arm("kron")
        assert arm is not None
        at = arm.depths[depth]
        ours = (at.other_form, at.holds_root, at.in_family)
        np.testing.assert_allclose(ours, np.mean(by_family, axis=0), atol=2e-3)


def test_every_word_is_one_token_of_its_family(report: LayerReport) -> None:
    members = {member for family in FAMILIES for member in family.members}
    assert len(report.words) > 3
    assert {word.strip() for word in report.words} <= members


def test_a_member_is_itself_other_tokens_are_its_neighbours(report: LayerReport) -> None:
    for arm in report.arms:
        for at in arm.depths:
            for family in at.families:
                assert len(family.nearest) == report.nearest
                assert family.example not in family.nearest


def test_the_same_pair_is_not_measured_twice_and_other_weights_are(
    predictor: Predictor, report: LayerReport
) -> None:
    assert layers(predictor) is report
    other = Predictor("layered", {"kron": small_model("kron", 1, vocabulary="r50k_base:2048")})
    assert probe.known_layers(other) is None
    changed = Predictor("layered", {"kron": copy.deepcopy(predictor.arms["kron"])})
    assert layers(changed) is probe.known_layers(changed)
    with torch.no_grad():
        changed.arms["kron"].blocks[0].mlp.up.weight.zero_()
    assert probe.known_layers(changed) is None


def test_a_stopped_run_keeps_what_was_read_and_is_not_taken_for_a_whole_one(
    predictor: Predictor, report: LayerReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Predictor("layered", dict(predictor.arms))
    monkeypatch.setattr(probe, "_done", {})
    seen: list[float] = []

    def progress(step: Step) -> bool:
        seen.append(step.share)
        return step.share < until

    until = 0.0
    begun = layers(other, progress)
    assert begun.read == 0
    assert not begun.arms[0].depths
    sentences = {pairs.kind: pairs.pairs for pairs in begun.arms[0].pairs}
    assert sentences["typo"] == sentences["ending"] < 320
    assert "lookalike" not in sentences
    assert begun.depths == 3
    assert layer_rows(begun) == []
    (words,) = figures.cosines(begun, "lookalike").layout.annotations
    assert "stopped before it reached these pairs" in words.text
    assert figures.cosines(begun, "typo").data
    until = 0.9
    partly = layers(other, progress)
    assert sorted(seen[1:]) == seen[1:]
    for found, whole in zip(partly.arms, report.arms, strict=True):
        assert 0 < len(found.depths) < len(whole.depths)
        assert found.depths == whole.depths[: len(found.depths)]
        assert found.pairs == whole.pairs[:2]
    assert len({len(arm.depths) for arm in partly.arms}) == 1
    assert partly.read == 0
    assert partly.words == report.words
    assert probe.known_layers(other) is None


def test_sentences_are_cut_behind_the_word_that_differs(predictor: Predictor) -> None:
    tokenizer = predictor.tokenizer
    cuts = layer_words.sentences(tokenizer, 64)
    assert len(cuts) > 250
    for clean, typo in cuts:
        heads = [tokenizer.decode(ids[: place + 1]) for ids, place in (clean, typo)]
        tails = [tokenizer.decode(ids[place + 1 :]) for ids, place in (clean, typo)]
        assert heads[0] != heads[1]
        assert tails[0] == tails[1]
        assert not tails[0] or tails[0].startswith(" ")


def test_lookalikes_differ_in_one_letter() -> None:
    tokenizer = Predictor("p", {"bpe": small_model("bpe", vocabulary="r50k_base:2048")}).tokenizer
    pairs = layer_words.lookalikes("r50k_base:2048")
    assert len(pairs) > 10
    for first, second in pairs:
        a, b = tokenizer.token_bytes(int(first)), tokenizer.token_bytes(int(second))
        assert len(a) == len(b) > layer_words.MIN_LETTERS
        assert sum(x != y for x, y in zip(a, b, strict=True)) == 1


def test_the_code_alone_explains_why_lookalikes_are_near_before_any_training(
    report: LayerReport,
) -> None:
    bpe, kron = ({pairs.kind: pairs for pairs in arm.pairs} for arm in report.arms)
    assert kron["lookalike"].cosines[0] > 0.6
    assert abs(bpe["lookalike"].cosines[0]) < 0.2
    assert kron["lookalike"].controls[0] < 0.3
    assert kron["lookalike"].margins[0] < 0.1


def test_margins_are_those_of_a_normal_mean_and_the_largest_fall_names_its_block() -> None:
    """Three blocks, 40 pairs: block 2 turns the second vector away from the first."""
    noise = torch.randn(4, 40, 8, generator=torch.Generator().manual_seed(0))
    first = torch.zeros(4, 40, 8)
    first[..., 0] = 1
    second = first + 0.1 * noise
    second[2:, :, 1] += 2
    found = probe._cosines("typo", probe._alike(first, second))
    assert found is not None
    by_pair = F.cosine_similarity(first, second, dim=-1).double().numpy()
    assert found.cosines == pytest.approx(by_pair.mean(1))
    sem = by_pair.std(1, ddof=1) / 40**0.5
    assert found.margins == pytest.approx(stats.norm.ppf(0.975) * sem, rel=1e-3)
    assert found.largest_fall == 2
    level = probe._cosines("typo", probe._alike(first, first + 0.001 * noise))
    assert level is not None
    assert level.largest_fall == 0


def test_a_depth_leaves_no_vectors_in_memory(small_predictor: Predictor) -> None:
    """The look-alikes of a large vocabulary are thousands, at every depth of every arm."""
    reading = probe._Reading(small_predictor)
    assert list(reading.steps())
    pairs = len(layer_words.lookalikes(small_predictor.tokenizer.name))
    for kept in reading._twins.values():
        assert {each.shape for each in kept} == {(2, pairs)}


def test_a_model_in_half_precision_has_nearly_the_same_report(
    predictor: Predictor, report: LayerReport
) -> None:
    halved = {arm: copy.deepcopy(model).bfloat16() for arm, model in predictor.arms.items()}
    found = layers(Predictor("halved", halved))
    for ours, exact in zip(found.arms, report.arms, strict=True):
        for at, whole in zip(ours.depths, exact.depths, strict=True):
            assert at.norm == pytest.approx(whole.norm, rel=0.01)
            assert at.other_form == pytest.approx(whole.other_form, abs=0.05)
        for pairs, whole_pairs in zip(ours.pairs, exact.pairs, strict=True):
            assert pairs.cosines == pytest.approx(whole_pairs.cosines, abs=0.02)


def test_a_vocabulary_without_any_of_the_words_still_has_a_report(
    small_predictor: Predictor,
) -> None:
    found = layers(small_predictor)
    assert set(found.words) <= {"act", " act"}
