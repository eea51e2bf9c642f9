"""Fetches the embedding table of a model on the Hugging Face Hub, and nothing else of it.

Notable:

- The network is used only when `fetch` is called with the name of a model.
- Of the weights only a header and the bytes of one tensor are transferred, by HTTP ranges: 154 MB
  of GPT-2's 548, and less than a hundredth of a large model.
- No access token is sent, so only public models can be read; nothing is stored on disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from huggingface_hub import get_session, hf_hub_url
from huggingface_hub.errors import HTTPError
from huggingface_hub.utils import build_hf_headers

from kronviz.predictor import InputError
from kronviz.probes.cross_model.choice import Matrix, choose
from kronviz.probes.cross_model.table import VectorTable
from kronviz.probes.cross_model.token_files import MAX_FILE_BYTES, read_tokens
from kronviz.probes.cross_model.tokens import TokenList
from kronviz.probes.cross_model.vectors import (
    Read,
    read_header,
    read_index,
    read_safetensors,
    shape_of,
)
from kronviz.progress import Progress, tell

MAX_INDEX_BYTES = 20_000_000
MAX_SHARDS = 40
TIMEOUT_S = 20.0
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,99}", re.ASCII)
_ONE_FILE, _INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class HubModel:
    """A fetched table with its tokens.

    Attributes:
        transferred: all bytes transferred.
    """

    name: str
    table: VectorTable
    tokens: TokenList
    transferred: int


def fetch(
    name: str,
    tensor: str = "",
    *,
    revision: str = "main",
    endpoint: str | None = None,
    progress: Progress | None = None,
) -> HubModel:
    """Fetch the token table and the token list of a public model.

    Args:
        name: such as ``openai-community/gpt2``.
        tensor: name of the table; empty to find it automatically.
        revision: a branch, a tag or a commit.
        endpoint: another server with the Hub's API; by default ``HF_ENDPOINT`` or the Hub.
        progress: called with the bytes of the table.

    Raises:
        InputError: there is no such model, it has no safetensors or no tokenizer.json, or the Hub
            cannot be reached.
        Stopped: ``progress`` returned ``False``.
    """
    name, revision = name.strip(), revision.strip() or "main"
    if not _NAME.fullmatch(name) or ".." in name or "--" in name:
        raise InputError(
            "The name of a model looks like openai-community/gpt2; check the spelling."
        )
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise InputError("The revision must be the name of a branch, a tag or a commit.")
    hub = _Hub(name, revision, endpoint)
    try:
        listed = hub.whole("tokenizer.json", MAX_FILE_BYTES)
        if listed is None:
            raise InputError(
                f"{name} does not exist, is not public, or has no tokenizer.json; check the name, "
                "or download its files and choose them here."
            )
        tokens = read_tokens(listed)
        file, places = _ONE_FILE, None
        index = hub.whole(_INDEX, MAX_INDEX_BYTES)
        if index is not None:
            places = read_index(index)
            file = _shard(hub, places, tensor, tokens)
        table = read_safetensors(
            hub.ranges(file, progress), None, tensor, tokens, label=f"{name}/{file}", places=places
        )
        return HubModel(name, table, tokens, hub.transferred)
    except (HTTPError, ConnectionError):
        raise InputError(
            "The Hugging Face Hub cannot be reached from here; check the network, or choose the "
            "model’s files instead."
        ) from None


class _Hub:
    """A model on the Hub: small files are read whole, large ones by ranges."""

    def __init__(self, name: str, revision: str, endpoint: str | None):
        self.name, self.revision, self.endpoint = name, revision, endpoint
        self.transferred = 0
        self._headers = build_hf_headers(token=False, library_name="kronviz")

    def whole(self, file: str, limit: int) -> bytes | None:
        """Return a small file, or ``None`` if it does not exist or is not public."""
        with self._ask(file, {}) as answer:
            if answer.status_code in (401, 403, 404):
                return None
            answer.raise_for_status()
            return self._body(answer, limit)

    def ranges(self, file: str, progress: Progress | None) -> Read:
        """Return a function that reads a range of bytes of a file."""

        def read(first: int, end: int) -> bytes:
            asked = {"Range": f"bytes={first}-{end - 1}", "Accept-Encoding": "identity"}
            with self._ask(file, asked) as answer:
                if answer.status_code in (401, 403, 404):
                    raise InputError(
                        f"{self.name} has no {file}; only models with safetensors can be read."
                    )
                answer.raise_for_status()
                if answer.status_code != 206:
                    raise InputError(
                        f"The server of {self.name} sends whole files only, which are too large; "
                        "download the file and choose it here."
                    )
                return self._body(answer, end - first, progress)

        return read

    def _ask(self, file: str, headers: dict[str, str]):  # type: ignore[no-untyped-def]
        return get_session().stream(
            "GET",
            hf_hub_url(self.name, file, revision=self.revision, endpoint=self.endpoint),
            headers={**self._headers, **headers},
            follow_redirects=True,
            timeout=TIMEOUT_S,
        )

    def _body(self, answer: Any, limit: int, progress: Progress | None = None) -> bytes:
        body = bytearray()
        for part in answer.iter_bytes(1 << 20):
            body += part
            self.transferred += len(part)
            if len(body) > limit:
                raise InputError(f"A file of {self.name} is larger than expected; nothing is read.")
            tell(progress, len(body), limit)
        return bytes(body)


def _shard(hub: _Hub, places: dict[str, str], tensor: str, tokens: TokenList) -> str:
    """Return the file with the table, found by its name or else by the shapes in all headers."""
    try:
        return places[choose([Matrix(key, None) for key in places], _INDEX, tensor, tokens)[0]]
    except InputError:
        if tensor:
            raise
    matrices = []
    for file in sorted(set(places.values()))[:MAX_SHARDS]:
        entries, _ = read_header(hub.ranges(file, None), None, file)
        matrices += [Matrix(key, shape_of(entry)) for key, entry in entries.items()]
    return places[choose(matrices, _INDEX, tensor, tokens)[0]]
