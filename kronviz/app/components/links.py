"""Links that restore a view: a tab's settings in the query of the page's address.

Notable:

- The browser writes: it gets the values of the controls, including those in closed folds, and keeps
  those that differ from the page's initial values, without asking the server.
- A view declares each of its entries with a rule (`remember`, `declare`). `tell_ignored` says on
  the page which entries cannot be followed, whether the server or a script of the view reads them.
- Names include their tab, such as ``robustness.seed``, so that tabs do not read each other's.
- A run that was started by hand is named in the link, which starts it again.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes

import gradio as gr

from kronviz.app.components.html import Markup
from kronviz.app.components.parts import alert
from kronviz.strings import shown

MAX_NUMBER = 2**31 - 1
_TOLD, _LISTED = 3, 12
"""The most problems of a link, and choices of an entry, that one sentence lists."""

Rule = Callable[[str], tuple[Any, str]]
"""Maps an entry of a link to the value for its control, `None` if there is none, and to what
is wrong with the entry, such as "is 'x', not one of a, b"; empty if nothing is."""


@dataclass(frozen=True)
class Depending:
    """The rule of an entry whose values depend on other entries of the link.

    Attributes:
        given: maps the entries of a link, by name, to the rule.
    """

    given: Callable[[Mapping[str, str]], Rule]


class Links(dict[str, dict[str, Rule | Depending]]):
    """The entries that a link may have, by view; those under "" belong to every view.

    Attributes:
        fields: two hidden fields for each view with such entries: the query of a link to it, and
            its values for the controls. The page draws them outside the views, because Gradio
            watches only what is drawn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[gr.Textbox] = []


def choice(values: Iterable[object]) -> Rule:
    """Return the rule of an entry that is one of some values."""
    by_name = {str(value): value for value in values}

    def read(text: str) -> tuple[Any, str]:
        if text in by_name:
            return by_name[text], ""
        return None, f"is {shown(text)}, not {_one_of(by_name)}"

    return read


def choices(values: Collection[str]) -> Rule:
    """Return the rule of an entry that is a list of some values, separated by commas."""

    def read(text: str) -> tuple[Any, str]:
        given = text.split(",")
        unknown = [name for name in given if name not in values]
        problem = f"has {shown(unknown[0])}, not {_one_of(values)}" if unknown else ""
        return [name for name in given if name in values], problem

    return read


def amount(low: float | None, high: float | None, *, whole: bool = True) -> Rule:
    """Return the rule of an entry that is a number between two limits."""
    least = -MAX_NUMBER if low is None else low
    most = MAX_NUMBER if high is None else high
    kind = "a whole number" if whole else "a number"

    def read(text: str) -> tuple[Any, str]:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most or (whole and value % 1):
            return None, f"is {shown(text)}, not {kind} from {least:,} to {most:,}"
        return int(value) if whole else value, ""

    return read


def matching(pattern: str, what: str) -> Rule:
    """Return the rule of an entry that a script reads: the whole entry has to match."""

    def read(text: str) -> tuple[Any, str]:
        fits = re.fullmatch(pattern, text, re.ASCII)
        return (text, "") if fits else (None, f"is {shown(text)}, not {what}")

    return read


def any_text(text: str) -> tuple[str, str]:
    """Accept any text; the view says what is wrong with it."""
    return text, ""


def rule_of(control: gr.components.Component) -> Rule:
    """Return the rule of an entry that a control shows."""
    if isinstance(control, gr.CheckboxGroup):
        return choices([str(value) for _, value in control.choices])
    if isinstance(control, gr.Checkbox):
        named = {"true": True, "false": False}
        return lambda text: (named.get(text), choice(named)(text)[1])
    if isinstance(control, gr.Radio):
        return choice(value for _, value in control.choices)
    if isinstance(control, gr.Slider | gr.Number):
        return amount(control.minimum, control.maximum, whole=control.step % 1 == 0)
    return any_text


def declare(
    links: Links, view: str, entries: Mapping[str, Rule | Depending | gr.components.Component]
) -> None:
    """Declare what a link to a view may contain; ``view`` is empty for what every link may."""
    links.setdefault(view, {}).update(
        {
            name: rule_of(entry) if isinstance(entry, gr.components.Component) else entry
            for name, entry in entries.items()
        }
    )


