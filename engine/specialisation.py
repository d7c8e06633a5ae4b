"""Specialisation: which experts are chosen more often for which classes of tokens, as tested claims.

Each expert of each layer is compared with each class by log-odds. The control moves the classes along the tokens by
random distances (circular shifts): runs and repetitions of both stay, only their relation goes. A cell's p-value is
family-wise: how often the largest deviation *anywhere* in a shifted table reaches it (Westfall and Young's max-T), so
that one p-value covers every comparison made. Standard library and numpy only.

Legend: N tokens with a class, L MoE layers, E experts per layer, K experts per token, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.routing_stats import Rows
from engine.routing_usage import Sample, sample_of
from engine.trace import UNUSED_EXPERT, RoutingTrace

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

ALPHA = 0.05
NO_CLASS = -1
MIN_TOKENS = 64       # below, no shift is far enough from the others
MIN_EXPECTED = 5.0    # expected tokens of a cell that can be tested
MAX_SHIFTS, MIN_SHIFTS = 399, 39
WORK = 200_000_000    # choices counted for the control, at most about two seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassUse:
    """One expert and one class. `of` tokens have the class, `count` of them chose the expert.

    `share` is count/of, `elsewhere` the same among other tokens; `log_odds` is natural, with its 95% interval; `p` is
    family-wise, None where the cell is too small to be tested.
    """

    layer: int
    expert: int
    token_class: str
    count: int
    of: int
    share: float
    elsewhere: float
    log_odds: float
    low: float
    high: float
    p: float | None

    @property
    def is_claim(self) -> bool:
        """Whether the control leaves no doubt at 5%."""
        return self.p is not None and self.p <= ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Specialisation:
    """The table of all experts and classes, with its control.

    Attributes:
        counts: tokens of a class that chose an expert [L,E,C]; `loads`: tokens that chose it [L,E].
        class_tokens: tokens of each class [C]; `num_tokens`: of all classes; `unclassified`: left out.
        log_odds: [L,E,C]; `p`: family-wise [L,E,C], NaN where not tested.
        shifts: circular shifts of the control; `comparisons`: cells tested.
    """

    sample: Sample
    classes: tuple[str, ...]
    layers: tuple[int, ...]
    counts: I64
    loads: I64
    class_tokens: I64
    num_tokens: int
    unclassified: int
    log_odds: F64
    log_odds_error: F64
    p: F64
    shifts: int
    comparisons: int

    def use(self, position: int, expert: int, class_index: int) -> ClassUse:
        """Read one cell; `position` is the row of the layer."""
        count, of = int(self.counts[position, expert, class_index]), int(self.class_tokens[class_index])
        others = self.num_tokens - of
        value, error = float(self.log_odds[position, expert, class_index]), float(
            self.log_odds_error[position, expert, class_index])
        p = float(self.p[position, expert, class_index])
        return ClassUse(
            layer=self.layers[position], expert=expert, token_class=self.classes[class_index], count=count, of=of,
            share=count / of if of else 0.0,
            elsewhere=(int(self.loads[position, expert]) - count) / others if others else 0.0,
            log_odds=value, low=value - error, high=value + error, p=None if np.isnan(p) else p)

    def expert(self, position: int, expert: int) -> list[ClassUse]:
        """Read all classes of one expert, the strongest first."""
        uses = [self.use(position, expert, index) for index in range(len(self.classes)) if self.class_tokens[index]]
        return sorted(uses, key=lambda use: -use.log_odds)

    def claims(self) -> list[ClassUse]:
        """Give what may be claimed: cells chosen *more* often than the control allows, the strongest first."""
        found = np.argwhere((self.p <= ALPHA) & (self.log_odds > 0))
        uses = [self.use(int(layer), int(expert), int(index)) for layer, expert, index in found]
        return sorted(uses, key=lambda use: -use.low)

    def as_json(self) -> dict[str, Any]:
        """Give plain values for JSON: the claims, and what they were tested against."""
        names = ClassUse.__dataclass_fields__
        return {
            "classes": dict(zip(self.classes, self.class_tokens.tolist(), strict=True)),
            "unclassified": self.unclassified, "shifts": self.shifts, "comparisons": self.comparisons, "alpha": ALPHA,
            "claims": [{name: getattr(claim, name) for name in names} for claim in self.claims()]}


def labels_of_next(labels: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Give every token the class of the one after it: a row's pass reads its own token and writes the next."""
    return np.concatenate((labels[1:], np.full(min(1, len(labels)), NO_CLASS, np.int8)))


