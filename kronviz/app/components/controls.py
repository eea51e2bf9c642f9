"""Controls of the page, made from the settings that a probe declares."""

from __future__ import annotations

from typing import Any, get_origin

import gradio as gr

from kronviz.settings import declared


def control(cls: type, name: str, label: str, **changes: Any) -> Any:
    """Return the field for a setting: its default, limits and choices are those declared.

    Args:
        cls: the probe's settings.
        label: what stands above the field.
        changes: arguments of the Gradio component that replace the ones used here.
    """
    field, type_, about = declared(cls)[name]
    default: Any = field.default
    if type_ is bool:
        return gr.Checkbox(default, **{"label": label, **changes})
    if about.choices:
        many = get_origin(type_) is tuple
        kind, default = (gr.CheckboxGroup, list(default)) if many else (gr.Radio, default)
        return kind(**{"choices": list(about.choices), "value": default, "label": label, **changes})
    if about.low is not None and about.high is not None:
        limits = {"minimum": about.low, "maximum": about.high, "value": default}
        return gr.Slider(**{**limits, "step": 1, "label": label, **changes})
    return gr.Textbox(default, **{"label": label, **changes})
