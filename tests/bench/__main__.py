"""`make bench`: measures engine, peers and window, and prints a Markdown table. Takes some minutes.

`--json OUT` keeps every single value; `--part` measures some of it. Close other programs first: on a busy machine
the figures say more about the others.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench.engine import measure_engine
from tests.bench.figures import Figure, machine, table
from tests.bench.inspector import measure_inspector
from tests.bench.peers import measure_peers
from tests.bench.train import measure_training
from tests.bench.window import measure_window

PARTS: dict[str, Callable[[], list[Figure]]] = {
    "window": measure_window, "inspector": measure_inspector, "engine": measure_engine, "peers": measure_peers,
    "train": measure_training}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description="Measure start, speed, stalls and memory.")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write every measured value to this file")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="measure only this (may be repeated)")
    options = parser.parse_args()
    here = machine()
    figures: list[Figure] = []
    for part in options.part or PARTS:
        print(f"Measuring: {part}", file=sys.stderr)
        figures += PARTS[part]()
    if options.json:
        document = {"machine": here, "figures": [figure.as_json() for figure in figures]}
        options.json.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    versions = ", ".join(f"{name} {version}" for name, version in here["packages"].items() if version)
    print(f"{here['processor']}, {here['cores']} cores; {versions}\n\n{table(figures)}")


if __name__ == "__main__":
    main()
