"""A probe's settings, declared once: command line, endpoint and controls are made from them.

Notable:

- Settings are one frozen data class. Each field is a `setting`: type, default, limits, help line.
- `add_arguments` and `from_options` make the command line; `endpoint` makes the signature and the
  docstring, and thereby the MCP schema; `kronviz.app.components.controls` makes the page's fields,
  whose names are used in links.
- `checked` refuses an invalid value in the same words, wherever it comes from.

>>> @dataclass(frozen=True)
... class Look:
...     depth: int = setting(3, "Tokens to read", low=1, high=9)
>>> checked(Look, depth=4.0)
Look(depth=4)
"""

from __future__ import annotations

import argparse
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from kronviz.lines import read_lines
from kronviz.predictor import InputError, clean_text
from kronviz.strings import MAX_BYTES, MAX_POS_DIM, MIN_POS_DIM, one_of, shown, whole_number

Settings = TypeVar("Settings")
_META = "kronviz"


@dataclass(frozen=True)
class Setting:
    """A setting's declaration besides its name, type and default.

    Attributes:
        help: one line, without a full stop.
        low, high: limits of a number, or of each number in a list, both inclusive.
        choices: allowed texts, or allowed items of a list.
        lines: the command line reads the value from a file of lines.
        option: another name on the command line, such as ``--answer``.
        example: the command line's default for a required setting.
        link: the name in the page's links, if it differs from the setting's.
        number: a text setting for which a whole number may be given as well.
        percent: a share, which the page shows as a percentage.
    """

    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    lines: bool = False
    option: str = ""
    example: Any = None
    link: str = ""
    number: bool = False
    percent: bool = False


def setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Iterable[str] = (),
    lines: bool = False,
    option: str = "",
    example: Any = None,
    link: str = "",
    number: bool = False,
    percent: bool = False,
) -> Any:
    """Declare a field of a settings class; arguments as for `Setting`. ``...`` means required."""
    about = Setting(help, low, high, tuple(choices), lines, option, example, link, number, percent)
    return field(**({} if default is ... else {"default": default}), metadata={_META: about})


def narrowed(cls: type, name: str, **changes: Any) -> Any:
    """Declare a setting of another class again; ``changes`` replace attributes of its `Setting`."""
    each, _, about = declared(cls)[name]
    return field(default=each.default, metadata={_META: replace(about, **changes)})


@dataclass(frozen=True)
class NoSettings:
    """The settings of a probe that has none."""


@dataclass(frozen=True, kw_only=True)
class CodeSettings:
    """The settings of a probe of the byte code: its shape."""

    pos_dim: int = setting(
        0, f"Positions of the code, {MIN_POS_DIM} to {MAX_POS_DIM}; 0 for the trained model's"
    )

    @property
    def positions(self) -> int | None:
        """Return ``pos_dim``, or ``None`` for the trained model's."""
        return self.pos_dim or None


@dataclass(frozen=True, kw_only=True)
class StringSettings(CodeSettings):
    """The settings of a probe of one string's code."""

    text: str = setting(..., f"A string of 1 to {MAX_BYTES} bytes")


def declared(cls: type) -> dict[str, tuple[Field[Any], Any, Setting]]:
    """Return the settings of a class by name: the field, its type, and its declaration."""
    types = typing.get_type_hints(cls)
    return {
        each.name: (each, types[each.name], each.metadata[_META])
        for each in fields(cls)
        if _META in each.metadata
    }


def checked(cls: type[Settings], **values: Any) -> Settings:
    """Return settings from values of any JSON type.

    ``None`` means the default, and so does an empty list for a setting that is a list.

    Raises:
        InputError: a value is invalid; it names the setting.
    """
    known = declared(cls)
    if unknown := values.keys() - known.keys():
        raise InputError(f"There is no setting called {shown(min(unknown))}.")
    made = {}
    for name, (each, type_, about) in known.items():
        value = values.get(name)
        many = typing.get_origin(type_) is tuple
        if value is None or (many and isinstance(value, list | tuple) and not value):
            if each.default is MISSING:
                raise InputError(
                    f"{name} must be a {'list with something in it' if many else 'text in quotes'}."
                )
            continue
        made[name] = _value(name, value, type_, about)
    return cls(**made)


def check(settings: Any) -> None:
    """Check the values of a settings object made in Python; whole floats become integers.

    Raises:
        InputError: a value is invalid; it names the setting.
    """
    for name, (_, type_, about) in declared(type(settings)).items():
        object.__setattr__(settings, name, _value(name, getattr(settings, name), type_, about))


def refuse_idle(settings: Any, names: Iterable[str], without: str) -> None:
    """Refuse settings that would have no effect.

    Args:
        names: the settings in question.
        without: what they need to have an effect, as words.

    Raises:
        InputError: one of them is not at its default.
    """
    for name in names:
        if getattr(settings, name) != declared(type(settings))[name][0].default:
            raise InputError(
                f"{name} has no effect without {without}; add that, or leave {name} out."
            )


