"""Make a test text from the Debian Administrator's Handbook, which no model here has read.

    apt-get download debian-handbook && dpkg -x debian-handbook_*.deb handbook
    python benchmarks/handbook.py handbook handbook.jsonl

writes its English paragraphs as JSON Lines, one section per line, with plain quotes and dashes as
in the training texts. Code, tables and lists of links are left out. The book, by Raphaël Hertzog
and Roland Mas, is under GPL-2.0+ or CC BY-SA 3.0; its text is not part of this project.
"""

from __future__ import annotations

import argparse
import json
import re
from html.parser import HTMLParser
from pathlib import Path

PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "\u00a0": " "})
FEWEST_WORDS = 12
"""Shorter paragraphs are labels or introduce listings."""


class _Paragraphs(HTMLParser):
    """Collects the text of each paragraph outside listings and tables."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open, self.skipped, self.text = False, 0, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a paragraph, or a part to leave out."""
        classes = dict(attrs).get("class") or ""
        if tag in ("pre", "table", "script") or "navigation" in classes or "docnav" in classes:
            self.skipped += tag in ("pre", "table", "script")
        elif tag == "p" or (tag == "div" and classes == "para"):
            self._finish()
            self.open = True

    def handle_endtag(self, tag: str) -> None:
        """End a paragraph, or a part to leave out."""
        if tag in ("pre", "table", "script"):
            self.skipped = max(0, self.skipped - 1)
        elif tag in ("p", "div"):
            self._finish()

    def handle_data(self, data: str) -> None:
        """Collect the text of an open paragraph."""
        if self.open and not self.skipped:
            self.text += data

    def _finish(self) -> None:
        text = re.sub(r"\s+", " ", self.text).translate(PLAIN).replace("—", " - ").strip()
        if len(text.split()) >= FEWEST_WORDS:
            self.found.append(re.sub(" {2,}", " ", text))
        self.open, self.text = False, ""


def main() -> None:
    """Write the text and print how much there is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of the unpacked package")
    parser.add_argument("out", type=Path, help="the file to write, .jsonl")
    options = parser.parse_args()
    pages = sorted((options.folder / "usr/share/doc/debian-handbook/html/en-US").glob("*.html"))
    seen: set[str] = set()
    characters = 0
    with options.out.open("w", encoding="utf-8") as file:
        for page in pages:
            reader = _Paragraphs()
            reader.feed(page.read_text(encoding="utf-8"))
            new = [text for text in reader.found if text not in seen]
            seen.update(new)
            if new:
                text = "\n\n".join(new)
                characters += len(text)
                file.write(json.dumps({"source": page.name, "text": text}) + "\n")
    print(f"{len(pages)} pages, {len(seen):,} paragraphs, {characters:,} characters")


if __name__ == "__main__":
    main()
