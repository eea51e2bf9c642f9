"""What all commands share: checks of output paths, errors as one sentence, exit statuses."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from kronviz.errors import InputError, Sentence
from kronviz.lines import short_name

REFUSED = 2
"""The exit status of a command that refused its arguments."""


def check_output(*paths: Path | None, inputs: Iterable[Path] = ()) -> None:
    """Check before a run that its results can be written; ``None`` is skipped.

    Args:
        inputs: files that the run reads, which no result may replace.

    Raises:
        InputError: a path's folder is missing, the file cannot be written there, or it is one of
            the others.
    """
    others = {os.path.realpath(path) for path in inputs}
    for path in filter(None, paths):
        name, folder, file = short_name(str(path)), path.parent, Path(os.path.realpath(path))
        if str(file) in others:
            raise InputError(f"{name} is named twice; write the result to another file.")
        others.add(str(file))
        try:
            if path.is_dir():
                raise InputError(f"{name} is a folder; give the name of a file in it.")
            if not folder.is_dir():
                raise InputError(
                    f"{name} cannot be written: there is no folder {short_name(str(folder))}; "
                    "make it first."
                )
            new = not file.exists()
            file.open("ab").close()
            if new:
                file.unlink()
        except OSError as error:
            reason = (error.strerror or "unknown reason").lower()
            raise InputError(f"{name} cannot be written: {reason}.") from None


def check_output_folder(path: Path) -> None:
    """Check before a run that a folder exists or can be created. `InputError` if not."""
    existing = next(p for p in (path, *path.absolute().parents) if os.path.lexists(p))
    name = short_name(str(path))
    if not existing.is_dir():
        raise InputError(f"{name} cannot be made: {short_name(existing.name)} is not a folder.")
    if not os.access(existing, os.W_OK):
        raise InputError(f"{name} cannot be written: permission denied.")


def app() -> None:
    """Run the console command ``kronviz``."""
    _command("kronviz.app.start")


def probes() -> None:
    """Run the console command ``kronviz-probes``."""
    _command("kronviz.probes.__main__")


def _command(module: str) -> None:
    """Run a module's ``main``, or say what to install: without extras only the embedding works."""
    try:
        main = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("kronviz"):
            raise
        print(
            f"This command needs {error.name}, which comes with the extra [app]: "
            "pip install 'kronviz[app]', or '.[app]' in a checkout.",
            file=sys.stderr,
        )
        raise SystemExit(REFUSED) from None
    main()


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a command and end the process with its `status`."""
    raise SystemExit(status(main))


def leave() -> NoReturn:
    """End the process at once, with status 0, after the functions registered with `atexit`.

    Python's own way out shuts the pools of threads down first and then waits for those that still
    compute: each of them would fail, and write that into the log.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def status(main: Callable[[], int | None]) -> int:
    """Run a command and return its exit status: for a refusal, one sentence on stderr and 2."""
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
