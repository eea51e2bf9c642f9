"""Train one arm on a CPU, on one GPU, or on several through ``torchrun``.

    python -m kronviz.training.train --config tiny --data data/tiny --out runs/tiny
    python -m kronviz.training.train --config tiny --arm kron --data data/tiny --out runs/tiny/kron

Without ``--arm``, bpe and kron are trained, each in a folder with its name.

Notable:

- A killed run resumes where it stopped and, on a CPU, gives the same losses to the last digit: a
  step's batch depends only on its number, and model, optimizers and log are saved together.
- `training.runs` describes a run's folder.
- The log is JSON Lines: ``step, tokens, seconds, train_loss, lr, norm`` and sometimes
  ``val_loss``; losses in nats per token, ``norm`` the Frobenius norm of table or projection.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from tqdm import tqdm

from kronviz import cli
from kronviz.arms import ARMS, Counts
from kronviz.checkpoint_files import LOG, PAIR
from kronviz.errors import InputError
from kronviz.model import GPT, padded_vocabulary
from kronviz.tokenizer import load_tokenizer
from kronviz.training.configs import TrainConfig
from kronviz.training.data import TokenFiles, run_config, split
from kronviz.training.runs import (
    FOLDED,
    RUN,
    STATE,
    check_same_run,
    load_weights,
    read_run,
    read_state,
)
from kronviz.training.sampled import sampled_cross_entropy


class Trainer:
    """Trains one arm; `run` is the loop.

    Args:
        config: the run.
        arm: a name in `arms.ARMS`.
        data: folder of token files.
        out: folder for the configuration, the state and the log; an existing state is resumed.

    Raises:
        InputError: the token files or the configuration cannot be used, or ``out`` holds a run of
            another configuration.
    """

    def __init__(self, config: TrainConfig, arm: str, data: Path, out: Path):
        check_same_run(out, config, arm)
        self.files, self.out = TokenFiles(data, config), out
        self.start(config, arm)
        self.out.mkdir(parents=True, exist_ok=True)
        if self.rank == 0:
            about = {"arm": arm, "data": str(data), "config": dataclasses.asdict(config)}
            # Replaced as a whole, because the run's other processes read it at the same time.
            partial = self.out / f"{RUN}.partial"
            partial.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
            partial.replace(self.out / RUN)
        if (self.out / STATE).exists():
            self._resume()

    def start(self, config: TrainConfig, arm: str) -> None:
        """Make the model and its optimizers, at step 0."""
        self.config, self.arm = config, arm
        self.rank, self.world = _join_world()
        self.device = _device(self.rank)
        self._fast_bfloat16 = self.device.type != "cpu" or has_fast_bfloat16()
        if config.batch_size % (self.world * config.micro_batch):
            raise InputError(
                f"batch_size is {config.batch_size}; it must be a multiple of {self.world} "
                f"processes × micro_batch, {config.micro_batch}."
            )
        torch.manual_seed(config.seed)
        torch.set_float32_matmul_precision("high")
        self.model = GPT(config.model(arm), self._counts()).to(self.device)
        if config.init_std:
            with torch.no_grad():
                weight = self.model.input_weight()
                weight *= config.init_std / weight.std()
        self.optimizers = _optimizers(self.model, config)
        if config.compile and self.device.type == "cuda":
            self.model.compile_training()
        self.step, self.seconds = 0, 0.0
        self._ready: tuple[int, NDArray[np.int64]] | None = None

    def _counts(self) -> Counts | None:
        """Count the ids of the training text, if the arm needs that for training."""
        if not ARMS[self.arm].counted:
            return None
        tokenizer = load_tokenizer(self.config.vocabulary)
        return self.files.counts(len(padded_vocabulary(tokenizer)))

    def run(self, stop_at: int | None = None) -> None:
        """Train to the last step, or until ``stop_at`` steps are done, and save."""
        config = self.config
        last = min(stop_at or config.steps, config.steps)
        bar = tqdm(total=last, initial=self.step, desc=self.arm, disable=self.rank > 0)
        started = time.perf_counter() - self.seconds
        while self.step < last:
            rate = learning_rate(config, self.step)
            train_loss = self.optimize(rate)
            self.step += 1
            done = self.step == config.steps
            record = {
                "step": self.step,
                "tokens": self.step * config.tokens_per_step,
                "train_loss": train_loss,
                "lr": rate * config.adam_lr,
                "norm": self.model.input_weight().detach().norm().item(),
            }
            self.seconds = time.perf_counter() - started
            if done or self.step % config.eval_every == 0:
                # Validation does not count as training time.
                before = time.perf_counter()
                record["val_loss"] = self.evaluate()
                started += time.perf_counter() - before
            self._log({**record, "seconds": round(self.seconds, 3)})
            if self.step == last or self.step % config.save_every == 0:
                self._save()
            bar.set_postfix(loss=f"{train_loss:.3f}", refresh=False)
            bar.update()
        bar.close()

    @torch.no_grad()
    def evaluate(self) -> float:
        """Return the mean validation loss in nats per token, over the configuration's sequences."""
        rows = self.files.val_rows(self.config.eval_sequences)[self.rank :: self.world]
        total = torch.zeros(2, dtype=torch.float64)
        for start in range(0, len(rows), self.config.micro_batch):
            part = rows[start : start + self.config.micro_batch]
            # Compiling again for passes without gradients would take longer than the passes.
            with self._precision(), torch.compiler.set_stance("force_eager"):
                loss = self.model.loss(*split(part, self.device))
            total += torch.tensor([loss.double().item() * len(part), len(part)])
        if self.world > 1:
            dist.all_reduce(total := total.to(self.device))
        return (total[0] / total[1]).item()

    def rows(self, step: int) -> NDArray[np.int64]:
        """Return the rows of a step, over all processes: ``(batch_size, n_ctx + 1)``."""
        return self.files.rows(step)

    def optimize(self, rate: float) -> float:
        """Take one step at ``rate`` times the peak learning rates; return its mean loss in nats."""
        config = self.config
        rows = self._rows_of(self.step)[self.rank :: self.world]
        parts = len(rows) // config.micro_batch
        total = torch.zeros((), device=self.device)
        # Copied at once: a copy between two parts would wait for the first part's kernels.
        ids, targets = split(rows, self.device)
        for part in zip(ids.chunk(parts), targets.chunk(parts), strict=True):
            with self._precision():
                loss = self.loss(*part)
            (loss / parts).backward()
            total += loss.detach() / parts
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        if self.world > 1:
            for tensor in [total, *(p.grad for p in parameters if p.grad is not None)]:
                dist.all_reduce(tensor)
                tensor /= self.world
        nn.utils.clip_grad_norm_(parameters, config.grad_clip)
        with nullcontext() if self._fast_bfloat16 else _Float32():
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak_lr"] * rate
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        # The GPU is still busy here, so gather what it reads next.
        self._rows_of(self.step + 1)
        return total.item()

    def _rows_of(self, step: int) -> NDArray[np.int64]:
        if self._ready is None or self._ready[0] != step:
            self._ready = step, self.rows(step)
        return self._ready[1]

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Return the training loss: the mean cross-entropy in nats, or its estimate (`sampled`)."""
        config = self.config
        if not config.scored or self.step >= config.steps * (1 - config.exact):
            return self.model.loss(ids, targets)
        return sampled_cross_entropy(
            self.model.final_states(ids).flatten(0, 1),
            self.model.lm_head.weight,
            targets.flatten(),
            config.frequent,
            config.scored,
            seed=config.seed * 1_000_003 + self.step,
        )

    def _precision(self) -> AbstractContextManager:
        enabled = self.config.bf16 and self._fast_bfloat16
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _log(self, record: dict) -> None:
        if self.rank == 0:
            with (self.out / LOG).open("a") as file:
                file.write(json.dumps(record) + "\n")

    def _save(self) -> None:
        if self.rank > 0:
            return
        tensors: dict[str, Tensor] = {}
        for name, p in self.model.named_parameters():
            tensors[f"model.{name}"] = p
        names = {id(p): name for name, p in self.model.named_parameters()}
        for optimizer in self.optimizers:
            for parameter, state in optimizer.state.items():
                for key, value in state.items():
                    tensors[f"optimizer.{key}.{names[id(parameter)]}"] = torch.as_tensor(value)
        folded = getattr(self.model.wte, "folded", None)
        if folded is not None:
            tensors[FOLDED] = folded()
        about = {
            "step": str(self.step),
            "seconds": repr(self.seconds),
            "config": json.dumps(dataclasses.asdict(self.config)),
        }
        partial = self.out / f"{STATE}.partial"
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            partial,
            metadata=about,
        )
        partial.replace(self.out / STATE)

    def _resume(self) -> None:
        about, tensors = read_state(self.out)
        self.step, self.seconds = int(about["step"]), float(about["seconds"])
        load_weights(self.model, tensors)
        parameters = dict(self.model.named_parameters())
        owner = {
            id(p): optimizer
            for optimizer in self.optimizers
            for group in optimizer.param_groups
            for p in group["params"]
        }
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                key, _, parameter_name = rest.partition(".")
                parameter = parameters[parameter_name]
                # AdamW keeps its step count on the CPU whatever device the parameters are on.
                place = tensor if key == "step" else tensor.to(parameter.device)
                owner[id(parameter)].state[parameter][key] = place
        # Lines that were logged after the state was saved will be logged again.
        if self.rank == 0 and (self.out / LOG).exists():
            lines = (self.out / LOG).read_text(encoding="utf-8").split("\n")[: self.step]
            (self.out / LOG).write_text("".join(line + "\n" for line in lines))


class _Float32(TorchFunctionMode):
    """Make Muon orthogonalise in float32 instead of bfloat16."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.bfloat16:
            return args[0].float()
        return func(*args, **(kwargs or {}))


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate at a step (from 0) as a share of the peak rate."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    progress = (step - config.warmup) / max(config.steps - config.warmup, 1)
    if config.schedule == "cosine":
        return 0.1 + 0.45 * (1 + math.cos(math.pi * progress))
    return min(1.0, (1 - progress) / config.decay)


