"""The package as others install it: what it declares, and what is in the wheel."""

from __future__ import annotations

import ast
import importlib.metadata as metadata
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import kronviz

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {
    name: [Requirement(line) for line in lines]
    for name, lines in PROJECT["optional-dependencies"].items()
}
OPTIONAL = {"triton", "datasets", "spaces", "lm_eval"}
"""Used where they are there: on a GPU, to fetch FineWeb, on ZeroGPU, as the harness’s model."""
DISTRIBUTIONS = {
    "umap": "umap-learn", "tiktoken_ext": "tiktoken", "python_multipart": "python-multipart",
}  # fmt: skip


def declared(*extras: str) -> set[str]:
    found = {requirement.name for requirement in CORE}
    for extra in extras:
        for requirement in EXTRAS[extra]:
            found |= declared(*requirement.extras) if requirement.name == "kronviz" else set()
            found.add(requirement.name)
    return found - {"kronviz"}


def imported(paths: list[Path]) -> set[str]:
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module))
    tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"kronviz"}
    return {DISTRIBUTIONS.get(top, top) for top in tops} - OPTIONAL


def test_what_is_imported_is_declared() -> None:
    package = ROOT / "kronviz"
    assert imported([*package.rglob("*.py"), ROOT / "app.py"]) <= declared("app", "tokenizers")
    core = [*package.glob("encoders/*.py"), *map(package.joinpath, ("embedding.py", "codec.py"))]
    assert imported(core) == declared()
    assert imported(list(package.glob("training/*.py"))) <= declared("train")


def test_the_pins_are_what_is_declared() -> None:
    """requirements.txt is the app's, pinned, and names nothing else."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = {
        pin.name: str(pin.specifier).removeprefix("==")
        for pin in (Requirement(line) for line in lines if line and not line.startswith("#"))
    }
    ranges = {r.name: r for group in (CORE, *EXTRAS.values()) for r in group}
    assert set(pins) <= declared("app")
    for name, version in pins.items():
        assert ranges[name].specifier.contains(version), name
    for name in declared("app"):
        # What is not pinned comes with what is.
        assert ranges[name].specifier.contains(metadata.version(name)), name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as pip asks for it, in a copy of the checkout without its large files."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in listed:
        skipped = name.startswith(("checkpoints/gpt2", "tests/", "assets/screenshots/"))
        if not skipped and (ROOT / name).is_file() and (ROOT / name).stat().st_size < 1_000_000:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).symlink_to(ROOT / name)
    options = {"--build-option": "--compression=stored"}
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r}, {options})"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (made,) = out.glob("kronviz-*.whl")
    return made


def test_what_is_in_the_wheel(wheel: Path) -> None:
    assert wheel.name == f"kronviz-{kronviz.__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "kronviz").rglob("*.py")}
    assert sources <= names
    for name in ("py.typed", "app/assets/kronviz.css", "training/LOG.md", "assets/pairs.jsonl"):
        assert f"kronviz/{name}" in names
    for folder in ("assets/tiktoken", "assets/maps", "checkpoints/tiny"):
        assert any(name.startswith(f"kronviz/{folder}/") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"kronviz"}


ALONE = """
import importlib.util, json
import torch
for name in ("gradio", "plotly", "tiktoken", "safetensors", "scipy", "umap"):
    assert importlib.util.find_spec(name) is None, name
import kronviz, kronviz.codec, kronviz.encoders, kronviz.paths
from kronviz.embedding import KroneckerEmbedding
made = {"model": {"type": "WordPiece", "vocab": {"run": 0, "##ning": 1}}}
json.dump(made, open("tokenizer.json", "w"))
import numba
# Compiling takes longer than all the rest.
embedding = KroneckerEmbedding.from_tokenizer("tokenizer.json", 8, encoder="reference")
embedding(torch.tensor([[0, 1]])).sum().backward()
assert embedding.weight.grad.abs().sum() > 0
torch.testing.assert_close(embedding(torch.tensor([0]))[0], embedding.embed_bytes([b" run"])[0])
assert (kronviz.paths.ASSETS / "pairs.jsonl").is_file()
assert kronviz.paths.CHECKPOINTS.parent.name == "kronviz"
print("embedded by", kronviz.__file__)
"""


def test_an_environment_with_what_is_declared_and_nothing_else(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    for name in needed({requirement.name for requirement in CORE}):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution.locate_file(top))))
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps",
         "--no-index", "--no-compile", "--disable-pip-version-check", str(wheel)],
        check=True,
    )  # fmt: skip
    for command in ("kronviz", "kronviz-probes"):
        said = subprocess.run(
            [python.parent / command], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert (said.returncode, said.stdout) == (2, "")
        assert re.fullmatch(r"This command needs \w+, which .* pip install 'kronviz\[app\]'.*\n",
                            said.stderr)  # fmt: skip
    done = subprocess.run(
        [python, "-c", ALONE], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"embedded by {site}" in done.stdout


def needed(names: set[str]) -> set[str]:
    """Distributions, and what they need in turn, as installed here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for line in metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found
