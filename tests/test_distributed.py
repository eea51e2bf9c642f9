"""Two processes: the embedding steps as `nn.Embedding` does, and a training as in one process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_training import data, losses, text_folder  # noqa: F401

from kronviz.training.configs import load_config
from kronviz.training.train import Trainer

ROOT = Path(__file__).parent.parent


def test_two_processes(data: Path, tmp_path: Path) -> None:  # noqa: F811
    """DDP, FSDP2, distributed checkpoints, filling from meta; the steps say what is compared.

    Then the command that trains, as ``torchrun`` starts it.
    """
    Trainer(load_config("smoke", ["bf16=false"]), "kron", data, tmp_path / "one").run()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment |= {"GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    script = str(ROOT / "tests" / "distributed_steps.py")
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", script, str(tmp_path), str(data)],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
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
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    np.testing.assert_allclose([r[1] for r in one], [r[1] for r in two], atol=2e-4)
    assert two[-1][3] == pytest.approx(one[-1][3], abs=2e-4)
