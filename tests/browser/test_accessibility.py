"""axe finds no serious fault on the tabs named here, in either theme, on a desk or on a phone."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from kronviz.ui.layout import TABS

CHECKED = {"compare", "training"}
CASES = [("light", 1440), ("dark", 1440), ("light", 390)]


@pytest.fixture(scope="session")
def axe() -> str:
    package = pytest.importorskip(
        "axe_playwright_python", reason="axe-playwright-python is missing"
    )
    return (resources.files(package) / "axe.min.js").read_text()


@pytest.mark.parametrize(("scheme", "width"), CASES)
def test_no_serious_fault(visit: Callable[..., Any], axe: str, scheme: str, width: int) -> None:
    page = visit(color_scheme=scheme, width=width)
    page.evaluate(axe)
    faults = []
    for tab in (tab for tab in TABS if tab.name in CHECKED):
        page.get_by_role("tab", name=tab.title, exact=True).click()
        if tab.name == "training":
            page.wait_for_function("document.querySelectorAll('.kv-plot .main-svg').length >= 3")
        page.wait_for_timeout(1500)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        faults += [
            f"{tab.name}: {violation['id']}: {node['html'][:120]}"
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]
    assert faults == []