def has_fast_bfloat16() -> bool:
    """Return whether this CPU multiplies in bfloat16 faster than in float32.

    Without AVX-512 bfloat16 is emulated and takes fifty times as long.
    """
    return torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "AVX2")


def _optimizers(model: GPT, config: TrainConfig) -> list[torch.optim.Optimizer]:
    matrices = {
        name: p for name, p in model.blocks.named_parameters(prefix="blocks") if p.dim() == 2
    }
    use_muon = config.optimizer == "muon"
    rest = [p for name, p in model.named_parameters() if not (use_muon and name in matrices)]
    tied = model.input_weight() is model.lm_head.weight
    inputs = set() if tied else {id(p) for p in model.wte.parameters()}
    groups = [
        {
            "params": [p for p in rest if (p.dim() == 2) is matrix and (id(p) in inputs) is own],
            "weight_decay": config.weight_decay if matrix else 0.0,
            "lr": config.adam_lr * (config.input_rate if own else 1.0),
        }
        for own in (False, True)
        for matrix in (True, False)
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [group for group in groups if group["params"]],
            betas=(0.9, 0.95),
            fused=True,
        )
    ]
    if use_muon:
        optimizers.append(
            torch.optim.Muon(
                list(matrices.values()),
                lr=config.muon_lr,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def _join_world() -> tuple[int, int]:
    if "WORLD_SIZE" not in os.environ:
        return 0, 1
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return dist.get_rank(), dist.get_world_size()


def _device(rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank)))
    torch.cuda.set_device(device)
    return device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", help="a name of configs.py or a JSON file; to begin a run")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--arm", choices=ARMS, help="default: bpe and kron")
    parser.add_argument("--data", type=Path, help="folder of token files; to begin a run")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--stop-at", type=int, help="stop and save after this many steps")
    arguments = parser.parse_args()
    out: Path = arguments.out
    cli.check_output_folder(out)
    there = (out / RUN).is_file()
    folders = {arm: out / arm for arm in PAIR}
    if arguments.arm or there:
        folders = {arguments.arm or read_run(out).arm: out}
    for arm, folder in folders.items():
        Trainer(*_asked(arguments, arm, folder), folder).run(arguments.stop_at)
    if dist.is_initialized():
        dist.destroy_process_group()


def _asked(arguments: argparse.Namespace, arm: str, folder: Path) -> tuple[TrainConfig, str, Path]:
    """Return configuration, arm and token files, from the arguments or from an existing run."""
    if arguments.config and arguments.data:
        return run_config(arguments.config, arguments.set, arguments.data), arm, arguments.data
    if arguments.config or arguments.set or not (folder / RUN).is_file():
        raise InputError("A run begins with --config and --data.")
    run = read_run(folder)
    return run.config, arm, arguments.data or run.data


if __name__ == "__main__":
    cli.run(main)
