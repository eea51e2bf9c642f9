"""Steps of DDP, FSDP2 and distributed checkpoints, then a training: what `test_distributed` runs.

python tests/distributed_steps.py FOLDER DATA, in an environment as ``torchrun`` makes it.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from embeddings import IDS, OTHERS, WIDTH, agrees, kron, table
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from kronviz.training import train as training

BATCHES = [torch.cat([IDS, IDS.flip(0)]), torch.cat([IDS, IDS]) + 1]
FULL = StateDictOptions(full_state_dict=True)


def small_model(make: Callable[[], nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(make(), nn.Linear(WIDTH, 3))


def train(model: nn.Module, rows: slice) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for batch in BATCHES:
        model(batch[rows]).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected), (list(found), list(expected))
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5)


def whole(model: nn.Module) -> dict[str, Tensor]:
    """All of a sharded model's state, on every rank."""
    return {
        name: tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        for name, tensor in model.state_dict().items()
    }


def steps(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    half = slice(2 * rank, 2 * rank + 2)
    for make in (table, kron):
        alone = small_model(make)
        train(alone, slice(None))
        expected = copy.deepcopy(alone.state_dict())

        data_parallel = DistributedDataParallel(small_model(make))
        train(data_parallel, half)
        same(data_parallel.module.state_dict(), expected)

        for reshard in (True, False):
            sharded = small_model(make)
            fully_shard(sharded[0], mesh=mesh, reshard_after_forward=reshard)
            fully_shard(sharded, mesh=mesh, reshard_after_forward=reshard)
            assert isinstance(sharded[0], FSDPModule)
            train(sharded, half)
            same(whole(sharded), expected)
            # What is kept in evaluation must not outlive a step.
            for _ in range(2):
                sharded.eval()
                with torch.no_grad():
                    found = sharded(OTHERS)
                alone.load_state_dict(whole(sharded))
                torch.testing.assert_close(found, alone(OTHERS), rtol=1e-4, atol=1e-5)
                sharded.train()
                train(sharded, half)

        saved = get_model_state_dict(sharded)
        dcp.save({"model": saved}, checkpoint_id=folder / make.__name__)
        other = small_model(make)
        nn.init.zeros_(other[0].weight)
        fully_shard(other[0], mesh=mesh)
        state = {"model": get_model_state_dict(other)}
        dcp.load(state, checkpoint_id=folder / make.__name__)
        set_model_state_dict(other, state["model"])
        same(whole(other), whole(sharded))
        agrees(copy_of(other, make)[0])

        # Made on meta, as large models are, and filled from rank 0.
        with torch.device("meta"):
            empty = small_model(make)
        fully_shard(empty[0], mesh=mesh)
        empty.to_empty(device="cpu")
        full = get_model_state_dict(sharded, options=FULL)
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        set_model_state_dict(empty, full if rank == 0 else {}, options=options)
        same(whole(empty), whole(sharded))
        torch.testing.assert_close(empty(OTHERS), sharded(OTHERS), rtol=1e-4, atol=1e-5)
    dist.destroy_process_group()


def copy_of(sharded: nn.Module, make: Callable[[], nn.Module]) -> nn.Sequential:
    model = copy.deepcopy(small_model(make))
    model.load_state_dict(whole(sharded))
    return model


def main(folder: Path, data: Path) -> None:
    steps(int(os.environ["RANK"]), folder)
    arguments = ["--config", "smoke", "--arm", "kron", "--data", str(data), "--set", "bf16=false"]
    sys.argv = ["train", *arguments, "--out", str(folder / "two")]
    training.main()
    print("done")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
