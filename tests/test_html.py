"""Whatever a person types is inert on the page, and every byte of it can be read there."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronviz.app.components.html import Markup, clean_text, element, escape, glyphs, join, visible
from kronviz.app.theme import APP
from kronviz.figures.palette import NEUTRALS

ANY_TEXT = st.text(st.characters(codec=None))


class Reader(HTMLParser):
    """Collects what a browser would see: tags with their attributes, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said += data


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(str(markup))
    reader.close()
    return reader


@given(ANY_TEXT)
def test_escaping_loses_nothing_and_leaves_no_markup(text: str) -> None:
    escaped = escape(text)
    assert not set("<>\"'") & set(escaped)
    assert escape(escaped) == escaped
    seen = read(f"<p>{escaped}</p>").said
    assert seen.replace("\r", "") == clean_text(text).replace("\0", "\ufffd").replace("\r", "")


@given(ANY_TEXT)
def test_clean_text_can_be_encoded_and_sound_text_is_kept(text: str) -> None:
    made = clean_text(text)
    made.encode()
    try:
        text.encode()
    except UnicodeEncodeError:
        assert "\ufffd" in made or len(made) < len(text)
    else:
        assert made == text


def test_markup_is_kept_and_everything_else_is_escaped() -> None:
    assert join([Markup("<b>"), "<b>", 3, None]) == "<b>&lt;b&gt;3None"
    assert element("br") == "<br>"
    assert element("i", class_="a", hidden=True, title=None, data_x_y=1, inert=False) == (
        '<i class="a" hidden data-x-y="1"></i>'
    )


@given(st.binary(max_size=40))
def test_every_byte_has_one_glyph(data: bytes) -> None:
    position = 0
    for glyph in glyphs(data):
        assert glyph.start == position < glyph.end
        assert glyph.text.strip()
        position = glyph.end
    assert position == len(data)


def test_signs_for_what_has_no_look() -> None:
    for data, expected in (
        (b" run", "␣run"),
        (b"a\n\tb", "a⏎⇥b"),
        (b"\x00\x1b\x7f", r"\x00\x1b\x7f"),
        ("é".encode(), "é"),
        ("é".encode()[:1], r"\xc3"),
        (b"\xff a", r"\xff␣a"),
        ("\u200b\u202e".encode(), r"\u200b\u202e"),
        ("\u0301x".encode(), "◌\u0301x"),
        ("\u00a0".encode(), r"\xa0"),
        ("\U000e0041".encode(), r"\U000e0041"),
    ):
        assert "".join(glyph.text for glyph in glyphs(data)) == expected


def test_changed_bytes_are_marked_and_a_character_counts_if_any_of_its_bytes_did() -> None:
    assert visible(b"cat", (1,)) == "c<mark>a</mark>t"
    assert visible("né".encode(), (2,)) == "n<mark>é</mark>"
    assert visible(b"<b>", (0,)) == "<mark>&lt;</mark>b&gt;"


@pytest.mark.parametrize(("scheme", "texts"), [("light", (0, 255)), ("dark", (255, 0))])
def test_numbers_on_a_heat_map_are_read_at_every_tint(scheme: str, texts: tuple[int, int]) -> None:
    """Black or white on each mix of ink and surface, by the contrast of WCAG."""
    sheet = (APP / "tabs/inside/inside.css").read_text(encoding="utf-8")
    turns = re.findall(r"--kv-turn: ([\d.]+)", sheet)
    turn = float(turns[scheme == "dark"])
    ink, surface = (
        bytes.fromhex(getattr(NEUTRALS[name], scheme)[1:]) for name in ("ink", "surface")
    )

    def luminance(channels: list[float]) -> float:
        parts = [c / 255 for c in channels]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for step in range(101):
        tint = step / 100
        mixed = [tint * a + (1 - tint) * b for a, b in zip(ink, surface, strict=True)]
        back, text = luminance(mixed), luminance([float(texts[tint > turn])] * 3)
        assert (max(back, text) + 0.05) / (min(back, text) + 0.05) >= 4.5, tint
