"""Chooses which matrix of a file is the table of its tokens.

Notable:

- The number of tokens decides first: a matrix with a row for each token, with padding, or without
  the special tokens at the end, wins whatever its name. Among equals, names of input tables come
  first, then other names, then output heads; positions and feed-forward layers never qualify.
- An uncertain choice is reported as a guess, with the alternatives. If nothing fits, the refusal
  says what the file is: a shard, an adapter, a quantised or a transposed table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kronviz.lines import short_name
from kronviz.predictor import InputError
from kronviz.probes.cross_model.tokens import TokenList

MIN_ROWS = 16
Shape = tuple[int, ...]

_INPUTS = (
    r"(^|\.)embed_tokens\.weight$",
    r"(^|\.)wte\.weight$",
    r"(^|\.)word_embeddings\.weight$",
    r"(^|\.)embed_in\.weight$",
    r"(^|\.)tok_embeddings\.weight$",
    r"(^|\.)tokens_embed\.weight$",
    r"(^|\.)token_embd\.weight$",
    r"(^|\.)(token|input|text|vocab)_embeddings?(\.weight)?$",
    r"(^|\.)shared(\.weight|\.embedding)?$",
    r"(^|\.)(word|embedder\.input)_embeddings?(\.weight)?$",
    r"^(transformer\.|model\.|backbone\.)?(wte|emb|embed|embeddings?)(\.weight|\.embedding)?$",
)
_INPUT = re.compile("|".join(_INPUTS))
_HEAD = re.compile(
    r"(^|[._])(lm_head|head|output|embed_out|unembed\w*|output_embeddings?|decoder_weight|"
    r"score|classifier|predictions|cls|logits|to_logits|proj_out|generator|final_proj)([._]|$)"
)
_OTHER = re.compile(
    r"(^|[._/])(pos|position|positions|positional|wpe|pe|rotary|relative\w*|token_type\w*|"
    r"segment\w*|mlp|ffn\w*|ff|fc\d*|fc_in|fc_out|feed_forward|intermediate|experts?|attn|"
    r"attention|self_attn|[qkv]_proj|qkv|query|key|value|up|down|gate|up_proj|down_proj|gate_proj|"
    r"w[123]|in_proj|out_proj|c_fc|c_proj|c_attn|norm|ln\w*|conv\w*|pooler|dense|patch\w*|"
    r"vision\w*|visual\w*|image\w*|audio\w*|layers?_?norm)([._/]|$)"
    r"|position_?emb|pos_?emb|position_?ids"
)
_LORA = re.compile(r"(^|[._])lora_?(embedding_)?[abAB]([._]|$)|(^|\.)lora_(magnitude|unet|te)")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.")
_DECODER = re.compile(r"(^|\.)decoder\.")


@dataclass(frozen=True)
class Matrix:
    """A tensor of a file; ``shape`` is ``None`` if only its name is known."""

    name: str
    shape: Shape | None


def choose(
    tensors: Sequence[Matrix],
    label: str,
    wanted: str = "",
    tokens: TokenList | None = None,
    places: Mapping[str, str] | None = None,
) -> tuple[str, tuple[str, ...]]:
    """Choose the matrix to read.

    Args:
        tensors: all tensors of a file.
        label: the file's name in error messages.
        wanted: the tensor that the user named, if any.
        tokens: the model's tokens, if known.
        places: the file of each tensor of the whole model, if there is an index.

    Returns:
        The name, and sentences on how it was chosen.

    Raises:
        InputError: no matrix qualifies.
    """
    tables = [m for m in tensors if m.shape is None or len(m.shape) == 2]
    if wanted:
        if any(matrix.name == wanted for matrix in tables):
            return wanted, ()
        _refuse_wanted(tensors, tables, wanted, tokens)
    _refuse_adapter(tensors, label)
    ranked = sorted(
        (rank, matrix.name.count("."), matrix.name, matrix)
        for matrix in tables
        if (rank := _rank(matrix, tokens))
    )
    if not ranked:
        _refuse(tables, label, tokens, places)
    (fit, kind, *_), _, name, best = ranked[0]
    if kind == _HEADS and (_SHARD.search(label) or places):
        _refuse(tables, label, tokens, places)
    rivals = [m.name for rank, _, _, m in ranked[1:] if rank[0] == fit and rank[1] <= kind]
    if kind == _INPUT_NAMES and (tokens is None or fit < _UNFIT or best.shape is None):
        tied = rivals if tokens and best.shape else ()
        note = f"{short(name)} was read; {few(tied)} would fit as well: name it to read it."
        return name, (note,) if tied else ()
    return name, (_guess(best, kind, rivals, tables, tokens),)


_EXACT, _NEAR, _UNFIT = range(3)
_INPUT_NAMES, _NEUTRAL, _HEADS = range(3)
Rank = tuple[int, int, int, int]


def _rank(matrix: Matrix, tokens: TokenList | None) -> Rank | None:
    """Return a rank, lower for a likelier table; ``None`` if the matrix cannot be one."""
    kind = _kind(matrix.name)
    if kind is None:
        return None
    if matrix.shape is None:
        return (_NEAR, kind, 0, 0) if kind == _INPUT_NAMES else None
    rows = matrix.shape[0]
    order = int(bool(_DECODER.search(matrix.name)))
    if tokens is None:
        if rows < MIN_ROWS and kind != _INPUT_NAMES:
            return None
        return _UNFIT, kind, order, -rows
    fit = fits(rows, tokens)
    transposed = matrix.shape[1] == len(tokens)
    if fit == _UNFIT and (transposed or kind != _INPUT_NAMES):
        return None
    return fit, kind, order, abs(rows - len(tokens))


def fits(rows: int, tokens: TokenList) -> int:
    """Return 0 for one row per token, 1 with padding or without the last special tokens, else 2."""
    spare = rows - len(tokens)
    if spare == 0:
        return _EXACT
    if -tokens.tail <= spare < 0:
        return _NEAR
    # Tables are padded to a multiple of up to 1,024, or have room for a few per cent more.
    padded = spare <= len(tokens) // 20 or (rows % 64 == 0 and spare < min(1024, len(tokens)))
    return _NEAR if spare > 0 and padded else _UNFIT


def _kind(name: str) -> int | None:
    if _INPUT.search(name):
        return None if re.search(r"vision|visual|image|audio|patch", name) else _INPUT_NAMES
    if _OTHER.search(name):
        return None
    return _HEADS if _HEAD.search(name) else _NEUTRAL


def _guess(
    best: Matrix,
    kind: int,
    rivals: Sequence[str],
    tables: Sequence[Matrix],
    tokens: TokenList | None,
) -> str:
    name = short(best.name)
    shape = f"{best.shape[0]:,} × {best.shape[1]:,}" if best.shape else ""
    if tokens is None:
        why = "it is the largest matrix without a name that says otherwise"
    elif kind == _INPUT_NAMES:
        return (
            f"{name} was read because of its name, though it has "
            f"{best.shape[0] if best.shape else 0:,} rows for {len(tokens):,} tokens."
        )
    else:
        why = f"its rows fit the {len(tokens):,} tokens"
    if kind == _HEADS:
        why += ", though its name is that of an output head"
    first = rivals or [m.name for m in tables if m.name != best.name]
    others = f" Other matrices are {few(first)}." if first else ""
    return (
        f"The choice of {name} ({shape}) as the table is a guess: {why}.{others} Name the tensor "
        "if it is another one."
    )


def _refuse_wanted(
    tensors: Sequence[Matrix], tables: Sequence[Matrix], wanted: str, tokens: TokenList | None
) -> None:
    for matrix in tensors:
        if matrix.name == wanted:
            shape = " × ".join(map(str, matrix.shape or ())) or "a single number"
            raise InputError(
                f"{short(wanted)} is not a matrix (its shape is {shape}); there are "
                f"{few([m.name for m in tables])}."
            )
    if tokens:
        tables = sorted(tables, key=lambda m: fits(m.shape[0], tokens) if m.shape else _NEAR)
    raise InputError(
        f"There is no matrix called {short(wanted)!r}; there are {few([m.name for m in tables])}."
    )


def _refuse_adapter(tensors: Sequence[Matrix], label: str) -> None:
    lora = [matrix for matrix in tensors if _LORA.search(matrix.name)]
    if lora and 2 * len(lora) >= len(tensors):
        raise InputError(
            f"{label} is a LoRA adapter without a model's table; give the file of its base model, "
            "or merge the two (merge_and_unload() in peft) and save the result."
        )


def _refuse(
    tables: Sequence[Matrix],
    label: str,
    tokens: TokenList | None,
    places: Mapping[str, str] | None,
) -> None:
    count = f"{len(tokens):,}" if tokens else "all"
    shard = _SHARD.search(label)
    indexed = places and next((n for n in sorted(places, key=_order) if _INPUT.search(n)), None)
    if places and indexed:
        raise InputError(
            f"{label} has no table of tokens; the model’s index says that {short(indexed)} is in "
            f"{short(places[indexed])}: give that file."
        )
    if shard:
        raise InputError(
            f"{label} is part {int(shard[1])} of {int(shard[2])} of a model and has no table of "
            "tokens; give the part with the table, usually the first "
            "(model.safetensors.index.json names it)."
        )
    if not tables:
        raise InputError(f"{label} has no matrix, and so no table of token vectors.")
    transposed = tokens and next(
        (m for m in tables if m.shape and m.shape[1] == len(tokens) != m.shape[0]), None
    )
    if transposed and transposed.shape:
        raise InputError(
            f"{short(transposed.name)} is {transposed.shape[0]:,} × {transposed.shape[1]:,}, a "
            "column for each token; save its transpose, a row for each token."
        )
    fitting = [m for m in tables if tokens and m.shape and fits(m.shape[0], tokens) < _UNFIT]
    if fitting:
        raise InputError(
            f"No tensor of {label} looks like a table of tokens: {few([m.name for m in fitting])} "
            f"has as many rows as there are tokens, but the name of another part of a model. "
            "Name the tensor to read it anyway."
        )
    raise InputError(
        f"No matrix of {label} has a row for each of the {count} tokens; there are "
        f"{_sized(tables)}. Give the tokens of this model, or name the tensor."
        if tokens
        else f"No tensor of {label} looks like a table of token vectors; name one of "
        f"{few([m.name for m in tables])}."
    )


def _order(name: str) -> tuple[bool, int, str]:
    return bool(_DECODER.search(name)), name.count("."), name


def _sized(tables: Sequence[Matrix]) -> str:
    largest = sorted(tables, key=lambda m: -(m.shape or (0,))[0])
    return few(
        [
            f"{short(m.name)} ({m.shape[0]:,} × {m.shape[1]:,})" if m.shape else short(m.name)
            for m in largest
        ],
        4,
    )


def few(names: Sequence[str], most: int = 6) -> str:
    """Return names as a list for a sentence, at most ``most`` of them."""
    shown = ", ".join(map(short, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown or "none"


def short(text: str) -> str:
    """Return a name from a file in a form fit for a sentence."""
    return short_name(text, 80)
