"""Weights survive the disk; whatever is wrong with a folder is one sentence, never a crash."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small import small_model

from kronviz import checkpoint, checkpoint_files
from kronviz.app.context import load_context
from kronviz.arms import ARMS
from kronviz.checkpoint import load_arm, quantise, save_arm
from kronviz.checkpoint_files import PAIR, CheckpointError, fingerprint, list_pairs, read_log
from kronviz.model import GPT
from kronviz.model_config import weight_shapes
from kronviz.predictor import Comparison, Predictor

ROOT = Path(__file__).parent.parent
IDS = torch.arange(30).reshape(2, 15)


@pytest.fixture
def pair(pair_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pair_folder, tmp_path / "pairs" / "toy"))


@pytest.mark.parametrize("arm", PAIR)
@torch.no_grad()
def test_float32_round_trip_is_exact_and_int8_is_near(arm: str, tmp_path: Path) -> None:
    model = small_model(arm)
    save_arm(model, tmp_path / "p" / arm, int8=False)
    assert torch.equal(load_arm(tmp_path / "p" / arm)(IDS).logits, model(IDS).logits)
    save_arm(model, tmp_path / "p" / arm)
    assert (load_arm(tmp_path / "p" / arm)(IDS).logits - model(IDS).logits).abs().max() < 0.05


def test_quantisation_error_is_at_most_half_a_step() -> None:
    matrix = torch.randn(50, 70) * torch.logspace(-6, 3, 50)[:, None]
    matrix[7] = 0
    rounded, scale = quantise(matrix)
    error = (rounded.float() * scale[:, None] - matrix).abs()
    assert (error <= scale[:, None] * 0.5001).all()


@torch.no_grad()
def test_tensors_larger_than_a_file_are_cut_and_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 40_000)
    model = small_model("kron")
    save_arm(model, tmp_path / "p" / "kron", int8=False)
    sizes = [path.stat().st_size for path in (tmp_path / "p" / "kron").glob("*.safetensors")]
    assert len(sizes) > 5
    assert max(sizes) < 44_000
    assert torch.equal(load_arm(tmp_path / "p" / "kron")(IDS).logits, model(IDS).logits)


def test_one_weight_changes_the_answer_and_the_fingerprint(pair: Path) -> None:
    before = Predictor.load(pair).compare("one text", "one tetx")
    mark = fingerprint(pair / "kron")
    model = load_arm(pair / "kron")
    with torch.no_grad():
        model.blocks[0].mlp.up.weight[3, 4] += 1.0
    save_arm(model, pair / "kron")
    after = Predictor.load(pair).compare("one text", "one tetx")
    assert before.arms[0] == after.arms[0]
    assert before.arms[1].metrics != after.arms[1].metrics
    assert fingerprint(pair / "kron") != mark


def _damage_shard(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _foreign_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"], "n_ctx": 1024}')


def _other_shape(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model"]["d_model"] = 64
    (folder / "config.json").write_text(json.dumps(config))


def _heads(folder: Path) -> None:
    """Change the number of heads to one that divides the width as well."""
    config = json.loads((folder / "config.json").read_text())
    config["training"] = config["model"] | {"steps": 100}
    config["model"]["n_head"] = 1
    (folder / "config.json").write_text(json.dumps(config))


def _pickle(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    path.write_bytes(pickle.dumps({"wte": [1.0]}))


def _outside(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["sha256"] = {"../../../../etc/passwd": "0" * 64}
    (folder / "config.json").write_text(json.dumps(config))


def _with(**changes: object) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["model"] |= changes
        (folder / "config.json").write_text(json.dumps(config))

    return damage


def _config(text: str | bytes) -> Callable[[Path], object]:
    data = text.encode() if isinstance(text, str) else text
    return lambda folder: (folder / "config.json").write_bytes(data)


def _number_of_layers(written: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        config = (folder / "config.json").read_text()
        (folder / "config.json").write_text(re.sub('(?<="n_layer": )2', written, config))

    return damage


def _files(named: object) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["sha256"] = named
        (folder / "config.json").write_text(json.dumps(config))

    return damage


def _shard(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    """Change the tensors of a file, with the hash of what was made in ``config.json``."""

    def damage(folder: Path) -> None:
        path = next(folder.glob("*.safetensors"))
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)
        _sign(folder, path)

    return damage


def _header(header: bytes, length: int = -1) -> Callable[[Path], object]:
    """Write a file of weights with this header, which may lie about its length."""

    def damage(folder: Path) -> None:
        path = next(folder.glob("*.safetensors"))
        said = (len(header) if length < 0 else length).to_bytes(8, "little")
        path.write_bytes(said + header + b"\0" * 100_000)
        _sign(folder, path)

    return damage


def _sign(folder: Path, path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["sha256"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))


def _scale(tensors: dict[str, torch.Tensor]) -> None:
    tensors["blocks.0.mlp.up.weight.scale"] = torch.ones(())


def _half(tensors: dict[str, torch.Tensor]) -> None:
    tensors["norm.weight"] = tensors["norm.weight"].half()


def _no_scale(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["blocks.0.mlp.up.weight.scale"]


def _infinite_scale(tensors: dict[str, torch.Tensor]) -> None:
    tensors["blocks.0.mlp.up.weight.scale"].fill_(3e38)


def _fewer_rows(tensors: dict[str, torch.Tensor]) -> None:
    tensors["norm.weight"] = tensors["norm.weight"][:-1].clone()


def _fewer_inputs(tensors: dict[str, torch.Tensor]) -> None:
    for name in ("wte.projection.weight", "wte.projection.weight.scale"):
        tensors[name] = tensors[name][:-1].clone()


def _no_head(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["lm_head.weight"], tensors["lm_head.weight.scale"]


def _piece_twice(tensors: dict[str, torch.Tensor]) -> None:
    tensors["norm.weight#0"] = tensors["norm.weight"].clone()


def _twice(folder: Path) -> None:
    path = folder / "more.safetensors"
    save_file({"norm.weight": torch.ones(32)}, path)
    _sign(folder, path)


def _cut(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])


def _in_place_of(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Put something else in the place of a file, or of the folder itself ("")."""

    def damage(folder: Path) -> None:
        path = next(folder.glob(name)) if name else folder
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return damage


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _entry(**entry: object) -> Callable[[Path], object]:
    """Write a file of weights with one tensor, described by ``entry``."""
    known = {"dtype": "F32", "shape": [25_000], "data_offsets": [0, 100_000]}
    described = {name: value for name, value in {**known, **entry}.items() if value != "absent"}
    return _header(json.dumps({"norm.weight": described}).encode())


