"""Print what an input embedding costs: ``python -m kronviz.accounting --vocabulary o200k_base``."""

from __future__ import annotations

import argparse

from kronviz import cli
from kronviz.accounting import CostSettings, input_cost
from kronviz.accounting.timing import MeasureSettings, measure
from kronviz.results import to_json
from kronviz.settings import add_argument, add_arguments, checked, declared, from_options


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m kronviz.accounting", description=__doc__)
    add_arguments(parser, CostSettings)
    words = "also measure the time; " + declared(MeasureSettings)["tokens"][2].help.lower()
    add_argument(
        parser, MeasureSettings, "tokens", "--measure", default=None, metavar="TOKENS", help=words
    )
    arguments = parser.parse_args()
    asked = vars(from_options(CostSettings, arguments))
    timed = arguments.measure is not None and checked(
        MeasureSettings, **asked, tokens=arguments.measure
    )
    print(to_json(input_cost(**asked), indent=2))
    if timed:
        print(to_json(measure(**vars(timed)), indent=2))


if __name__ == "__main__":
    cli.run(main)
