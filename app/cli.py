"""The command line: which command runs. Each command's module is imported only when it is asked for."""

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["check"]:
        from app import check

        parser = argparse.ArgumentParser(prog="expertarium check", description="Run pages headless and report.")
        check.add_arguments(parser)
        return check.run(parser.parse_args(given[1:]))
    print("usage: expertarium check PATH [PATH ...] [--json]", file=sys.stderr)  # noqa: T201
    return 2