def _no_numbers(tensors: dict[str, torch.Tensor]) -> None:
    tensors["norm.weight"].fill_(float("nan"))


DAMAGES = {
    "an arm of no kind": (_with(arm="foo"), "describes no model"),
    "heads that do not divide": (_with(n_head=3), "describes no model"),
    "a width as text": (_with(d_model="8"), "describes no model"),
    "no positions": (_with(pos_dim=0), "describes no model"),
    "a truth for a number": (_with(n_layer=True), "describes no model"),
    "a broken number": (_with(n_layer=2.5), "describes no model"),
    "ten million layers": (_with(n_layer=10**7), "describes no model"),
    "no layers": (_with(n_layer=-1), "describes no model"),
    "more layers than files": (_with(n_layer=500), "only one of them has blocks"),
    "a wide model": (_with(d_model=1 << 15), "shapes"),
    "a long context": (_with(n_ctx=1 << 20), "shapes"),
    "a context of one": (_with(n_ctx=1), "describes no model"),
    "another vocabulary": (_with(vocabulary="o200k_base"), "shapes"),
    "no vocabulary": (_with(vocabulary="klingon"), "describes no model"),
    "a vocabulary of no text": (_with(vocabulary=["r50k_base"]), "describes no model"),
    "a vocabulary cut to billions": (_with(vocabulary="r50k_base:99999999999"), "no model"),
    "a vocabulary cut to more than its merges": (
        _with(vocabulary="cl100k_base:100257"), "describes no model"
    ),
    "a width that is odd for its arm": (
        _with(arm="spelling-bee", d_model=33, n_head=1), "describes no model"
    ),
    "huge positions": (_with(pos_dim=10**9), "describes no model"),
    "an unknown entry": (_with(moe=8), "damaged"),
    "of another library": (_foreign_config, "config.json"),
    "a pickle": (_pickle, "not a complete safetensors"),
    "a file outside": (_outside, "missing"),
    "a file with NUL in its name": (_files({"a\0b.safetensors": ""}), "missing"),
    "a folder as file": (_files({"..": ""}), "missing"),
    "a list of files": (_files(["model.safetensors"]), "damaged"),
    "too many files": (_files({f"{i}.safetensors": "" for i in range(5_000)}), "damaged"),
    "a hash of no text": (_files({"model-00001-of-00001.safetensors": [1]}), "damaged"),
    "no shard": (lambda folder: next(folder.glob("*.safetensors")).unlink(), "missing"),
    "no JSON": (_config("{"), "damaged"),
    "JSON without end": (_config("[" * 200_000), "damaged"),
    "JSON of another kind": (_config("[]"), "damaged"),
    "no UTF-8": (_config(b"\xff\xfe{}"), "damaged"),
    "a number that is none": (_config('{"format": NaN}'), "damaged"),
    "a number without end": (_with(n_layer=float("inf")), "damaged"),
    "a number too large": (_number_of_layers("1e400"), "damaged"),
    "a number as text": (_number_of_layers('"2"'), "describes no model"),
    "a number of lists": (_number_of_layers("[" * 900 + "]" * 900), "describes no model"),
    "a long number": (_config('{"format": ' + "9" * 10_000 + "}"), "damaged"),
    "a long format": (_config(json.dumps({"format": "x" * 100_000})), "has format"),
    "two megabytes": (_config(" " * 2_000_000), "damaged"),
    "a pipe for config.json": (_in_place_of("config.json", os.mkfifo), "missing"),
    "a pipe for weights": (_in_place_of("*.safetensors", os.mkfifo), "missing"),
    "a pipe for the folder": (_in_place_of("", os.mkfifo), "missing"),
    "a folder for config.json": (_in_place_of("config.json", os.mkdir), "missing"),
    "a folder for weights": (_in_place_of("*.safetensors", os.mkdir), "missing"),
    "a link to itself for config.json": (_in_place_of("config.json", _loop), "missing"),
    "a link to itself for weights": (_in_place_of("*.safetensors", _loop), "missing"),
    "a link to itself for the folder": (_in_place_of("", _loop), "missing"),
    "no folder": (shutil.rmtree, "missing"),
    "a scale without rows": (_shard(_scale), "as kronviz stores them"),
    "no scale": (_shard(_no_scale), "as kronviz stores them"),
    "half precision": (_shard(_half), "as kronviz stores them"),
    "a piece of nothing": (_shard(lambda t: t.update({"a#x": torch.ones(2)})), "as kronviz"),
    "a shorter file": (_cut, "not a complete safetensors"),
    "a header of 2^63 bytes": (_header(b"", 2**63 - 1), "not a complete safetensors"),
    "a header that is none": (_header(b"", 50), "not a complete safetensors"),
    "a header cut short": (_header(b'{"norm.weight": {"dtype": '), "not a complete safetensors"),
    "a header without end": (_header(b"[" * 90_000), "not a complete safetensors"),
    "a header of no UTF-8": (_header(b'{"\xff": {}}'), "not a complete safetensors"),
    "a shape below zero": (_entry(shape=[-1]), "not a complete safetensors"),
    "a shape of fractions": (_entry(shape=[2.5]), "not a complete safetensors"),
    "a shape as text": (_entry(shape="25000"), "not a complete safetensors"),
    "a shape larger than the file": (_entry(shape=[25_001]), "not a complete safetensors"),
    "a shape beyond all counting": (_entry(shape=[2**62, 2**62]), "not a complete safetensors"),
    "a place outside the file": (
        _entry(data_offsets=[2**63, 2**63 + 100_000]), "not a complete safetensors"
    ),
    "no type": (_entry(dtype="absent"), "not a complete safetensors"),
    "a type of no kind": (_entry(dtype="F33"), "not a complete safetensors"),
}  # fmt: skip
"""Found in ``config.json`` and in the headers of the shards."""
DAMAGED_SHAPES = {
    "a tensor more": (_shard(lambda t: t.update(more=torch.ones(2))), "only one of them has more"),
    "a tensor of other rows": (_shard(_fewer_rows), "shapes"),
    "an input embedding more": (
        _shard(lambda t: t.update({"wte.more": torch.ones(2)})), "only one of them has wte.more"
    ),
    "an input embedding of other rows": (_shard(_fewer_inputs), "shapes"),
    "no head": (_shard(_no_head), "only one of them has lm_head.weight"),
    "another shape": (_other_shape, "shapes"),
    "other heads than were trained": (_heads, "n_head is 1 for the model and another"),
    "a tensor twice": (_twice, "as kronviz stores them"),
    "a piece twice": (_shard(_piece_twice), "as kronviz stores them"),
}  # fmt: skip
"""Found in the headers, too, with hashes that are right."""
DAMAGED_WEIGHTS = {
    "a changed byte": (_damage_shard, "SHA-256"),
    "weights that are not numbers": (_shard(_no_numbers), "not finite"),
    "a scale too large": (_shard(_infinite_scale), "not finite"),
}
"""Found in the weights."""


