"""`python -m engine.train.experiment`: AdamW, Muon and MuonClip on a small model of Nano's make, three seeds each.

The model reads bytes of the corpus's programs. All runs of a seed share weights at the start, batches and learning
rate; they differ in how the matrices are stepped (embeddings, head and norms have AdamW in all) and in whether QK-clip
follows. The rate is one at which the logits of unclipped Muon grow; it is far too hot for AdamW, which therefore also
runs at a tenth of it. Here: the runs and what is measured, kept as JSON;
`experiment_report.py` draws and words it. What was stopped goes on with the runs it lacks; when all are there, it
begins anew, or with `--draw` only draws them again.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.train.corpus import Corpus
from engine.train.experiment_report import write_report
from engine.train.kernels import Segment
from engine.train.muon_clip import MuonClip, Rates, balance, clip_heads
from engine.train.network import Batch, Network, Shape, initial_masters, weight_table
from engine.train.whole_file import write_whole

METHODS = {"AdamW": 1.0, "AdamW, slower": 0.1, "Muon": 1.0, "MuonClip": 1.0}  # share of the learning rate
SEEDS = (1, 2, 3)
KINDS = ("mountains", "balls", "snake", "trends")
PROGRAMS = 300
SHAPE = Shape(
    vocab=256, hidden=64, layers=3, dense_layers=1, intermediate=128, expert_width=32, experts=8, chosen=2, shared=1,
    heads=4, q_lora=32, kv_lora=32, nope=16, rope=16, value=16, scaling=1.5, rope_theta=1e4, max_position=256, eps=1e-6)
DOCS_FOLDER = Path(__file__).resolve().parents[2] / "resources" / "docs"
_LOGIT_EVERY = 10   # steps between two recorded maxima per head
_BASE_STEPS = 64    # what a loss is compared with to call it a spike
_SPIKE_SIGMAS = 6.0
_SPIKE_GAP = 16     # steps above the line that are closer than this are one spike


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What all runs share: steps, documents per batch and their length in bytes, and the rates."""

    steps: int = 400
    documents: int = 4
    length: int = 128
    lr: float = 4e-2
    tau: float = 30.0
    warm_steps: int = 20
    gamma: float = 2e-3


class Bytes:
    """Programs of the corpus as one row of bytes, and batches of windows from it."""

    def __init__(self, split: str) -> None:
        corpus = Corpus(1, "held_out" if split == "held_out" else "train", kinds=KINDS)
        rng = random.Random(split)  # noqa: S311
        texts = [corpus.sample_of("create", rng).program for _ in range(PROGRAMS)]
        self._bytes = np.frombuffer("".join(texts).encode(), np.uint8).astype(np.int64)

    def batch(self, seed: str, course: Course) -> Batch:
        """The batch of a seed: windows from anywhere."""
        rng = random.Random(seed)  # noqa: S311
        length, count = course.length, course.documents
        starts = [rng.randrange(len(self._bytes) - length - 1) for _ in range(count)]
        rows = torch.from_numpy(np.stack([self._bytes[start : start + length + 1] for start in starts]))
        return Batch(
            tokens_T=rows[:, :-1].reshape(-1), targets_T=rows[:, 1:].reshape(-1),
            positions_T=torch.arange(length).repeat(count), weights_T=torch.ones(count * length),
            segments=[Segment(index * length, (index + 1) * length, None) for index in range(count)])


class Run:
    """One model with one optimiser."""

    def __init__(self, method: str, seed: int, course: Course) -> None:
        self.method, self.seed, self.course = method, seed, course
        self.masters = initial_masters(SHAPE, seed)
        self.biases_LE = torch.zeros(SHAPE.layers, SHAPE.experts)
        table = weight_table(SHAPE)
        if method.startswith("AdamW"):
            table = [replace(weight, matrix=False) for weight in table]
        self.optimizer = MuonClip(table, self.masters, Rates())
        self.network = Network(SHAPE, self.masters, self.biases_LE, torch.float32)

    def step(self, batch: Batch, number: int) -> dict[str, Any]:
        """One step: its loss, the largest logit per head before it, heads clipped, and processor ms of its parts."""
        network, course = self.network, self.course
        marks = [time.process_time()]
        loss, _rows = network.loss(batch)
        torch.autograd.backward(loss)
        marks.append(time.process_time())
        rate = course.lr * METHODS[self.method] * min(1.0, (number + 1) / course.warm_steps)
        self.optimizer.step({name: weight.grad for name, weight in network.weights.items()}, rate)
        marks.append(time.process_time())
        top_LH = network.top_logits_LH.clone()
        clipped = clip_heads(self.masters, SHAPE, top_LH, course.tau) if self.method == "MuonClip" else 0
        marks.append(time.process_time())
        sparse = slice(SHAPE.dense_layers, None)
        balance(self.biases_LE[sparse], network.counts_LE[sparse], course.gamma)
        self._refresh()
        parts_ms = [1000 * (stop - start) for start, stop in pairwise(marks)]
        return {"loss": float(loss.detach()), "top_LH": top_LH, "clipped": clipped, "parts_ms": parts_ms,
                "counts_LE": network.counts_LE[sparse].clone()}

    @torch.no_grad()
    def _refresh(self) -> None:
        for name, weight in self.network.weights.items():
            weight.copy_(self.masters[name])
            weight.grad = None

    @torch.no_grad()
    def loss(self, batches: Sequence[Batch]) -> float:
        """Mean loss in nats per byte."""
        return statistics.fmean(float(self.network.loss(batch)[0]) for batch in batches)


