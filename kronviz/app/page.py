"""The page around the tabs, and how it is served.

Notable:

- A view is one file with ``build(context)``; `GROUPS` is the only list of them.
- Nothing is requested from other machines: fonts are local and analytics are off. Besides Gradio's
  own files and the icon, only the maps are served, from memory.
- Every request passes the `guard` first.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import re
import signal
import sys
import threading
from dataclasses import replace
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from kronviz.app import theme
from kronviz.app.components import (
    Markup,
    alert,
    amount,
    any_text,
    arm_name,
    declare,
    element,
    html_part,
    join,
    tell_ignored,
)
from kronviz.app.context import Context, warm
from kronviz.app.explain import explained
from kronviz.app.guide import STEPS, guide
from kronviz.app.navigation import Group, View, bar, skip_link, views
from kronviz.app.server import address, uploads
from kronviz.app.server import link_preview as preview
from kronviz.app.server import mcp as agents
from kronviz.app.server.compression import Compression
from kronviz.app.server.connections import impatient
from kronviz.app.server.guard import Guard
from kronviz.app.server.queueing import CAPACITY, watch
from kronviz.app.tabs.about import tab as about
from kronviz.app.tabs.arms import tab as arms
from kronviz.app.tabs.bytes import tab as encode
from kronviz.app.tabs.compare import tab as compare
from kronviz.app.tabs.cost import tab as cost
from kronviz.app.tabs.generate import tab as generate
from kronviz.app.tabs.inside import pairs as inside_pairs
from kronviz.app.tabs.inside import tab as inside
from kronviz.app.tabs.layers import tab as layers
from kronviz.app.tabs.map import files as map_files
from kronviz.app.tabs.map import tab as map_tab
from kronviz.app.tabs.robustness import tab as robustness
from kronviz.app.tabs.training import tab as training
from kronviz.app.tabs.your_model import tab as your_model
from kronviz.checkpoint_files import FURTHER, PAIR
from kronviz.maps.umap_layout import compile_ahead
from kronviz.probes.cross_model.vectors import MAX_UPLOAD_BYTES
from kronviz.probes.own_model import KEPT_S

TITLE = "kronviz: how two GPTs read misspelled text"
TAGLINE = "bpe looks a token’s vector up in a table, kron computes it from the bytes."
SENTENCE = (
    "Two GPTs with different input embeddings: bpe looks each token up in a table, kron computes "
    "it from its bytes. Misspell a text and see whose prediction holds up."
)
START = "Tour"
PAPER = "https://arxiv.org/abs/2605.29459"
UPLOADS_KEPT_S = KEPT_S
"""Seconds that an uploaded file is kept, to repeat its run; all are deleted when the app stops."""
KEEP_ALIVE_S = 75
"""Seconds that an idle connection stays open: longer than proxies keep theirs, which might
otherwise send a request over one that is being closed."""


GROUPS = (
    Group(
        "Try",
        (View("compare", "Compare", compare.build), View("generate", "Generate", generate.build)),
    ),
    Group("How it works", (View("bytes", "Byte view", encode.build),)),
    Group("Map", (View("map", "Map", map_tab.build),)),
    Group(
        "Inside",
        (
            View("inside", "One misspelling", inside.build),
            View("inside-pairs", "Many pairs", inside_pairs.build),
            View("layers", "Layers", layers.build),
        ),
    ),
    Group(
        "Evidence",
        (
            View("robustness", "Robustness", robustness.build),
            View("arms", "Arms", arms.build),
            View("training", "Training", training.build),
            View("cost", "Cost", cost.build),
        ),
    ),
    Group("Your model", (View("your-model", "Your model", your_model.build),)),
    Group("", (View("about", "About", about.build),)),
)
"""The tabs of the bar in the order of a visit, one line per view. About is in the header."""
TABS = views(GROUPS)
MOVED = {
    "try": "compare", "encode": "bytes", "how": "bytes",
    "evidence": "robustness", "lab": "robustness", "table": "your-model",
}  # fmt: skip
"""Views by the other names that links may use."""


def build_app(context: Context) -> gr.Blocks:
    """Return the whole app. If no pair could be loaded, it opens with an explanation."""
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(60, UPLOADS_KEPT_S)
    ) as app:
        app.kronviz_routes = map_files.routes(context)  # type: ignore[attr-defined]
        app.kronviz_warm = functools.partial(warm, context)  # type: ignore[attr-defined]
        html_part(join([skip_link(), _masthead()]))
        if context.problems:
            html_part(_banner(context.problems))
        if context.predictors:
            html_part(bar(GROUPS, MOVED), "kv-bar")
            html_part(guide(), "kv-path")
            said = html_part(Markup(""), "kv-ignored")
            selector = _selector(context)
            context = replace(context, selector=selector)
            context.redrawn.begin(selector)
            with gr.Tabs(elem_id="kv-tabs", overflow_behavior="wrap"):
                for page in TABS:
                    with gr.Tab(page.title, id=page.name, elem_id=f"kv-tab-{page.name}") as tab:
                        words = explained(page.name)
                        if words and page is not TABS[0]:
                            html_part(words)
                        page.build(replace(context, tab=tab))
            selector.render()
            context.redrawn.connect()
            texts = dict.fromkeys(("clean", "typo", "answer"), any_text)
            step = amount(1, len(STEPS))
            declare(context.links, "", {"pair": selector, "step": step, **texts})
            tell_ignored(said, context.links, [page.name for page in TABS], MOVED)
            # Last: it takes ten seconds, and only visitors who recompute a layout need it.
            context.warming.append(lambda: compile_ahead().result())
            app.kronviz_first = _first(context)  # type: ignore[attr-defined]
        else:
            html_part(_nothing())
        html_part(_footer())
    return app


def _first(context: Context) -> Markup:
    """Return what the page shows until the app has loaded: its head and the first example."""
    scripts = [
        (theme.APP / name).read_text(encoding="utf-8").strip()
        for name in ("tabs/compare/picture.js", "first.js", "rest.js")
    ]
    main = element(
        "main", _masthead(), bar(GROUPS, MOVED), compare.first_view(context), class_="contain"
    )
    return join(
        [
            element(
                "div",
                element("style", Markup(theme.first_sheet())),
                element("div", element("div", main, class_="main"), class_="gradio-container"),
                id="kv-first",
                inert=True,
            ),
            *[Markup(f"<script>({script})()</script>") for script in scripts],
        ]
    )


def _absent(*packages: str) -> None:
    """Mark packages as missing, because Gradio would look for them on disk at every request."""
    for name in packages:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            sys.modules[name] = None  # type: ignore[assignment]


def launch(app: gr.Blocks, **changes: Any) -> tuple[Any, str, str]:
    """Serve the app.

    Args:
        app: the app from `build_app`.
        changes: arguments of `gr.Blocks.launch` that replace the ones used here.
    """
    uploads.delete_old()
    watch(app)
    first = getattr(app, "kronviz_first", "")
    app_settings = preview.app_settings(TITLE, SENTENCE, theme.ASSETS / "preview.png", first)
    app_settings["routes"] += getattr(app, "kronviz_routes", ())
    name = TITLE if agents.available() else ""
    app_settings["middleware"].insert(
        0, Middleware(Guard, blocks=app, largest=MAX_UPLOAD_BYTES, name=name)
    )
    # Outermost, because the page itself is the largest part of a first visit.
    app_settings["middleware"].insert(0, Middleware(Compression))
    settings: dict[str, Any] = {
        "theme": theme.theme(),
        "js": theme.script(),
        "head": theme.head(SENTENCE),
        "favicon_path": theme.ASSETS / "favicon.svg",
        "server_name": address.host(),
        "footer_links": ["api"],
        "ssr_mode": False,
        "share": False,
        "pwa": False,
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
        "max_file_size": MAX_UPLOAD_BYTES,
        "state_session_capacity": CAPACITY,
        "app_kwargs": app_settings,
        "mcp_server": agents.available(),
    }
    _absent("bokeh", "matplotlib")
    wanted = {"prevent_thread_lock": False, **changes}
    # The guard limits each queue separately; calls that bypass the queue are closed.
    app.queue(max_size=None, api_open=False)
    served = app.launch(**{**settings, **wanted, "prevent_thread_lock": True})
    if app.server is not None:
        config = app.server.config
        config.timeout_keep_alive = KEEP_ALIVE_S
        config.http_protocol_class = impatient(config.http_protocol_class)
        config.ws_protocol_class = None  # No view needs a WebSocket.
        # It warns of each upgrade and of each malformed request, which would fill a log.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    if not wanted["prevent_thread_lock"]:
        # SIGTERM acts like an interrupt, so that visitors' files are deleted.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        ready = getattr(app, "kronviz_warm", None)
        threading.Thread(target=ready, name="kronviz first answers", daemon=True).start()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("Stopped.", flush=True)
        app.close()
    return served


def _selector(context: Context) -> gr.Radio:
    """Return the choice of models, which is below the views."""
    return gr.Radio(
        [(_described(context, name), name) for name in context.predictors],
        value=context.default,
        label="Models on this page",
        visible=len(context.predictors) > 1,
        elem_id="kv-pair",
        render=False,
    )


def _described(context: Context, name: str) -> str:
    """Describe a pair of models: size, tokenizer, where it was trained."""
    predictor = context.predictors[name]
    first = predictor.tokenizer.name.partition(":")[2]
    of = f"the first {int(first):,} tokens of GPT-2’s" if first else "GPT-2’s tokenizer"
    more = [f", with {arm}" for arm in predictor.pair.split(FURTHER)[1:]]
    return f"{context.sizes[name]} parameters, {of}, trained here{''.join(more)}"


def _masthead() -> Markup:
    return element(
        "header",
        element("h1", _mark(), "kronviz"),
        element("p", *_with_arms(TAGLINE)),
        element(
            "nav",
            element(
                "button",
                START,
                type="button",
                class_="kv-path-start",
                data_words=START,
            ),
            element("a", "About", href="?tab=about", data_opens="about"),
            aria_label="About this page",
        ),
        class_="kv-masthead",
    )


def _with_arms(sentence: str) -> list[object]:
    """Return a sentence with the arms' names in their colours."""
    parts = re.split(rf"\b({'|'.join(PAIR)})\b", sentence)
    return [arm_name(part) if part in PAIR else part for part in parts]


