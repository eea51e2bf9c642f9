"""Minimal pairs against reading one by one, and against lm-evaluation-harness itself."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch

from kronviz.app.context import load_context
from kronviz.app.tabs.robustness import api
from kronviz.passages import CLEAN, Condition
from kronviz.predictor import InputError, Predictor
from kronviz.probes.__main__ import main
from kronviz.probes.minimal_pairs import (
    MinimalPair,
    MinimalPairs,
    _perturbed,
    _phenomena,
    minimal_pairs,
    read_pairs,
)
from kronviz.results import from_json

NOUNS = ("dog", "cat", "girl", "boy", "king", "tree", "river", "teacher")
ROWS = [
    {
        "sentence_good": f"The {noun} near the {other} {good} in the garden.",
        "sentence_bad": f"The {noun} near the {other} {bad} in the garden.",
        "UID": uid,
    }
    for noun, other in zip(NOUNS, NOUNS[1:] + NOUNS[:1], strict=True)
    for uid, good, bad in (("agreement", "is", "are"), ("tense", "was seen", "was see"))
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)) + "\n")
    return path


def logprob(predictor: Predictor, arm: str, sentence: str) -> float:
    tokenizer = predictor.tokenizer
    ids = [tokenizer.eot_id, *tokenizer.encode(f" {sentence}")]
    with torch.inference_mode():
        logs = predictor.arms[arm](torch.tensor([ids[:-1]])).logits[0].double().log_softmax(-1)
    return logs[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].sum().item()


def test_accuracies_are_those_of_sentences_read_alone(
    small_predictor: Predictor, file: Path
) -> None:
    given, scored = read_pairs(file), 0
    first = next(iter(small_predictor.arms))
    # Turned so that the first model is right about most of them, and has a score.
    turned = [
        pair
        if (logprob(small_predictor, first, pair.good) < logprob(small_predictor, first, pair.bad))
        == (number < 2)
        else MinimalPair(pair.bad, pair.good, pair.phenomenon)
        for number, pair in enumerate(given)
    ]
    for pairs in (given, turned):
        result = minimal_pairs(small_predictor, pairs, seed=2)
        for i, arm in enumerate(small_predictor.arms):
            right = [
                logprob(small_predictor, arm, pair.good) > logprob(small_predictor, arm, pair.bad)
                for pair in pairs
            ]
            clean = result.rows[0].arms[i]
            assert clean.accuracy.mean == np.mean(right)
            by_name = {one.name: one for one in result.phenomena}
            assert by_name["tense"].accuracies[arm] == np.mean(right[1::2])
            noisy = result.rows[-1].arms[i]
            if clean.accuracy.low > 0.5:
                expected = 100 * (noisy.accuracy.mean - 0.5) / (clean.accuracy.mean - 0.5)
                assert noisy.score is not None
                assert noisy.score.mean == pytest.approx(expected)
                assert noisy.score.low <= noisy.score.mean <= noisy.score.high
                scored += 1
            else:
                assert noisy.score is None
    assert scored


def test_a_phenomenon_has_its_own_pairs_without_perturbation() -> None:
    pairs = [MinimalPair("a", "b", name) for name in ("x", "x", "", "y")]
    right = np.array([[1, 0], [0, 0], [1, 1], [1, 0]], float)
    found = _phenomena(pairs, {"bpe": right, "kron": 1 - right})
    assert [(one.name, one.pairs, one.accuracies) for one in found] == [
        ("x", 2, {"bpe": 0.5, "kron": 0.5}), ("y", 1, {"bpe": 1.0, "kron": 0.0}),
    ]  # fmt: skip


def test_pairs_that_do_not_fit_are_left_out_and_counted(small_predictor: Predictor) -> None:
    short = MinimalPair("The dog is old.", "The dog are old.")
    fits = " the" * (small_predictor.n_ctx - 1)
    assert len(small_predictor.tokenizer.encode(fits)) == small_predictor.n_ctx - 1
    whole = MinimalPair(f"{fits[1:]} is", f"{fits[1:]} are")
    longer = MinimalPair(f"{fits[1:]} is old", f"{fits[1:]} are old")
    found = minimal_pairs(small_predictor, [short, longer, whole], conditions=(CLEAN,))
    assert found.problems == ("Left out, as too long once perturbed: 1 pair.",)
    assert found.done == found.asked == 2
    with pytest.raises(InputError, match="No pair"):
        minimal_pairs(small_predictor, [longer], conditions=(CLEAN,))


def test_what_is_judged_stays_and_the_rest_is_perturbed_alike() -> None:
    pair = MinimalPair("The old dog is in the park.", "The old dog are in the park.")
    for at in (Condition("UpperCase"), Condition("synthetic", 1.0), Condition("Repeat")):
        good, bad = _perturbed(pair, at, 1)
        assert good.replace(" is ", " are ") == bad
        assert good != pair.good
    assert _perturbed(pair, Condition("UpperCase"), 0)[0] == "THE OLD DOG is IN THE PARK."
    assert _perturbed(MinimalPair("a b", "c d"), Condition("UpperCase"), 0) == ("a b", "c d")
    assert _perturbed(MinimalPair("We go", "We go we go"), Condition("UpperCase"), 0) == (
        "WE GO",
        "WE GO we go",
    )


def test_files_of_no_use_are_refused_by_line(tmp_path: Path) -> None:
    for text, words in (
        ("", "has 0 pairs"),
        ('\n{"sentence_good": "a"}', "line 2: give a JSON object"),
        ("[1]", "line 1: give a JSON object"),
        ("one sentence", "line 1: give a JSON object"),
        ("a | b | c", "line 1: give a JSON object"),
        ("a |", "must be text"),
        ("a | a", "line 1: the two sentences are the same"),
        ('{"sentence_good": "a", "sentence_bad": 3}', "must be text"),
    ):
        path = tmp_path / "odd.jsonl"
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            read_pairs(path)
    with pytest.raises(InputError, match="There is no file"):
        read_pairs(tmp_path / "none.jsonl")


def test_a_bar_between_two_sentences_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_bytes("\ufeffShe eats. | She eat.\r\n\r\nA | B\r\n".encode())
    assert read_pairs(path) == (MinimalPair("She eats.", "She eat."), MinimalPair("A", "B"))


def test_the_endpoint_judges_sentences_and_refuses_what_is_none(
    pair_folder: Path, small_predictor: Predictor
) -> None:
    context = load_context(pair_folder.parent)
    ask = {f.__name__: f for f in api.endpoints(context)}["minimal_pairs"]
    given = [json.dumps(row) for row in ROWS]
    wanted = minimal_pairs(small_predictor, [MinimalPair(*two(row)) for row in ROWS], seed=3)
    found = ask(given, seed=3)
    for row, own in zip(found["rows"], wanted.rows, strict=True):
        means = [arm["accuracy"]["mean"] for arm in row["arms"]]
        assert means == [arm.accuracy.mean for arm in own.arms]
    for sentences in ([], ["a | b\nc | d"], ["one"], "a | b"):
        with pytest.raises(gr.Error, match=r"sentences.+\."):
            ask(sentences)


def two(row: dict[str, str]) -> tuple[str, str]:
    return row["sentence_good"], row["sentence_bad"]


def test_a_command_judges_a_file(
    pair_folder: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["minimal-pairs", "--pair", str(pair_folder)])
    assert "--file" in capsys.readouterr().err
    out = tmp_path / "out.json"
    asked = ["minimal-pairs", "--pair", str(pair_folder), "--file", str(file)]
    assert main([*asked, "--json", str(out), "--csv", str(tmp_path / "out.csv")]) == 0
    assert from_json(MinimalPairs, out.read_text()).done == len(ROWS)


def test_the_harness_gives_the_same_figures_to_the_digit(
    file: Path, tiny_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lm_eval = pytest.importorskip("lm_eval")
    from kronviz.probes.harness import KronvizLM

    task = {
        "task": "pairs",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"train": str(file)}},
        "output_type": "multiple_choice",
        "validation_split": "train",
        "doc_to_text": "",
        "doc_to_target": 0,
        "doc_to_choice": "{{[sentence_good, sentence_bad]}}",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    ours = minimal_pairs(tiny_predictor, read_pairs(file))
    for i, arm in enumerate(tiny_predictor.arms):
        model = KronvizLM("tiny", arm)
        found = lm_eval.simple_evaluate(
            model=model, tasks=[task], bootstrap_iters=0, log_samples=True
        )
        assert found["results"]["pairs"]["acc,none"] == ours.rows[0].arms[i].accuracy.mean
        for sample in found["samples"]["pairs"]:
            for choice, (answer,) in enumerate(sample["resps"]):
                key = ("sentence_good", "sentence_bad")[choice]
                alone = logprob(tiny_predictor, arm, sample["doc"][key])
                assert float(answer[0]) == pytest.approx(alone, abs=1e-3)


def test_the_harness_reads_whole_texts_and_continues_them(tiny_predictor: Predictor) -> None:
    instance = pytest.importorskip("lm_eval.api.instance").Instance
    from kronviz.probes.harness import KronvizLM

    model, tokenizer = KronvizLM("tiny", "kron"), tiny_predictor.tokenizer
    text = "The sun rises in the east and sets in the west."
    asked = instance("loglikelihood_rolling", {}, (text,), 0)
    ids = [tokenizer.eot_id, *tokenizer.encode(text)]
    with torch.inference_mode():
        logs = tiny_predictor.arms["kron"](torch.tensor([ids[:-1]])).logits[0].double()
        whole = logs.log_softmax(-1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].sum()
    assert model.loglikelihood_rolling([asked])[0] == pytest.approx(whole.item(), abs=1e-3)
    options = {"until": ["."], "max_gen_toks": 12}
    (said,) = model.generate_until([instance("generate_until", {}, (text, options), 0)])
    ids = tokenizer.encode(text)
    for _ in range(12):
        with torch.inference_mode():
            ids.append(int(tiny_predictor.arms["kron"](torch.tensor([ids])).logits[0, -1].argmax()))
    greedy = tokenizer.decode(ids[len(tokenizer.encode(text)) :])
    assert said == greedy.partition(".")[0]
