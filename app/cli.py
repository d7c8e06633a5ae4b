"""The command line: which command runs. Each command's module is imported only when it is asked for."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

VIEWS = ("experts", "usage", "specialisation", "bench", "anatomy", "code")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["check"]:
        from app import check

        parser = argparse.ArgumentParser(prog="expertarium check", description="Run pages headless and report.")
        check.add_arguments(parser)
        return check.run(parser.parse_args(given[1:]))
    options = window_parser().parse_args(given)
    from app import bootstrap

    return bootstrap.run(bootstrap.Options(**vars(options)))


def window_parser() -> argparse.ArgumentParser:
    """The arguments of the window itself."""
    parser = argparse.ArgumentParser(
        prog="expertarium",
        description="A desktop workbench for mixture-of-experts language models.",
        epilog="`expertarium check PATH` runs pages headless and reports; see `expertarium check --help`.",
    )
    parser.add_argument("--basedir", metavar="DIR", help="keep all data in this folder instead of the user's")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="send this request when the model is loaded")
    parser.add_argument("--screenshot", type=Path, metavar="OUT.png",
                        help="save a picture of the window when the answer is complete and has drawn, and exit")
    parser.add_argument("--view", nargs="+", default=(), choices=VIEWS, metavar="NAME",
                        help=f"a picture of each of these, saved as NAME-OUT.png: {', '.join(VIEWS)}")
    parser.add_argument("--size", type=_size, metavar="WxH", help="size of the window, such as 1600x1000")
    parser.add_argument("--theme", choices=("light", "dark"), help="colours for this run")
    return parser


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) > 0 and int(height) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size. Write it like 1600x1000.")
    return int(width), int(height)
