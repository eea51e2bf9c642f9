"""Which private names of Gradio the app uses; after an upgrade, which of them have changed."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import gradio

from kronviz.app.server.gradio_internals import PASSES, PRIVATE

APP = Path(__file__).parent.parent / "kronviz" / "app"
PUBLIC = {"gradio.themes"}
DOCUMENTED = {"launch", "queue", "close", "local_url"}
"""Attributes of an app that Gradio's documentation names."""
MOST = 15


def test_gradio_still_has() -> None:
    for name in PRIVATE:
        parts = name.split(".")
        for end in range(len(parts), 0, -1):
            try:
                found = importlib.import_module(".".join(parts[:end]))
            except ModuleNotFoundError:
                continue
            break
        for part in parts[end:]:
            if not hasattr(found, part):
                assert inspect.isclass(found), f"Gradio {gradio.__version__} has no {name}"
                source = inspect.getsource(found)
                assert f"self.{part}" in source, f"Gradio {gradio.__version__} has no {name}"
                break
            found = getattr(found, part)


def test_this_version_is_one_that_passes() -> None:
    assert gradio.__version__ in PASSES


def test_every_private_name_is_listed() -> None:
    """Imports of Gradio's modules, and attributes of an app, of its queue and of what waits there.

    And whatever begins with an underscore and is not our own.
    """
    assert len(PRIVATE) <= MOST
    listed = {part for name in PRIVATE for part in name.split(".")} | {"get"}
    ours = {"_asdict", "_replace", "_fields"}
    for path in APP.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {
            node.attr if isinstance(node, ast.Attribute) else node.name
            for node in ast.walk(tree)
            if (isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "cls"))
            or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gradio"):
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    assert node.module in PUBLIC or any(
                        known == name or known.startswith(f"{name}.") for known in PRIVATE
                    ), f"{path.name} uses {name}, which is not in PRIVATE"
            elif isinstance(node, ast.keyword):
                assert not (node.arg or "").startswith("_"), f"{path.name} gives {node.arg}"
            elif isinstance(node, ast.Attribute) and _of_gradio(ast.unparse(node.value)):
                name = node.attr
                assert name in listed | DOCUMENTED or name.startswith(("kronviz_", "__")), (
                    f"{path.name} uses .{name}"
                )
            elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                private = not node.attr.startswith("__") and node.attr not in own | ours
                assert not private or node.attr in listed, f"{path.name} uses .{node.attr}"


def _of_gradio(receiver: str) -> bool:
    """Whether an expression is an app, or part of one, by what such things are called here."""
    first = receiver.removeprefix("self.").split(".")[0].split("[")[0]
    return first in ("app", "_blocks", "blocks", "event") and ".server" not in receiver
