"""The laws of the house: imports go down, never up, and never in a circle."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Floor by floor, from the ground up; a part may import only what stands before it.
HOUSE = [
    floor.split()
    for floor in (
        "errors results lines progress cli paths codec tokenizer vocabulary metrics typos "
        "differences published families morphology",
        "ngrams encoders row_sums embedding arms",
        "model_config model checkpoint_files checkpoint graphs prefixes scoring passages",
        "predictor strings settings generation serving",
        "accounting maps probes",
        "figures",
        "app",
    )
]
TRAINING = 2
"""The highest floor that the training wing may import from."""
FLOORS = {part: floor for floor, parts in enumerate(HOUSE) for part in parts}
ORDER = [part for parts in HOUSE for part in parts]
GROW = {"KVCache", "_Group", "_Waiting", "Runs"}
"""Classes that are filled step by step, and never shared."""
HEAVY = {"gradio": {"app"}, "plotly": {"figures", "app"}, "umap": {"maps"}}


def modules() -> list[Path]:
    return sorted((ROOT / "kronviz").rglob("*.py"))


def part(path: Path) -> str:
    return path.relative_to(ROOT / "kronviz").parts[0].removesuffix(".py")


@functools.cache
def imports(path: Path) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def test_imports_go_down() -> None:
    for path in modules():
        here = part(path)
        if here == "__init__":
            continue
        assert here in ORDER or here == "training", f"{here} has no floor"
        for name in imports(path):
            top, _, rest = name.partition(".")
            there = rest.split(".")[0]
            if top == "kronviz" and rest and there != here and here != "training":
                above = f"{path.name} ({here}) imports {there}, which does not stand below it"
                assert there in ORDER[: ORDER.index(here)], above
            elif top in HEAVY:
                assert here in HEAVY[top], f"{path.name} imports {top}"


def test_what_visitors_share_cannot_be_changed() -> None:
    """Results and settings are kept and handed to many pages: their classes are frozen."""
    changeable = {
        node.name
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for decorator in map(ast.unparse, node.decorator_list)
        if decorator.startswith("dataclass") and "frozen=True" not in decorator
    }
    assert changeable == GROW


def test_training_needs_nothing_of_the_app() -> None:
    for path in (ROOT / "kronviz" / "training").glob("*.py"):
        for name in imports(path):
            if name.startswith("kronviz."):
                there = name.split(".")[1]
                assert there == "training" or FLOORS[there] <= TRAINING, (
                    f"{path.name} imports {there}"
                )


def test_training_and_passages_run_where_the_app_cannot() -> None:
    blocked = "gradio plotly umap pydantic pandas numba".split()
    code = f"""
import sys
for name in {blocked!r}:
    sys.modules[name] = None
import kronviz.passages, kronviz.training.pair, kronviz.training.evaluate
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


APP = ROOT / "kronviz" / "app"


def test_the_app_is_held_together_by_few_imports() -> None:
    """Counted: pairs of a file and what it imports from another folder but the components' face."""
    face, tabs, across = APP / "components" / "__init__.py", APP / "tabs", set()
    for path in APP.rglob("*.py"):
        for name in imports(path):
            there = source_of(name) or source_of(name.rpartition(".")[0])
            if (
                not there
                or APP not in there.parents
                or path.parent == there.parent
                or there == face
            ):
                continue
            if there.parent == face.parent:
                assert there.stem == name.rpartition(".")[2], f"{path}: import it from the face"
                continue
            assert tabs not in path.parents or tabs not in there.parents, f"{path} imports {there}"
            across.add((path, there))
    assert len(across) <= 60, f"{len(across)} imports across the folders of the app"


def source_of(module: str) -> Path | None:
    """The file of a module of the project."""
    path = ROOT.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def test_no_circles() -> None:
    graph = {}
    for path in modules():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        graph[name] = path
    edges = {}
    for name, path in graph.items():
        edges[name] = {
            target
            for found in imports(path)
            for target in (found, found.rpartition(".")[0])
            if target in graph and target != name and target != "kronviz"
        }
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert state.get(name) != 1, f"import circle: {' → '.join((*trail, name))}"
        if state.get(name) == 2:
            return
        state[name] = 1
        for target in edges[name]:
            # A package's own __init__ re-exports its parts; that is not a circle of meaning.
            if not name.startswith(target + "."):
                visit(target, (*trail, name))
        state[name] = 2

    for name in graph:
        visit(name, ())