def remember(
    links: Links,
    tab: str,
    parts: Mapping[str, gr.components.Component],
    runs: Mapping[str, gr.Button],
    *,
    depending: Mapping[str, Depending] | None = None,
    by_hand: Mapping[str, str] | None = None,
    short: bool = False,
) -> Any:
    """Keep the controls of a tab in the page's address. Call inside a `gr.Blocks`.

    Args:
        links: where the entries are declared.
        tab: name of the view, see `page.GROUPS`.
        parts: controls by their names in the address.
        runs: buttons by the names of their runs in the address; a link that names no run presses
            the one under "".
        by_hand: values, by name, with which a link restores the controls but starts no run.
        depending: rules, by name, of the controls whose limits depend on other controls.
        short: whether the names are written without that of the tab.

    Returns:
        The event that follows a link to this view, once its controls are set.
    """
    own, before = depending or {}, "" if short else f"{tab}."
    rules = {f"{before}{name}": own.get(name) or rule_of(made) for name, made in parts.items()}
    started = [name for name in runs if name]
    declare(links, tab, rules | ({f"{tab}.run": choice(started)} if started else {}))
    names, controls = list(rules), list(parts.values())
    defaults = [_written(control.value) for control in controls]
    buttons = {name: str(button.elem_id) for name, button in runs.items()}
    left = {f"{tab}.{name}": value for name, value in (by_hand or {}).items()}
    begun = ", ".join(map(json.dumps, (tab, buttons, left)))
    known = f"{json.dumps(tab)}, {json.dumps(names)}, {json.dumps(defaults)}"
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    if controls:
        gr.on(
            [control.change for control in controls],  # type: ignore[attr-defined]
            None,
            controls,
            None,
            js=f"(...values) => {{ window.kronvizLinks?.write({known}, values); }}",
            **quiet,
        )
    # The field changes, and the server is asked, only if the link is for this view.
    query, values = hidden_text(), hidden_text()
    links.fields += [query, values]
    read = f"() => window.kronvizLinks?.read({json.dumps(tab)}, {json.dumps(buttons)}) ?? ''"
    gr.on(None, None, None, query, js=read, **quiet)  # Without a trigger: when the page opens.
    usual = f"{json.dumps(tab)}, {json.dumps(defaults)}"
    follow = f"(...values) => window.kronvizLinks.follow({usual}, ...values)"

    def answer(text: str) -> list[Any]:
        made = restored(str(text or ""), tab, rules)
        # Values are set by the page, limits from here, because Gradio checks what it has set.
        updates = [dict(one) if isinstance(one, dict) else gr.skip() for one in made]
        values = [update.pop("value", one) for one, update in zip(made, updates, strict=True)]
        return [json.dumps(values), *updates]

    return (
        query.change(answer, query, [values, *controls], queue=False, **quiet)
        .then(None, [values, *controls], controls, js=follow, **quiet)
        .then(None, None, None, js=f"() => {{ window.kronvizLinks?.start({begun}); }}", **quiet)
    )


def hidden_text() -> gr.Textbox:
    """Return an invisible field, not drawn yet; Gradio would not watch a hidden component."""
    return gr.Textbox(elem_classes="kv-gone", show_label=False, container=False, render=False)


def restored(query: str, tab: str, rules: Mapping[str, Rule | Depending]) -> list[Any]:
    """Return each control's value from a link, ``None`` where it has none for this tab.

    In place of a value there may be an update that also changes a limit of the control.
    """
    values = _first_values(query)
    if values.get("tab") != tab:
        return [None] * len(rules)
    return [
        _read(rule, name, values)[0] if name in values else None for name, rule in rules.items()
    ]


def tell_ignored(
    line: gr.HTML, links: Links, views: Collection[str], moved: Mapping[str, str]
) -> None:
    """Say on the page which parts of a link cannot be followed. Call after all views.

    Args:
        line: the part of the page that says it.
        views: the names of all views, the first one is the page's first.
        moved: views by the names that older links use.
    """
    query = hidden_text()
    for field in [query, *links.fields]:
        field.render()
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    gr.on(None, None, None, query, js="() => location.search", **quiet)

    def told(query: str) -> Markup:
        said = ignored(str(query or ""), links, views, moved)
        return alert(said, "kv-banner") if said else Markup("")

    query.change(told, query, line, queue=False, **quiet)


def ignored(query: str, links: Links, views: Collection[str], moved: Mapping[str, str]) -> str:
    """Say in one sentence which parts of a link cannot be followed; empty if all can.

    Arguments as for `tell_ignored`.
    """
    values, (first, *_) = _first_values(query), views
    asked = values.get("tab", first)
    view = moved.get(asked, asked)
    problems = []
    if view not in views:
        problems.append(f"there is no view {shown(asked)}")
        view = first
    elif view != asked and links.get(view, {}).keys() & values.keys():
        problems.append(f"the view {asked} is called {view} now, so the link needs tab={view}")
    rules = {**links.get("", {}), **links.get(view, {})}
    for name in values:
        if name in rules:
            if problem := _read(rules[name], name, values)[1]:
                problems.append(f"{name} {problem}")
        elif name.startswith(f"{view}."):
            problems.append(f"there is no {shown(name)}")
        elif name != "tab" and (meant := _meant(name, [*rules, "tab"], links)):
            problems.append(f"there is no {shown(name)}, but {meant}")
    pairs = _pairs(query)
    problems += [
        f"{name} is given {len(given)} times, and the first counts"
        for name, given in pairs.items()
        if len(given) > 1 and (name in rules or name == "tab")
    ]
    try:
        unquote_to_bytes(query).decode()
    except ValueError:
        problems.append("characters that are not UTF-8 are shown as �")
    if not problems:
        return ""
    more = [f"{len(problems) - _TOLD} more"] if problems[_TOLD:] else []
    listed = "; ".join([*problems[:_TOLD], *more])
    return f"Part of this link could not be used: {listed}. The page shows its usual values there."


def _read(rule: Rule | Depending, name: str, values: Mapping[str, str]) -> tuple[Any, str]:
    """Apply the rule of an entry of a link; ``values`` are all its entries."""
    return (rule.given(values) if isinstance(rule, Depending) else rule)(values[name])


def _meant(name: str, known: Collection[str], links: Links) -> str:
    """Return the known entry that a name was probably meant to be; empty for other views' names."""
    others = any(name in entries or name.startswith(f"{view}.") for view, entries in links.items())
    return "" if others else next(iter(difflib.get_close_matches(name[:40], known, 1, 0.75)), "")


def _pairs(query: str) -> dict[str, list[str]]:
    return parse_qs(query.removeprefix("?"))


def _first_values(query: str) -> dict[str, str]:
    """Return the entries of a link; the first one of those with the same name."""
    return {name: given[0] for name, given in _pairs(query).items()}


def _one_of(values: Collection[str]) -> str:
    names = list(values)
    return f"one of {', '.join(names[:_LISTED])}{' …' if names[_LISTED:] else ''}"


def _written(value: Any) -> str:
    """Return a value as written in the address, equal to the result of ``write`` in links.js."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value % 1 == 0:
        value = int(value)
    return "" if value is None else str(value)
