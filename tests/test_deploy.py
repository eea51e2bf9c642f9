"""What goes to a Space and into the image, and who may embed the app."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kronviz.app.server import guard
from kronviz.errors import InputError

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "deploy"))

import space  # noqa: E402


def test_a_dry_run_lists_what_the_space_needs_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "deploy/space.py", "--dry-run"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    *lines, total = done.stdout.splitlines()
    sizes = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in lines}
    assert int(total.split()[0].replace(",", "")) == sum(sizes.values())
    assert {name.partition("/")[0] for name in sizes} == {
        "README.md", "LICENSE", "app.py", "requirements.txt", "kronviz", "assets", "checkpoints",
    }  # fmt: skip
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert shown == [name for name in sizes if "screenshots" in name]
    assert not any(name.endswith(".pyc") for name in sizes)
    for name, size in sizes.items():
        if name not in ("README.md", "requirements.txt"):
            assert size == (ROOT / name).stat().st_size
    refused = subprocess.run(
        [sys.executable, "deploy/space.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "user/name" in refused.stderr


def test_what_is_uploaded_runs_alone(tmp_path: Path) -> None:
    """Code, vocabularies, pairs, maps and checkpoints are found in the staged folder."""
    staged = [name for name, _ in space.stage(tmp_path, gpu=False)]
    for pattern in ("kronviz/**/*.py", "kronviz/**/*.css", "kronviz/**/*.js"):
        found = {str(path.relative_to(ROOT)) for path in ROOT.glob(pattern)}
        tracked = {str(path) for path in space.needed_files()}
        assert found & tracked <= set(staged)
    code = """
from kronviz.checkpoint_files import fingerprints, list_pairs
from kronviz.paths import CHECKPOINTS
from kronviz.probes.pairs import OUR_PAIRS
from kronviz.tokenizer import VOCABULARIES, load_tokenizer
pairs = list_pairs()
assert {"gpt2", "tiny"} <= {pair.name for pair in pairs}
assert not any(pair.problems for pair in pairs)
assert all(fingerprints(pair.path) for pair in pairs)
assert OUR_PAIRS.is_file() and [load_tokenizer(name) for name in VOCABULARIES]
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


def test_the_readme_of_the_space_leads_nowhere_that_is_not_there(tmp_path: Path) -> None:
    space.stage(tmp_path, gpu=False)
    text, whole = (tmp_path / "README.md").read_text(), (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert "kronviz/training/LOG.md" in links
    assert all((tmp_path / link).exists() for link in links)
    # The Space is configured by the lines at its head.
    assert text.split("---")[1] == whole.split("---")[1]
    assert "| Results | all figures" in text


def test_every_asset_that_the_package_names_goes_along() -> None:
    """Into the Space, the image and the wheel."""
    named = set()
    for path in (ROOT / "kronviz").rglob("*.py"):
        named |= set(re.findall(r'ASSETS / "([\w.-]+)"', path.read_text()))
    # The app's style sheets lie within the package.
    named = {f"assets/{name}" for name in named if (ROOT / "assets" / name).exists()}
    assert len(named) > 4
    parts = {part.rstrip("/") for part in space.PARTS}
    for listing in (".dockerignore", "MANIFEST.in", "setup.py"):
        text = (ROOT / listing).read_text()
        assert all(name in text for name in named), listing
    assert named <= parts


def test_the_space_pulls_the_small_torch() -> None:
    pinned = (ROOT / "requirements.txt").read_text()
    small = space.requirements(pinned, gpu=False)
    first, *rest = small.splitlines()
    assert first == "--extra-index-url https://download.pytorch.org/whl/cpu"
    changed = [pair for pair in zip(rest, pinned.splitlines(), strict=True) if len(set(pair)) == 2]
    assert [after for after, _ in changed] == [f"{before}+cpu" for _, before in changed]
    assert len(changed) == 1
    assert space.requirements(pinned, gpu=True) == pinned


def test_the_image_copies_what_exists_and_runs_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    steps = [line.split() for line in lines if line[:1].isalpha()]
    verbs = [step[0] for step in steps]
    copied = {name for step in steps if step[0] == "COPY" for name in step[1:-1]}
    assert copied >= {"requirements.txt", "app.py", "kronviz", "assets", "checkpoints"}
    assert all((ROOT / name).exists() for name in copied)
    assert "pip install --no-cache-dir -r requirements.txt" in "\n".join(lines)
    assert verbs.index("USER") < verbs.index("CMD")
    assert steps[verbs.index("USER")] == ["USER", "kronviz"]
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert allowed[0] == "*"
    sent = {line[1:].partition("/")[0] for line in allowed if line.startswith("!")}
    assert sent == copied


def test_who_may_embed_the_app_is_a_setting() -> None:
    assert guard.frame_ancestors({}) == "'self' https://huggingface.co"
    for given in (
        "https://example.org http://localhost:8000",
        "'none'",
        "https://*.example.org",
        "*",
    ):
        assert guard.frame_ancestors({guard.FRAME_ANCESTORS: f" {given} "}) == given
    for wrong in ("example org;", "https://a; script-src *", "javascript:x", "{nonce}", "a\nb"):
        with pytest.raises(InputError, match="KRONVIZ_FRAME_ANCESTORS"):
            guard.frame_ancestors({guard.FRAME_ANCESTORS: wrong})
