"""Which matrix of a file is the table of its tokens.

Notable:

- The number of tokens decides first: a matrix with a row for each token, or padded beyond them, or
  short of the special ones at their end, beats every name. Among equals, names of input tables come
  before others, and others before output heads; positions and feed-forward layers never qualify.
- A choice that is not certain says that it is a guess, and names what else there was. Where nothing
  fits, the refusal says what the file is: a shard, an adapter, a quantised or a transposed table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    """A tensor of a file; ``shape`` is ``None`` where only its name is known."""

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
        tensors: all of a file.
        label: how a refusal calls the file.
        wanted: the one that a person named.
        tokens: of the model, if they are known.
        places: the file of each tensor of the whole model, where an index tells.

    Returns:
        The name, and sentences about how it was chosen.

    Raises:
        InputError: there is none such.
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
        _refuse(tensors, tables, label, tokens, places)
    (fit, kind, *_), _, name, best = ranked[0]
    if kind == _HEADS and (_SHARD.search(label) or places):
        _refuse(tensors, tables, label, tokens, places)
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
    """Return how good a table a matrix would be, less is better; ``None`` where it is none."""
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
    turned = matrix.shape[1] == len(tokens)
    if fit == _UNFIT and (turned or kind != _INPUT_NAMES):
        return None
    return fit, kind, order, abs(rows - len(tokens))


def fits(rows: int, tokens: TokenList) -> int:
    """Return 0 for a row a token, 1 for rows padded or short of the last special tokens, else 2."""
    spare = rows - len(tokens)
    if spare == 0:
        return _EXACT
    if -tokens.tail <= spare < 0:
        return _NEAR
    # Tables are padded to a multiple of up to 1,024, or left with room for some per cent more.
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
            f"{name} was read for its name, though its {best.shape[0] if best.shape else 0:,} rows "
            f"are not one for each of the {len(tokens):,} tokens."
        )
    else:
        why = f"its rows fit the {len(tokens):,} tokens"
    if kind == _HEADS:
        why += ", though its name is that of an output head"
    first = rivals or [m.name for m in tables if m.name != best.name]
    others = f" Other matrices are {few(first)}." if first else ""
    return (
        f"That {name} ({shape}) is the table is a guess: {why}.{others} Name the tensor if it is "
        "another one."
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
            f"{label} holds a LoRA adapter and not the table of a model; give the file of its base "
            "model, or merge the two (merge_and_unload() in peft) and save the result."
        )


def _refuse(
    tensors: Sequence[Matrix],
    tables: Sequence[Matrix],
    label: str,
    tokens: TokenList | None,
    places: Mapping[str, str] | None,
) -> None:
    count = f"{len(tokens):,}" if tokens else "all"
    shard = _SHARD.search(label)
    held = places and next((n for n in sorted(places, key=_order) if _INPUT.search(n)), None)
    if places and held:
        raise InputError(
            f"{label} holds no table of tokens; the model’s index says that {short(held)} is in "
            f"{short(places[held])}: give that file."
        )
    if shard:
        raise InputError(
            f"{label} is part {int(shard[1])} of {int(shard[2])} of a model and holds no table of "
            "tokens; it is in another part, most often the first "
            "(model.safetensors.index.json names it)."
        )
    if not tables:
        raise InputError(f"{label} holds no matrix, so no table of token vectors.")
    turned = tokens and next(
        (m for m in tables if m.shape and m.shape[1] == len(tokens) != m.shape[0]), None
    )
    if turned and turned.shape:
        raise InputError(
            f"{short(turned.name)} is {turned.shape[0]:,} × {turned.shape[1]:,}, a column for each "
            "token; save its transpose, a row for each token."
        )
    fitting = [m for m in tables if tokens and m.shape and fits(m.shape[0], tokens) < _UNFIT]
    if fitting:
        raise InputError(
            f"No tensor of {label} looks like a table of tokens: {few([m.name for m in fitting])} "
            f"has as many rows as there are tokens, but is another part of a model by its name. "
            "Name the tensor to read it all the same."
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
    """Return some names as a person lists them."""
    shown = ", ".join(map(short, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown or "none"


def short(text: str) -> str:
    """Return a name out of a file, fit for a sentence."""
    text = "".join(char if char.isprintable() else "\ufffd" for char in text[:81])
    return text if len(text) <= 80 else text[:77] + "..."
