"""The stored report of a pair's own table: shown for the weights it was measured on alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_html import read

from kronviz.app.context import Context
from kronviz.app.tabs.your_model import tab
from kronviz.checkpoint_files import CheckpointError
from kronviz.probes.stored_table import FILE, store_table, stored_table


def test_a_stored_report_opens_the_view_for_its_own_weights_alone(
    pair_folder: Path, tmp_path: Path
) -> None:
    for name in ("kept", "other"):
        shutil.copytree(pair_folder, tmp_path / name)
    made = store_table(tmp_path / "kept")
    assert stored_table(tmp_path / "kept") == made
    context = Context({"kept": None}, (), tmp_path)  # type: ignore[dict-item]
    assert "stored with the weights" in read(tab._opening(context)).said
    shutil.copy(tmp_path / "kept" / FILE, tmp_path / "other" / FILE)
    (tmp_path / "other" / FILE).write_text(
        (tmp_path / "kept" / FILE).read_text().replace(next(iter(made.weights.values())), "0" * 12)
    )
    assert stored_table(tmp_path / "other") is None
    (tmp_path / "other" / FILE).write_text("{")
    with pytest.raises(CheckpointError, match="stored_table"):
        stored_table(tmp_path / "other")
