"""The spelling test that is stored with a pair: the same figures, while they are its own."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from small import claim_other_weights

from kronviz.checkpoint_files import CheckpointError
from kronviz.predictor import Predictor
from kronviz.probes import stored_runs as module
from kronviz.probes.pairs import PairSet, load_pairs
from kronviz.probes.robustness import robustness


def test_what_is_stored_is_given_until_weights_or_texts_change(
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
    claim_other_weights(folder / "kron")
    assert module.stored_run(folder) is None
    (folder / module.FILE).write_text('{"report": 1}')
    with pytest.raises(CheckpointError, match="is damaged; write it again"):
        module.stored_run(folder)