def _value(name: str, value: Any, type_: Any, about: Setting) -> Any:
    if typing.get_origin(type_) is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{name} must be a list.")
        inner = typing.get_args(type_)[0]
        each = name.removesuffix("s") if about.choices else f"each of the {name}"
        return tuple(_value(each, one, inner, about) for one in value)
    if type_ is bool:
        if not isinstance(value, bool):
            raise InputError(f"{name} is {shown(value)}; it must be true or false.")
        return value
    if type_ is int:
        low, high = int(about.low or 0), int(2**31 - 1 if about.high is None else about.high)
        return whole_number(value, name, low, high)
    if type_ is float:
        least, most = about.low or 0, 1 if about.high is None else about.high
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not least <= value <= most:
            raise InputError(
                f"{name} is {shown(value)}; it must be a number from {least:g} to {most:g}."
            )
        return float(value)
    if about.number and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text in quotes.")
    if about.choices:
        return one_of(value, name.removesuffix("s"), about.choices)
    return clean_text(value)


def add_arguments(parser: argparse.ArgumentParser, cls: type) -> None:
    """Add an option for each setting except ``seed``, which every command has."""
    for name in declared(cls):
        if name != "seed":
            add_argument(parser, cls, name)


def add_argument(
    parser: argparse.ArgumentParser, cls: type, name: str, *options: str, **changes: Any
) -> None:
    """Add the option of one setting.

    Args:
        options: names that replace the setting's own.
        changes: arguments of `argparse` that replace the ones used here.
    """
    each, type_, about = declared(cls)[name]
    many = typing.get_origin(type_) is tuple
    default = about.example if each.default is MISSING else each.default
    given: dict[str, Any] = {"default": default, "help": about.help}
    if about.lines:
        given = {"type": Path, "metavar": "FILE", "help": f"{about.help}; one per line"}
    elif type_ is bool:
        given["action"] = argparse.BooleanOptionalAction
    else:
        given |= {"type": typing.get_args(type_)[0] if many else type_, "required": default is None}
        if many:
            given["nargs"] = "+"
        if about.choices:
            given |= {"choices": about.choices, "metavar": name.upper()}
        if default not in (None, "", ()):
            given["help"] += f" (default: {_written(default)})"
    given["help"] = given["help"].replace("%", "%%")
    own = filter(None, [f"--{name.replace('_', '-')}", about.option])
    parser.add_argument(*(options or own), **{**given, **changes})


def from_options(cls: type[Settings], options: argparse.Namespace) -> Settings:
    """Return the settings of a parsed command line, reading files of lines."""
    values = {name: getattr(options, name) for name in declared(cls)}
    for name, (_, _, about) in declared(cls).items():
        if about.lines and values[name] is not None:
            values[name] = read_lines(values[name])
    return checked(cls, **values)


def written(settings: Any) -> str:
    """Return the command-line options that reproduce these settings."""
    given = {name: getattr(settings, name) for name in declared(type(settings))}
    return " ".join(f"--{name.replace('_', '-')} {_written(given[name])}" for name in given)


def endpoint(
    cls: type[Settings],
    answer: Callable[..., Any],
    name: str,
    says: str,
    more: Mapping[str, tuple[Any, Any, str]] | None = None,
    order: Sequence[str] = (),
    returns: Any = dict[str, Any],
) -> Callable[..., Any]:
    """Return a function whose arguments are the settings, for an API that reads signatures.

    Args:
        answer: called with a function that returns the checked settings, and with ``more``; the
            endpoint is a coroutine function if this is one.
        says: the docstring: what the endpoint does and what its answer contains.
        more: arguments that are not settings, by name: type, default and help line.
        order: order of all arguments; by default settings first, then ``more``.
        returns: type of the answer.
    """
    parameters, lines, hints = [], [], {}
    for key, (each, type_, about) in declared(cls).items():
        many = typing.get_origin(type_) is tuple
        hint = list[typing.get_args(type_)[0]] if many else type_  # type: ignore[misc]
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        if many and each.default is not MISSING:
            hint, default = hint | None, None
        usual = "; empty for the usual ones" if default is None and each.default else ""
        parameters.append((key, hint, default))
        lines.append(f"{key}: {about.help}{_limits(about)}{usual}.")
    for key, (hint, default, words) in (more or {}).items():
        parameters.append((key, hint, default))
        lines.append(f"{key}: {words}.")

    def asked(*arguments: Any, **named: Any) -> Any:
        bound = signature.bind(*arguments, **named).arguments
        extra = {key: bound.pop(key) for key in more or {} if key in bound}
        return answer(lambda: checked(cls, **bound), **extra)

    async def asked_later(*arguments: Any, **named: Any) -> Any:
        return await asked(*arguments, **named)

    function: Any = asked_later if inspect.iscoroutinefunction(answer) else asked
    if order:
        lines.sort(key=lambda line: order.index(line.partition(":")[0]))
        parameters.sort(key=lambda each: order.index(each[0]))
    hints = {key: hint for key, hint, _ in parameters}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [
            inspect.Parameter(key, kind, default=default, annotation=hint)
            for key, hint, default in parameters
        ],
        return_annotation=returns,
    )
    function.__signature__ = signature
    function.__annotations__ = {**hints, "return": returns}
    function.__name__ = function.__qualname__ = name
    listed = "\n".join(f"    {line}" for line in lines)
    function.__doc__ = f"{says}\n\nArgs:\n{listed}\n"
    return function


def _limits(about: Setting) -> str:
    if about.choices:
        return f": {', '.join(about.choices)}"
    if about.low is not None and about.high is not None:
        low, high = (f"{x:,}" if isinstance(x, int) else f"{x:g}" for x in (about.low, about.high))
        return f" ({low} to {high})"
    return ""


def _written(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
