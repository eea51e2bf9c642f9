"""Training as a person meets it: commands, exact resume, two processes, one command for a pair."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from each import on_each
from torch.nn import functional as F

from kronviz.checkpoint import load_arm
from kronviz.checkpoint_files import LOG, PAIR, read_config
from kronviz.errors import InputError, Sentence
from kronviz.lines import documents
from kronviz.model import GPT, parameter_count
from kronviz.predictor import Predictor
from kronviz.probes.rarity import rarity
from kronviz.tokenizer import load_tokenizer
from kronviz.training import evaluate
from kronviz.training.card import model_card
from kronviz.training.configs import CONFIGS, TrainConfig, load_config
from kronviz.training.data import TokenFiles
from kronviz.training.evaluate import validate, validation_tokens
from kronviz.training.export import export_arm
from kronviz.training.prepare import prepare
from kronviz.training.rarity import times_read, token_losses
from kronviz.training.runs import read_run
from kronviz.training.sampled import sampled_cross_entropy
from kronviz.training.study import Run
from kronviz.training.throughput import flops_per_token, throughput
from kronviz.training.train import Trainer, learning_rate

ROOT = Path(__file__).parent.parent
SMOKE = CONFIGS["smoke"]
PROSE = "\n\n".join(
    f"In the year {1400 + i}, {i % 97} ships left port number {i % 13} with {i} sacks of corn."
    for i in range(1500)
)


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    (folder / "text.txt").write_text(PROSE)
    lines = [json.dumps({"source": "s", "text": part}) for part in PROSE.split("\n\n")[::20]]
    (folder / "val.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def data(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    prepare([text_folder / "text.txt", text_folder / "val.jsonl"], SMOKE.vocabulary, folder)
    return folder


def run_here(command: list[str]) -> None:
    """``python -m`` with these words, in this process."""
    with patch.object(sys, "argv", command):
        importlib.import_module(command[0]).main()


def losses(run: Path) -> list[tuple]:
    records = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
    return [(r["step"], r["train_loss"], r["norm"], r.get("val_loss")) for r in records]


def test_prepared_tokens_decode_to_the_text(data: Path, text_folder: Path) -> None:
    tokenizer = load_tokenizer(SMOKE.vocabulary)
    tokens = np.load(data / "text.npy")
    assert tokens.dtype == np.uint16
    assert tokens[-1] == tokenizer.eot_id
    assert tokenizer.decode(tokens[:-1].tolist()) == PROSE
    val = np.load(data / "val.npy")
    assert (val == tokenizer.eot_id).sum() == len(list(documents(text_folder / "val.jsonl")))


def test_a_record_without_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"body": "b"}\n')
    with pytest.raises(ValueError, match=r"bad.jsonl, line 2"):
        list(documents(tmp_path / "bad.jsonl"))


def test_an_epoch_reads_every_window_once(data: Path) -> None:
    files = TokenFiles(data, SMOKE)
    windows = (len(files.sources["text"]) - 1) // SMOKE.n_ctx - 1
    rows = np.concatenate([files.rows(step) for step in range(windows // SMOKE.batch_size)])
    assert rows.shape[1] == SMOKE.n_ctx + 1
    starts = {row.tobytes() for row in rows}
    assert len(starts) == len(rows)


def test_tokens_are_counted_as_a_run_reads_them(data: Path) -> None:
    files = TokenFiles(data, SMOKE)
    read = np.concatenate([files.rows(step)[:, :-1].ravel() for step in range(SMOKE.steps)])
    counts = times_read(SMOKE, data)
    assert counts.sum() == SMOKE.steps * SMOKE.tokens_per_step
    for token in (int(read[0]), int(read[-1])):
        assert counts[token] == (read == token).sum()


def test_losses_of_tokens_have_the_models_loss_as_their_mean(data: Path) -> None:
    model = GPT(SMOKE.model("kron")).eval()
    rows = TokenFiles(data, SMOKE).rows(0)
    ids = torch.from_numpy(rows)
    logits = model(ids[:, :-1]).logits
    expected = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).item()
    assert token_losses(model, rows).mean() == pytest.approx(expected, abs=1e-5)


def test_a_validation_loss_weighs_every_token_alike(data: Path) -> None:
    """The windows do not fill the last batch, which a mean of means would overweigh."""
    torch.manual_seed(0)
    model = GPT(SMOKE.model("kron")).eval()
    length = model.config.n_ctx
    batch = evaluate.TOKENS_AT_ONCE // length
    ids = np.random.default_rng(0).integers(0, 500, (batch + 1) * length + 1)
    ids[batch * length :] = 7
    found = validate(model, ids)
    windows = evaluate.validation_windows(ids, length)
    assert [len(rows) for rows in evaluate.batches(windows)] == [batch, 1]
    with torch.inference_mode():
        losses = [
            model.loss(ids[:, :-1], ids[:, 1:]).item() for ids in torch.from_numpy(windows)[:, None]
        ]
    assert abs(losses[-1] - np.mean(losses[:-1])) > 0.01
    assert found.loss == pytest.approx(np.mean(losses), abs=1e-5)


def test_bits_a_byte_are_of_the_text_alone() -> None:
    tokenizer = load_tokenizer(SMOKE.vocabulary)
    texts = ["One text of a few words.", "Naïve: another one."] * 8
    ids = np.concatenate([[*tokenizer.encode(text), tokenizer.eot_id] for text in texts])
    found = validate(GPT(SMOKE.model("bpe")).eval(), ids)
    predicted = [int(token) for token in ids[1 : found.tokens + 1]]
    size = sum(len(tokenizer.token_bytes(t)) for t in predicted if t != tokenizer.eot_id)
    bits = found.loss / np.log(2) * found.tokens
    assert found.bits_per_byte == pytest.approx(bits / size)


def test_mixture_is_drawn_in_its_shares(data: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(2000, np.uint16))
    np.save(tmp_path / "b.npy", np.ones(2000, np.uint16))
    np.save(tmp_path / "val.npy", np.ones(2000, np.uint16))
    config = load_config("smoke", ['mixture=["a", "a", "b"]', "batch_size=30"])
    rows = TokenFiles(tmp_path, config).rows(3)
    assert rows.mean() == pytest.approx(1 / 3)


@pytest.mark.parametrize("sets", [[], ["frequent=40", "scored=120"]], ids=["exact", "sampled"])
@pytest.mark.parametrize("arm", PAIR)
def test_a_killed_run_goes_on_with_the_same_losses(
    arm: str, sets: list[str], data: Path, tmp_path: Path
) -> None:
    config = load_config("smoke", sets)
    Trainer(config, arm, data, tmp_path / "whole").run()
    # Killed after step 5: the state is of step 4, the log has a line too many.
    Trainer(config, arm, data, tmp_path / "killed").run(stop_at=4)
    with (tmp_path / "killed" / LOG).open("a") as log:
        log.write('{"step": 5, "train_loss": 0}\n')
    Trainer(config, arm, data, tmp_path / "killed").run()
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == SMOKE.steps


def test_a_sampled_loss_has_the_exact_normaliser_on_average() -> None:
    generator = torch.Generator().manual_seed(1)
    final = torch.randn(1, 16, generator=generator)
    weight = torch.randn(500, 16, generator=generator) / 4
    target = torch.tensor([321])
    logits = F.linear(final, weight)[0]
    everything = sampled_cross_entropy(final, weight, target, 100, 500, seed=1)
    torch.testing.assert_close(everything, F.cross_entropy(logits[None], target))
    losses = [sampled_cross_entropy(final, weight, target, 100, 161, seed=i) for i in range(200)]
    normalisers = (torch.stack(losses) + logits[321]).exp()
    assert normalisers.std() > 0.01 * normalisers.mean()
    assert normalisers.mean().item() == pytest.approx(logits.exp().sum().item(), rel=0.01)


def test_the_last_steps_score_every_token(data: Path, tmp_path: Path) -> None:
    sets = ["frequent=40", "scored=120", "exact=0.5", "steps=4"]
    trainer = Trainer(load_config("smoke", sets), "kron", data, tmp_path)
    ids, targets = torch.randint(512, (2, 2, 32)).unbind()
    exact = trainer.model.loss(ids, targets)
    assert trainer.loss(ids, targets) != exact
    trainer.step = 2
    assert trainer.loss(ids, targets) == exact


def test_training_learns(data: Path, tmp_path: Path) -> None:
    config = load_config("smoke", ["steps=40", "batch_size=16", "micro_batch=16", "eval_every=40"])
    for arm in PAIR:
        Trainer(config, arm, data, tmp_path / arm).run()
        first, *_, last = losses(tmp_path / arm)
        assert first[1] == pytest.approx(np.log(576), abs=0.2)
        assert last[3] < 3.5


@on_each("arm", PAIR)
def test_the_input_begins_as_large_as_it_is_told(data: Path, tmp_path: Path, arm: str) -> None:
    """The same draw at another scale, and all else as it was."""
    own, told = (
        Trainer(replace(SMOKE, init_std=std), arm, data, tmp_path / arm / str(std)).model
        for std in (0.0, 0.003)
    )
    before = own.input_weight()
    assert told.input_weight().std().item() == pytest.approx(0.003)
    torch.testing.assert_close(told.input_weight() / 0.003, before / before.std())
    assert torch.equal(told.wpe.weight, own.wpe.weight)
    with pytest.raises(InputError, match="init_std is -1"):
        load_config("smoke", ["init_std=-1"])
    names = [Run("smoke", arm, given).name for given in ((), ("init_std=0.003",))]
    assert len(set(names)) == 2


@on_each("arm", ["bpe", "bpe-untied", "kron", "spelling-bee"])
def test_the_input_embedding_can_have_a_rate_of_its_own(
    arm: str, data: Path, tmp_path: Path
) -> None:
    trainer = Trainer(replace(SMOKE, input_rate=0.25), arm, data, tmp_path / arm)
    own = {id(p) for p in trainer.model.wte.parameters()}
    groups = trainer.optimizers[0].param_groups
    rates = {id(p): group["peak_lr"] for group in groups for p in group["params"]}
    assert {rates[p] for p in own} == {SMOKE.adam_lr * (1 if arm == "bpe" else 0.25)}
    assert {rate for p, rate in rates.items() if p not in own} == {SMOKE.adam_lr}
    assert Run("smoke", arm, ("input_rate=0.25",)).name != Run("smoke", arm, ()).name


def test_both_arms_get_the_same_batches(data: Path) -> None:
    again = TokenFiles(data, SMOKE)
    for step in (0, 7, 500):
        np.testing.assert_array_equal(TokenFiles(data, SMOKE).rows(step), again.rows(step))
    assert not np.array_equal(again.rows(0), again.rows(1))


def test_one_command_makes_a_pair_that_answers(
    text_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command and the two trainings that it starts run here, which spares two processes."""

    class Here:
        def __init__(self, command: list[str], env: dict[str, str]):
            assert command[:2] == [sys.executable, "-m"]
            run_here(command[2:])

        def wait(self) -> int:
            return 0

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("kronviz.training.pair.subprocess", SimpleNamespace(Popen=Here))
    command = ["kronviz.training.pair", "--config", "smoke", "--text", str(text_folder)]
    command += ["--data", str(tmp_path / "d"), "--runs", str(tmp_path / "r")]
    run_here([*command, "--out", str(tmp_path / "smoke")])
    tokens = validation_tokens(text_folder / "val.jsonl", SMOKE.vocabulary)
    for arm in PAIR:
        config = read_config(tmp_path / "smoke" / arm)
        again = validate(load_arm(tmp_path / "smoke" / arm), tokens)
        assert again.loss == pytest.approx(config["validation"]["loss"], abs=1e-6)
        assert abs(again.loss - config["validation_float32"]["loss"]) < 0.005
        card = (tmp_path / "smoke" / arm / "README.md").read_text()
        assert f"{config['validation']['loss']:.4f}" in card
        assert "CC BY 4.0" in card
    assert rarity(tmp_path / "smoke") is not None
    assert Predictor.load(tmp_path / "smoke").compare("a ship", "a shpi").arms


