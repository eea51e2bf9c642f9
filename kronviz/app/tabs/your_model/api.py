"""The cross-model probe for programs: two named endpoints with plain arguments and JSON results."""

from __future__ import annotations

import base64
import inspect
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import gradio as gr

from kronviz.app.components import (
    QUEUE,
    Answer,
    add_endpoint,
    answer,
    offer,
    optional,
    still_there,
    typed,
    uploaded_file,
)
from kronviz.app.context import Context
from kronviz.app.server.bodies import MAX_INLINE_FILES
from kronviz.lines import short_name
from kronviz.predictor import InputError, Predictor
from kronviz.probes.cross_model import (
    ModelTableSettings,
    TableSettings,
    TokenList,
    VectorTable,
    read_files,
    run,
)
from kronviz.probes.cross_model.hub import fetch
from kronviz.probes.cross_model.own import own_table
from kronviz.probes.own_model import as_own_model
from kronviz.progress import Progress
from kronviz.results import to_dict
from kronviz.settings import endpoint, refuse_idle
from kronviz.strings import shown

TABLE = """Compare a trained token table with the byte code of the same tokens.

The answer holds the mean cosine of pairs of tokens (the same word written otherwise, a word with an
ending, two words at random) with 95% intervals in the table, in the table without its mean row, and
in the code; what the ten nearest tokens of a word are; the nearest tokens of some words; how far
the rows point the same way; and a map, if one is asked for."""
OF_FILES = """Compare a token table in a file with the byte code of the same tokens.

The answer is that of /table."""
OF_BYTES = """Compare a token table, sent in the call itself, with the byte code of the same tokens.

For programs that cannot upload. The answer is that of /table, which reads larger tables from the
Hub."""
_REQUIRED = inspect.Parameter.empty
Ask = Callable[[], TableSettings]


def add_endpoints(context: Context) -> None:
    """Publish the endpoints. Call inside a `gr.Blocks`."""
    table, table_of_files, table_of_bytes = endpoints(context)
    add_endpoint(table, QUEUE)
    add_endpoint(table_of_bytes, QUEUE)
    # Files come through components, which check the paths that a visitor may name.
    files = [uploaded_file(visible=False) for _ in range(2)]
    defaults = TableSettings.pos_dim, TableSettings.map_tokens, TableSettings.seed
    plain = [
        gr.Textbox(TableSettings.tensor, visible=False),
        gr.JSON(visible=False),
        *[gr.Number(value, precision=0, visible=False) for value in defaults],
        gr.Checkbox(visible=False),
    ]
    for field in plain:
        # As sent: the settings check the values, where the fields would round a number or fail.
        field.preprocess = lambda payload: payload  # type: ignore[method-assign]
    gr.Button(visible=False).click(
        offer(table_of_files, "table_of_files", QUEUE),
        [*files, *plain],
        gr.JSON(visible=False),
        api_name="table_of_files",
        concurrency_limit=1,
        concurrency_id=QUEUE,
    )


