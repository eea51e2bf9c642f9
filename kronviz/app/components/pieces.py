"""Small pieces of text and markup: names, bytes, tokens, counts, tooltips.

Notable:

- `told` gives an element a tooltip: its explanation is the accessible name, and the page shows the
  same words on hover, focus or tap, so that they are written once.
- A group of such elements is one stop for the Tab key; arrow keys move inside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kronviz import codec
from kronviz.app.components.html import Markup, element, glyphs, join, visible
from kronviz.app.components.numbers import label, written
from kronviz.errors import count as count
from kronviz.predictor import TokenView

HEADLINE_BYTES = 24
RELATIONS = {
    "typographic": ("same word", "the same word in other case, with a space or punctuation"),
    "morphological": ("same root", "another form of the same root"),
    "other": ("other", "another word"),
}


def told(content: object, explanation: str, role: str = "img", **attributes: object) -> Markup:
    """Return a picture with a tooltip that shows on hover, focus or tap.

    Args:
        explanation: text of the tooltip, see `label`.
    """
    return element(
        "span",
        content,
        role=role,
        tabindex=0,
        data_told=True,
        **label(explanation),
        **attributes,
    )


def term(name: object, explanation: str, *, called: str = "") -> Markup:
    """Return a term with a tooltip, underlined with dots.

    Args:
        called: the term as plain text, if ``name`` is markup.
    """
    said = f"{called or name}: {explanation}"
    return element("button", name, type="button", class_="kv-term", data_told=True, **label(said))


def piece(data: bytes) -> Markup:
    """Return a string for use in a sentence, with its bytes made readable."""
    return element("bdi", visible(data), class_="kv-piece")


def short_piece(data: bytes) -> Markup:
    """Return a string for use in a headline, shortened to its beginning if it is long."""
    if len(data) <= HEADLINE_BYTES:
        return piece(data)
    return element("bdi", visible(codec.truncate(data, HEADLINE_BYTES)), "…", class_="kv-piece")


def arm_name(arm: str) -> Markup:
    """Return the name of an arm in its colour; the byte code has no colour."""
    return element("span", arm, class_="kv-arm-name", data_arm=arm)


def info(identifier: str, subject: str, explanation: str) -> Markup:
    """Return a small button that explains what is next to it, on hover, focus or tap."""
    return element(
        "span",
        element(
            "button",
            "?",
            type="button",
            class_="kv-info",
            aria_label=f"What is {subject}?",
            aria_describedby=identifier,
        ),
        element("span", explanation, role="tooltip", id=identifier, class_="kv-tip"),
        class_="kv-infobox",
    )


def spoken(data: bytes) -> str:
    """Return bytes in words, for an accessible name."""
    return "".join({"space": "space"}.get(glyph.kind, glyph.text) for glyph in glyphs(data))


def sign(character: str, hex_: str, parts: int = 1) -> Markup:
    """Return the sign of one byte: its character, or the byte if the character has several."""
    if parts > 1 or not character:
        return element("span", hex_, class_="kv-hexsign")
    return element("bdi", visible(character.encode()))


def percent(share: float, digits: int = 0) -> str:
    """Return a share in percent."""
    return f"{written(share * 100, digits)}%"


def token_list(views: Sequence[TokenView]) -> Markup:
    """Return the tokens of a string side by side."""
    return element(
        "span",
        *[
            told(
                element("bdi", visible(bytes.fromhex(view.hex))),
                f"token {view.id}: {view.text}, bytes {view.hex}",
                class_="kv-bit",
            )
            for view in views
        ],
        class_="kv-tokens",
        role="group",
        aria_label="Tokens",
        data_keys=True,
    )


def section(title: str, explanation: str, *children: object, **attributes: object) -> Markup:
    """Return a section below the first one: its title, explanation and content."""
    return element(
        "section",
        element("h2", title, class_="kv-title"),
        element("p", explanation, class_="kv-lead"),
        *children,
        **attributes,
    )


def listing(parts: Sequence[Markup], last: str = " and ") -> Markup:
    """Return the parts as a list in a sentence."""
    if len(parts) < 2:
        return join(parts)
    inner = join(part if i == 0 else join([", ", part]) for i, part in enumerate(parts[:-1]))
    return join([inner, last, parts[-1]])
