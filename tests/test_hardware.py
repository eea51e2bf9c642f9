"""CUDA, a GPU that is lent by the call, and plain CPU, from the same code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from kronviz.app import context


def test_without_spaces_nothing_of_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert context.device() == torch.device("cpu")
    assert "spaces" not in sys.modules


def test_a_lent_gpu_gets_its_one_function(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "spaces.py").write_text(
        "named = []\ndef GPU(f):\n    named.append(f)\n    return f\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert context.device() == torch.device("cuda")
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert context.device() == torch.device("cpu")
    assert len(sys.modules.pop("spaces").named) == 1
