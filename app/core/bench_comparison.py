"""Two answers beside each other: their texts, their programs, and where their routing differs. Values only."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.routing_stats import expert_load

if TYPE_CHECKING:
    from engine.trace import RoutingTrace

MAX_SHIFTS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadShift:
    """How one expert's share of the answer's tokens changed; shares are 0 to 1."""

    layer: int
    expert: int
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What the expert bench shows of two answers. Folders hold their programs, None where there is none."""

    words: str
    before_text: str
    after_text: str
    before_folder: Path | None
    after_folder: Path | None
    shifts: tuple[LoadShift, ...]
    tokens: tuple[int, int]


def load_shifts(before: "RoutingTrace", after: "RoutingTrace") -> tuple[LoadShift, ...]:
    """The experts whose share of the answers' tokens changed most, largest first.

    Raises ValueError when the traces are not of the same layers and experts.
    """
    if before.layers != after.layers or before.num_experts != after.num_experts:
        raise ValueError("The two answers were written by different models. Compare answers of one model.")
    rows = [trace.rows_of("decode") for trace in (before, after)]
    shares = [
        expert_load(trace, trace.passes(selected)) / max(1, len(selected))
        for trace, selected in zip((before, after), rows, strict=True)
    ]
    change = np.abs(shares[1] - shares[0])
    largest = np.argsort(-change, axis=None, kind="stable")[:MAX_SHIFTS]
    cells = [(int(layer), int(expert)) for layer, expert in zip(*np.unravel_index(largest, change.shape), strict=True)]
    return tuple(
        LoadShift(
            layer=before.layers[layer], expert=expert,
            before=float(shares[0][layer, expert]), after=float(shares[1][layer, expert]),
        )
        for layer, expert in cells if change[layer, expert] > 0
    )  # fmt: skip
