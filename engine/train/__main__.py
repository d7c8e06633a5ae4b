"""`python -m engine.train STAGE`: tokenizer, data, train, export and evaluate, each from the files of the one before.

Training goes on from its last checkpoint whenever it is started again.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

import torch

from engine.train.card import card
from engine.train.corpus import Corpus, Sample
from engine.train.data import Document, encode_sample
from engine.train.evaluate import __main__ as evaluate
from engine.train.export import export_model
from engine.train.loop import Draw, Position, Trainer, read_position, run
from engine.train.phrases import code_pieces
from engine.train.plan import NANO_CONFIG, Plan, default_folder, stage
from engine.train.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer

TOKENIZER_SAMPLES = 3000
NANO_FOLDER = Path(__file__).resolve().parents[2] / "resources" / "models" / "nano"


def make_tokenizer(plan: Plan) -> None:
    """Learn words from training samples of every type, and phrases of code from the programs among them."""
    corpus = Corpus(plan.seed, "train", kinds=plan.kinds)
    samples = [corpus.sample(index) for index in range(TOKENIZER_SAMPLES)]
    texts = [text for sample in samples for text in _said(sample)]
    code = [piece for sample in samples if sample.type == "create" for piece in code_pieces(sample)]
    save_tokenizer(train_tokenizer(texts, NANO_CONFIG["vocab_size"], code), plan.tokenizer,
                   NANO_CONFIG["max_position_embeddings"])


def _said(sample: Sample) -> list[str]:
    """A sample's texts, the program a change is asked of left out."""
    return [message["content"].replace(sample.before, "") for message in sample.messages] + [sample.answer]


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


def make_draw(plan: Plan) -> Draw:
    """Training documents by index, encoded when they are asked for."""
    corpus, tokenizer = Corpus(plan.seed, "train", kinds=plan.kinds), load_tokenizer(plan.tokenizer)

    def draw(index: int, progress: float) -> Document:
        return encode_sample(tokenizer, corpus.sample(index, stage(plan, progress)))

    return draw


def train(plan: Plan) -> None:
    """Start or go on; SIGTERM and Ctrl+C end the run after the current step, saved."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = Trainer(plan, NANO_CONFIG, device, torch.bfloat16)
    if plan.checkpoint.exists():
        trainer.resume(plan.checkpoint)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    run(trainer, make_draw(plan), stop.is_set)


def export(plan: Plan, folder: Path, *, fresh: bool) -> None:
    """Write the model folder of the newest training state, or of fresh weights."""
    position = Position() if fresh else read_position(plan.checkpoint)
    kinds = sorted(Corpus(plan.seed, "train", kinds=plan.kinds).kinds)
    facts = {"steps": position.step, "tokens": position.tokens, "minutes": round(position.seconds / 60, 1),
             "device": "a GPU" if torch.cuda.is_available() else "one CPU thread", "kinds": kinds}
    export_model(None if fresh else plan.checkpoint, NANO_CONFIG, plan.tokenizer, folder)
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    (folder / "README.md").write_text(card(facts, None), "utf-8")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m engine.train", description=__doc__)
    parser.add_argument("stage", choices=("tokenizer", "data", "train", "export", "evaluate", "all"))
    parser.add_argument("--folder", type=Path, default=default_folder(), help="training state")
    parser.add_argument("--minutes", type=float, default=100.0, help="training time the schedule spans, in all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-tokens", type=int, default=6144)
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--edits-from", type=float, default=0.45, help="share of the time before edits are trained")
    parser.add_argument("--kinds", nargs="*", default=(), help="kinds to train on (all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200, help="samples to look at (data)")
    parser.add_argument("--out", type=Path, default=NANO_FOLDER, help="model folder (export, evaluate)")
    parser.add_argument("--random", action="store_true", help="export fresh weights")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run one stage, or all."""
    args = parse_arguments(arguments)
    torch.set_num_threads(args.threads)
    plan = Plan(folder=args.folder, minutes=args.minutes, seed=args.seed, lr=args.lr, batch_tokens=args.batch_tokens,
                edits_from=args.edits_from, kinds=tuple(args.kinds))
    plan.folder.mkdir(parents=True, exist_ok=True)
    stages: dict[str, Callable[[], object]] = {
        "tokenizer": lambda: make_tokenizer(plan),
        "data": lambda: describe_data(plan, args.count),
        "train": lambda: train(plan),
        "export": lambda: export(plan, args.out, fresh=args.random),
        "evaluate": lambda: evaluate.main(["--model", str(args.out)]),
    }
    for name in stages if args.stage == "all" else (args.stage,):
        stages[name]()


if __name__ == "__main__":
    main()
