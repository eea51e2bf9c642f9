"""Change Gradio's page before it is sent: the preview of a link to it, and its first content.

Notable:

- The picture is one file in the repository, made from the real page by
  ``python assets/screenshots.py --preview``, and the only file that this serves.
- Gradio's page begins with the tags of Gradio's own site, and readers of such tags use the first
  ones, so they are replaced. Addresses in them must be absolute, so they use the requested host.
- Gradio's page is empty until megabytes of scripts have loaded. Until then it shows ``first``,
  which comes before the app's configuration, the largest part of the page.
- Gradio's ``<base href="./">`` has no effect except that Plotly clips a chart by the page's whole
  address: when the link changed with a choice, charts ran over their axes or lost their curves.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.datastructures import URL, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/preview.png"
SIZE = (1200, 630)
_OLD = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')
_BASE = re.compile(rb'<base href="\./"[^>]*>\s*')
_HEAD = re.compile(rb"<head[^>]*>")
_CONFIG = re.compile(
    rb"<script>window\.gradio_config = .*?</script>\s*(?=<script data-)", re.DOTALL
)


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
            page = self._tagged(body, scope) if kind.startswith("text/html") else body
            MutableHeaders(raw=start["headers"])["content-length"] = str(len(page))
            await send(start)
            await send({"type": "http.response.body", "body": page})

        await self.app(scope, receive, collect)

    def _tagged(self, page: bytes, scope: Scope) -> bytes:
        request = Request(scope)
        forwarded = request.headers.get("x-forwarded-proto", "").split(",")[0].strip()
        scheme = forwarded if forwarded in ("http", "https") else request.url.scheme
        here = URL(str(request.base_url)).replace(scheme=scheme)
        picture = str(here).rstrip("/") + PATH if self.picture else None
        tags = link_tags(self.title, self.sentence, str(here), picture).encode()
        bare = _BASE.sub(b"", _OLD.sub(b"", page))
        if self.first:
            bare = self._with_first(bare)
        return _HEAD.sub(lambda head: head[0] + tags, bare, count=1)

    def _with_first(self, page: bytes) -> bytes:
        config = _CONFIG.search(page)
        if config is None:
            return page
        page = page[: config.start()] + page[config.end() :]
        return page.replace(b"</gradio-app>", b"</gradio-app>" + self.first + config[0], 1)
