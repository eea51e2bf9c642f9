r"""Turn strings into HTML: the only place that escapes, and the only way to build markup.

Notable:

- `element` escapes every child and attribute that is not `Markup` already, so text that a person
  typed cannot reach a page unescaped unless the code wraps it in ``Markup(...)``.
- `glyphs` makes any bytes readable: spaces, line ends and tabs get a sign, control characters,
  zero-width and direction marks get their code, and bytes that are not a whole character look like
  ``\xe2``. It keeps the byte range of each sign, so that a changed byte can be marked.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Container, Iterable
from dataclasses import dataclass

import markupsafe
from markupsafe import Markup

from kronviz.predictor import clean_text

DOT = "\u00a0· "
"""Separator of list items; a line may break only after it."""
_VOID = frozenset({"br", "hr", "img", "input", "meta", "link", "col"})
_SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥"}
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def escape(value: object) -> Markup:
    """Escape any value to text that is inert in HTML, including attributes."""
    if isinstance(value, Markup):
        return value
    return markupsafe.escape(clean_text(str(value)).replace("\0", "\ufffd"))


def join(parts: Iterable[object]) -> Markup:
    """Concatenate the parts, escaping each that is not markup."""
    return Markup("".join(escape(part) for part in parts))


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """Return an HTML element.

    Args:
        tag: name of the element.
        children: markup, or anything else, which is escaped.
        attributes: ``class_`` and ``for_`` lose the underscore, other underscores become hyphens;
            ``None`` and ``False`` omit an attribute, ``True`` writes it without a value.
    """
    written = []
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        written.append(f" {name}" if value is True else f' {name}="{escape(value)}"')
    opening = f"<{tag}{''.join(written)}>"
    if tag in _VOID:
        return Markup(opening)
    return Markup(f"{opening}{join(children)}</{tag}>")


def words(markup: Markup) -> str:
    """Return the text of a piece of HTML without its elements, for an attribute or a file."""
    return html.unescape(re.sub(r"<[^>]*>", "", str(markup)))


@dataclass(frozen=True)
class Glyph:
    """One readable sign.

    Attributes:
        text: the visible text.
        kind: ``text``, ``space`` (a sign for a space) or ``code`` (an escape for an invisible
            character).
        start, end: the range of bytes that it represents.
    """

    text: str
    kind: str
    start: int
    end: int


def glyphs(data: bytes) -> tuple[Glyph, ...]:
    """Return the bytes as readable signs, in order, with no byte left out."""
    result: list[Glyph] = []
    position = 0
    while position < len(data):
        character = _character_at(data, position)
        if character is None:
            result.append(Glyph(f"\\x{data[position]:02x}", "code", position, position + 1))
            position += 1
            continue
        end = position + len(character.encode())
        result.append(Glyph(*_sign(character, first=not result), position, end))
        position = end
    return tuple(result)


def visible(data: bytes, changed: Container[int] = (), gaps: Container[int] = ()) -> Markup:
    """Return bytes as HTML, with spaces and codes set apart and the changed bytes in ``<mark>``.

    Codes are isolated and run from left to right, whatever is next to them. An empty ``<mark>``
    shows where the other text has bytes that this one lacks.
    """
    runs: list[tuple[str, bool, list[str]]] = []
    for glyph in glyphs(data):
        marked = any(index in changed for index in range(glyph.start, glyph.end))
        if any(index in gaps for index in range(glyph.start, glyph.end)):
            runs.append(("gap", False, []))
        if not runs or runs[-1][:2] != (glyph.kind, marked):
            runs.append((glyph.kind, marked, []))
        runs[-1][2].append(glyph.text)
    if len(data) in gaps:
        runs.append(("gap", False, []))
    parts = []
    for kind, marked, texts in runs:
        part: object = "".join(texts)
        if kind == "gap":
            part = element("mark", class_="kv-gap")
        elif kind != "text":
            part = element("bdi", part, dir="ltr", class_=f"kv-{kind}")
        parts.append(element("mark", part) if marked else part)
    return join(parts)


def _character_at(data: bytes, position: int) -> str | None:
    for size in range(1, 5):
        try:
            return data[position : position + size].decode()
        except UnicodeDecodeError:
            continue
    return None


def _sign(character: str, *, first: bool) -> tuple[str, str]:
    if character in _SIGNS:
        return _SIGNS[character], "space"
    category = unicodedata.category(character)
    if category in _HIDDEN_CATEGORIES or category == "Zs":
        code = ord(character)
        if code < 0x100:
            return f"\\x{code:02x}", "code"
        return (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"), "code"
    if first and category.startswith("M"):
        return f"◌{character}", "text"
    return character, "text"
