"""Change the code a little, many times over, and see whether a test notices: a mutation score.

    python tests/mutants.py                     a sample of every part
    python tests/mutants.py metrics --count 60  more of one part
    python tests/mutants.py typos --seed 7      another sample of one part
    python tests/mutants.py codec --all         every mutant of one part

The mutants are those of `cosmic-ray`; each is tried by the tests that cover its file, in a process
forked from one that has the libraries loaded, so that a mutant costs seconds. Left out are mutants
of annotations, which nothing evaluates, of decorators of classes, which `test_architecture` reads,
and of ``strict`` in ``zip``, which only speaks where other code is wrong. What survives is printed
as a difference.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import importlib.abc
import importlib.util
import os
import random
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cosmic_ray.plugins  # noqa: E402
import pytest  # noqa: E402
from cosmic_ray.ast import ast_nodes, get_ast  # noqa: E402
from cosmic_ray.mutating import mutate_code  # noqa: E402

TESTS = {
    "metrics.py": "metrics robustness",
    "codec.py": "codec",
    "generation.py": "generation",
    "typos/": "typos",
    "typos/noise.py": "passages",
    "probes/alignment.py": "recovery",
    "probes/answers.py": "robustness",
    "probes/byteview.py": "byteview",
    "probes/collisions.py": "collisions",
    "probes/continuation.py": "passages",
    "probes/cross_model/": "cross_model token_lists vector_tables gguf",
    "probes/echo.py": "echo",
    "probes/editwalk.py": "editwalk",
    "probes/inside/": "inside",
    "probes/intervals.py": "robustness inside cross_model",
    "probes/layer_words.py": "layers",
    "probes/layers.py": "layers",
    "probes/method.py": "tab_about",
    "probes/minimal_pairs.py": "minimal_pairs",
    "probes/outcomes.py": "robustness",
    "probes/pairs.py": "pairs",
    "probes/paper.py": "paper",
    "probes/rarity.py": "probe_training",
    "probes/recovery.py": "recovery",
    "probes/robustness.py": "robustness",
    "probes/seeds.py": "probe_training",
    "probes/sensitivity.py": "recovery",
    "probes/stringpair.py": "stringpair",
    "probes/study.py": "study",
    "probes/sweep.py": "robustness",
    "probes/training.py": "probe_training third_arm",
}
"""Files or folders of the package, and the tests that cover them; a later line wins."""
PARTS = ("metrics.py", "codec.py", "generation.py", "typos/", "probes/")
LIBRARIES = (
    "torch numpy scipy.stats scipy.special sklearn.neighbors hypothesis safetensors.torch tiktoken "
    "regex plotly.graph_objects pandas gradio tokenizers gguf numba kronecker_embeddings"
).split()
"""Loaded before the first fork; nothing of the package is."""
LIMIT_S = 240
"""After which a mutant that never ends counts as noticed."""
LIMIT_BYTES = 4 * 2**30
"""Memory in bytes beyond which a mutant counts as noticed."""

Mutant = tuple[Path, str, str]


def files(part: str) -> dict[Path, list[str]]:
    """Each file of a part with the paths of its tests."""
    found = {}
    for place, names in TESTS.items():
        if not place.startswith(part.removesuffix("/")):
            continue
        path = ROOT / "kronviz" / place
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            tests = [str(ROOT / "tests" / f"test_{name}.py") for name in names.split()]
            found[file] = tests
    return found


def left_out(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations, decorators of classes and ``strict`` stand: pairs of a line and a column.

    `test_architecture` reads from the source itself which classes are frozen.
    """
    parts: list[ast.AST | None] = []
    for node in ast.walk(ast.parse(source)):
        parts += [getattr(node, name, None) for name in ("annotation", "returns")]
        parts += node.decorator_list if isinstance(node, ast.ClassDef) else []
        parts += [node.value] if isinstance(node, ast.keyword) and node.arg == "strict" else []
    return [
        ((part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset))
        for part in parts
        if isinstance(part, ast.expr)
    ]  # type: ignore[misc]


def mutants(path: Path) -> Iterator[Mutant]:
    """Yield the operator, its place and the changed source of each mutant of a file."""
    source = path.read_text(encoding="utf-8")
    tree, spans = get_ast(source), left_out(source)
    for name in sorted(cosmic_ray.plugins.operator_names()):
        kind = cosmic_ray.plugins.get_operator(name)
        if kind.arguments():
            continue
        operator = kind()
        places = [at for node in ast_nodes(tree) for at, _ in operator.mutation_positions(node)]
        for occurrence, at in enumerate(places):
            if not any(start <= tuple(at) < end for start, end in spans):
                yield path, name, str(occurrence)


def changed(mutant: Mutant) -> str | None:
    path, name, occurrence = mutant
    operator = cosmic_ray.plugins.get_operator(name)()
    return mutate_code(path.read_text(encoding="utf-8"), operator, int(occurrence))


class Changed(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Loads one module of the package from a changed source."""

    def __init__(self, path: Path, source: str):
        self._path, self._source = path, source
        parts = path.relative_to(ROOT).with_suffix("").parts
        self._name = ".".join(parts).removesuffix(".__init__")

    def find_spec(self, name: str, path: object = None, target: object = None):
        if name != self._name:
            return None
        where = [str(self._path.parent)] if self._path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            name, self._path, loader=self, submodule_search_locations=where
        )

    def get_filename(self, name: str) -> str:
        return str(self._path)

    def get_data(self, path: str | bytes) -> bytes:
        return self._source.encode()


def survives(path: Path, source: str, tests: list[str]) -> bool:
    """Run the tests over a changed source, in a child of this process."""
    child = os.fork()
    if not child:
        signal.alarm(LIMIT_S)
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        sys.meta_path.insert(0, Changed(path, source))
        options = "-x -q -n0 -p no:cacheprovider -o addopts= --hypothesis-seed=0".split()
        os._exit(int(pytest.main([*options, f"--rootdir={ROOT}", *tests])))
    return os.waitpid(child, 0)[1] == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", default=PARTS, help="paths below kronviz/")
    parser.add_argument("--count", type=int, default=30, help="mutants of each part")
    parser.add_argument("--all", action="store_true", help="every mutant")
    parser.add_argument("--seed", type=int, default=1, help="which mutants are drawn")
    asked = parser.parse_args()
    for name in LIBRARIES:
        importlib.import_module(name)
    os.chdir(ROOT)
    for part in asked.parts:
        tests_of = files(part)
        for path, tests in tests_of.items():
            if not survives(path, path.read_text(encoding="utf-8"), tests):
                sys.exit(f"{path.name}: its tests fail without any change.")
            if part == "probes/":
                break
        every = [mutant for path in tests_of for mutant in mutants(path)]
        drawn = every
        if not asked.all and len(every) > asked.count:
            drawn = random.Random(asked.seed).sample(every, asked.count)
        left = 0
        for number, mutant in enumerate(drawn, 1):
            path, name, _ = mutant
            source = changed(mutant)
            if source is None or not survives(path, source, tests_of[path]):
                continue
            left += 1
            before = path.read_text(encoding="utf-8").splitlines()
            print(f"survived ({number} of {len(drawn)}): {path.relative_to(ROOT)} {name}")
            for line in difflib.unified_diff(before, source.splitlines(), lineterm="", n=0):
                if line[:1] in "+-@" and line[:3] not in ("+++", "---"):
                    print("   ", line)
            sys.stdout.flush()
        share = left / max(len(drawn), 1)
        print(f"{part:<14} {len(drawn)} of {len(every)} mutants, {left} survived: {share:.0%}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