def test_learning_rate_rises_and_falls() -> None:
    for schedule in ("trapezoid", "cosine"):
        config = load_config("tiny", [f"schedule={schedule}"])
        rates = [learning_rate(config, step) for step in range(config.steps)]
        peak = rates.index(max(rates))
        assert max(rates) == pytest.approx(1)
        assert rates[: peak + 1] == sorted(rates[: peak + 1])
        assert rates[peak:] == sorted(rates[peak:], reverse=True)
        floor = {"trapezoid": 0, "cosine": 0.1}[schedule]
        assert rates[-1] == pytest.approx(floor, abs=0.01)


def test_configurations_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="no configuration 'huge'"):
        load_config("huge")
    with pytest.raises(ValueError, match="sets no field"):
        load_config("tiny", ["layers=3"])
    paper = CONFIGS["paper"]
    assert (paper.d_model, paper.n_layer, paper.n_ctx, paper.steps) == (768, 12, 1024, 4623)
    assert paper.steps * paper.tokens_per_step == pytest.approx(2.5e9, rel=0.05)
    assert isinstance(load_config("gpt2"), TrainConfig)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs one after the other: to start one takes longer than such a training."""

    def trained(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess:
        assert command[:2] == [sys.executable, "-m"]
        run_here(command[2:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", trained)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


@pytest.mark.usefixtures("in_this_process")
def test_every_rate_is_trained_with_nanogpts_optimizer(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "rates.json"
    command = ["kronviz.training.rates", "--config", "smoke", "--seeds", "1", "--data", str(data)]
    command += ["--rates", "0.01", "0.001", "--runs", str(tmp_path / "runs"), "--out", str(out)]
    run_here(command)
    slow, swift = json.loads(out.read_text())
    assert (slow["config"]["adam_lr"], swift["config"]["adam_lr"]) == (0.001, 0.01)
    for found in (slow, swift):
        assert (found["config"]["optimizer"], found["config"]["schedule"]) == ("adamw", "cosine")
        assert [run["variant"] for run in found["runs"]] == ["bpe", "kron", "bpe-untied"]
    assert slow["runs"][0]["val_loss"] != swift["runs"][0]["val_loss"]


@pytest.mark.usefixtures("in_this_process")
def test_seeds_are_trained_with_a_control_whose_head_is_its_own(
    data: Path, text_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "seeds.json"
    command = ["kronviz.training.seeds", "--config", "smoke", "--seeds", "1", "--data", str(data)]
    command += ["--text", str(text_folder / "val.jsonl")]
    run_here([*command, "--runs", str(tmp_path / "runs"), "--out", str(out)])
    found = json.loads(out.read_text())
    runs = found["runs"]
    assert [run["variant"] for run in runs] == ["bpe", "kron", "bpe-untied"]
    assert len({run["val_loss"] for run in runs}) == 3
    for classes in found["rarity"].values():
        assert classes
        for row in classes:
            assert row["gap"][0] == pytest.approx(row["head"][0] + row["code"][0], abs=1e-6)
    tied, untied = (GPT(load_config("smoke", set_).model("bpe")) for set_ in ([], ["untied=true"]))
    own = untied.lm_head.weight.numel()
    assert parameter_count(untied) == parameter_count(tied) + own


def test_an_export_counts_all_parameters_of_the_input(data: Path, tmp_path: Path) -> None:
    Trainer(replace(SMOKE, steps=1), "spelling-bee", data, tmp_path / "run").run()
    export_arm(tmp_path / "run", None, tmp_path / "arm")
    # A row for each of 576 tokens, and one for each of 256 bytes.
    own = (576 + 256) * SMOKE.d_model
    assert read_config(tmp_path / "arm")["input_parameters"] == own


def test_a_card_has_the_command_that_trains_its_arm_again() -> None:
    pair = ROOT / "checkpoints" / "tiny"
    for arm in ("kron", "ngram-words"):
        card = model_card(pair, arm, "")
        (said,) = re.findall(r"^ {4}python -m kronviz.training.pair (.*)$", card, re.MULTILINE)
        words, _, overrides = said.partition(" --set ")
        assert words.endswith(" --text FOLDER" + (f" --arms {arm}" if arm not in PAIR else ""))
        again = load_config(words.split()[1], overrides.split())
        trained = read_config(pair / arm)["training"]
        assert (again.init_std, again.input_rate) == (
            trained.get("init_std", 0.0), trained.get("input_rate", 1.0),
        )  # fmt: skip


def test_throughput_counts_what_the_model_needs() -> None:
    found = throughput(SMOKE, "kron", seconds=0.1)
    assert found.tokens_per_second == pytest.approx(SMOKE.tokens_per_step / found.step_seconds)
    assert 0 < found.utilisation < 1
    width, layers = SMOKE.d_model, SMOKE.n_layer
    head = 576 * width
    expected = 6 * (12 * width**2 * layers + head) + 12 * layers * width * SMOKE.n_ctx
    model = GPT(SMOKE.model("bpe"))
    assert flops_per_token(model) == expected
    assert flops_per_token(model, scored=64) == expected - 6 * (576 - 64) * width


def command(module: str, *words: object) -> None:
    """A command of training in this process; what it refuses is raised."""
    run_here([f"kronviz.training.{module}", *map(str, words)])


@on_each("name", ["my notes.v2.txt", "textbooks.jsonl", "données"])
def test_own_text_of_any_name_becomes_a_pair_without_a_setting_given_twice(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    text = json.dumps({"text": PROSE}) + "\n\n" if name.endswith(".jsonl") else f"\ufeff{PROSE}"
    Path(name).write_text(text, encoding="utf-8")
    command("prepare", "--vocabulary", "r50k_base:1024", "--out", "data", name)
    shape = ["d_model=32", "n_layer=1", "n_head=2", "n_ctx=32", "steps=2", "batch_size=2"]
    sets = ["--set", *shape, "micro_batch=2", "eval_sequences=4"]
    command("train", "--config", "tiny", "--data", "data", "--out", "run", "--stop-at", 1, *sets)
    command("train", "--out", "run/kron")
    command("train", "--out", "run/bpe")
    command("export", "--runs", "run", "--out", "pair")
    capsys.readouterr()
    command("evaluate", "pair", "--data", "data")
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for arm, line in zip(PAIR, said, strict=True):
        config = read_config(folder / "pair" / arm)
        assert (config["model"].vocabulary, config["model"].d_model) == ("r50k_base:1024", 32)
        assert line["loss"] == pytest.approx(config["validation"]["loss"], abs=1e-6)
        assert line["tokens"] % 32 == 0
    # Validation reads what training did not: a tenth of the text.
    files = TokenFiles(Path("data"), load_config("smoke", [f"mixture={_stem(name)}"]))
    (ids,) = files.sources.values()
    whole = np.load(f"data/{_stem(name)}.npy")
    assert np.array_equal(np.concatenate([ids, files.val]), whole)
    assert len(files.val) == len(whole) // 10


def _stem(name: str) -> str:
    return Path(name).stem


ODD_NAMES = (
    "two words.txt", "-out.txt", "--set.txt", "naïve Größe 語.txt", "a\nb.txt", "quo\"te'`.txt",
    "1984.txt", "a=b.txt", "[1].txt", "*.txt", "null.txt", "<b>|\t.txt", ".txt", "n" * 251 + ".txt",
    "ü" * 127, os.fsdecode(b"\xff.txt"), "crlf.txt", "bom.txt",
)  # fmt: skip


def test_files_of_odd_names_become_one_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ODD_NAMES:
        text = f"{name!r}: {PROSE[:2_000]}"
        Path(name).write_bytes(
            text.replace("\n", "\r\n" if name == "crlf.txt" else "\n").encode(
                "utf-8-sig" if name == "bom.txt" else "utf-8"
            )
        )
    command("prepare", "--vocabulary", "r50k_base:512", "--out", "[d] =", "--", *ODD_NAMES)
    sets = ["steps=2", "batch_size=18", "micro_batch=18"]  # Each step reads of every file.
    command("train", "--config", "smoke", "--data", "[d] =", "--out=-r", "--set", *sets)
    mixture = read_run(Path("-r", "kron")).config.mixture
    assert len(mixture) == len(ODD_NAMES)
    assert {"1984", "a=b", "[1]", "a\nb", os.fsdecode(b"\xff")} <= {*mixture}
    command("export", "--runs=-r", "--out", "p")
    capsys.readouterr()
    command("evaluate", "p", "--data", "[d] =")
    for line in capsys.readouterr().out.splitlines():
        assert json.loads(line)["loss"] > 0
    card = Path("p", "kron", "README.md").read_text(encoding="utf-8")
    (files,) = re.findall(r"^Token files: (.*)$", card, re.MULTILINE)
    assert re.fullmatch(r"`[^`]*`(, `[^`]*`)*\.", files)
    for source in ("1984", "null", "[a]"):
        assert load_config("smoke", [f"mixture={source}"]).mixture == (source,)


def test_what_training_cannot_use_is_one_sentence(data: Path, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("Größe".encode("latin-1"))
    (tmp_path / "cut.jsonl.xz").write_bytes(b"\xfd7zXZ\x00 and no more")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "short.txt").write_text("Ten words of text are less than one window.")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "short.txt").write_text("another")
    (tmp_path / "file").write_text("")
    start = ["--config", "smoke", "--data", data, "--arm", "kron", "--out", tmp_path / "run"]
    command("prepare", "--out", tmp_path / "s", tmp_path / "short.txt")
    command("train", *start, "--stop-at", 1)
    for words, said in (
        (["prepare", "--out", tmp_path / "d", tmp_path / "latin.txt"], "not UTF-8"),
        (["prepare", "--out", tmp_path / "d", tmp_path / "cut.jsonl.xz"], r"not a complete \.xz"),
        (["prepare", "--out", tmp_path / "d", tmp_path / "empty.txt"], "is empty"),
        (["prepare", "--out", tmp_path / "d", tmp_path / "nowhere.txt"], "no file nowhere.txt"),
        (["prepare", "--out", tmp_path / "file" / "d", tmp_path / "short.txt"], "not a folder"),
        (
            ["prepare", "--out", tmp_path / "d", tmp_path / "short.txt", tmp_path / "a/short.txt"],
            "Two files",
        ),
        (["prepare", "--out", data, "--vocabulary", "r50k_base"], "at least one file"),
        (["prepare", "--out", tmp_path / "s", "--vocabulary", "r50k_base:999", __file__],
         "prepared with r50k_base;"),
        (["train", "--config", "smoke", "--data", tmp_path / "s", "--out", tmp_path / "r"],
         "need more than 64"),
        (["train", "--config", "smoke", "--data", tmp_path / "a", "--out", tmp_path / "r"],
         "no training text"),
        (["train", "--config", "smoke", "--data", data, "--out", tmp_path / "r", "--set",
          "mixture=mine"], "no token file mine.npy"),
        (["train", "--out", tmp_path / "nothing"], "begins with --config"),
        (["train", *start, "--set", "steps=7"], "began with steps = 6, not 7"),
        (["export", "--runs", tmp_path / "run", "--out", tmp_path / "p"], "no training run"),
        (["evaluate", tmp_path / "p", "--data", data], "missing"),
    ):  # fmt: skip
        with pytest.raises(Sentence, match=said) as caught:
            command(*map(str, words))
        assert str(caught.value).endswith(".")


def test_a_value_of_no_use_is_named() -> None:
    for wrong in (
        "d_model=abc", "n_head=0", "n_head=3", "steps=-1", "steps=1.5", "optimizer=adam", "seed=[]",
        "mixture=[]", "mixture=[1]", "compile=1", "adam_lr=NaN", "adam_lr=Infinity", "decay=2",
    ):  # fmt: skip
        with pytest.raises(InputError, match=wrong.partition("=")[0]):
            load_config("tiny", [wrong])
