"""One sitting of training: from the plan's last checkpoint on, until its minutes are over or somebody stops it."""

import signal
from functools import partial
from threading import Event

import torch

from engine.train.corpus import Corpus
from engine.train.data import Document, encode_sample
from engine.train.group import Group, run_together
from engine.train.loop import Draw, Trainer, run
from engine.train.plan import NANO_CONFIG, Plan, stage
from engine.train.tokenizer import load_tokenizer


def make_draw(plan: Plan) -> Draw:
    """Training documents by index, encoded when they are asked for."""
    corpus, tokenizer = Corpus(plan.seed, "train", kinds=plan.kinds), load_tokenizer(plan.tokenizer)

    def draw(index: int, progress: float) -> Document:
        return encode_sample(tokenizer, corpus.sample(index, stage(plan, progress)))

    return draw


def train(plan: Plan, processes: int, threads: int) -> None:
    """Start or go on; SIGTERM and Ctrl+C end the run after the current step, saved. A GPU is used by one process."""
    run_together(1 if torch.cuda.is_available() else processes, partial(_train_in, plan, threads))


def _train_in(plan: Plan, threads: int, group: Group) -> None:
    """One member's part of the training. The first decides when to stop."""
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = Trainer(plan, NANO_CONFIG, device, torch.bfloat16, group)
    if plan.checkpoint.exists():
        trainer.resume(plan.checkpoint)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    run(trainer, make_draw(plan), stop.is_set)
