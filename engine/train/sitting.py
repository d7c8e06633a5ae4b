"""One sitting of training: from the plan's last checkpoint on, until its minutes are over or somebody stops it."""

import signal
from functools import partial
from threading import Event

import torch

from engine.train.corpus import Corpus
from engine.train.data import Document, encode_sample
from engine.train.group import Group, run_together
from engine.train.loop import Draw, Trainer, read_position, run
from engine.train.plan import NANO_CONFIG, Plan, stage
from engine.train.tokenizer import load_tokenizer
from engine.train.warm_start import EARLIER


def make_draw(plan: Plan) -> Draw:
    """Training documents by index, encoded when they are asked for."""
    corpus, tokenizer = Corpus(plan.seed, "train", kinds=plan.kinds), load_tokenizer(plan.tokenizer)

    def draw(index: int, progress: float) -> Document:
        return encode_sample(tokenizer, corpus.sample(index, stage(plan, progress)))

    return draw


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Somebody stopped a sitting before its plan was done."""


def train(plan: Plan, processes: int, threads: int) -> None:
    """Start or go on; SIGTERM and Ctrl+C end the run after the current step, saved. A GPU is used by one process.

    Raises Stopped where there are minutes left, and ValueError where the state can't be gone on from.
    """
    if (plan.folder / EARLIER).exists() and not plan.checkpoint.exists():
        raise ValueError(f"A start from a trained model was cut off in {plan.folder}. Do it again (stage start).")
    run_together(1 if torch.cuda.is_available() else processes, partial(_train_in, plan, threads))
    minutes = read_position(plan.checkpoint).seconds / 60
    if minutes < plan.minutes:
        raise Stopped(f"Stopped after {minutes:.1f} of {plan.minutes:g} minutes. The state is saved: start again to "
                      "go on.")


def _train_in(plan: Plan, threads: int, group: Group) -> None:
    """One member's part of the training. The first decides when to stop."""
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = Trainer(plan, NANO_CONFIG, device, torch.bfloat16, group)
    if plan.checkpoint.exists():
        trainer.resume(plan.checkpoint)
    stop = Event()
    before = {number: signal.signal(number, lambda _number, _frame: stop.set())
              for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        run(trainer, make_draw(plan), stop.is_set)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