def _mark() -> Markup:
    """Return the logo, the sign of the Kronecker product with a stroke for each model."""
    return element(
        "svg",
        element("circle", cx="12", cy="12", r="10", class_="kv-mark-ring"),
        element("path", d="M5.6 5.6 18.4 18.4", class_="kv-mark-stroke", data_arm="bpe"),
        element("path", d="M18.4 5.6 5.6 18.4", class_="kv-mark-stroke", data_arm="kron"),
        viewBox="0 0 24 24",
        width="20",
        height="20",
        aria_hidden="true",
    )


def _banner(problems: tuple[str, ...]) -> Markup:
    return join(alert(problem, "kv-banner") for problem in problems)


def _nothing() -> Markup:
    return element(
        "section",
        element("h2", "There are no models to compare yet."),
        element(
            "p",
            "kronviz compares two trained models and found none that it could load. The line above "
            "says why. Once a pair is in place, start the app again.",
        ),
        class_="kv-empty",
    )


def _footer() -> Markup:
    return element(
        "footer",
        element("button", "Copy link to this view", type="button", class_="kv-textbutton kv-copy"),
        element("button", "Light / dark", type="button", class_="kv-textbutton kv-theme"),
        element("a", "API", href="?view=api"),
        element(
            "span",
            "Method: Kronecker Embeddings, R. Shravan, ",
            element("a", "arXiv 2605.29459", href=PAPER, target="_blank", rel="noopener"),
            ". Models: trained for this page.",
        ),
        class_="kv-footer",
    )