def endpoints(context: Context) -> tuple[Callable[..., Answer], ...]:
    """Return the endpoints, functions of plain values, for the API and for agents."""

    def models(pair: str) -> Predictor:
        return context.predictor(optional(pair, "pair"))

    def answered(
        given: tuple[VectorTable, TokenList],
        source: str,
        settings: TableSettings,
        on_map: bool | None,
        wanted: Progress,
    ) -> Answer:
        if on_map is not None and not isinstance(on_map, bool):
            raise InputError(f"on_map is {shown(on_map)}; it must be true or false.")
        answer = to_dict(run(*given, settings, source, wanted))
        if on_map:
            own = as_own_model(*given, source=source, pos_dim=settings.pos_dim)
            context.shelf.put(f"api/{own.key}", own)
            answer["spaces"] = list(own.spaces)
        return answer

    def table(
        settings: Callable[[], ModelTableSettings], pair: str = "", on_map: bool = False
    ) -> Answer:
        def ask() -> Answer:
            asked, wanted = settings(), still_there()
            if asked.model and pair:
                raise InputError("Give a model or a pair of models, not both.")
            if asked.model:
                fetched = fetch(asked.model, asked.tensor, progress=wanted)
                source, given = fetched.name, (fetched.table, fetched.tokens)
            else:
                refuse_idle(asked, ["tensor"], "a model")
                predictor = models(pair)
                source, given = f"{predictor.pair}, bpe", own_table(predictor)
            return answered(given, source, asked, on_map, wanted)

        return answer(ask, QUEUE)

    def table_of_files(
        settings: Ask, vectors: str | None, tokens: str | None, on_map: bool | None = False
    ) -> Answer:
        def ask() -> Answer:
            asked, wanted = settings(), still_there()
            given = read_files(vectors, tokens, asked.tensor, wanted)
            path = Path(vectors or tokens or "")
            return answered(given, path.name, asked, on_map, wanted)

        return answer(ask, QUEUE)

    def table_of_bytes(
        settings: Ask,
        vectors: str,
        tokens: str = "",
        vectors_name: str = "vectors.safetensors",
        tokens_name: str = "tokenizer.json",
    ) -> Answer:
        def ask() -> Answer:
            asked, wanted = settings(), still_there()
            given = (vectors, vectors_name, "vectors"), (tokens, tokens_name, "tokens")
            files = [file for file in given if file[0] not in (None, "")]
            if not files:
                raise InputError("vectors is empty; give the bytes of a file, written in base64.")
            with tempfile.TemporaryDirectory() as folder:
                first, *second = [_written(Path(folder), *file) for file in files]
                size = sum(path.stat().st_size for path in (first, *second))
                if size > MAX_INLINE_FILES:
                    raise InputError(
                        f"The files have {size:,} bytes together; a call holds up to "
                        f"{MAX_INLINE_FILES:,}. Upload larger ones for /table_of_files, or name a "
                        "model for /table."
                    )
                beside = second[0] if second else None
                read = read_files(first, beside, asked.tensor, wanted)
                return answered(read, first.name, asked, False, wanted)

        return answer(ask, QUEUE)

    return (
        endpoint(
            ModelTableSettings,
            table,
            "table",
            TABLE,
            {
                "pair": (
                    str,
                    "",
                    "Which pair of models, where no other model is named; empty for the default "
                    "pair",
                ),
                "on_map": (
                    bool,
                    False,
                    "Whether the table becomes two spaces of the map for half an hour; the answer "
                    'names them as "spaces", for /map, /map_word and their like',
                ),
            },
            "model tensor words pos_dim map_tokens seed pair on_map".split(),
        ),
        endpoint(
            TableSettings,
            table_of_files,
            "table_of_files",
            OF_FILES,
            {
                "vectors": (
                    str | None,
                    _REQUIRED,
                    "The vectors, as .safetensors or .npy; or a GGUF file or text of words with "
                    "their vectors, which hold the tokens too",
                ),
                "tokens": (
                    str | None,
                    _REQUIRED,
                    "The tokens: tokenizer.json, tokenizer.model, vocab.json, vocab.txt or a JSON "
                    "list; empty where the vectors' file holds them",
                ),
                "on_map": (bool, False, "As for /table"),
            },
            "vectors tokens tensor words pos_dim map_tokens seed on_map".split(),
        ),
        endpoint(
            TableSettings,
            table_of_bytes,
            "table_of_bytes",
            OF_BYTES,
            {
                "vectors": (
                    str,
                    _REQUIRED,
                    "The vectors as a file of .safetensors, .npy, .gguf or text, in base64; with "
                    f"the tokens up to {MAX_INLINE_FILES / 1e6:g} MB before base64",
                ),
                "tokens": (
                    str,
                    "",
                    "The tokens as a file: tokenizer.json, vocab.json or vocab.txt, in base64; "
                    "empty where the first file holds them",
                ),
                "vectors_name": (
                    str,
                    "vectors.safetensors",
                    "Name of the first file, whose ending says what it is",
                ),
                "tokens_name": (str, "tokenizer.json", "Name of the second"),
            },
            "vectors tokens vectors_name tokens_name tensor words pos_dim map_tokens seed".split(),
        ),
    )


def _written(folder: Path, content: object, name: object, what: str) -> Path:
    """Write a file that came in base64 and return its path; `InputError` if it is invalid."""
    try:
        data = base64.b64decode(typed(content, what), validate=True)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what} must be the bytes of a file, written in base64.") from None
    if not data:
        raise InputError(f"{what} is empty; give the bytes of a file, written in base64.")
    path = folder / what / re.sub(r"[^\w.-]", "_", Path(short_name(typed(name, what))).name or what)
    path.parent.mkdir()
    path.write_bytes(data)
    return path
