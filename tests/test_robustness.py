"""The robustness table against SciPy and one-by-one reading; sweeps; stops; the command line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from kronviz.predictor import InputError, Predictor
from kronviz.probes.__main__ import main
from kronviz.probes.answers import answers
from kronviz.probes.intervals import bootstrap_intervals, mcnemar_exact
from kronviz.probes.outcomes import ArmOutcome, batch_sizes, outcomes
from kronviz.probes.pairs import Pair, PairSet, load_pairs, parse_pairs
from kronviz.probes.robustness import (
    FEWEST,
    METRICS,
    MisspellingSettings,
    Robustness,
    metric_rows,
    robustness,
)
from kronviz.probes.sweep import Sweep, SweepSettings, our_sentences, sweep
from kronviz.probes.tables import csv_text, robustness_rows, sweep_rows
from kronviz.progress import Step
from kronviz.results import from_json, to_dict, to_json

TEXTS = ("The sun rises in the", "Water boils at one hundred", "He went to the library to")


@pytest.fixture(scope="module")
def pairs() -> PairSet:
    return PairSet(load_pairs().pairs[::20])


@pytest.fixture(scope="module")
def result(small_predictor: Predictor, pairs: PairSet) -> Robustness:
    return robustness(small_predictor, pairs, seed=1)


def test_right_answers_are_rated_over_the_pairs_that_have_one(
    small_predictor: Predictor, pairs: PairSet
) -> None:
    without = PairSet((*pairs.pairs, Pair("x", "none", "The sun is in the", "The snu is in the")))
    result = robustness(small_predictor, without, seed=1)
    rated = result.answers
    assert rated is not None
    assert rated.pairs == len(pairs.pairs) == result.done - 1
    assert rated != answers(result.outcomes, seed=2)
    assert answers(result.outcomes) == answers(result.outcomes, seed=0)
    for i, arm in enumerate(("bpe", "kron")):
        logs, ranks = [], []
        for pair in pairs.pairs:
            token = small_predictor.tokenizer.encode(f" {pair.expected}")[0]
            ids = torch.tensor([small_predictor.tokenizer.encode(pair.typo)])
            with torch.inference_mode():
                row = small_predictor.arms[arm](ids).logits[0, -1].double()
            logs.append(row.log_softmax(-1)[token].item())
            ranks.append(int((row > row[token]).sum()) + 1)
        mean = rated.row("typo_logprob_nats").arms[i].value.mean
        assert mean == pytest.approx(np.mean(logs), abs=1e-5)
        assert rated.medians[i].typo == np.median(ranks)
    gap = rated.row("clean_logprob_nats").differences[0]
    assert (gap.arm, gap.base) == ("kron", "bpe")
    bpe, kron = (arm.value.mean for arm in rated.row("clean_logprob_nats").arms)
    assert gap.value.mean == pytest.approx(kron - bpe)
    rows = robustness_rows(result)
    assert rows[-1]["kron_answer_typo_rank"] is None
    assert rows[0]["kron_answer_typo_rank"] == result.outcomes[0].arms[1].answer.typo_rank  # type: ignore[union-attr]
    assert robustness(small_predictor, PairSet(without.pairs[-1:])).answers is None


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    n = first + second
    expected = stats.binomtest(first, n).pvalue if n else 1.0
    assert mcnemar_exact(first, second) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_many_pairs_stays_exact() -> None:
    assert mcnemar_exact(2400, 2600) == pytest.approx(stats.binomtest(2400, 5000).pvalue, rel=1e-9)
    assert 0 < mcnemar_exact(0, 900) < 1e-250


def test_intervals_agree_with_scipy_and_repeat_with_the_seed() -> None:
    values = np.random.default_rng(0).gamma(2, size=(150, 2))
    ours = bootstrap_intervals(values, 3)
    for column, interval in enumerate(ours):
        theirs = stats.bootstrap(
            (values[:, column],), np.mean, method="percentile", n_resamples=5000, rng=5
        ).confidence_interval
        width = theirs.high - theirs.low
        assert interval.mean == pytest.approx(values[:, column].mean(), abs=1e-12)
        assert abs(interval.low - theirs.low) < 0.06 * width
        assert abs(interval.high - theirs.high) < 0.06 * width
        # An interval at 90 % would be 16 % narrower; 5,000 and 2,000 resamples differ by less.
        assert interval.high - interval.low == pytest.approx(width, rel=0.06)
    assert ours == bootstrap_intervals(values, 3)
    assert ours != bootstrap_intervals(values, 4)
    one = bootstrap_intervals([[2.0]], 0)[0]
    assert one.low == one.mean == one.high == 2.0


def test_intervals_refuse_nothing_to_resample() -> None:
    with pytest.raises(ValueError, match="n ≥ 1"):
        bootstrap_intervals(np.empty((0, 2)), 0)


def test_every_pair_is_what_reading_it_alone_gives(
    small_predictor: Predictor, result: Robustness
) -> None:
    for outcome in result.outcomes[:6]:
        for arm in outcome.arms:
            model = small_predictor.arms[arm.arm]
            logits, hidden = [], []
            for text in (outcome.clean, outcome.typo):
                with torch.inference_mode():
                    out = model(torch.tensor([small_predictor.tokenizer.encode(text)]))
                logits.append(out.logits[0, -1].double().numpy())
                hidden.append(out.final[0, -1].double().numpy())
            p, q = map(special.log_softmax, logits)
            top = p.argmax()
            assert arm.metrics.kl_nats == pytest.approx(
                stats.entropy(np.exp(p), np.exp(q)), abs=1e-6
            )
            cosine = hidden[0] @ hidden[1] / np.linalg.norm(hidden[0]) / np.linalg.norm(hidden[1])
            assert arm.metrics.hidden_cosine == pytest.approx(cosine, abs=1e-6)
            assert arm.metrics.logprob_drop_nats == pytest.approx(p[top] - q[top], abs=1e-5)
            assert arm.metrics.top1_kept == (top == q.argmax())


def test_the_table_adds_up(result: Robustness, pairs: PairSet, small_predictor: Predictor) -> None:
    n = len(pairs.pairs)
    assert result.asked == result.done == n == len(result.outcomes)
    assert [outcome.id for outcome in result.outcomes] == [pair.id for pair in pairs.pairs]
    for name in METRICS:
        row = result.metric(name)
        assert row is not None
        assert row.kron_wins + row.ties + row.bpe_wins == n
        columns = {
            arm: np.array([float(getattr(o.arms[i].metrics, name)) for o in result.outcomes])
            for i, arm in enumerate(("bpe", "kron"))
        }
        for arm in row.arms:
            assert arm.value.mean == pytest.approx(columns[arm.arm].mean(), abs=1e-9)
            assert arm.value.low <= arm.value.mean <= arm.value.high
        difference = columns["kron"] - columns["bpe"]
        assert row.difference is not None
        assert row.difference.mean == pytest.approx(difference.mean(), abs=1e-9)
        sign = -1 if name in ("kl_nats", "logprob_drop_nats") else 1
        assert row.kron_wins == (sign * difference > 1e-6).sum()
    test = result.mcnemar
    assert test is not None
    assert test.both_kept + test.only_bpe + test.only_kron + test.neither == n
    assert test.p_value == mcnemar_exact(test.only_bpe, test.only_kron)
    assert sum(category.pairs for category in result.categories) == n
    assert result.inflation is not None
    encode = small_predictor.tokenizer.encode
    for outcome in result.outcomes:
        assert outcome.typo_tokens == len(encode(outcome.typo))
    assert result.inflation.ratio == sum(o.typo_tokens for o in result.outcomes) / sum(
        o.clean_tokens for o in result.outcomes
    )


@pytest.mark.parametrize("count", [1, 5])
def test_too_few_pairs_name_no_steadier_arm(result: Robustness, count: int) -> None:
    def one_sided(pairs: int) -> list[list[ArmOutcome]]:
        metrics = result.outcomes[0].arms[0].metrics
        moved = [replace(metrics, kl_nats=nats, hidden_cosine=-nats) for nats in (0.2, 0.1)]
        arms = zip(("bpe", "kron"), moved, strict=True)
        return [[ArmOutcome(arm, "a", "b", values) for arm, values in arms]] * pairs

    for row in metric_rows(one_sided(count), 0):
        assert row.steadier is None
    rows = {row.metric: row for row in metric_rows(one_sided(FEWEST), 0)}
    assert rows["kl_nats"].steadier == rows["hidden_cosine"].steadier == "kron"
    assert rows["top1_kept"].steadier is None
    assert 2 * 0.5 ** (FEWEST - 1) > 0.05 > 2 * 0.5**FEWEST


def test_of_three_arms_the_steadiest_beats_every_other(result: Robustness) -> None:
    metrics = result.outcomes[0].arms[0].metrics
    generator = np.random.default_rng(1)
    drawn = generator.normal([0.5, 0.3, 0.2], 0.01, (40, 3))
    names = ("bpe", "kron", "ngram")

    def read(moved: np.ndarray) -> list[list[ArmOutcome]]:
        return [
            [
                ArmOutcome(n, "a", "b", replace(metrics, kl_nats=kl))
                for n, kl in zip(names, row, strict=True)
            ]
            for row in moved.tolist()
        ]

    row = next(row for row in metric_rows(read(drawn), 0) if row.metric == "kl_nats")
    assert row.difference is not None
    for gap, (arm, base) in zip(row.differences, ((1, 0), (2, 0), (2, 1)), strict=True):
        assert (gap.arm, gap.base) == (names[arm], names[base])
        assert gap.value.mean == pytest.approx((drawn[:, arm] - drawn[:, base]).mean())
    assert row.steadier == "ngram"
    # Steadier than one of the others is not enough.
    drawn[:, 2] = drawn[:, 1] + generator.normal(0, 0.1, 40)
    row = next(row for row in metric_rows(read(drawn), 0) if row.metric == "kl_nats")
    assert row.steadier is None


def test_a_result_goes_to_json_and_back_and_to_csv(result: Robustness) -> None:
    assert from_json(Robustness, to_json(result)) == result
    rows = list(csv.DictReader(csv_text(robustness_rows(result)).splitlines()))
    assert len(rows) == result.done
    assert float(rows[0]["kron_kl_nats"]) == result.outcomes[0].arms[1].metrics.kl_nats


def test_csv_holds_no_formula_of_a_visitor(small_predictor: Predictor) -> None:
    pair = Pair("=1+1", "@x", "=cmd() is", "=cmb() is")
    text = csv_text(robustness_rows(robustness(small_predictor, PairSet((pair,)))))
    assert "'=1+1,'@x,'=cmd() is,'=cmb() is" in text
    assert csv_text([]) == ""


def test_a_stopped_run_keeps_what_was_done(
    small_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kronviz.probes.outcomes.BATCH_FLOP", 1e7)
    pairs = PairSet(load_pairs().pairs[:40])
    told: list[tuple[float, float]] = []

    def progress(step: Step) -> bool:
        told.append((step.done, step.total))
        return len(told) < 3

    stopped = robustness(small_predictor, pairs, seed=1, progress=progress)
    assert len(told) == 3
    assert told[0] == (0, 40)
    assert 0 < stopped.done == told[-1][0] < stopped.asked == 40
    assert stopped.metrics
    whole = robustness(small_predictor, PairSet(pairs.pairs[: stopped.done]), seed=1)
    assert [o.id for o in whole.outcomes] == [o.id for o in stopped.outcomes]
    assert whole.metrics == stopped.metrics


def test_a_run_without_pairs_or_with_one_arm_is_a_result(small_predictor: Predictor) -> None:
    nothing = robustness(small_predictor, PairSet((), ("a.csv has no rows.",)))
    assert nothing.metrics == ()
    assert nothing.problems == ("a.csv has no rows.",)
    assert from_json(Robustness, to_json(nothing)) == nothing
    alone = Predictor("alone", {"bpe": small_predictor.arms["bpe"]})
    one = robustness(alone, PairSet(load_pairs().pairs[:3]))
    assert one.mcnemar is None
    assert one.metrics[0].difference is None
    assert one.metrics[0].ties == 0


def test_a_pair_that_is_too_long_is_named_and_the_others_run(small_predictor: Predictor) -> None:
    long = Pair("novel", "x", "word " * 300, "wrod " * 300)
    found = robustness(small_predictor, PairSet((long, *load_pairs().pairs[:2])))
    assert found.done == found.asked == 2
    assert found.problems[0].startswith("Pair 'novel' is left out: The clean text has")


def test_rows_of_a_file_that_cannot_be_used_are_named_and_the_others_run(
    small_predictor: Predictor,
) -> None:
    data = b"clean,typo\nThe sun is,The snu is\n,empty\nThe sky is,The syk is\n"
    found = robustness(small_predictor, parse_pairs(data, "mine.csv"))
    assert found.done == 2
    assert "Row 2" in found.problems[0]


def test_batches_cost_no_more_than_they_may(
    small_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kronviz.probes.outcomes.BATCH_TOKENS", 100)
    costs = [5, 60, 5, 5, 5, 120, 5] * 30
    sizes = list(batch_sizes(small_predictor, costs))
    assert sum(sizes) == len(costs)
    left = iter(costs)
    batches = [[next(left) for _ in range(size)] for size in sizes]
    # All are padded to the longest; one that is too long for any batch is read alone.
    assert all(max(batch) * len(batch) <= 100 or batch == [120] for batch in batches)
    assert max(sizes) > 1
    assert list(batch_sizes(small_predictor, [])) == []


def test_sentences_are_misspelled_with_kinds_as_categories(small_predictor: Predictor) -> None:
    made = MisspellingSettings((*TEXTS, "", "42"), ("swap",), seed=4).pairs()
    assert [pair.clean for pair in made.pairs] == list(TEXTS)
    assert {pair.category for pair in made.pairs} == {"swap"}
    assert made.problems == ("Sentence 4 could not be misspelled that way.",)
    assert made == MisspellingSettings((*TEXTS, "", "42"), ("swap",), seed=4).pairs()
    for arguments in ({"kinds": ("nothing",)}, {"kinds": ()}, {"kinds": ("swap",), "edits": -1}):
        with pytest.raises(InputError):
            MisspellingSettings(TEXTS, **arguments).pairs()
    with pytest.raises(InputError, match="give at most 500"):
        MisspellingSettings(("a word",) * 501).pairs()
    assert robustness(small_predictor, PairSet(())).mcnemar is None
    with pytest.raises(InputError, match="There are no sentences"):
        MisspellingSettings((" ", "\n")).pairs()


def test_a_sweep_has_a_point_for_each_kind_and_strength(small_predictor: Predictor) -> None:
    found = sweep(
        small_predictor, SweepSettings(TEXTS, kinds=("swap", "leet"), strengths=(1, 2), seed=1)
    )
    assert [(p.kind, p.strength) for p in found.points] == [
        ("swap", 1),
        ("swap", 2),
        ("leet", 1),
        ("leet", 2),
    ]
    assert found.sentences == 3
    assert found.done == found.asked == sum(p.texts for p in found.points)
    assert from_json(Sweep, to_json(found)) == found
    assert len(sweep_rows(found)) == 4 * len(METRICS)
    again = sweep(
        small_predictor, SweepSettings(TEXTS, kinds=("swap", "leet"), strengths=(1, 2), seed=1)
    )
    assert replace(again, seconds=0) == replace(found, seconds=0)


def test_a_point_of_a_sweep_is_the_robustness_of_its_texts(small_predictor: Predictor) -> None:
    found = sweep(small_predictor, SweepSettings(TEXTS, kinds=("drop",), strengths=(1,), seed=2))
    same = robustness(
        small_predictor, MisspellingSettings(TEXTS, ("drop",), seed=2).pairs(), seed=2
    )
    for one, other in zip(found.points[0].metrics, same.metrics, strict=True):
        assert one.arms[0].value.mean == pytest.approx(other.arms[0].value.mean, abs=1e-6)


def test_a_stopped_sweep_keeps_what_was_done(
    small_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kronviz.probes.outcomes.BATCH_FLOP", 1e7)
    found = sweep(
        small_predictor,
        SweepSettings(TEXTS, kinds=("swap", "drop"), strengths=(1,)),
        progress=lambda step: step.done == 0,
    )
    assert 0 < found.done < found.asked
    assert all(point.texts for point in found.points)


def test_a_sweep_refuses_arguments_in_a_sentence(small_predictor: Predictor) -> None:
    for arguments in (
        {"sentences": (" ",)},
        {"sentences": ("a word",) * 501},
        {"strengths": (0,)},
        {"strengths": (9,)},
        {"strengths": ("1",)},
        {"strengths": ()},
        {"kinds": ()},
        {"kinds": ("nothing",)},
    ):
        with pytest.raises(InputError) as refused:
            sweep(
                small_predictor,
                SweepSettings(**{"sentences": TEXTS, "strengths": (1,), **arguments}),
            )
        assert str(refused.value).endswith(".")


def test_our_sentences_come_from_all_categories() -> None:
    chosen = our_sentences(20)
    categories = {pair.clean: pair.category for pair in load_pairs().pairs}
    assert len({categories[text] for text in chosen}) == 20
    assert len(our_sentences(320)) == len(load_pairs().pairs)
    for count in (0, 321):
        with pytest.raises(InputError, match="from 1 to 320"):
            our_sentences(count)


def test_the_command_line_gives_the_same_figures(
    pair_folder: Path, small_predictor: Predictor, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("clean,typo\nThe sun is,The snu is\nThe sky is,The syk is\n")
    out, table = tmp_path / "out.json", tmp_path / "out.csv"
    arguments = ["--pair", str(pair_folder), "--pairs", str(file), "--seed", "1"]
    assert main(["robustness", *arguments, "--json", str(out), "--csv", str(table)]) == 0
    expected = to_dict(robustness(small_predictor, load_pairs(file), seed=1))
    written = json.loads(out.read_text())
    for answer in (expected, written):
        answer.pop("seconds")
    assert written == expected
    assert len(table.read_text().splitlines()) == 3
    said = capsys.readouterr().out
    assert "kron − bpe" in said
    assert "McNemar" in said


def test_the_command_line_refuses_in_one_sentence(
    pair_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["robustness", "--pair", "no such pair"]) == 2
    assert "no pair" in capsys.readouterr().err
    missing = ["--pair", str(pair_folder), "--sentences", "/nowhere/at-all.txt"]
    assert main(["sweep", *missing]) == 2
    assert capsys.readouterr().err == "There is no file at-all.txt; check its path.\n"


def test_outcomes_come_in_the_order_of_the_pairs(small_predictor: Predictor) -> None:
    chosen = load_pairs().pairs[:30]
    read = [outcome.id for batch in outcomes(small_predictor, chosen) for outcome in batch]
    assert read == [pair.id for pair in chosen]


def test_sentences_are_misspelled_in_the_manner_asked_for() -> None:
    lines = ("quiet zebra waits", "yellow azaleas quickly wither")
    manner = MisspellingSettings(lines, ("neighbour",), seed=3, share=1.0)
    for keyboard in ("qwerty", "qwertz", "azerty"):
        made = replace(manner, keyboard=keyboard).pairs()
        for pair in made.pairs:
            assert len(pair.edits) == len(pair.clean.split())
            words = zip(pair.clean.split(), pair.typo.split(), strict=True)
            assert all(a[0] == b[0] and a != b for a, b in words)
    free = MisspellingSettings(
        ("qa qa qa qa",) * 20, ("swap",), share=1.0, protect_first=False
    ).pairs()
    assert {pair.typo for pair in free.pairs} == {"aq aq aq aq"}
    with pytest.raises(InputError, match="keyboard"):
        replace(manner, keyboard="dvorak").pairs()


def test_a_sentence_too_long_is_not_misspelled_at_all() -> None:
    made = MisspellingSettings(("short one", "x" * 2001), ("swap",), seed=1).pairs()
    assert [pair.clean for pair in made.pairs] == ["short one"]
    assert made.problems == ("Sentence 2 has 2,001 characters; the limit is 2,000.",)
