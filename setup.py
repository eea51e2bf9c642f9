"""Build kronviz with its assets and checkpoints inside the package; pyproject.toml has the rest."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
FOLDERS = ("assets/tiktoken", "assets/maps", "assets/studies", "checkpoints")
FILES = (
    "assets/pairs.jsonl",
    "assets/passages.txt",
    "assets/published_robustness.csv",
    "assets/times.json",
)


class BuildWithAssets(build_py):
    """Copies what stands beside the package in a checkout; an editable install finds it there."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib) / "kronviz"
        for name in FOLDERS:
            shutil.copytree(ROOT / name, package / name, dirs_exist_ok=True)
        for name in FILES:
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, package / name)


setup(cmdclass={"build_py": BuildWithAssets})
