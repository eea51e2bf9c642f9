"""Compile the Triton kernels for GPUs that need not be there, and print what they take.

    python tests/compile_kernels.py --accesses

Fails if one does not compile or keeps registers in memory. A row a kernel: registers a thread,
bytes of stack (spilled registers) and, with ``--accesses``, the widths of its memory accesses, for
which the machine code is disassembled.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kronviz.encoders import gpu, kernels, owners

TOOL = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
LISTED = ["-sass"] if "--accesses" in sys.argv else []
INTEGERS = dict.fromkeys(("rows", "known", "share", "count", "shift"), "i32")
CONSTANTS = {
    "WIDTH": 768,
    "POS_DIM": 16,
    **dict.fromkeys(("ROWS", "SHORTEST", "LONGEST", "OWN"), 0),
    "STEPS": gpu.AHEAD,
    "COLUMNS": gpu.WIDE,
    "INDEX": tl.int32,
    "PRECISE": tl.float32,
    "CHUNK": gpu.CHUNK,
    "SPAN": gpu.SPAN,
    "CELLS": gpu.CELLS,
    "PIECE": owners.PIECE,
}


def compile_for(kernel: Any, target: int, pointers: dict[str, str], **constants: Any) -> None:
    """Compile a kernel and print a row; exit if it spills."""
    warps = constants.pop("num_warps", 1)
    values = {**CONSTANTS, **constants}
    names = [parameter.name for parameter in kernel.params]
    signature = {
        name: f"*{pointers[name]}" if name in pointers else INTEGERS.get(name, "constexpr")
        for name in names
    }
    made = triton.compile(
        ASTSource(
            kernel,
            signature,
            {(i,): values[name] for i, name in enumerate(names) if name in values},
            {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if name in pointers},
        ),
        target=GPUTarget("cuda", target, 32),
        options={"num_warps": warps},
    )
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        code = subprocess.run(
            [TOOL, "-res-usage", *LISTED, file.name], capture_output=True, text=True
        ).stdout
    registers, stack = (int(re.findall(rf"{name}:(\d+)", code)[-1]) for name in ("REG", "STACK"))
    accesses = Counter(re.findall(r"\b(?:LDG|STG|LDL|STL|LDGSTS)\.[\w.]+", code))
    widths = " ".join(f"{name}×{count}" for name, count in sorted(accesses.items()))
    types = ",".join(sorted(set(pointers.values())))
    print(
        f"sm_{target} {kernel.__name__:<12} {types:<20} REG {registers:<4} STACK {stack} {widths}"
    )
    if stack:
        sys.exit(f"{kernel.__name__} keeps registers in memory")


def main() -> None:
    for number in ("bf16", "fp32"):
        stored = {"ids": "i64", "data": "u8", "offsets": "i32"}
        pairs = number == "bf16"
        rows = {"weight": "i32" if pairs else number, "mean": "fp32", **stored, "out": number}
        forward = {"COLUMNS": gpu.COLUMNS, "BLOCKS": gpu.BLOCKS, "STEPS": gpu.STEPS}
        ngrams = {"POS_DIM": 0, "ROWS": 8192, "SHORTEST": 2, "LONGEST": 4, "OWN": 4096}
        sums = {"sums": "fp32", "places": "i32"}
        sorted_ids = {"order": "i64", "keys": "i16"}
        # The two that need most registers; on an A100 the others need at most 80 of 255.
        for target in (80, 90):
            compile_for(kernels.encode, target, rows, **forward, **ngrams, PAIRS=pairs)
            compile_for(kernels.add_tokens, target, {"grad": number, **sorted_ids, **sums})
        compile_for(kernels.encode, 90, rows, **forward, PAIRS=pairs)
        joined = {"pieces": "fp32", "firsts": "i32", "mean": "fp32", "out": number}
        compile_for(kernels.join_cells, 90, joined, COLUMNS=gpu.NARROW)
    for keys in ("i16", "i32"):
        keyed = {"ids": "i64", "keys": keys, "places": "i32"}
        compile_for(kernels.sort_keys, 90, keyed, PER=gpu.KEYS, num_warps=4)
        compile_for(kernels.join_tokens, 90, {"keys": keys, **sums}, COLUMNS=gpu.NARROW)
    listed = {"owners": "i32", "begins": "i32", "ends": "i32", "gains": "fp64"}
    packed = {"rows": "i32", "factors": "fp32", "pieces": "fp32"}
    compile_for(kernels.add_cells, 90, {**sums, **listed, **packed})


if __name__ == "__main__":
    main()
