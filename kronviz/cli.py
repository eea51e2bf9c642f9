"""What all commands have in common: where they may write, and how they say what is wrong."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from kronviz.errors import InputError, Sentence
from kronviz.lines import short_name

REFUSED = 2
"""The exit status of a command that was asked for what it cannot do."""


def check_output(*paths: Path | None) -> None:
    """Check before a run that its results can be written; ``None`` stands for no file.

    Raises:
        InputError: a path's folder is missing, or the file cannot be written there.
    """
    for path in filter(None, paths):
        name, folder = short_name(str(path)), path.parent
        try:
            if path.is_dir():
                raise InputError(f"{name} is a folder; give the name of a file in it.")
            if not folder.is_dir():
                raise InputError(
                    f"{name} cannot be written: there is no folder {short_name(str(folder))}; "
                    "make it first."
                )
            new = not path.exists()
            path.open("ab").close()
            if new:
                path.unlink()
        except OSError as error:
            reason = (error.strerror or "unknown reason").lower()
            raise InputError(f"{name} cannot be written: {reason}.") from None


def check_output_folder(path: Path) -> None:
    """Check before a run that a folder is there or can be made. `InputError` if not."""
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    name = short_name(str(path))
    if not there.is_dir():
        raise InputError(f"{name} cannot be made: {short_name(there.name)} is a file.")
    if not os.access(there, os.W_OK):
        raise InputError(f"{name} cannot be written: permission denied.")


def app() -> None:
    """Be the console command ``kronviz``."""
    _command("kronviz.app.start")


def probes() -> None:
    """Be the console command ``kronviz-probes``."""
    _command("kronviz.probes.__main__")


def _command(module: str) -> None:
    """Run a module's ``main``, or say what to install: ``kronviz`` alone is the embedding."""
    try:
        main = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("kronviz"):
            raise
        print(
            f"This command needs {error.name}, which the extra [app] brings: "
            "pip install 'kronviz[app]', or '.[app]' in a checkout.",
            file=sys.stderr,
        )
        raise SystemExit(REFUSED) from None
    main()


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a command and end the process with its `status`."""
    raise SystemExit(status(main))


def status(main: Callable[[], int | None]) -> int:
    """Run a command and return its exit status; what it refuses is one sentence and status 2."""
    try:
        return main() or 0
    except Sentence as error:
        print(error, file=sys.stderr)
    except OSError as error:
        name = short_name(Path(str(error.filename)).name) + ": " if error.filename else ""
        print(f"{name}{(error.strerror or str(error)).lower()}.", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return REFUSED
