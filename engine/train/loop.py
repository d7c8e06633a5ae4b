"""The training loop: batches in, weights out, resumable after being killed at any step.

One `Trainer` owns the float32 masters, the optimiser, the compute network and the position in the data. The state
is one file, replaced atomically. What a step trains on comes from a `Draw`; what the corpus mixes is not known here.
"""

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.train.data import Document, fill, pack
from engine.train.group import Alone, Group
from engine.train.muon_clip import MuonClip, balance, clip_heads
from engine.train.network import Batch, Network, Shape, initial_masters, weight_table
from engine.train.plan import Plan, context_tokens, rate_factor
from engine.train.whole_file import whole_file

LOAD_REPORTS = 20  # the last ones, over which an expert's load is averaged: 200 steps
BAR_WIDTH = 20

Draw = Callable[[int, float], Document]  # (sample index, progress 0..1) -> document


@dataclass(slots=True, kw_only=True)
class Position:
    """How far a run has come: optimiser steps, next sample, tokens seen, seconds spent training.

    `device` is the type of the one the last step was made on, `kinds` what was trained then; `shares` are those of the
    states whose mean the weights are, if they are one.
    """

    step: int = 0
    sample: int = 0
    tokens: int = 0
    seconds: float = 0.0
    device: str = "cpu"
    kinds: list[str] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What one step did. loss is the weighted mean over all tokens, in nats.

    answer_loss is the plain one over those that weigh 1 or more: answers, and of a program that is to be changed what
    follows from its first line.
    """

    loss: float
    answer_loss: float
    by_type: dict[str, float]
    tokens: int
    top_logit: float
    clipped: int
    load: list[float]


class _Sums(NamedTuple):
    """Sums over a batch, one float64 each. `answers` counts the tokens whose plain loss is summed in `answer_loss`."""

    weight: Tensor
    loss: Tensor
    tokens: Tensor
    answers: Tensor
    answer_loss: Tensor


class Trainer:
    """Everything that changes during training, with `step`, `save` and `resume`.

    In a group, every member's trainer takes each step with the others and ends it with the same weights.
    """

    def __init__(self, plan: Plan, config: dict[str, Any], device: torch.device, dtype: torch.dtype,
                 group: Group | None = None) -> None:
        self.plan, self.device, self.dtype = plan, device, dtype
        self.group = group or Alone()
        self.shape = Shape.from_config(config)
        self.position = Position(device=device.type, kinds=list(plan.kinds))
        masters = initial_masters(self.shape, plan.seed)
        self.masters = {name: master.to(device) for name, master in masters.items()}
        self.biases_LE = torch.zeros(self.shape.layers, self.shape.experts, device=device)
        self.optimizer = MuonClip(weight_table(self.shape), self.masters, plan.rates)
        self.network = Network(self.shape, self.masters, self.biases_LE, dtype)

    def step(self, draw: Draw, progress: float) -> StepReport:
        """One optimiser step on the next samples; member r of a group of n takes samples r, r + n, r + 2n and so on.

        Raises ValueError, before anything is changed, when the loss is not a number.
        """
        rank, size = self.group.rank, self.group.size
        documents, next_turn = fill(
            lambda turn: draw(turn * size + rank, progress), -(-self.position.sample // size),
            self.plan.batch_tokens, context_tokens(self.plan, progress))
        batch = pack(documents, self.device, self.dtype)
        loss, row_loss_T = self.network.loss(batch)
        torch.autograd.backward(loss)
        sums = _sums(batch, loss, row_loss_T)
        own_weight = float(sums.weight)
        self.group.add(sums)
        if not math.isfinite(float(sums.loss)):
            raise ValueError(f"The loss is not a number at step {self.position.step}, so the run can't go on. The last "
                             "state it saved is sound: start again from that with a lower --lr.")
        self.optimizer.step(self._gradients(own_weight / float(sums.weight)),
                            self.plan.lr * rate_factor(self.position.step, progress))
        top_LH, counts_LE = self.network.top_logits_LH, self.network.counts_LE
        furthest = torch.tensor([next_turn * size])
        self.group.largest(top_LH)
        self.group.largest(furthest)
        self.group.add([counts_LE])
        clipped = clip_heads(self.masters, self.shape, top_LH, self.plan.tau)
        sparse = slice(self.shape.dense_layers, None)
        balance(self.biases_LE[sparse], counts_LE[sparse], self.plan.gamma * (1 - progress))
        self._refresh()
        self.position.step += 1
        self.position.sample = int(furthest)
        self.position.tokens += int(sums.tokens)
        counts = counts_LE[sparse]
        return StepReport(
            loss=float(sums.loss / sums.weight), answer_loss=float(sums.answer_loss / sums.answers),
            by_type=dict(_by_type(documents)), tokens=int(sums.tokens), top_logit=float(top_LH.max()), clipped=clipped,
            load=[round(float(value), 2) for value in counts.amax(1) / counts.mean(1)],
        )

    def _gradients(self, share: float) -> dict[str, Tensor | None]:
        """The gradients of all members' documents; `share` is the part of the loss weight that this one has.

        They are exchanged in the type they have: float32 copies would be twice as much to move for digits that a
        bfloat16 gradient has not.
        """
        weights = self.network.weights
        if self.group.size == 1:
            return {name: weight.grad for name, weight in weights.items()}
        whole = {name: torch.zeros_like(weight, requires_grad=False) if weight.grad is None else weight.grad.mul_(share)
                 for name, weight in weights.items()}
        for dtype in sorted({gradient.dtype for gradient in whole.values()}, key=str):
            self.group.add([gradient for gradient in whole.values() if gradient.dtype == dtype])
        return dict(whole)

    @torch.no_grad()
    def _refresh(self) -> None:
        """Copy the masters into the compute weights and drop the gradients."""
        for name, weight in self.network.weights.items():
            weight.copy_(self.masters[name])
            weight.grad = None

    @torch.no_grad()
    def start(self, masters: Mapping[str, Tensor], biases_LE: Tensor) -> None:
        """Begin with these weights instead of fresh ones. Raises ValueError when they are of another model."""
        for name, master in self.masters.items():
            _copy(masters[name], master, name, "the weights to start from")
        self.biases_LE.copy_(biases_LE)
        self._refresh()

    def save(self, path: Path) -> None:
        """Write the whole state beside `path` and put it in place atomically."""
        tensors = {f"w.{name}": tensor for name, tensor in self.masters.items()}
        tensors |= {f"o.{name}": tensor for name, tensor in self.optimizer.state.items()}
        tensors["biases"] = self.biases_LE
        meta = {**asdict(self.position), "optimizer_steps": self.optimizer.steps}
        with whole_file(path) as temporary:
            save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, temporary,
                      metadata={"position": json.dumps(meta)})

    @torch.no_grad()
    def resume(self, path: Path) -> None:
        """Continue from a saved state. Raises ValueError when it is of another model."""
        with safe_open(path, framework="pt") as file:
            meta = json.loads(file.metadata()["position"])
            for name, master in self.masters.items():
                _copy(file.get_tensor(f"w.{name}"), master, name, str(path))
            for name, tensor in self.optimizer.state.items():
                tensor.copy_(file.get_tensor(f"o.{name}"))
            self.biases_LE.copy_(file.get_tensor("biases"))
        self.optimizer.steps = meta.pop("optimizer_steps")
        self.position = Position(**meta | {"device": self.device.type, "kinds": list(self.plan.kinds),
                                            "shares": []})
        self._refresh()


def _copy(source: Tensor, target: Tensor, name: str, holder: str) -> None:
    """Copy a tensor of the same shape."""
    if source.shape != target.shape:
        raise ValueError(f"{holder} has {name} as {list(source.shape)}, this model needs {list(target.shape)}: it is "
                         "of another model. Give another --folder.")
    target.copy_(source)


def read_position(path: Path) -> Position:
    """How far a saved state has come. Raises ValueError where there is none."""
    if not path.exists():
        raise ValueError(f"There is no training state at {path}. Train first (stage train), or give another --folder.")
    with safe_open(path, framework="pt") as file:
        meta = json.loads(file.metadata()["position"])
    meta.pop("optimizer_steps")
    return Position(**meta)


def mean_load(plan: Plan) -> list[float]:
    """Tokens of the busiest expert over those of the mean one, by MoE layer, in the mean of a plan's last reports."""
    lines = plan.metrics.read_text("utf-8").splitlines() if plan.metrics.exists() else []
    loads = []
    for line in lines:
        with suppress(json.JSONDecodeError):  # cut off when it was killed, the next one written behind it
            loads.append(json.loads(line)["load"])
    return [round(sum(layer) / len(layer), 2) for layer in zip(*loads[-LOAD_REPORTS:], strict=True)]


