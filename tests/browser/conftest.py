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
from small import draw_quickly

from kronviz.app.context import load_context
from kronviz.app.page import build_app, launch
from kronviz.predictor import Comparison, InputError, Predictor
from kronviz.probes.pairs import load_pairs

SLOW = "slow"
FAILED = pytest.StashKey[bool]()
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --process-per-site"
).split()
"""One process for all pages: to start one takes as long as to open the app in it."""

PERMISSIONS = ["clipboard-read", "clipboard-write"]

FIRST = ("test_keyboard_page", "test_everyone_page")
"""Modules whose tests share a page on which much has been run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try again what failed: a browser on a busy machine misses a deadline now and then.

    Whoever is ready first takes tests over from the end, where those should be that share least.
    """
    here = Path(__file__).parent
    mine = [item for item in items if here in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.flaky(reruns=2))
    others = [item for item in items if here not in item.path.parents]
    items[:] = sorted(mine, key=lambda item: item.path.stem not in FIRST) + others


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """Remember of a test that it failed, for the page that it may have spoilt."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def _missing(what: str) -> None:
    sentence = f"browser tests need {what}; install requirements-dev.txt and Debian's chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


class Unhurried:
    """A predictor that takes its time over texts with “slow” in them, as a busy machine would."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def compare_many(self, texts: list[tuple[str, str, str]]) -> list[Comparison | InputError]:
        self.asked += [typo for _, typo, _ in texts]
        if any(SLOW in typo for _, typo, _ in texts):
            time.sleep(0.8)
        return self._predictor.compare_many(texts)


@pytest.fixture(scope="session")
def unhurried(small_predictor: Predictor) -> Unhurried:
    return Unhurried(small_predictor)


@pytest.fixture(scope="session")
def address(
    pair_folder: Path,
    small_predictor: Predictor,
    unhurried: Unhurried,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    draw_quickly(small_predictor, "bpe", "kron")
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
def browser(address: str) -> Iterator[Any]:
    """A browser, closed before the app, which would wait five seconds for its connections."""
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
    """One browser profile for pages of the same settings.

    A page in a window that is open already takes half as long: the process that draws it is there,
    and scripts are kept compiled.
    """
    return {}


@pytest.fixture(scope="session")
def opened(browser: Any, profiles: dict[str, Any], address: str) -> Callable[..., Any]:
    """Open the app in a new page and wait for its first result."""

    def open_page(
        query: str = "",
        *,
        width: int = 1440,
        height: int = 900,
        script: str | None = None,
        color_scheme: str | None = None,
        **settings: Any,
    ) -> Any:
        key = repr(sorted(settings.items()))
        if key not in profiles:
            profiles[key] = browser.new_context(permissions=PERMISSIONS, **settings)
        page = profiles[key].new_page()
        page.set_viewport_size({"width": width, "height": height})
        if color_scheme is not None:
            page.emulate_media(color_scheme=color_scheme)
        page.set_default_timeout(45_000)
        page.requests, page.errors = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("dialog", lambda dialog: _dismiss(dialog, page.errors))
        if script is not None:
            page.add_init_script(script)
        page.goto(address + query)
        page.wait_for_selector("#kv-first", state="detached")
        page.wait_for_selector(".kv-result", state="attached")
        page.wait_for_function("window.kronviz && window.kronvizGuide")
        return page

    return open_page


@pytest.fixture
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen of our pairs for all 320, where a run's result is not what is looked at."""
    few = dataclasses.replace(load_pairs(), pairs=load_pairs().pairs[:12])
    monkeypatch.setattr("kronviz.app.tabs.robustness.tab.load_pairs", lambda: few)


@pytest.fixture
def visit(opened: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """A page of the test's own: ``visit("?clean=…", width=390)``.

    With ``script``, the page runs that first.
    """
    used: list[Any] = []

    def open_page(*query: str, **settings: Any) -> Any:
        used.append(opened(*query, **settings))
        return used[-1]

    yield open_page
    for page in used:
        page.close()
        page.context.clear_cookies()


@pytest.fixture(scope="session")
def pages() -> dict[tuple[str, str], Any]:
    """The pages that tests of a module share, by the module and what they were opened with."""
    return {}


@pytest.fixture
def stay(
    opened: Callable[..., Any],
    pages: dict[tuple[str, str], Any],
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., Any]]:
    """As `visit`, but the page is opened once a module, which takes more than most tests need.

    Each test finds it as the one before left it, and says itself what it needs of it. A test that
    fails takes its page along. Modules of one ``PAGE`` share theirs. Those of the module before
    are closed when this one's first is open: until then they keep the window.
    """
    module = getattr(request.module, "PAGE", request.module.__name__)
    used: set[tuple[str, str]] = set()

    def open_page(*query: str, **settings: Any) -> Any:
        key = (module, repr((query, sorted(settings.items()))))
        used.add(key)
        if key not in pages:
            pages[key] = opened(*query, **settings)
            for other in [other for other in pages if other[0] != module]:
                pages.pop(other).close()
        page = pages[key]
        page.bring_to_front()
        page.requests.clear()
        page.errors.clear()
        return page

    yield open_page
    if request.node.stash.get(FAILED, False):
        for key in used & pages.keys():
            pages.pop(key).close()
