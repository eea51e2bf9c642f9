"""Controls of the page, made from the settings that a probe declares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar, get_origin

import gradio as gr

from kronviz.lines import split_lines
from kronviz.probes.stored_runs import SEED
from kronviz.settings import checked, declared
from kronviz.typos import KINDS

Settings = TypeVar("Settings")


def control(cls: type, name: str, label: str, **changes: Any) -> Any:
    """Return the field for a setting, with its declared default, limits and choices.

    Args:
        cls: the probe's settings class.
        label: label of the field.
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
    if name == "seed":
        asked = {"minimum": 0, "precision": 0, "label": label, "value": default, **changes}
        return gr.Number(**asked)
    if about.low is not None and about.high is not None:
        scale = 100 if about.percent else 1
        limits = {
            "minimum": about.low * scale,
            "maximum": about.high * scale,
            "value": default * scale,
        }
        return gr.Slider(**{**limits, "step": 1, "label": label, **changes})
    shown = ", ".join(default) if isinstance(default, tuple) else about.example or default
    return gr.Textbox(**{"value": shown, "label": label, **changes})


def uncapped(
    slider: gr.Slider, inputs: list[Any]
) -> tuple[list[Any], str, Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """Let listeners read a slider whose maximum follows a text, however late that maximum comes.

    Gradio refuses a value above the maximum that the page was sent last, which a link or a newer
    text may have overtaken. So the value travels in a hidden number, and in the slider's place its
    minimum.

    Args:
        inputs: of the listeners; ``slider`` is one of them.

    Returns:
        The inputs, the script of the listeners, and what makes a listener of a function that takes
        the values of ``inputs``.
    """
    place = inputs.index(slider)

    def read(function: Callable[..., Any]) -> Callable[..., Any]:
        def listener(value: float | None, *state: Any) -> Any:
            given = list(state)
            given[place] = given[place] if value is None else value
            return function(*given)

        return listener

    value = f"state[{place + 1}]"
    script = f"(...state) => {{ state[0] = {value}; {value} = {slider.minimum}; return state; }}"
    return [gr.Number(visible=False), *inputs], script, read


class Fields(Generic[Settings]):
    """Makes the controls of a view from the settings that a probe declares.

    Attributes:
        controls: the controls in the order of their creation.
        named: the controls by their names in the page's links.
    """

    def __init__(self, cls: type[Settings]):
        self._cls = cls
        self._names: list[str] = []
        self.controls: list[Any] = []
        self.named: dict[str, Any] = {}

    def __call__(self, name: str, label: str, **changes: Any) -> Any:
        """Return the `control` for a setting and keep it in links; arguments as in `control`."""
        made = control(self._cls, name, label, **changes)
        self._names.append(name)
        self.controls.append(made)
        self.named[declared(self._cls)[name][2].link or name] = made
        return made

    def seed(self, **changes: Any) -> Any:
        """Return the field for the seed, which starts with that of the stored results."""
        return self("seed", "Seed", **{"value": SEED, "elem_classes": "kv-lab-seed", **changes})

    def kinds(self, **changes: Any) -> Any:
        """Return the checkboxes for the kinds of misspelling, each with an example."""
        choices = [
            (f"{kind.label}: {kind.example.rpartition(' → ')[2]}", name)
            for name, kind in KINDS.items()
        ]
        return self("kinds", "Kinds of misspelling", **{"choices": choices, **changes})

    def read(self, values: Sequence[Any]) -> Settings:
        """Return the settings given by the values of all `controls`.

        An emptied field stands for its initial value; an emptied list stays empty.

        Raises:
            InputError: a value is invalid; the message names the setting.
        """
        given = {
            name: made.value if value is None else value
            for name, made, value in zip(self._names, self.controls, values, strict=True)
        }
        nothing: dict[str, Any] = {}
        for name, (_, type_, about) in declared(self._cls).items():
            if isinstance(given.get(name), str) and get_origin(type_) is tuple:
                given[name] = [line.strip() for line in split_lines(given[name]) if line.strip()]
            if about.percent and isinstance(given.get(name), int | float):
                given[name] /= 100
            if given.get(name) == []:
                nothing[name] = ()
        return replace(checked(self._cls, **given), **nothing)  # type: ignore[type-var]
