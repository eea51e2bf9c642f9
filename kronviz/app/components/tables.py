"""Tables as the pages have them: a caption, one row of titles, and a box that scrolls sideways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kronviz.app.components.html import Markup, element


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
        caption: what the table shows; ``None`` where a heading says it.
        titles: one for each column, empty for one that needs none; a pair is a title and a small
            note below it.
        name: of the file that the table is saved as, where its caption is not a name for one.
        hidden: the caption is for those who listen; others see it elsewhere.
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


def box(*children: object, label: str | None = None, class_: str | None = None) -> Markup:
    """Return a table in a box of its own, which scrolls where the table is wider than the page.

    Args:
        label: what is in it; then it can be reached and scrolled by keyboard, too.
        class_: a further class.
    """
    reached = {} if label is None else {"role": "region", "aria_label": label, "tabindex": 0}
    return element("div", *children, class_=f"kv-scroll {class_ or ''}".strip(), **reached)
