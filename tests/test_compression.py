"""Answers are compressed in the way that the browser asks for, and are the same ones."""

from __future__ import annotations

import gzip

import brotli
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from kronviz.app.server.compression import Compression

TEXT = "".join(f"line {i % 97} of {i}\n" for i in range(30_000))


@pytest.fixture(scope="module")
def client() -> TestClient:
    def parts(request: Request) -> StreamingResponse:
        return StreamingResponse(iter([TEXT[:9_000], TEXT[9_000:]]), media_type="text/html")

    def events(request: Request) -> StreamingResponse:
        return StreamingResponse(iter(["data: 1\n\n" * 500]), media_type="text/event-stream")

    answers = {
        "/whole": lambda _: PlainTextResponse(TEXT),
        "/parts": parts,
        "/events": events,
        "/short": lambda _: PlainTextResponse("ok"),
        "/packed": lambda _: Response(gzip.compress(TEXT.encode()), headers={
            "content-encoding": "gzip"}),
    }  # fmt: skip
    routes = [Route(path, answer) for path, answer in answers.items()]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Compression)]))


def test_each_browser_gets_what_it_reads(client: TestClient) -> None:
    for accepted, encoding in (
        ("gzip, deflate, br, zstd", "br"),
        ("br;q=0.5, gzip", "br"),
        ("gzip, br;q=0", "gzip"),
        ("gzip", "gzip"),
        ("brotli", None),
        ("identity", None),
    ):
        for path in ("/whole", "/parts"):
            with client.stream("GET", path, headers={"accept-encoding": accepted}) as answer:
                raw = b"".join(answer.iter_raw())
            assert answer.headers.get("content-encoding") == encoding, accepted
            unpack = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}[encoding]
            assert unpack(raw).decode() == TEXT
            assert encoding is None or len(raw) < len(TEXT) / 4
            assert encoding is None or answer.headers["vary"] == "Accept-Encoding"


def test_events_short_answers_and_packed_ones_pass_as_they_are(client: TestClient) -> None:
    headers = {"accept-encoding": "br, gzip"}
    for path, encoding in (("/events", None), ("/short", None), ("/packed", "gzip")):
        assert client.get(path, headers=headers).headers.get("content-encoding") == encoding