def specialisation(trace: RoutingTrace, labels: npt.NDArray[np.int8], classes: Sequence[str], rows: Rows = None, *,
                   seed: int = 0) -> Specialisation:
    """Compare every expert with every class over some rows of a trace (None: all).

    Args:
        trace: the routing.
        labels: class number of every token of the trace [len(trace)], NO_CLASS for tokens to leave out: of the
            token that is read, or with `labels_of_next` of the one that is written.
        classes: names of the classes.
        rows: row numbers.
        seed: of the control's shifts.
    """
    assert len(labels) == len(trace)
    chosen = np.arange(len(trace)) if rows is None else np.asarray(rows, np.intp)
    kept = chosen[labels[chosen] != NO_CLASS]
    ids, classes_N = trace.ids[kept], labels[kept].astype(np.int64)
    class_tokens = np.bincount(classes_N, minlength=len(classes)).astype(np.int64)
    shape = (len(trace.layers), trace.num_experts, len(classes))
    counts = np.zeros(shape, np.int64)
    for position in range(shape[0]):
        counts[position] = _LayerCells(ids[:, position], (shape[1], shape[2])).table(classes_N)
    loads = counts.sum(axis=2)
    margins = _Margins(loads, class_tokens, len(kept))
    shifts = _shifts(len(kept), ids.size, seed) if margins.tested.any() else []
    p = np.full(shape, np.nan)
    p[margins.tested] = _p_values(ids, classes_N, counts, margins, shifts)
    log_odds, error = _log_odds(counts, loads, class_tokens, len(kept))
    return Specialisation(
        sample=sample_of(trace, kept), classes=tuple(classes), layers=trace.layers, counts=counts, loads=loads,
        class_tokens=class_tokens, num_tokens=len(kept), unclassified=len(chosen) - len(kept), log_odds=log_odds,
        log_odds_error=error, p=p, shifts=len(shifts), comparisons=int(margins.tested.sum()) if shifts else 0)


class _LayerCells:
    """Counts [E,C] of one layer, for classes that are moved along the tokens again and again."""

    def __init__(self, ids_NK: npt.NDArray[np.uint16], shape: tuple[int, int]) -> None:
        self._shape = shape
        empty = ids_NK == UNUSED_EXPERT
        # Places without an expert are counted in a row of their own, which is cut off.
        self._cells = np.where(empty, shape[0], ids_NK).astype(np.int64) * shape[1]

    def table(self, classes_N: I64) -> I64:
        experts, classes = self._shape
        cells = (self._cells + classes_N[:, None]).ravel()
        return np.bincount(cells, minlength=(experts + 1) * classes)[: experts * classes].reshape(experts, classes)


class _Margins:
    """Sums that no shift changes, and with them the hypergeometric mean and deviation of every cell: [L,E,C]."""

    def __init__(self, loads_LE: I64, class_tokens_C: I64, num_tokens: int) -> None:
        n, k, c = max(2, num_tokens), loads_LE[:, :, None].astype(np.float64), class_tokens_C.astype(np.float64)
        self.mean = k * c / n
        self.deviation = np.sqrt(np.maximum(self.mean * (n - k) / n * (n - c) / (n - 1), 0.0))
        self.tested = (self.mean >= MIN_EXPECTED) & (self.deviation > 0)
        if num_tokens < MIN_TOKENS:
            self.tested[:] = False

        self._scale = np.zeros_like(self.mean)
        self._scale[self.tested] = 1 / self.deviation[self.tested]

    def away(self, position: int, counts_EC: I64) -> F64:
        """Deviations of a layer's cells from the mean, in standard deviations; 0 where not tested."""
        return np.asarray(np.abs(counts_EC - self.mean[position]) * self._scale[position], np.float64)


def _shifts(num_tokens: int, num_choices: int, seed: int) -> list[int]:
    """Distances of the control: as many as the work allows. Short ones belong to it: all shifts are a group, and only
    so is one long run of a class that lies in one long run of an expert no more than one observation.
    """
    possible = np.arange(1, num_tokens)
    wanted = int(np.clip(WORK // max(1, num_choices), MIN_SHIFTS, MAX_SHIFTS))
    rng = np.random.default_rng(seed)
    return sorted(rng.choice(possible, min(wanted, len(possible)), replace=False).tolist())


def _p_values(ids_NLK: npt.NDArray[np.uint16], classes_N: I64, counts_LEC: I64, margins: _Margins,
              shifts: Sequence[int]) -> F64:
    if not shifts:
        return np.full(int(margins.tested.sum()), np.nan)
    largest = np.zeros(len(shifts))
    for position in range(counts_LEC.shape[0]):
        cells = _LayerCells(ids_NLK[:, position], (counts_LEC.shape[1], counts_LEC.shape[2]))
        for number, shift in enumerate(shifts):
            table = cells.table(np.concatenate((classes_N[-shift:], classes_N[:-shift])))
            largest[number] = max(largest[number], margins.away(position, table).max())
    away = np.stack([margins.away(position, table) for position, table in enumerate(counts_LEC)])[margins.tested]
    reached = len(shifts) - np.searchsorted(np.sort(largest), away, side="left")
    return np.asarray((1 + reached) / (len(shifts) + 1), np.float64)


def _log_odds(counts_LEC: I64, loads_LE: I64, class_tokens_C: I64, num_tokens: int) -> tuple[F64, F64]:
    """Log-odds ratio with Haldane's half added, and half the width of its 95% interval (Woolf): [L,E,C]."""
    # A damaged trace may name an expert twice for one token; then a difference is below zero and counts as none.
    both = counts_LEC + 0.5
    only_expert = np.maximum(loads_LE[:, :, None] - counts_LEC, 0) + 0.5
    only_class = np.maximum(class_tokens_C - counts_LEC, 0) + 0.5
    neither = np.maximum(num_tokens - loads_LE[:, :, None] - class_tokens_C + counts_LEC, 0) + 0.5
    value = np.log(both) + np.log(neither) - np.log(only_expert) - np.log(only_class)
    return value, 1.96 * np.sqrt(1 / both + 1 / neither + 1 / only_expert + 1 / only_class)
