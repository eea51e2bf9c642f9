"""Passages of real text: how they are cut and spoiled, and the loss on how they go on."""

from __future__ import annotations

import lzma
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from small import small_model

from kronviz.errors import InputError
from kronviz.lines import documents
from kronviz.passages import (
    ALL,
    CLEAN,
    HALVES,
    NONE,
    PERTURBED,
    Condition,
    PassageError,
    Passages,
    half_of,
    losses,
    passages,
)
from kronviz.predictor import Predictor
from kronviz.probes.__main__ import main
from kronviz.probes.continuation import MEAN, Continuation, read, summarise
from kronviz.results import from_json
from kronviz.tokenizer import load_tokenizer
from kronviz.typos.noise import perturb

VOCABULARY = "r50k_base:1024"
README = Path(__file__).parent.parent / "README.md"
SHAPE = {"count": 12, "context": 24, "continuation": 6}


def made(**changes: object) -> Passages:
    texts = [README.read_text(encoding="utf-8")]
    return passages(texts, VOCABULARY, **{**SHAPE, "conditions": ALL, **changes})  # type: ignore[arg-type]


def test_a_passage_is_the_text_itself_and_only_its_context_is_spoiled() -> None:
    found, tokenizer = made(), load_tokenizer(VOCABULARY)
    text = README.read_text(encoding="utf-8")
    assert len(found) == 12
    for i, target in enumerate(found.targets):
        clean, after = found.contexts[CLEAN][i], tokenizer.decode(target.tolist())
        assert len(clean) == 24
        assert tokenizer.decode(clean) + after in text
        assert tokenizer.encode(tokenizer.decode(clean) + after) == [*clean, *target]
        assert found.bytes[i] == len(after.encode())
        assert tokenizer.decode(found.contexts[Condition("AntSpeak")][i]) == perturb(
            tokenizer.decode(clean), "AntSpeak"
        )
    assert found.contexts[NONE] == ((tokenizer.eot_id,),) * 12
    few, many = (found.misspelled[Condition("synthetic", share)] for share in (0.05, 0.3))
    assert few < 0.15 < 0.2 < many < 0.4


def test_the_same_seed_makes_the_same_passages_and_misspellings() -> None:
    assert made(seed=3).contexts == made(seed=3).contexts
    first, second = made(seed=3), made(seed=4)
    assert first.texts != second.texts
    with pytest.raises(PassageError, match="longer one"):
        passages(["Too short."], VOCABULARY)


def test_halves_share_no_document_and_leave_none_out() -> None:
    texts = [f"{i} is the number of this text, and this text is short." for i in range(64)]
    halves = [half_of(text) for text in texts]
    assert 16 < halves.count(HALVES[0]) < 48
    shape = {"count": 99, "context": 6, "continuation": 3, "conditions": (CLEAN,)}
    found = [len(passages(texts, VOCABULARY, half=half, **shape)) for half in (*HALVES, None)]  # type: ignore[arg-type]
    assert found[0] + found[1] == found[2]
    assert 0 < found[0] < found[2]


def test_losses_are_those_of_each_passage_read_alone() -> None:
    found, model = made(), small_model("kron", n_ctx=40).eval()
    cut = Condition("AntSpeak")
    assert found.cut(cut, 40) > 0 == found.cut(CLEAN, 40)
    for condition in (CLEAN, cut, NONE):
        fast = losses(model, found, condition)
        for i in range(len(found)):
            target = found.targets[i].tolist()
            ids = torch.tensor([[*found.contexts[condition][i], *target][-41:]])
            with torch.inference_mode():
                logs = model(ids[:, :-1]).logits[0].double().log_softmax(-1)
            alone = -logs[-6:][torch.arange(6), torch.tensor(target)].mean()
            assert fast[i] == pytest.approx(alone.item(), abs=1e-5)


