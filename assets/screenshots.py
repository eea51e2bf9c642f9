"""Pictures of every tab, light and dark, wide and on a phone: ``assets/screenshots/``.

    python assets/screenshots.py [--tabs compare training] [--out FOLDER]
    python assets/screenshots.py --full --out FOLDER    to look at
    python assets/screenshots.py --preview     the picture of a link, kronviz/app/assets/preview.png

Every tab opens with a result. Pictures are small WebP files of the upper part of a page,
as the README shows them; with ``--full``, PNG files of all of it.

Starts the app on a free port and drives headless Chromium (Debian's package ``chromium``).
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PREVIEW = ROOT / "kronviz" / "app" / "assets" / "preview.png"
WIDTHS = {1440: 900, 390: 844}
KEPT_WIDTHS = {1440: 900, 390: 390}
KEPT_HEIGHTS = {1440: 1125, 390: 1460}
QUALITY = 66
VIEWS = (
    """[...document.querySelectorAll("[role=tab][data-tab-id]")].map((tab) => tab.dataset.tabId)"""
)
FILES = {"bytes": "byte-view"}
"""Names of pictures that differ from the view's in links."""
PREVIEW_STYLE = """
.kv-masthead nav, .kv-explained, .kv-examples, #kv-tools, #kv-manner, #kv-beyond, .kv-readings,
.kv-infobox, #kv-bar { display: none !important; }
.kv-masthead h1 { font-size: 30px !important; } .kv-masthead p { font-size: 20px !important; }
#kv-texts textarea { height: 48px !important; min-height: 0 !important; }
.kv-result { gap: 8px !important; } .kv-finding { height: auto !important; }
"""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def serve(port: int) -> subprocess.Popen:
    """Start the app and wait for its first page."""
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port)}
    app = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/").read()
            return app
        except urllib.error.URLError:
            time.sleep(0.1)
    app.terminate()
    raise SystemExit("the app did not start within a minute")


def photograph(browser: Browser, url: str, out: Path, wanted: list[str], *, full: bool) -> None:
    """Take each tab in both modes and at both widths.

    Args:
        wanted: names of tabs, all if empty.
        full: PNG files of the whole page.
    """
    for width, height in WIDTHS.items():
        for mode in ("light", "dark"):
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme=mode,  # type: ignore[arg-type]
                device_scale_factor=2 if width < 500 else 1,
            )
            page.goto(f"{url}/?__theme={mode}", wait_until="load")
            page.wait_for_selector("#kv-first", state="detached")
            for view in page.evaluate(VIEWS):
                name = FILES.get(view, view)
                if wanted and name not in wanted:
                    continue
                page.evaluate("view => window.kronvizViews.open(view)", view)
                if view == "inside":
                    page.locator(".kv-heat-cell").first.wait_for(timeout=60_000)
                settle(page)
                picture = page.screenshot(full_page=True)
                path = out / f"{name}-{mode}-{width}"
                if full:
                    path.with_suffix(".png").write_bytes(picture)
                else:
                    keep(picture, path.with_suffix(".webp"), width)
                print(path.name, flush=True)
            page.close()


def keep(picture: bytes, path: Path, width: int) -> None:
    """Write a picture as the README shows it."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    kept = KEPT_WIDTHS[width]
    image = image.resize((kept, round(image.height * kept / image.width)), Image.Resampling.LANCZOS)
    image = image.crop((0, 0, kept, min(image.height, KEPT_HEIGHTS[width])))
    image.save(path, "WEBP", quality=QUALITY, method=6)


def settle(page: Page) -> None:
    """Until every figure of the open tab is drawn and what follows it has found its place."""
    page.wait_for_timeout(700)
    page.wait_for_function(
        """() => ![...document.querySelectorAll(".kv-plot .empty")]
            .some((waiting) => waiting.checkVisibility())
            && [...document.querySelectorAll(".js-plotly-plot")]
            .filter((plot) => plot.checkVisibility())
            .every((plot) => plot.querySelector(".js-line, .point, .trace") || !plot.data?.some(
                (trace) => trace.x?.length || trace.x?.bdata))""",
        timeout=60_000,
    )
    page.wait_for_timeout(700)


def preview(browser: Browser, url: str, out: Path) -> None:
    """The top of the first tab, as large as readers of links want it."""
    page = browser.new_page(viewport={"width": 1200, "height": 630}, color_scheme="light")
    page.goto(f"{url}/?__theme=light", wait_until="load")
    page.wait_for_selector("#kv-first", state="detached")
    page.add_style_tag(content=PREVIEW_STYLE)
    settle(page)
    page.screenshot(path=out)
    page.close()
    print(out.relative_to(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tabs", nargs="*", default=[])
    parser.add_argument("--preview", action="store_true")
    parser.add_argument("--full", action="store_true", help="PNG files of the whole page")
    parser.add_argument("--url", help="of an app that runs already")
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "screenshots")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("chromium is not installed")
    app, url = None, arguments.url
    if url is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        app, url = serve(port), f"http://127.0.0.1:{port}"
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            if arguments.preview:
                preview(browser, url, PREVIEW)
            else:
                photograph(browser, url, arguments.out, arguments.tabs, full=arguments.full)
            browser.close()
    finally:
        if app is not None:
            app.terminate()
            app.wait()


if __name__ == "__main__":
    main()
