"""The navigation bar: groups in the order of a visit, each with its views.

Notable:

- A view is one line in a `Group`; links use its name, which stays when the view is moved.
- The bar's tabs are links: with a modifier key they open in a new window like any other link.
- Gradio keeps the panels; its own bar is hidden, and ``assets/views.js`` presses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kronviz.app.components import Markup, element
from kronviz.app.context import Context


@dataclass(frozen=True)
class View:
    """A view: its name in links, its title, and the function that lays it out."""

    name: str
    title: str
    build: Callable[[Context], None]


@dataclass(frozen=True)
class Group:
    """A tab of the bar. Without a title it is not shown; its views are reached from elsewhere."""

    title: str
    views: tuple[View, ...]


def views(groups: Iterable[Group]) -> tuple[View, ...]:
    """Return the views of all groups, in order."""
    return tuple(view for group in groups for view in group.views)


def skip_link() -> Markup:
    """Return the link that skips the head of the page."""
    return element("a", "Skip to the content", href="#kv-tabs", class_="kv-skip")


def bar(groups: Sequence[Group], moved: Mapping[str, str]) -> Markup:
    """Return the bar, with the first view selected.

    Args:
        moved: views by the names that older links use.
    """
    shown = [group for group in groups if group.title]
    heads = [_tab(group.title, group.views[0], group is shown[0]) for group in shown]
    lists = [
        _list(
            f"Views of {group.title}",
            [_tab(view.title, view, view is group.views[0]) for view in group.views],
            "kv-views",
            hidden=group is not shown[0],
        )
        if len(group.views) > 1
        else ""
        for group in shown
    ]
    return element(
        "div",
        _list("Sections", heads, "kv-groups"),
        *lists,
        class_="kv-bar-of-views",
        data_groups=" ".join(
            ",".join(view.name for view in group.views) for group in groups if group.title
        ),
        data_moved=" ".join(f"{old}={new}" for old, new in moved.items()),
    )


def _list(label: str, tabs: Sequence[Markup], class_: str, *, hidden: bool = False) -> Markup:
    return element(
        "div", *tabs, role="tablist", aria_label=label, class_=class_, hidden=hidden or None
    )


def _tab(title: str, view: View, selected: bool) -> Markup:
    return element(
        "a",
        title,
        href=f"?tab={view.name}",
        role="tab",
        aria_selected="true" if selected else "false",
        tabindex="0" if selected else "-1",
        data_view=view.name,
    )