def test_figures_are_paired_over_passages(small_predictor: Predictor) -> None:
    found = made()
    values = read(small_predictor, found)
    # These models were not trained: no context helps them.
    values["kron"][NONE] = values["kron"][CLEAN] + np.linspace(0.1, 1, len(found))
    rows = {(row.kind, row.share): row for row in summarise(found, values, small_predictor.n_ctx)}
    at = Condition("synthetic", 0.3)
    row = rows["synthetic", 0.3]
    bpe, kron = (values[arm][at] for arm in ("bpe", "kron"))
    assert row.differences[0].value.mean == pytest.approx((kron - bpe).mean())
    clean, none = values["kron"][CLEAN], values["kron"][NONE]
    assert row.arms[1].rise_nats.mean == pytest.approx((kron - clean).mean())
    assert row.arms[1].score is not None
    score = 100 * (none.mean() - kron.mean()) / (none.mean() - clean.mean())
    assert row.arms[1].score.mean == pytest.approx(score)
    five = np.mean([values["kron"][at] for at in PERTURBED])
    assert rows[MEAN, 0.0].arms[1].nats.mean == pytest.approx(five)
    bits = kron.sum() * 6 / np.log(2) / found.bytes.sum()
    assert row.arms[1].bits_per_byte.mean == pytest.approx(bits)
    assert row.arms[1].nats.low < row.arms[1].nats.mean < row.arms[1].nats.high


def test_a_context_without_a_clear_benefit_has_no_score(small_predictor: Predictor) -> None:
    found = made()
    values = read(small_predictor, found)
    for arm, least in (("bpe", 0.1), ("kron", -1)):
        values[arm][NONE] = values[arm][CLEAN] + np.linspace(least, 1.2, len(found))
    row = next(r for r in summarise(found, values, small_predictor.n_ctx) if r.share == 0.3)
    assert row.arms[0].score is not None
    assert row.arms[1].score is None


def test_a_command_writes_figures_and_losses(
    pair_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    asked = f"continuation --pair {pair_folder} --passages 8 --context 24 --tokens 6 --text"
    out = ["--json", str(tmp_path / "r.json"), "--losses", str(tmp_path / "l.npz")]
    assert main([*asked.split(), str(README), *out]) == 0
    assert "kron − bpe" in capsys.readouterr().out
    result = from_json(Continuation, (tmp_path / "r.json").read_text())
    assert result.done == 8
    stored = np.load(tmp_path / "l.npz")
    nats = result.row("human", 0.15).arms[0].nats
    assert nats.mean == pytest.approx(stored["bpe/human 15%"].mean())
    assert main([*asked.split(), str(tmp_path / "none.txt")]) == 2
    assert capsys.readouterr().err == "There is no file none.txt; check its path.\n"


def test_bad_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f.txt")
    (tmp_path / "d.txt").mkdir()
    for name, data in (
        ("a.jsonl", b'{"words": 1}\n'),
        ("b.txt.xz", b"text"),
        ("c.txt", b"\xff"),
        ("d.txt", None),
        ("e.txt.xz", lzma.compress(b"text" * 99)[:-9]),
        ("f.txt", None),
        ("g.txt", None),
    ):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=name):
            list(documents(tmp_path / name))
    (tmp_path / "bom.txt").write_bytes("\ufeffA text".encode())
    assert list(documents(tmp_path / "bom.txt")) == ["A text"]


def test_perturbations_without_chance() -> None:
    for name, result in (
        ("AntSpeak", "O N E   T W O"),
        ("UpperCase", "ONE TWO"),
    ):
        assert perturb("one two", name) == result


def test_perturbations_by_chance_have_their_shares() -> None:
    text = "abcdefghij" * 200
    assert len(perturb(text, "Drop", 1)) == 1_800
    assert 2_400 < len(perturb(text, "Repeat", 1)) < 3_200
    mixed = perturb(text, "RandomCase", 1)
    assert mixed.lower() == text
    assert 800 < sum(map(str.isupper, mixed)) < 1_200
    runs = perturb("ab" * 500, "Repeat", 2)
    assert max(map(len, runs.replace("ba", "b a").replace("ab", "a b").split())) == 4
