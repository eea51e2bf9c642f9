"""Print what an input embedding costs: ``python -m kronviz.accounting --vocabulary o200k_base``."""

from __future__ import annotations

import argparse

from kronviz import cli
from kronviz.accounting import CostSettings, input_cost
from kronviz.accounting.timing import measure
from kronviz.results import to_json
from kronviz.settings import add_arguments, from_options


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m kronviz.accounting", description=__doc__)
    add_arguments(parser, CostSettings)
    parser.add_argument("--measure", type=int, metavar="TOKENS", help="also time so many tokens")
    arguments = parser.parse_args()
    asked = vars(from_options(CostSettings, arguments))
    print(to_json(input_cost(**asked), indent=2))
    if arguments.measure is not None:
        print(to_json(measure(**asked, tokens=arguments.measure), indent=2))


if __name__ == "__main__":
    cli.run(main)
