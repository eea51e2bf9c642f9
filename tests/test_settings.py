"""A setting is declared once: the command line, the endpoint and the page agree on it."""

from __future__ import annotations

import argparse
import inspect
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import pytest

from kronviz.app.components import Fields, control
from kronviz.predictor import InputError
from kronviz.probes.echo import EchoSettings
from kronviz.settings import (
    add_argument,
    add_arguments,
    checked,
    declared,
    endpoint,
    from_options,
    narrowed,
    setting,
)


@dataclass(frozen=True)
class Look:
    text: str = setting(..., "A text")
    words: tuple[str, ...] = setting((), "Words", lines=True)
    kinds: tuple[str, ...] = setting(("swap",), "Kinds", choices=("swap", "drop"))
    depth: int = setting(3, "Tokens compared", low=1, high=9)
    share: float = setting(0.5, "Share", low=0, high=1)
    first: bool = setting(True, "The first letter stays")
    seed: int = setting(0, "Seed")


def parsed(*arguments: str) -> Look:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    add_arguments(parser, Look)
    return from_options(Look, parser.parse_args(arguments))


def test_the_command_line_gives_what_python_gives(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("one\ntwo\n", encoding="utf-8")
    assert parsed("--text", "a") == Look(text="a")
    asked = parsed("--text", "a", "--words", str(file), "--kinds", "drop", "swap", "--no-first")
    assert asked == Look(text="a", words=("one", "two"), kinds=("drop", "swap"), first=False)
    assert parsed("--text", "a", "--depth", "9", "--share", "1", "--seed", "7") == Look(
        text="a", depth=9, share=1.0, seed=7
    )


def test_one_setting_can_be_an_option_under_another_name() -> None:
    parser = argparse.ArgumentParser()
    add_argument(parser, Look, "depth", "--tokens", help="Tokens")
    assert parser.parse_args([]).tokens == 3
    assert parser.parse_args(["--tokens", "5"]).tokens == 5
    with pytest.raises(SystemExit):
        parser.parse_args(["--depth", "5"])


def test_a_narrowed_setting_is_the_same_but_for_what_is_changed() -> None:
    @dataclass(frozen=True)
    class Glance(Look):
        depth: int = narrowed(Look, "depth", high=5)

    assert checked(Glance, text="a").depth == 3
    with pytest.raises(InputError, match="depth is 6; it must be a whole number from 1 to 5"):
        checked(Glance, text="a", depth=6)
    assert declared(Glance)["depth"][2].help == "Tokens compared"


def test_the_endpoint_has_the_settings_as_arguments() -> None:
    made = endpoint(
        Look,
        lambda settings, pair="": {"asked": settings(), "pair": pair},
        "look",
        "Look at a text.",
        {"pair": (str, "", "Which pair")},
        "text words kinds pair depth share first seed".split(),
    )
    parameters = inspect.signature(made).parameters
    assert list(parameters) == "text words kinds pair depth share first seed".split()
    assert parameters["text"].default is inspect.Parameter.empty
    assert parameters["depth"].default == 3
    assert made.__annotations__["kinds"] == list[str] | None
    assert "depth: Tokens compared (1 to 9)." in (made.__doc__ or "")
    answer = made("a", kinds=[], depth=4.0, pair="tiny")
    assert answer == {"asked": Look(text="a", depth=4), "pair": "tiny"}


def test_what_is_of_no_use_is_one_sentence() -> None:
    for values, sentence in (
        ({"text": None}, "text must be a text in quotes"),
        ({"text": 3}, "text must be a text in quotes"),
        ({"text": "a", "depth": 10}, "depth is 10; it must be a whole number from 1 to 9"),
        ({"text": "a", "depth": True}, "depth is True; it must be"),
        ({"text": "a", "share": float("nan")}, "share is nan; it must be a number from 0 to 1"),
        ({"text": "a", "depth": []}, "depth is []; it must be a whole number from 1 to 9"),
        ({"text": "a", "kinds": "swap"}, "kinds must be a list"),
        ({"text": "a", "kinds": ["x"]}, "no kind called 'x'; choose from swap, drop"),
        ({"text": "a", "words": ["a", 1]}, "each of the words must be a text"),
        ({"text": "a", "first": 1}, "first is 1; it must be true or false"),
        ({"text": "a", "deep": 1}, "no setting called 'deep'"),
    ):
        with pytest.raises(InputError) as refusal:
            checked(Look, **values)
        assert sentence in str(refusal.value)


def test_controls_have_the_declared_defaults_and_limits() -> None:
    depth, kinds, first = (control(Look, name, name) for name in ("depth", "kinds", "first"))
    assert isinstance(depth, gr.Slider)
    assert (depth.minimum, depth.maximum, depth.value) == (1, 9, 3)
    assert isinstance(kinds, gr.CheckboxGroup)
    assert kinds.value == ["swap"]
    assert first.value is True
    assert set(declared(Look)) == set(Look.__dataclass_fields__)


def test_an_emptied_list_is_empty_and_an_emptied_number_is_the_initial_one() -> None:
    fields = Fields(EchoSettings)
    fields("strings", "Words", value="quokka")
    fields("prompts", "Prompts", value="A {} is")
    fields.seed(value=5)
    asked = fields.read(["", "The {}\nA {}", None])
    assert asked == EchoSettings(strings=(), prompts=("The {}", "A {}"), seed=5)