def count_spikes(losses: Sequence[float]) -> int:
    """Spikes of a training loss.

    A step counts when its loss lies above the median of the 64 steps before it by more than six times their spread
    (1.4826 times the median absolute deviation); such steps less than 16 apart are one spike. Needs finite values;
    a loss that is not finite counts as above.
    """
    spikes, last = 0, -_SPIKE_GAP
    for step in range(_BASE_STEPS, len(losses)):
        base = np.asarray(losses[step - _BASE_STEPS : step])
        middle = float(np.median(base))
        spread = 1.4826 * float(np.median(np.abs(base - middle)))
        if not losses[step] <= middle + _SPIKE_SIGMAS * spread:
            spikes += step - last >= _SPIKE_GAP
            last = step
    return spikes


def measure(method: str, seed: int, course: Course, train: Bytes, held_out: Bytes) -> dict[str, Any]:
    """Train one run and sum it up, small enough to keep."""
    run = Run(method, seed, course)
    reports = [run.step(train.batch(f"{seed}/{number}", course), number) for number in range(course.steps)]
    tail = reports[-50:]
    counts_LE = torch.stack([report["counts_LE"] for report in tail]).sum(0)
    losses = [report["loss"] for report in reports]
    tops: Tensor = torch.stack([report["top_LH"] for report in reports]).flatten(1)
    parts = [statistics.median(report["parts_ms"][part] for report in reports) for part in range(3)]
    return {
        "method": method, "seed": seed,
        "held_out_loss": round(run.loss([held_out.batch(f"held_out/{n}", course) for n in range(16)]), 4),
        "last_loss": round(statistics.fmean(losses[-50:]), 4), "spikes": count_spikes(losses),
        "clips": sum(report["clipped"] for report in reports),
        "steps_with_clips": sum(report["clipped"] > 0 for report in reports),
        "heads_over_tau": int((tops.amax(0) > course.tau).sum()), "heads": tops.shape[1],
        "top_logit": round(float(tops.max()), 1), "last_top_logit": round(float(tops[-1].max()), 1),
        "gradient_ms": round(parts[0], 2), "optimizer_ms": round(parts[1], 2), "clip_ms": round(parts[2], 3),
        "load": [round(float(value), 2) for value in counts_LE.amax(1) / counts_LE.mean(1)],
        "losses": [round(loss, 3) for loss in losses],
        "logit_every": _LOGIT_EVERY,
        "logits": [[round(value, 1) for value in row] for row in tops[::_LOGIT_EVERY].tolist()],
    }


def main(arguments: list[str] | None = None) -> None:
    """Do the runs, then write figure and table."""
    usual = Course()
    parser = argparse.ArgumentParser(prog="python -m engine.train.experiment", description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCS_FOLDER, help="folder of muonclip.json, .png and .md")
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--lr", type=float, default=usual.lr)
    parser.add_argument("--tau", type=float, default=usual.tau)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--draw", action="store_true", help="only draw and word the runs that are there")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    course = Course(steps=options.steps, lr=options.lr, tau=options.tau)
    path = options.out / "muonclip.json"
    document = _read(path, course)
    if not options.draw:
        _do_runs(document, options.seeds, course, path)
    write_report(document, options.out)


def _do_runs(document: dict[str, Any], seeds: Sequence[int], course: Course, path: Path) -> None:
    """Do the runs that a document lacks, all where it lacks none, and keep it at `path` after each."""
    wanted = [(method, seed) for seed in seeds for method in METHODS]
    done = {(run["method"], run["seed"]) for run in document["runs"]}
    if done.issuperset(wanted):
        document["runs"], done = [], set()
    train, held_out = Bytes("train"), Bytes("held_out")
    for method, seed in wanted:
        if (method, seed) not in done:
            document["runs"].append(measure(method, seed, course, train, held_out))
            write_whole(path, json.dumps(document, separators=(",", ":")) + "\n")


def _read(path: Path, course: Course) -> dict[str, Any]:
    """The runs of this course that are there."""
    weights = sum(int(np.prod(weight.shape)) for weight in weight_table(SHAPE))
    facts = {"steps": course.steps, "bytes_per_step": course.documents * course.length, "lr": course.lr,
             "tau": course.tau, "weights": weights, "layers": SHAPE.layers, "heads": SHAPE.heads, "kinds": list(KINDS)}
    if path.exists():
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if document["course"] == facts:
            return document
    return {"course": facts, "runs": []}


if __name__ == "__main__":
    main()
