"""A real browser on the real app, over small random models.

Skipped with a clear line where no browser is installed; where ``CI=true`` a missing one fails.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kronviz.predictor import Comparison, InputError, Predictor
from kronviz.ui.context import load_context
from kronviz.ui.layout import build_app, launch

SLOW = "slow"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
).split()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try again what failed: a browser on a busy machine misses a deadline now and then."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=2))


def _missing(what: str) -> None:
    sentence = f"browser tests need {what}; install requirements-dev.txt and Debian's chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


class Unhurried:
    """A predictor that takes its time over texts with «slow» in them, as a busy machine would."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def compare_many(self, texts: list[tuple[str, str]]) -> list[Comparison | InputError]:
        self.asked += [typo for _, typo in texts]
        if any(SLOW in typo for _, typo in texts):
            time.sleep(1.5)
        return self._predictor.compare_many(texts)


@pytest.fixture(scope="session")
def unhurried(small_predictor: Predictor) -> Unhurried:
    return Unhurried(small_predictor)


@pytest.fixture(scope="session")
def address(
    pair_folder: Path, unhurried: Unhurried, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    root = tmp_path_factory.mktemp("pairs")
    shutil.copytree(pair_folder, root / "toy")
    for arm, drift in (("bpe", 0.02), ("kron", 0.001)):
        lines = [
            f'{{"step": {step}, "tokens": {step * 4096}, "seconds": {step * 0.5}, "lr": 0.001, '
            f'"train_loss": {6 / step**0.1:.4f}, "norm": {40 + drift * step}, '
            f'"val_loss": {6 / step**0.1 + drift:.4f}}}'
            for step in range(1, 40)
        ]
        (root / "toy" / arm / "log.jsonl").write_text("\n".join(lines))
    context = dataclasses.replace(
        load_context(root),
        predictors={"toy": unhurried},  # type: ignore[dict-item]
    )
    app = build_app(context)
    _, url, _ = launch(app, prevent_thread_lock=True, quiet=True)
    yield url
    app.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("the package playwright")
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        _missing("Chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield running
        running.close()


def _dismiss(dialog: Any, errors: list[str]) -> None:
    errors.append(f"dialog {dialog.message}")
    dialog.dismiss()


@pytest.fixture(scope="session")
def profiles(browser: Any) -> dict[str, Any]:
    """One browser profile for pages of the same settings, so that scripts are kept compiled."""
    return {}


@pytest.fixture
def visit(browser: Any, profiles: dict[str, Any], address: str) -> Iterator[Callable[..., Any]]:
    """Open the app and wait for its first result: ``visit("?clean=…", width=390)``.

    With ``script``, the page runs that first.
    """
    used: list[tuple[Any, Any]] = []

    def open_page(
        query: str = "",
        *,
        width: int = 1440,
        height: int = 900,
        script: str | None = None,
        **settings: Any,
    ) -> Any:
        key = repr(sorted(settings.items()))
        if key not in profiles:
            profiles[key] = browser.new_context(**settings)
        page = profiles[key].new_page()
        used.append((profiles[key], page))
        page.set_viewport_size({"width": width, "height": height})
        page.set_default_timeout(45_000)
        page.requests, page.errors = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("dialog", lambda dialog: _dismiss(dialog, page.errors))
        if script is not None:
            page.add_init_script(script)
        page.goto(address + query)
        page.wait_for_selector(".kv-result", state="attached")
        page.wait_for_function("window.kronviz && window.kronvizGuide")
        return page

    yield open_page
    for profile, page in used:
        page.close()
        profile.clear_cookies()
