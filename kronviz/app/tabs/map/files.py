"""The files that the tab “Map” fetches when it opens: two maps and their tokens.

Notable:

- Gradio's own routes use JSON; in binary, 50,257 points take a fifth of that.
- A file has four bytes with the length of a JSON header, the header, and the arrays one after
  another. The browser reads the arrays in place.
- A name in an address is a key to loaded data, never a path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kronviz.app.context import Context
from kronviz.maps.columns import CASES, PER_OCTAVE, SCRIPTS, SPACE, columns
from kronviz.maps.spaces import TABLE, OwnModelTokens, space_of, table_of
from kronviz.maps.store import MapError, read_map
from kronviz.maps.words import PROBES
from kronviz.predictor import InputError
from kronviz.results import to_dict
from kronviz.tokenizer import token_set


def routes(context: Context) -> list[Route]:
    """Return the two addresses: ``kronviz/map/<pair>/<space>`` and
    ``kronviz/tokens/<vocabulary>``.
    """

    def points(pair: str, space: str) -> Response:
        try:
            predictor = context.predictor(pair)
            layout = read_map(predictor, space)
        except MapError as error:
            return JSONResponse({"problem": str(error), "drawable": True}, 409)
        except InputError as error:
            return JSONResponse({"problem": str(error), "drawable": False}, 404)
        chosen = space_of(predictor, space)
        about = {**to_dict(layout.facts), "arm": chosen.arm, "title": chosen.title}
        return _binary(about, {"points": layout.points})

    def tokens(vocabulary: str) -> Response:
        known = {p.tokenizer.name for p in context.predictors.values()} | {"r50k_base"}
        if vocabulary.startswith(TABLE):
            try:
                table_of(vocabulary.removeprefix(TABLE))
            except InputError as error:
                return JSONResponse({"problem": str(error)}, 404)
        elif vocabulary not in known:
            return JSONResponse({"problem": "There is no such vocabulary here."}, 404)
        return Response(vocabulary_file(vocabulary), media_type="application/octet-stream")

    async def map_route(request: Request) -> Response:
        names = request.path_params
        return await run_in_threadpool(points, names["pair"], names["space"])

    async def tokens_route(request: Request) -> Response:
        return await run_in_threadpool(tokens, request.path_params["vocabulary"])

    return [
        Route("/kronviz/map/{pair}/{space}", map_route),
        Route("/kronviz/tokens/{vocabulary}", tokens_route),
    ]


def vocabulary_file(vocabulary: str) -> bytes:
    """Return the tokens of a vocabulary with all properties that can colour a map.

    Raises:
        VocabularyError: there is no such vocabulary.
    """
    tokens = token_set(vocabulary)
    packed = tokens.vocabulary
    colours = columns(vocabulary)
    about = {
        "vocabulary": vocabulary,
        "tokens": len(packed),
        "families": [family.name for family in PROBES],
        "cases": CASES,
        "space": SPACE,
        "scripts": SCRIPTS,
        "per_octave": PER_OCTAVE,
    }
    arrays: dict[str, NDArray] = {}
    if isinstance(tokens, OwnModelTokens):
        arrays["ids"] = tokens.ids.astype(np.uint32)
    arrays |= {
        "lengths": np.diff(packed.offsets).astype(np.uint16),
        "family": colours.family,
        "case": colours.case,
        "space": colours.space,
        "script": colours.script,
    }
    if colours.frequency is not None:
        arrays["frequency"] = colours.frequency
    return _packed(about, {**arrays, "bytes": packed.data})


def _binary(about: Mapping[str, object], arrays: Mapping[str, NDArray]) -> Response:
    return Response(
        _packed(about, arrays),
        media_type="application/octet-stream",
        headers={"Cache-Control": "no-cache"},
    )


def _packed(about: Mapping[str, object], arrays: Mapping[str, NDArray]) -> bytes:
    parts = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    layout = [[name, array.dtype.str[1:], array.size] for name, array in parts.items()]
    header = json.dumps({**about, "arrays": layout}).encode()
    # Arrays of wider numbers come first, and padding aligns them for the browser.
    header += b" " * (-len(header) % 4)
    body = b"".join(
        array.astype(array.dtype.newbyteorder("<")).tobytes() for array in parts.values()
    )
    return len(header).to_bytes(4, "little") + header + body
