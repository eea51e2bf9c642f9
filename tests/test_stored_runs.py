"""The spelling test that is kept with a pair: the same figures, while they are still its own."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from kronviz.checkpoint_files import CheckpointError
from kronviz.predictor import Predictor
from kronviz.probes import stored_runs as module
from kronviz.probes.pairs import PairSet, load_pairs
from kronviz.probes.robustness import robustness


def test_what_is_kept_is_given_until_weights_or_texts_change(
    pair_folder: Path,
    small_predictor: Predictor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = load_pairs()
    few = PairSet(ours.pairs[:6], ours.problems)
    monkeypatch.setattr(module, "load_pairs", lambda: few)
    folder = tmp_path / "small"
    shutil.copytree(pair_folder, folder)
    assert module.stored_run(folder) is None
    module.store(folder, seed=3)
    found = module.stored_run(folder)
    assert found is not None
    assert found.report.metrics == robustness(small_predictor, few, seed=3).metrics
    assert found.command.endswith("--pair small --seed 3")
    texts = tmp_path / "pairs.jsonl"
    texts.write_text("other texts")
    assert module.stored_run(folder, dataclasses.replace(module.ROBUSTNESS, texts=texts)) is None
    config = json.loads((folder / "kron" / "config.json").read_text())
    config["sha256"] = dict.fromkeys(config["sha256"], "0" * 64)
    (folder / "kron" / "config.json").write_text(json.dumps(config))
    assert module.stored_run(folder) is None
    (folder / module.FILE).write_text('{"report": 1}')
    with pytest.raises(CheckpointError, match="is damaged; write it again"):
        module.stored_run(folder)
