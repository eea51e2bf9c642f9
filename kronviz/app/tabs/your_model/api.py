"""The cross-model probe for programs: two named endpoints with plain arguments and JSON results."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from kronviz.app.components import (
    MAX_SEED,
    QUEUE,
    Answer,
    answer,
    still_there,
    texts,
    typed,
    uploaded_file,
)
from kronviz.app.context import Context
from kronviz.lines import short_name
from kronviz.predictor import InputError, Predictor
from kronviz.probes.cross_model import TokenList, VectorTable, compare_table, read_files
from kronviz.probes.cross_model.hub import fetch
from kronviz.probes.cross_model.own import own_table
from kronviz.probes.cross_model.probe import MAX_MAP_TOKENS, WORDS
from kronviz.probes.own_model import as_own_model
from kronviz.results import to_dict
from kronviz.strings import whole_number

MAX_INLINE_FILE = 4_000_000


def add_endpoints(context: Context) -> None:
    """Publish the endpoints. Call inside a `gr.Blocks`."""
    table, table_of_files, table_of_bytes = endpoints(context)
    gr.api(table, api_name="table", concurrency_limit=1, concurrency_id=QUEUE)
    gr.api(table_of_bytes, api_name="table_of_bytes", concurrency_limit=1, concurrency_id=QUEUE)
    # Files come through components, which alone know which paths a visitor may name.
    files = [uploaded_file(visible=False) for _ in range(2)]
    text = gr.Textbox(visible=False)
    words = gr.JSON(visible=False)
    numbers = [gr.Number(value, precision=0, visible=False) for value in (16, 0, 1)]
    on_map = gr.Checkbox(visible=False)
    gr.Button(visible=False).click(
        table_of_files,
        [*files, text, words, *numbers, on_map],
        gr.JSON(visible=False),
        api_name="table_of_files",
        concurrency_limit=1,
        concurrency_id=QUEUE,
    )


def endpoints(context: Context) -> tuple[Callable[..., Answer], ...]:
    """The endpoints as functions of plain values, for the API and for agents."""

    def models(pair: str) -> Predictor:
        return context.predictor(typed(pair or "", "pair"))

    def answered(
        given: tuple[VectorTable, TokenList],
        source: str,
        settings: dict[str, Any],
        on_map: bool,
        wanted: Callable[..., bool],
    ) -> Answer:
        answer = to_dict(compare_table(*given, source=source, progress=wanted, **settings))
        if on_map:
            own = as_own_model(*given, source=source, pos_dim=settings["pos_dim"])
            context.shelf.put(f"api/{own.key}", own)
            answer["spaces"] = list(own.spaces)
        return answer

    def table(
        model: str = "",
        tensor: str = "",
        words: list[str] | None = None,
        pos_dim: int = 16,
        map_tokens: int = 0,
        seed: int = 1,
        pair: str = "",
        on_map: bool = False,
    ) -> Answer:
        """Compare a trained token table with the byte code of the same tokens.

        The answer holds the mean cosine of pairs of tokens (the same word written otherwise, a word
        with an ending, two words at random) with 95% intervals in the table, in the table without
        its mean row, and in the code; what the ten nearest tokens of a word are; the nearest tokens
        of some words; how far the rows point the same way; and a map, if one is asked for.

        Args:
            model: A public model on the Hugging Face Hub, whose table is fetched; empty for the
                bpe model of the pair.
            tensor: Name of the table, where it is not found by itself.
            words: Words whose nearest tokens are listed; empty for six common ones.
            pos_dim: Positions of the byte code, 4 to 64.
            map_tokens: How many tokens are laid out by UMAP, up to 4,000; 0 for no map.
            seed: Of the words, the pairs, the intervals and the map.
            pair: Which pair of models, where no other model is named; empty for the default pair.
            on_map: Whether the table becomes two spaces of the map for half an hour; the answer
                names them as "spaces", for /map, /map_word and their like.
        """

        def ask() -> Answer:
            wanted = waited_for()
            if typed(model or "", "model"):
                found = fetch(model, typed(tensor or "", "tensor"), progress=wanted)
                source, given = found.name, (found.table, found.tokens)
            else:
                predictor = models(pair)
                source, given = f"{predictor.pair}, bpe", own_table(predictor)
            settings = _settings(words, pos_dim, map_tokens, seed)
            return answered(given, source, settings, on_map, wanted)

        return answer(ask, QUEUE)

    def table_of_files(
        vectors: str | None,
        tokens: str | None,
        tensor: str | None = None,
        words: list[str] | None = None,
        pos_dim: float | None = 16,
        map_tokens: float | None = 0,
        seed: float | None = 1,
        on_map: bool | None = False,
    ) -> Answer:
        """Compare a token table in a file with the byte code of the same tokens.

        The answer is that of /table.

        Args:
            vectors: The vectors, as .safetensors or .npy; or a GGUF file or text of words with
                their vectors, which hold the tokens too.
            tokens: The tokens: tokenizer.json, tokenizer.model, vocab.json, vocab.txt or a JSON
                list; empty where the vectors' file holds them.
            tensor: Name of the table in a safetensors file, where it is not found by itself.
            words: Words whose nearest tokens are listed; empty for six common ones.
            pos_dim: Positions of the byte code, 4 to 64.
            map_tokens: How many tokens are laid out by UMAP, up to 4,000; 0 for no map.
            seed: Of the words, the pairs, the intervals and the map.
            on_map: As for /table.
        """

        def ask() -> Answer:
            wanted = waited_for()
            given = read_files(vectors, tokens, typed(tensor or "", "tensor"), wanted)
            path = Path(vectors or tokens or "")
            settings = _settings(
                words,
                16 if pos_dim is None else pos_dim,
                map_tokens or 0,
                1 if seed is None else seed,
            )
            return answered(given, path.name, settings, bool(on_map), wanted)

        return answer(ask, QUEUE)

    def table_of_bytes(
        vectors: str,
        tokens: str = "",
        vectors_name: str = "vectors.safetensors",
        tokens_name: str = "tokenizer.json",
        tensor: str = "",
        words: list[str] | None = None,
        pos_dim: int = 16,
        map_tokens: int = 0,
        seed: int = 1,
    ) -> Answer:
        """Compare a token table, sent in the call itself, with the byte code of the same tokens.

        For programs that cannot upload. The answer is that of /table, which reads larger tables
        from the Hub.

        Args:
            vectors: The vectors as a file of .safetensors, .npy, .gguf or text, in base64; up to
                4 MB.
            tokens: The tokens as a file: tokenizer.json, vocab.json or vocab.txt, in base64; empty
                where the first file holds them.
            vectors_name: Name of the first file, whose ending says what it is.
            tokens_name: Name of the second.
            tensor: Name of the table in a safetensors file, where it is not found by itself.
            words: Words whose nearest tokens are listed; empty for six common ones.
            pos_dim: Positions of the byte code, 4 to 64.
            map_tokens: How many tokens are laid out by UMAP, up to 4,000; 0 for no map.
            seed: Of the words, the pairs, the intervals and the map.
        """

        def ask() -> Answer:
            typed(vectors, "vectors")
            wanted = waited_for()
            files = ((vectors, vectors_name, "vectors"), (tokens, tokens_name, "tokens"))
            with tempfile.TemporaryDirectory() as folder:
                first, *second = [_written(Path(folder), *file) for file in files if file[0]]
                beside = second[0] if second else None
                given = read_files(first, beside, typed(tensor or "", "tensor"), wanted)
                settings = _settings(words, pos_dim, map_tokens, seed)
                return answered(given, first.name, settings, False, wanted)

        return answer(ask, QUEUE)

    return table, table_of_files, table_of_bytes


def waited_for() -> Callable[..., bool]:
    """Return what a run asks at each of its steps; it ends the run once its visitor has left."""
    there = still_there()

    def wanted(*_: object) -> bool:
        if not there():
            raise InputError("Whoever asked has left; nothing more was computed.")
        return True

    return wanted


def _written(folder: Path, content: object, name: object, what: str) -> Path:
    """A file that came in base64. `InputError` if it is none, or too large."""
    try:
        data = base64.b64decode(typed(content, what), validate=True)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what} must be the bytes of a file, written in base64.") from None
    if not 0 < len(data) <= MAX_INLINE_FILE:
        raise InputError(
            f"{what} has {len(data):,} bytes; a file in a call has 1 to {MAX_INLINE_FILE:,}. "
            "Upload a larger one for /table_of_files, or name a model for /table."
        )
    path = folder / what / re.sub(r"[^\w.-]", "_", Path(short_name(typed(name, what))).name or what)
    path.parent.mkdir()
    path.write_bytes(data)
    return path


def _settings(words: object, pos_dim: object, map_tokens: object, seed: object) -> dict[str, Any]:
    return {
        "words": texts(words, "words") or WORDS,
        "pos_dim": whole_number(pos_dim, "pos_dim", 4, 64),
        "map_tokens": whole_number(map_tokens, "map_tokens", 0, MAX_MAP_TOKENS),
        "seed": whole_number(seed, "seed", 0, MAX_SEED),
    }
