"""What pages are put together from: a piece of HTML as a component, and how far a run is."""

from __future__ import annotations

import gradio as gr

from kronviz.app.components.html import Markup, element
from kronviz.app.components.numbers import quoting


def html_part(value: Markup, identifier: str | None = None) -> gr.HTML:
    """A piece of HTML in the page's own style, with no script of Gradio's."""
    return gr.HTML(value, apply_default_css=False, js_on_load=None, elem_id=identifier)


def head(title: str, explanation: str, *, first: bool = False) -> None:
    """Title and first sentence of a section."""
    html_part(
        element(
            "header",
            element("h2", title, class_="kv-title kv-title-first" if first else "kv-title"),
            element("p", explanation, class_="kv-lead"),
        )
    )


def alert(sentence: str, class_: str = "kv-finding kv-refused") -> Markup:
    """One sentence that says what was wrong and what to do."""
    return element("p", quoting(sentence), class_=class_, role="alert")


def progress_bar(share: float, label: str) -> Markup:
    """A bar filled to a share between 0 and 1."""
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