def test_the_shapes_of_all_weights_are_known_without_pytorch() -> None:
    for arm in ARMS:
        model = small_model(arm)
        known = {name: tuple(tensor.shape) for name, tensor in checkpoint._state(model).items()}
        assert known == weight_shapes(model.config), arm


def test_what_is_small_is_checked_before_any_weight_is_read(
    pair: Path, pair_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "GPT", None)
    monkeypatch.setattr(checkpoint, "_stored", None)
    for name, (damage, said) in (DAMAGES | DAMAGED_SHAPES).items():
        _replace(pair / "kron", pair_folder / "kron")
        damage(pair / "kron")
        began = time.process_time()
        (found,) = list_pairs(pair.parent)
        assert time.process_time() - began < 0.5, name
        assert found.arms == ("bpe",), name
        (problem,) = found.problems
        assert re.search(said, problem), name


def test_damaged_weights_are_said_before_pytorch_and_gradio_are_imported(
    pair: Path, pair_folder: Path
) -> None:
    for name, (damage, _) in DAMAGED_WEIGHTS.items():
        damage(Path(shutil.copytree(pair_folder, pair.parent / name)) / "kron")
    code = f"""
import sys
sys.modules["torch"] = sys.modules["gradio"] = None
sys.argv = ["kronviz", "--checkpoints", {str(pair.parent)!r}]
from kronviz.app.start import main
main()
"""
    started = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env={**os.environ, "GRADIO_SERVER_PORT": "0"}, capture_output=True, text=True,
    )  # fmt: skip
    assert "import of gradio halted" in started.stderr or "import of torch" in started.stderr
    said = sorted(line for line in started.stdout.splitlines() if not line.startswith("Port"))
    for line, (name, (_, expected)) in zip(said, sorted(DAMAGED_WEIGHTS.items()), strict=True):
        assert f"{name}/kron" in line
        assert expected in line


