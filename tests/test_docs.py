"""The README fits on a page, and no link in the documentation leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_the_readme_fits_on_a_page() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 150


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for link in filter(None, (first or second for first, second in LINK.findall(text))):
            if link.startswith(("http://", "https://")):
                continue
            name, _, anchor = link.partition("#")
            there = (page.parent / name).resolve() if name else page
            assert there.exists(), f"{page.name} links to {link}"
            if anchor:
                assert anchor in anchors(there), f"{page.name} links to {link}"


def test_modules_that_are_named_exist() -> None:
    """``python -m kronviz.…`` and paths of scripts in the documentation."""
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue
        text = page.read_text(encoding="utf-8")
        for module in re.findall(r"python -m (kronviz[\w.]*)", text):
            path = ROOT.joinpath(*module.split("."))
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module
        for script in re.findall(r"python ((?:benchmarks|tests|assets)/\w+\.py)", text):
            assert (ROOT / script).is_file(), script


def test_scripts_run_in_a_fresh_checkout() -> None:
    """Nothing is installed there: a script finds the package itself before it imports it."""
    found = 0
    for script in [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("assets/*.py")]:
        text = script.read_text(encoding="utf-8")
        if first := re.search(r"^(?:from|import) kronviz", text, re.MULTILINE):
            found += 1
            assert "sys.path.insert(0, str(" in text[: first.start()], script
    assert found > 9
