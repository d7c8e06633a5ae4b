"""`python -m engine.train.evaluate` (make eval): measure an exported model, and keep the figures in its card.

Figures of other kinds, counts or seeds than the usual ones, or without pages, are printed and not kept. Resumable:
answers and pages are kept in the user's cache, by the fingerprint of the weights and the hash of the page.
"""

import argparse
import json
import sys
from pathlib import Path

from engine.train.card import write_card
from engine.train.evaluate.run import Evaluation, Wanted, default_cache, evaluate, run_corpus
from engine.train.evaluate.sheet import draw_sheet

ROOT = Path(__file__).resolve().parents[3]
NANO_FOLDER = ROOT / "resources" / "models" / "nano"
SHEET = ROOT / "resources" / "docs" / "nano-contact-sheet.png"
EXAMPLES = 60  # wrong answers shown


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Command line."""
    usual = Wanted(kinds=())
    parser = argparse.ArgumentParser(prog="python -m engine.train.evaluate", description=__doc__)
    parser.add_argument("--model", type=Path, default=NANO_FOLDER, help="model folder")
    parser.add_argument("--kinds", nargs="*", help="kinds of program (those it was trained on, in training.json)")
    parser.add_argument("--count", type=int, default=usual.count, help="held-out requests, greedy")
    parser.add_argument("--sampled", type=int, default=usual.sampled, help="of these also at temperature 0.7")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--no-pages", action="store_true", help="read programs only, run none: minutes, not an hour")
    parser.add_argument("--corpus", action="store_true",
                        help="only run the corpus's own pages, which needs no model, and say how many ran clean")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where answers and pages are kept")
    parser.add_argument("--sheet", nargs="?", type=Path, const=SHEET, metavar="OUT.png",
                        help="draw 40 answers with their requests, and measure nothing")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Evaluate and print the figures; those of the usual whole are kept in the card. Or draw the sheet."""
    args = parse_arguments(arguments)
    facts = json.loads((args.model / "training.json").read_text("utf-8"))
    wanted = Wanted(kinds=tuple(args.kinds or facts["kinds"]), count=args.count, sampled=args.sampled, seed=args.seed,
                    run_pages=not args.no_pages)
    args.cache.mkdir(parents=True, exist_ok=True)
    if args.corpus:
        sys.stdout.write(json.dumps(run_corpus(wanted, args.cache), indent=1) + "\n")
        return
    if args.sheet is not None:
        evaluate(args.model, wanted, args.cache, lambda evaluation: draw_sheet(evaluation, args.sheet))
        return
    report = evaluate(args.model, wanted, args.cache, Evaluation.report)
    wrong = report.pop("wrong")
    sys.stdout.write(json.dumps({**report, "wrong": wrong[:EXAMPLES]}, indent=1) + "\n")
    if wanted == Wanted(kinds=tuple(facts["kinds"])):
        (args.model / "evaluation.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
        write_card(args.model)


if __name__ == "__main__":
    main()
