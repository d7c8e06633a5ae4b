"""`python -m engine.train [STAGE]`: tokenizer, train, export and evaluate, each from the files of the one before.

Training goes on from its last checkpoint whenever it is started again; a kind whose programs don't run clean is left
out of it. `start` takes the place of tokenizer: it begins from a trained model, with phrases of the kinds to come;
`average` makes the training state the mean of some; `data` prints what samples look like.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from engine.config import ModelConfig
from engine.train.average import average_states
from engine.train.card import card
from engine.train.corpus import Corpus
from engine.train.evaluate import __main__ as evaluate
from engine.train.evaluate.clean_kinds import unclean_kinds
from engine.train.evaluate.run import default_cache, tell
from engine.train.export import export_model
from engine.train.loop import Position, mean_load, read_position
from engine.train.phrases import code_pieces
from engine.train.plan import NANO_CONFIG, Plan, default_folder
from engine.train.projects import files_of
from engine.train.sample import Sample
from engine.train.sitting import Stopped, make_draw, train
from engine.train.tokenizer import TOKENIZER_FILE, save_tokenizer, train_tokenizer
from engine.train.warm_start import earlier_facts, start_from

TOKENIZER_SAMPLES = 3000
NANO_FOLDER = Path(__file__).resolve().parents[2] / "resources" / "models" / "nano"


def make_tokenizer(plan: Plan) -> None:
    """Learn words from training samples of every type, and phrases of code from the programs among them, once."""
    if (plan.tokenizer / TOKENIZER_FILE).exists():
        return  # a state that was trained with it, or started from a model, would not fit another
    samples = _tokenizer_samples(plan)
    texts = [text for sample in samples for text in _said(sample)]
    save_tokenizer(train_tokenizer(texts, NANO_CONFIG["vocab_size"], _code(samples)), plan.tokenizer,
                   NANO_CONFIG["max_position_embeddings"])


def _tokenizer_samples(plan: Plan) -> list[Sample]:
    corpus = Corpus(plan.seed, "train", kinds=plan.kinds)
    return [corpus.sample(index) for index in range(TOKENIZER_SAMPLES)]


def _code(samples: Sequence[Sample]) -> list[str]:
    return [piece for sample in samples if sample.type == "create" for piece in code_pieces(sample)]


def _said(sample: Sample) -> list[str]:
    """A sample's texts, the files of a program that a change is asked of left out."""
    files = files_of(sample.before).values() if sample.before else ()
    turns = [message["content"] for message in sample.messages]
    for content in files:
        turns = [turn.replace(content, "") for turn in turns]
    return [*turns, sample.answer]


def with_clean_kinds(plan: Plan, cache: Path) -> Plan:
    """The plan with the kinds that run clean by name; which don't, and why, is told on stderr.

    Raises ValueError where none is left.
    """
    corpus = Corpus(plan.seed, "train", kinds=plan.kinds)
    unclean = unclean_kinds(corpus, cache, tell)
    for name, fault in unclean.items():
        sys.stderr.write(f"{name} is not trained, because a program of it did not run clean: {fault}. Mend "
                         f"resources/corpus/kinds/{name}.toml.\n")
    kinds = tuple(name for name in corpus.kinds if name not in unclean)
    if not kinds:
        raise ValueError("No kind of program runs clean, so there is nothing to train. See the faults above.")
    return replace(plan, kinds=kinds)


def describe_data(plan: Plan, count: int) -> None:
    """Print tokens per sample type and kind as JSON."""
    draw = make_draw(plan)
    lengths: dict[str, list[int]] = {}
    for index in range(count):
        document = draw(index, index / count)
        lengths.setdefault(f"{document.type} {document.kind}", []).append(len(document.ids))
    rows = {name: {"samples": len(values), "mean_tokens": round(sum(values) / len(values)), "max_tokens": max(values)}
            for name, values in sorted(lengths.items())}
    sys.stdout.write(json.dumps(rows, indent=1) + "\n")


def export(plan: Plan, folder: Path, *, fresh: bool) -> None:
    """Write the model folder of the newest training state, or of fresh weights."""
    position = Position() if fresh else read_position(plan.checkpoint)
    kinds = sorted(position.kinds or Corpus(plan.seed, "train", kinds=plan.kinds).kinds)
    earlier, config = earlier_facts(plan), ModelConfig.from_json(NANO_CONFIG)
    facts = {"steps": position.step + earlier.get("steps", 0), "tokens": position.tokens + earlier.get("tokens", 0),
             "minutes": round(position.seconds / 60 + earlier.get("minutes", 0.0), 1),
             "device": "a GPU" if position.device == "cuda" else "a CPU", "kinds": kinds,
             "shares": position.shares, "load": mean_load(plan), "parameters": config.num_parameters,
             "active_parameters": config.num_active_parameters}
    export_model(None if fresh else plan.checkpoint, NANO_CONFIG, plan.tokenizer, folder)
    (folder / "evaluation.json").unlink(missing_ok=True)  # of other weights
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    (folder / "README.md").write_text(card(facts, None), "utf-8")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m engine.train", description=__doc__)
    parser.add_argument("stage", nargs="?", default="all", help="which step alone (all)",
                        choices=("tokenizer", "start", "data", "train", "average", "export", "evaluate", "all"))
    parser.add_argument("--folder", type=Path, default=default_folder(), help="training state")
    parser.add_argument("--minutes", type=float, default=100.0, help="training time the schedule spans, in all")
    parser.add_argument("--processes", type=int, default=1, help="that train together; one a core is fastest")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--batch-tokens", type=int, default=6144)
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--edits-from", type=float, default=0.45, help="share of the time before edits are trained")
    parser.add_argument("--kinds", nargs="*", default=(), help="kinds to train on (all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200, help="samples to look at (data)")
    parser.add_argument("--states", type=Path, nargs="*", default=(), help="copies of training states (average)")
    parser.add_argument("--shares", type=float, nargs="*", default=(), help="of each in the mean, 1 in all (average)")
    parser.add_argument("--model", type=Path, default=NANO_FOLDER, help="model folder to begin from (start)")
    parser.add_argument("--out", type=Path, default=NANO_FOLDER, help="model folder (export, evaluate)")
    parser.add_argument("--random", action="store_true", help="export fresh weights")
    parser.add_argument("--cache", type=Path, default=default_cache(),
                        help="where reports of pages are kept; bring it along to train where pages can't be run")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run one stage, or all; a fault of the person's, or that they stopped it, is told on stderr, with status 1."""
    args = parse_arguments(arguments)
    plan = Plan(folder=args.folder, minutes=args.minutes, seed=args.seed, lr=args.lr, batch_tokens=args.batch_tokens,
                edits_from=args.edits_from, kinds=tuple(args.kinds))
    plan.folder.mkdir(parents=True, exist_ok=True)
    stages: dict[str, Callable[[], object]] = {
        "tokenizer": lambda: make_tokenizer(plan),
        "train": lambda: train(with_clean_kinds(plan, args.cache), args.processes, args.threads),
        "export": lambda: export(plan, args.out, fresh=args.random),
        "evaluate": lambda: evaluate.main(["--model", str(args.out), "--cache", str(args.cache)]),
    }
    alone: dict[str, Callable[[], object]] = {
        "start": lambda: start_from(args.model, plan, NANO_CONFIG, _code(_tokenizer_samples(plan))),
        "average": lambda: average_states(args.states, args.shares, plan.checkpoint),
        "data": lambda: describe_data(plan, args.count),
    }
    for name in stages if args.stage == "all" else (args.stage,):
        try:
            (stages | alone)[name]()
        except (ValueError, Stopped) as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
