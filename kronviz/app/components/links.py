"""Links that restore a view: a tab's settings in the query of the page's address.

Notable:

- The browser writes: it gets the values of the controls, including those in closed folds, and keeps
  those that differ from the page's initial values, without asking the server.
- The server reads: a value that is invalid for its control is ignored.
- Names include their tab, such as ``robustness.seed``, so that tabs do not read each other's.
- A run that was started by hand is named in the link, which starts it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import gradio as gr

MAX_QUERY = 8_000
MAX_TEXT = 2_000
MAX_NUMBER = 2**31 - 1


def remember(
    tab: str,
    parts: Mapping[str, gr.components.Component],
    runs: Mapping[str, gr.Button],
    *,
    highest: Mapping[str, int] | None = None,
    by_hand: Mapping[str, str] | None = None,
) -> None:
    """Keep the controls of a tab in the page's address. Call inside a `gr.Blocks`.

    Args:
        tab: name of the view, see `page.GROUPS`.
        parts: controls by their names in the address.
        runs: buttons by the names of their runs in the address.
        by_hand: values, by name, with which a link restores the controls but starts no run.
        highest: largest value of a control whose maximum depends on another control.
    """
    names, controls = [f"{tab}.{name}" for name in parts], list(parts.values())
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
    search = gr.Textbox(visible=False)
    gr.on(  # Without a trigger it runs when the page opens.
        None,
        lambda query: restored(str(query or ""), tab, parts, highest or {}),
        search,
        controls,
        js=f"() => [window.kronvizLinks?.read({json.dumps(tab)}, {json.dumps(buttons)}) ?? '']",
        queue=False,
        **quiet,
    ).then(
        None,
        None,
        None,
        js=f"() => {{ window.kronvizLinks?.start({begun}); }}",
        api_visibility="private",
    )


def restored(
    query: str,
    tab: str,
    parts: Mapping[str, gr.components.Component],
    highest: Mapping[str, int],
) -> Any:
    """Return each control's value from a link, or no changes if the link is for another tab."""
    values = {name: found[0] for name, found in parse_qs(query.lstrip("?")[:MAX_QUERY]).items()}
    if values.get("tab") != tab:
        made = [gr.skip()] * len(parts)
    else:
        made = [
            _taken(control, values.get(f"{tab}.{name}"), highest.get(name))
            for name, control in parts.items()
        ]
    return made[0] if len(made) == 1 else made


def _taken(control: gr.components.Component, text: str | None, highest: int | None) -> Any:
    """Return the value that a text represents; `gr.skip()` if it is invalid for the control."""
    if text is None:
        return gr.skip()
    if isinstance(control, gr.CheckboxGroup):
        known = {value for _, value in control.choices}
        return [name for name in text.split(",") if name in known]
    if isinstance(control, gr.Checkbox):
        return text == "true" if text in ("true", "false") else gr.skip()
    if isinstance(control, gr.Radio):
        return text if text in {value for _, value in control.choices} else gr.skip()
    if isinstance(control, gr.Slider | gr.Number):
        try:
            value = float(text)
        except ValueError:
            return gr.skip()
        low = control.minimum if control.minimum is not None else float("-inf")
        high = highest or (control.maximum if control.maximum is not None else MAX_NUMBER)
        whole = value == value and abs(value) <= MAX_NUMBER and value % 1 == 0
        if not whole or not low <= value <= high:
            return gr.skip()
        return int(value)
    return text[:MAX_TEXT]


def _written(value: Any) -> str:
    """Return a value as written in the address, equal to the result of ``write`` in links.js."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value % 1 == 0:
        value = int(value)
    return "" if value is None else str(value)
