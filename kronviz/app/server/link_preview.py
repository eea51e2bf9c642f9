"""Change Gradio's page before it is sent: the preview of a link to it, and its first content.

Notable:

- The picture is one file in the repository, made from the real page by
  ``python assets/screenshots.py --preview``, and the only file that this serves.
- Gradio's page begins with the tags of Gradio's own site, and readers of such tags use the first
  ones, so they are replaced. Addresses in them must be absolute, so they use the requested host.
- Gradio's page is empty until megabytes of scripts have loaded. Until then it shows ``first``,
  which comes before the app's configuration, the largest part of the page.
- The page's configuration lists every endpoint, with a component for each of its parameters. The
  page itself calls none of them, but would walk through all of them many times as it loads, so they
  are left out, except where the documentation of the endpoints is asked for (``?view=api``).
- Gradio's ``<base href="./">`` has no effect except that Plotly clips a chart by the page's whole
  address: when the link changed with a choice, charts ran over their axes or lost their curves.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import URL, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/preview.png"
SIZE = (1200, 630)
AT_ONCE = 4
"""Pages that are made at once: each takes a thread, and other requests need the rest."""
_OLD = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')
_BASE = re.compile(rb'<base href="\./"[^>]*>\s*')
_HEAD = re.compile(rb"<head[^>]*>")
_CONFIG = re.compile(
    rb"<script>window\.gradio_config = (?P<config>.*?);</script>\s*"
    rb"<script>window\.gradio_api_info = (?P<endpoints>.*?);</script>\s*(?=<script data-)",
    re.DOTALL,
)
_NO_ENDPOINTS = b'{"named_endpoints": {}, "unnamed_endpoints": {}}'
_DOCUMENTED = ("api_info", "api_info_as_input", "api_info_as_output", "example_inputs")
"""Fields of a component for the documentation alone."""


def app_settings(title: str, sentence: str, picture: Path, first: str = "") -> dict[str, Any]:
    """Return a route and a middleware as arguments of the web application of `gr.Blocks.launch`.

    Args:
        title, sentence: text of the link preview.
        picture: a PNG of `SIZE` pixels; without the file the link has no picture.
        first: HTML that is shown until the app has loaded.
    """

    async def send_picture(request: Request) -> FileResponse:
        return FileResponse(picture, headers={"Cache-Control": "public, max-age=86400"})

    has_picture = picture.is_file()
    filtering = Middleware(
        LinkTags, title=title, sentence=sentence, picture=has_picture, first=first
    )
    return {
        "routes": [Route(PATH, send_picture)] if has_picture else [],
        "middleware": [filtering],
    }


def link_tags(title: str, sentence: str, address: str, picture: str | None) -> Markup:
    """Return the preview tags for a page at an address."""
    properties = {
        "og:type": "website",
        "og:site_name": "kronviz",
        "og:title": title,
        "og:description": sentence,
        "og:url": address,
        "og:image": picture,
        "og:image:width": SIZE[0] if picture else None,
        "og:image:height": SIZE[1] if picture else None,
        "og:image:alt": "Two models' next tokens after a clean and a misspelled sentence"
        if picture
        else None,
    }
    named = {
        "twitter:card": "summary_large_image" if picture else "summary",
        "twitter:title": title,
        "twitter:description": sentence,
        "twitter:image": picture,
    }
    tags = [("property", name, value) for name, value in properties.items()]
    tags += [("name", name, value) for name, value in named.items()]
    written = Markup('<meta {}="{}" content="{}">')
    return Markup("").join(written.format(*tag) for tag in tags if tag[2] is not None)


class LinkTags:
    """Middleware that replaces Gradio's tags in the page and adds ``first``."""

    def __init__(
        self, app: ASGIApp, title: str, sentence: str, picture: bool, first: str = ""
    ) -> None:
        self.app, self.title, self.sentence, self.picture = app, title, sentence, picture
        self.first = first.encode()
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope.get("path") != "/" or scope.get("method") != "GET":
            await self.app(scope, receive, send)
            return
        start: Message = {}
        body = b""

        async def collect(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            kind = MutableHeaders(raw=start["headers"]).get("content-type", "")
            if kind.startswith("text/html"):  # A megabyte to read, where others wait.
                body = await run_in_threadpool(self._tagged, body, scope)

        async with self._turns:
            await self.app(scope, receive, collect)
        MutableHeaders(raw=start["headers"])["content-length"] = str(len(body))
        await send(start)
        await send({"type": "http.response.body", "body": body})

    def _tagged(self, page: bytes, scope: Scope) -> bytes:
        request = Request(scope)
        forwarded = request.headers.get("x-forwarded-proto", "").split(",")[0].strip()
        scheme = forwarded if forwarded in ("http", "https") else request.url.scheme
        here = URL(str(request.base_url)).replace(scheme=scheme)
        picture = str(here).rstrip("/") + PATH if self.picture else None
        tags = link_tags(self.title, self.sentence, str(here), picture).encode()
        bare = _BASE.sub(b"", _OLD.sub(b"", page))
        config = _CONFIG.search(bare)
        if config is not None:
            bare = self._arranged(bare, config, "view" not in request.query_params)
        return _HEAD.sub(lambda head: head[0] + tags, bare, count=1)

    def _arranged(self, page: bytes, config: re.Match[bytes], short: bool) -> bytes:
        """Move the configuration behind ``first``, and shorten it."""
        script = config[0]
        if short:
            script = b"".join(
                [
                    page[config.start() : config.start("config")],
                    without_endpoints(config["config"]),
                    page[config.end("config") : config.start("endpoints")],
                    _NO_ENDPOINTS,
                    page[config.end("endpoints") : config.end()],
                ]
            )
        page = page[: config.start()] + page[config.end() :]
        return page.replace(b"</gradio-app>", b"</gradio-app>" + self.first + script, 1)


@functools.lru_cache(maxsize=4)
def without_endpoints(config: bytes) -> bytes:
    """Return a page's configuration without what only its endpoints and their documentation need.

    Args:
        config: Gradio's configuration of a page as JSON.
    """
    whole = json.loads(config)
    ours = {part["id"] for part in whole["components"] if part["type"] != "api"}

    def laid_out(part: dict[str, Any]) -> dict[str, Any]:
        children = [laid_out(one) for one in part.get("children", ()) if one["id"] in ours]
        return {**part, "children": children} if children else part

    whole["components"] = [
        {name: value for name, value in part.items() if name not in _DOCUMENTED}
        for part in whole["components"]
        if part["id"] in ours
    ]
    whole["dependencies"] = [one for one in whole["dependencies"] if one["targets"]]
    for page in [whole, *whole["page"].values()]:
        page["layout"] = laid_out(page["layout"])
    written = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
    # Inside a script, none of its texts may end it.
    return written.replace("<", "\\u003c").encode()