def test_a_hash_is_computed_once(pair: Path) -> None:
    list_pairs(pair.parent, whole=True)
    read = checkpoint_files._read_weights.cache_info().misses
    load_arm(pair / "kron")
    assert checkpoint_files._read_weights.cache_info().misses == read
    _damage_shard(pair / "kron")
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_arm(pair / "kron")


def test_problems_are_said_before_the_first_pair_is_loaded(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(pair, pair.parent / "other")
    _cut(pair.parent / "other" / "kron")
    said: list[str] = []

    def load(*_: object, **__: object) -> Predictor:
        assert len(said) == 1
        raise MemoryError

    monkeypatch.setattr(Predictor, "load", load)
    context = load_context(pair.parent, torch.device("cpu"), said.append)
    assert "other/kron is not a complete" in said[0]
    assert context.problems == tuple(said)


def _replace(folder: Path, by: Path) -> None:
    """Put a copy in the place of whatever is there."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)
    shutil.copytree(by, folder)


def test_a_bad_arm_is_one_sentence_and_the_other_arm_still_answers(
    pair: Path, pair_folder: Path
) -> None:
    for name, (damage, said) in (DAMAGES | DAMAGED_SHAPES | DAMAGED_WEIGHTS).items():
        _replace(pair / "kron", pair_folder / "kron")
        damage(pair / "kron")
        with pytest.raises(CheckpointError, match=said) as caught:
            load_arm(pair / "kron")
        message = str(caught.value)
        assert message.endswith("."), name
        assert len(message) < 300, name
        assert str(pair.parent.parent) not in message, name
        predictor = Predictor.load(pair)
        assert list(predictor.arms) == ["bpe"], name
        assert len(predictor.problems) == 1, name
    assert [arm.arm for arm in predictor.compare("a text", "a txet").arms] == ["bpe"]


def test_arms_of_other_folders_and_other_pairs_are_named_before_they_are_loaded(
    pair: Path, pair_folder: Path
) -> None:
    _replace(pair / "kron", pair_folder / "bpe")
    save_arm(
        small_model("kron", n_layer=1), shutil.copytree(pair_folder, pair.parent / "x") / "kron"
    )
    odd, swapped = sorted(list_pairs(pair.parent), key=lambda info: len(info.arms))
    assert odd.arms == ()
    assert odd.problems == (
        "The arms of x do not belong together: n_layer is 2 and 1; restore them or train a pair.",
    )
    assert swapped.arms == ("bpe",)
    assert swapped.problems == ("The checkpoint toy/kron holds the arm bpe; restore the folder.",)


def test_a_pair_without_a_name_is_not_there() -> None:
    for name in ("", ".", "/", "..", "a\0b", "+kron"):
        with pytest.raises(CheckpointError, match="There is no pair"):
            Predictor.load(name)


def test_a_pair_that_no_page_can_name_is_left_out(pair: Path) -> None:
    shutil.copytree(pair, pair.parent / "a\nb")
    shutil.copytree(pair, pair.parent / os.fsdecode(b"\xff"))
    context = load_context(pair.parent, torch.device("cpu"))
    assert list(context.predictors) == ["toy"]
    assert [problem.endswith("rename it.") for problem in context.problems] == [True, True]
    assert all(problem.isprintable() for problem in context.problems)


def test_an_error_that_nobody_foresaw_costs_one_pair(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(pair, pair.parent / "other")
    answer = Predictor.compare

    def break_other(self: Predictor, clean: str, typo: str) -> Comparison:
        if self.pair == "other":
            raise MemoryError
        return answer(self, clean, typo)

    monkeypatch.setattr(Predictor, "compare", break_other)
    context = load_context(pair.parent, torch.device("cpu"))
    assert list(context.predictors) == ["toy"]
    assert context.problems == ("The pair other cannot be used; restore it. The log says why.",)


def test_list_pairs_names_what_is_there(pair: Path) -> None:
    (pair.parent / "empty").mkdir()
    (pair.parent / "notes.txt").write_text("not a pair")
    empty, small = list_pairs(pair.parent)
    assert (empty.name, empty.arms, len(empty.problems)) == ("empty", (), 2)
    assert (small.name, small.arms, small.problems) == ("toy", ("bpe", "kron"), ())
    assert list_pairs(pair.parent / "nowhere") == []


@pytest.mark.parametrize("arm", ["ngram-words", "kron-mlp", "spelling-bee", "kron-whitened"])
def test_a_further_arm_joins_the_pair(pair: Path, arm: str) -> None:
    model = small_model(arm)
    save_arm(model, pair / arm, int8=False)
    assert [info.name for info in list_pairs(pair.parent)] == ["toy", f"toy+{arm}"]
    plain = Predictor.load(pair)
    joined = Predictor.load(f"{pair}+{arm}", beside=plain)
    assert list(joined.arms) == ["bpe", "kron", arm]
    assert joined.arms["kron"] is plain.arms["kron"]
    ids = torch.arange(20)[None]
    torch.testing.assert_close(joined.arms[arm](ids).logits, model(ids).logits)
    answers = joined.compare("a clean text", "a claen text").arms
    assert [answer.arm for answer in answers] == ["bpe", "kron", arm]
    assert answers[:2] == plain.compare("a clean text", "a claen text").arms


def test_a_whitened_model_is_saved_as_what_it_computes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = small_model("kron-whitened").config
    model = GPT(config, np.arange(1088) % 7).eval()
    save_arm(model, tmp_path / "kron-whitened", int8=False)
    loaded = load_arm(tmp_path / "kron-whitened")
    torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits)


def test_a_damaged_further_arm_leaves_the_pair(pair: Path) -> None:
    (pair / "ngram").mkdir()
    plain, joined = list_pairs(pair.parent)
    assert plain.arms == ("bpe", "kron")
    assert (joined.arms, len(joined.problems)) == ((), 1)


def test_logs(pair: Path) -> None:
    assert read_log(pair / "bpe") == []
    (pair / "bpe" / "log.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    assert [record["step"] for record in read_log(pair / "bpe")] == [1, 2]
    (pair / "bpe" / "log.jsonl").write_text('{"step": 1}\n{"st')
    with pytest.raises(CheckpointError, match="log"):
        read_log(pair / "bpe")


def test_no_source_file_can_unpickle() -> None:
    root = Path(__file__).parent.parent
    for path in [*root.glob("kronviz/**/*.py"), root / "app.py"]:
        source = path.read_text()
        assert not re.search(r"import (pickle|dill|joblib|shelve|marshal)\b", source), path
        assert not re.search(r"from (pickle|dill|joblib|shelve|marshal)\b", source), path
        assert "allow_pickle=True" not in source, path
        assert "torch.load(" not in source, path
