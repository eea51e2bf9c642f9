"""Links that bring a view back: a tab's settings as the query of the page's address, and back.

Notable:

- The browser writes: it is handed the values of the controls, those in closed folds too, and keeps
  what differs from the values that the page opens with. Nothing is asked of the server for it.
- The server reads: a value that a control could not have is left out, control by control.
- Names carry their tab, such as ``robustness.seed``, so that tabs do not read each other's.
- A run is named in the link when it was started by hand, and is started again from there.
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
        tab: name of the tab, see `layout.TABS`.
        parts: controls by the name that they have in the address.
        runs: buttons by the name that the run which they start has there.
        by_hand: values, by name, with which a link restores its controls but starts no run.
        highest: largest value of a control whose own maximum follows another control.
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
    gr.on(  # Of no trigger: when the page opens.
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
    """Return what each control becomes by a link; nothing where the link is not about this tab."""
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
    """Return the value that a text stands for; `gr.skip()` where the control could not have it."""
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
    """Return a value as the address holds it; the same as ``write`` in links.js makes of it."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value % 1 == 0:
        value = int(value)
    return "" if value is None else str(value)