def _sums(batch: Batch, loss: Tensor, row_loss_T: Tensor) -> _Sums:
    """The sums of one member's batch."""
    answers = batch.weights_T >= 1
    weight = float(batch.weights_T.sum())
    values = (weight, float(loss.detach()) * weight, len(batch.tokens_T), float(answers.sum()),
              float(row_loss_T[answers].sum()))
    return _Sums(*(torch.tensor(value, dtype=torch.float64) for value in values))


def _by_type(documents: list[Document]) -> Counter[str]:
    """Documents per sample type."""
    return Counter(document.type for document in documents)


def run(trainer: Trainer, draw: Draw, stopped: Callable[[], bool]) -> None:
    """Train until the plan's minutes are used up or `stopped` says so, saving on the way and at the end."""
    plan, position = trainer.plan, trainer.position
    budget_s = plan.minutes * 60
    saved_at = started = time.monotonic()
    before = position.seconds
    tokens_before = position.tokens
    first, group = trainer.group.rank == 0, trainer.group
    while position.seconds < budget_s and not group.first(stopped()):
        report = trainer.step(draw, position.seconds / budget_s)
        now = time.monotonic()
        position.seconds = group.first(before + now - started)
        if not first:
            continue
        if position.step % plan.report_steps == 0:
            speed = (position.tokens - tokens_before) / (now - started)
            _write_report(plan, position, report, speed, budget_s)
        if now - saved_at > plan.checkpoint_seconds:
            trainer.save(plan.checkpoint)
            saved_at = now
    if first:
        trainer.save(plan.checkpoint)


def _write_report(plan: Plan, position: Position, report: StepReport, speed: float, budget_s: float) -> None:
    """One metrics line, and the progress line on stderr."""
    line = {"step": position.step, "tokens": position.tokens, "seconds": round(position.seconds, 1),
            "loss": round(report.loss, 4), "answer_loss": round(report.answer_loss, 4), "tokens_per_s": round(speed),
            "top_logit": round(report.top_logit, 2), "heads_clipped": report.clipped, "load": report.load,
            "documents": report.by_type}
    with plan.metrics.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    left_min = max(0.0, budget_s - position.seconds) / 60
    share = min(1.0, position.seconds / budget_s)
    bar = "#" * round(share * BAR_WIDTH)
    sys.stderr.write(
        f"[{bar:-<{BAR_WIDTH}}] {share:4.0%}  {left_min:.0f} min left  step {position.step}  "
        f"{position.tokens / 1e6:.2f}M tokens  {speed:.0f} tok/s  loss {report.loss:.3f}  "
        f"answers {report.answer_loss:.3f}  logit {report.top_logit:.0f}  "
        f"clipped {report.clipped}  load {max(report.load):.1f}\n")
    sys.stderr.flush()
