"""Building blocks of pages: pieces of HTML as components, fields, alerts and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gradio as gr

from kronviz.app.components.html import Markup, element
from kronviz.app.components.numbers import marked, quoting


def html_part(value: Markup, identifier: str | None = None) -> gr.HTML:
    """Return a piece of HTML as a component, without Gradio's style and script."""
    return gr.HTML(value, apply_default_css=False, js_on_load=None, elem_id=identifier)


def plot(figure: Any, label: str, **more: Any) -> gr.Plot:
    """Return a chart without a title; ``label`` is its accessible name."""
    return gr.Plot(
        figure, **{"show_label": False, "label": label, "elem_classes": "kv-plot", **more}
    )


def titled_plot(
    figure: Any, title: str, caption: str, label: str = "", heading: str = "h2"
) -> gr.Plot:
    """Lay out a chart between its heading and its caption, in a column of a row."""
    with gr.Column(min_width=300):
        html_part(element(heading, title, class_="kv-heading"))
        made = plot(figure, label or title)
        html_part(element("p", marked(caption), class_="kv-caption"))
    return made


def textbox(
    label: str, value: str, identifier: str, placeholder: str, *, lines: int = 1, most: int = 0
) -> gr.Textbox:
    """Return a text field without browser corrections that grows from ``lines`` to ``most``."""
    return gr.Textbox(
        value,
        label=label,
        placeholder=placeholder,
        lines=lines,
        max_lines=most or lines,
        elem_id=identifier,
        html_attributes=gr.InputHTMLAttributes(
            spellcheck=False, autocorrect="off", autocapitalize="off", autocomplete="off"
        ),
    )


def head(title: str, explanation: str, *, first: bool = False) -> None:
    """Lay out the title and the explanation of a section."""
    html_part(
        element(
            "header",
            element("h2", title, class_="kv-title kv-title-first" if first else "kv-title"),
            element("p", explanation, class_="kv-lead"),
        )
    )


def uploaded_file(**settings: Any) -> gr.File:
    """Return a field for a visitor's file, which listeners get as a path.

    Gradio's own preprocessing leaves an empty file in the temporary folder for each call.
    """
    file = gr.File(type="filepath", elem_classes="kv-file", **settings)

    def path(payload: Any) -> str | None:
        one = payload.root if hasattr(payload, "root") else payload
        one = (one or [None])[0] if isinstance(one, list) else one
        return None if one is None else str(one.path)

    file.preprocess = path  # type: ignore[method-assign]
    return file


def alert(sentence: str, class_: str = "kv-finding kv-refused") -> Markup:
    """Return an alert: one sentence that says what was wrong and what to do."""
    return element("p", quoting(sentence), class_=class_, role="alert")


def progress_bar(share: float, label: str) -> Markup:
    """Return a bar filled to a share between 0 and 1."""
    return element(
        "div",
        element("span", style=f"--p: {share:.3f}"),
        class_="kv-lay-bar",
        role="progressbar",
        aria_label=label,
        aria_valuenow=round(share * 100),
        aria_valuemin="0",
        aria_valuemax="100",
    )


def table(
    caption: object,
    titles: Sequence[object],
    rows: Iterable[Markup],
    *,
    name: str | None = None,
    class_: str = "kv-table",
    hidden: bool = False,
) -> Markup:
    """Return a table with one row of titles.

    Args:
        caption: what the table shows; ``None`` if a heading says it.
        titles: one for each column, or empty; a pair is a title and a small note below it.
        name: name of the file that the table is saved as, if the caption does not suit.
        hidden: show the caption only to screen readers.
    """
    heads = [title if isinstance(title, tuple) else (title, "") for title in titles]
    return element(
        "table",
        *(
            []
            if caption is None
            else [element("caption", caption, class_="kv-hidden" if hidden else None)]
        ),
        element(
            "thead",
            element(
                "tr",
                *[
                    element("th", title, element("small", note) if note else "", scope="col")
                    if title
                    else element("td")
                    for title, note in heads
                ],
            ),
        ),
        element("tbody", *rows),
        class_=class_,
        data_name=name,
    )


def box(*children: object, label: str, class_: str | None = None) -> Markup:
    """Return a box for a table that scrolls, also by keyboard, if it is wider than the page.

    Args:
        label: accessible name of the box.
        class_: an additional class.
    """
    return element(
        "div",
        *children,
        class_=f"kv-scroll {class_ or ''}".strip(),
        role="region",
        aria_label=label,
        tabindex=0,
    )
