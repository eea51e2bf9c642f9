"""Run a probe from the command line: ``python -m kronviz.probes <probe> --pair tiny``.

Every probe prints its figures. With ``--json`` and ``--csv`` it writes the same result, and the
same table, that the API and the page give for the same arguments and seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from kronviz import cli
from kronviz.errors import InputError
from kronviz.predictor import Predictor
from kronviz.probes.commands import COMMANDS
from kronviz.probes.tables import csv_text
from kronviz.results import to_json


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the probe that the arguments name; return 0, or 2 if it was refused."""
    return cli.status(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(prog="python -m kronviz.probes", description=__doc__)
    probes = parser.add_subparsers(dest="probe", required=True, metavar="probe")
    for name, command in COMMANDS.items():
        sub = probes.add_parser(name, help=command.help, description=command.help)
        sub.add_argument("--pair", default="tiny", help="name or folder of a pair of models")
        sub.add_argument(
            "--seed", type=int, default=command.seed, help="the same seed gives the same figures"
        )
        sub.add_argument("--json", type=Path, metavar="FILE", help="write the whole result")
        sub.add_argument("--csv", type=Path, metavar="FILE", help="write the result as a table")
        command.add_arguments(sub)
    options = parser.parse_args(arguments)
    command = COMMANDS[options.probe]
    paths = {name: path for name, path in vars(options).items() if isinstance(path, Path)}
    written = [paths.pop(name, None) for name in ("json", "csv", "losses")]
    cli.check_output(*written, inputs=paths.values())
    result = command.run(Predictor.load(options.pair), options)
    if getattr(result, "done", 1) == 0:
        raise InputError(" ".join(result.problems) or "There was nothing to read.")
    for line in command.lines(result):
        print(line)
    if options.json:
        options.json.write_text(to_json(result, indent=1), encoding="utf-8")
    if options.csv:
        options.csv.write_text(csv_text(command.table(result)), encoding="utf-8", newline="")


if __name__ == "__main__":
    raise SystemExit(main())
