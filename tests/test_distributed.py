"""The embedding in two processes: the same steps as `nn.Embedding`, the same weights after them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_two_processes(tmp_path: Path) -> None:
    """DDP, FSDP2, distributed checkpoints, filling from meta; the steps say what is compared."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = str(ROOT / "tests" / "distributed_steps.py")
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", script, str(rank), str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        printed = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, printed, strict=True):
        assert process.returncode == 0, text[-6000:]
        assert "done" in text
