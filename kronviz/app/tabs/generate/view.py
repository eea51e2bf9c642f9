"""Continuations as HTML: what each model reads, and what it writes, token by token.

Notable:

- Continuations are prose: spaces are spaces, so that a text is readable. All other invisible
  characters are written out, as everywhere on the page.
- The line under each new token is as long as its probability; the text keeps its full contrast, and
  the tooltip has the number.
- A forced slot, and the tokens that are read in its place, are framed; bytes beyond the code's
  positions are struck out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from kronviz.app.components import (
    NO_BREAK,
    Markup,
    arm_name,
    count,
    downloads,
    element,
    glyphs,
    join,
    marked,
    piece,
)
from kronviz.arms import ARMS
from kronviz.generation import Continuation, Generation, NewToken, ReadToken, same_start
from kronviz.probes.tables import generation_rows

MODES = {"clean": "Clean", "typo": "Misspelled", "slot": "Made-up word"}


def view(generation: Generation, mode: str) -> Markup:
    """Return the finding, then a panel for each prompt and arm."""
    continuations = generation.continuations
    arms = len({made.arm for made in continuations})
    rows = [continuations[start : start + arms] for start in range(0, len(continuations), arms)]
    names = ["Clean", "Misspelled"] if mode == "typo" else [MODES[mode]]
    sections = [
        _row(name if len(rows) > 1 else None, row) for name, row in zip(names, rows, strict=False)
    ]
    return element(
        "div",
        element("p", _finding(generation, mode), class_="kv-finding"),
        *sections,
        element(
            "p",
            "The longer the line under a token, the surer the model was of it. Both draw from the "
            "same random numbers.",
            class_="kv-caption kv-wide",
        ),
        downloads("generation", generation, generation_rows(generation))
        if generation.finished
        else "",
        class_="kv-gen-result",
        data_finished=generation.finished,
    )


def status(words: object) -> Markup:
    """Return the line beside the buttons, which screen readers announce."""
    return element("p", words, class_="kv-gen-status kv-quiet", role="status")


def progress(generation: Generation) -> Markup:
    """Return the status of unfinished or finished continuations."""
    done = max((len(c.tokens) for c in generation.continuations), default=0)
    if not generation.finished:
        return status(f"Writing … {done} of {count(generation.sampler.max_tokens, 'token')}")
    seconds, seed = generation.seconds, generation.sampler.seed
    return status(marked(f"{count(done, 'token')} each in {seconds:.1f} s, seed {seed}."))


def _finding(generation: Generation, mode: str) -> Markup:
    continuations = generation.continuations
    if mode == "slot":
        string = element("bdi", continuations[0].forced or "", class_="kv-piece")
        return join([string, ": ", *_list([_slot_clause(made) for made in continuations]), "."])
    if mode == "typo":
        half = len(continuations) // 2
        pairs = list(zip(continuations[:half], continuations[half:], strict=True))
        begun = all(made.tokens for made in continuations)
        if begun and not any(same_start(clean, typo) for clean, typo in pairs):
            return Markup("With either model, the misspelled text diverges at once.")
        clauses = [
            join([arm_name(clean.arm), " for ", count(same_start(clean, typo), "token")])
            for clean, typo in pairs
        ]
        words = "Both texts get the same continuation from "
        return join([words, *_list(clauses), "."])
    if len(continuations) < 2:
        return join([arm_name(continuations[0].arm), " continues the text."])
    same = same_start(*continuations[:2])
    written = [made.tokens[same : same + 1] for made in continuations[:2]]
    if not all(written):
        return Markup(
            f"Both write the same {count(same, 'token')}." if same else "Both begin to write …"
        )
    clauses = [
        join([arm_name(made.arm), " with ", piece(bytes.fromhex(new.hex))])
        for made, (new,) in zip(continuations, written, strict=False)
    ]
    shared = (
        f"Both write the same {count(same, 'token')}, then diverge: "
        if same
        else "They diverge at the first token: "
    )
    return join([shared, clauses[0], " and ", clauses[1], "."])


def _slot_clause(made: Continuation) -> Markup:
    forced = next((token for token in made.reads if token.id is None), None)
    if forced is not None:
        size = len(bytes.fromhex(forced.hex))
        of = "its bytes" if forced.read == size else f"the first {forced.read} of its {size} bytes"
        words = f" reads it as one position, made of {of}"
    elif made.slot_tokens == 1:
        words = " reads it as its one token"
    else:
        words = f" has no row for it and reads its {made.slot_tokens} tokens instead"
    return join([arm_name(made.arm), words])


def _list(parts: Sequence[object]) -> list[object]:
    joined: list[object] = []
    for index, part in enumerate(parts):
        joined += [part] if index == 0 else ["; ", part]
    return joined


def _row(name: str | None, row: Sequence[Continuation]) -> Markup:
    heading = [element("h2", name, class_="kv-heading")] if name else []
    level = "h3" if name else "h2"
    return element(
        "section",
        *heading,
        element("div", *[_panel(made, level) for made in row], class_="kv-arms"),
        class_="kv-gen-row",
    )


def _panel(made: Continuation, level: str) -> Markup:
    note = ARMS[made.arm].about if made.arm in ARMS else ""
    end = [element("span", "the model ended the text", class_="kv-gen-end")] if made.ended else []
    return element(
        "section",
        element(
            level, arm_name(made.arm), element("span", f" {note}", class_="kv-quiet"),
            class_="kv-heading",
        ),
        element(
            "p",
            element("span", f"reads {count(len(made.reads), 'position')}"),
            class_="kv-gen-count kv-quiet",
        ),
        element(
            "div",
            *_prompt(made.reads),
            *[_written(token, first=index == 0) for index, token in enumerate(made.tokens)],
            *end,
            class_="kv-gen-text",
            dir="auto",
        ),
        class_="kv-panel",
        data_arm=made.arm,
    )  # fmt: skip


def _prompt(reads: Sequence[ReadToken]) -> list[Markup]:
    parts: list[Markup] = []
    for in_slot, tokens in groupby(reads, key=lambda token: token.in_slot):
        drawn = [_read(token) for token in tokens]
        parts += [element("span", *drawn, class_="kv-gen-string")] if in_slot else drawn
    return parts


def _read(token: ReadToken) -> Markup:
    kinds = ["kv-gen-read"]
    if token.in_slot:
        kinds.append("kv-gen-slot" if token.id is None else "kv-gen-instead")
    data = bytes.fromhex(token.hex)
    unread, note = [], {}
    if token.read < len(data):
        unread = [element("span", _prose(data[token.read :]), class_="kv-gen-unread")]
        note = {"data_note": f"the code holds its first {token.read} bytes"}
    return element(
        "span",
        _prose(data[: token.read]),
        *unread,
        class_=" ".join(kinds),
        data_id="none: forced bytes" if token.id is None else token.id,
        data_hex=token.hex,
        **note,
    )


def _written(token: NewToken, *, first: bool) -> Markup:
    return element(
        "span",
        _prose(bytes.fromhex(token.hex)),
        class_="kv-gen-token",
        style=f"--p: {token.prob:.4f}",
        tabindex="0" if first else "-1",
        data_id=token.id,
        data_hex=token.hex,
        data_note=f"probability {token.prob * 100:.1f}{NO_BREAK}%",
    )


def _prose(data: bytes) -> Markup:
    parts: list[object] = []
    for glyph in glyphs(data):
        if glyph.text == "␣":
            parts.append(" ")
        elif glyph.text == "⏎":
            parts += [element("span", glyph.text, class_="kv-space", aria_hidden="true"), "\n"]
        elif glyph.kind == "text":
            parts.append(glyph.text)
        else:
            parts.append(element("span", glyph.text, class_=f"kv-{glyph.kind}"))
    return join(parts)
