"""Print what an input embedding costs: ``python -m kronviz.accounting --vocabulary o200k_base``."""

from __future__ import annotations

import argparse

from kronviz import cli
from kronviz.accounting import DTYPES, input_cost
from kronviz.accounting.timing import measure
from kronviz.results import to_json


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m kronviz.accounting", description=__doc__)
    parser.add_argument("--vocabulary", default="r50k_base", help="a name, or a number of tokens")
    parser.add_argument("--pos-dim", type=int, default=16)
    parser.add_argument("--d-model", type=int, default=768)
    parser.add_argument("--dtype", choices=list(DTYPES), default="float32")
    parser.add_argument("--measure", type=int, metavar="TOKENS", help="also time so many tokens")
    arguments = parser.parse_args()
    shape = (arguments.vocabulary, arguments.pos_dim, arguments.d_model, arguments.dtype)
    print(to_json(input_cost(*shape), indent=2))
    if arguments.measure is not None:
        print(to_json(measure(*shape, tokens=arguments.measure), indent=2))


if __name__ == "__main__":
    cli.run(main)
