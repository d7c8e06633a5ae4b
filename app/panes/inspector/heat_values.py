"""What the heat map shows of a usage: its values, the ends of its scale, its words and its table. No Qt here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from app.core.table import Cell
from engine.routing_tally import Usage

Metric = Literal["share", "weight", "difference"]
METRICS: tuple[tuple[Metric, str, str], ...] = (
    ("share", "Share of tokens", "How many of the tokens chose the expert"),
    ("weight", "Summed weight", "The weights the expert was given, summed over the tokens"),
    ("difference", "Against chance", "Share of the tokens minus the share that equal use of all experts would give"),
)
NOISE_DEVIATIONS = 3.0  # differences that chance alone makes don't reach the scale's ends
HEAT_TABLE = ("layer", "expert", "tokens", "chosen", "share", "chance_share", "difference", "summed_weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatValues:
    """Values [L,E] and the scale from `low` to `high` they are coloured on. `mark` is where chance stands (0 to 1)."""

    values: npt.NDArray[np.float32]
    low: float
    high: float
    low_text: str
    high_text: str
    mark: float | None
    mark_text: str


def nice_ceiling(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7.5 times a power of ten, so that a scale keeps still while values creep."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    steps = (1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0)
    return float(next(step for step in steps if step * power >= value * (1 - 1e-9)) * power)


def heat_values(usage: Usage, metric: Metric) -> HeatValues:
    """Give what is shown of a usage. `metric` "weight" needs a usage with weights."""
    chance = float(usage.chance_share.mean()) if usage.load.size else 0.0
    if metric == "difference":
        return _difference(usage, chance)
    if metric == "weight":
        assert usage.weights is not None
        high = nice_ceiling(float(usage.weights.max(initial=0.0)))
        return HeatValues(values=usage.weights.astype(np.float32), low=0.0, high=high, low_text="0",
                          high_text=f"{high:g}", mark=None, mark_text="")
    high = min(1.0, nice_ceiling(max(float(usage.share.max(initial=0.0)), 2 * chance)))
    return HeatValues(values=usage.share.astype(np.float32), low=0.0, high=high, low_text="0%",
                      high_text=f"{100 * high:.3g}%", mark=chance / high, mark_text=f"chance {chance:.1%}")


def _difference(usage: Usage, chance: float) -> HeatValues:
    values = (usage.share - usage.chance_share).astype(np.float32)
    noise = NOISE_DEVIATIONS * float(usage.chance_deviation.max(initial=0.0))
    high = nice_ceiling(max(float(np.abs(values).max(initial=0.0)), noise))
    points = f"{100 * high:.3g} points"
    return HeatValues(values=values, low=-high, high=high, low_text=f"−{points}", high_text=f"+{points}", mark=0.5,
                      mark_text=f"chance {chance:.1%}")


def cell_text(usage: Usage, layer: int, row: int, expert: int) -> str:
    """Say a cell in words."""
    count, share = int(usage.load[row, expert]), float(usage.share[row, expert])
    chance, deviation = float(usage.chance_share[row, 0]), float(usage.chance_deviation[row, 0])
    lines = [f"Layer {layer}, expert {expert}: {count:,} of {usage.num_tokens:,} tokens ({share:.1%})"]
    if deviation > 0:
        lines.append(f"Chance {chance:.1%} ± {deviation:.1%}: {(share - chance) / deviation:+.1f} standard deviations")
    if usage.weights is not None:
        lines.append(f"Summed weight {usage.weights[row, expert]:.2f}")
    return "\n".join(lines)


def heat_table(usage: Usage, layers: Sequence[int]) -> Iterator[list[Cell]]:
    """Every cell's numbers, for HEAT_TABLE."""
    share, chance = usage.share, usage.chance_share
    for row, layer in enumerate(layers):
        for expert in range(usage.load.shape[1]):
            value, expected = float(share[row, expert]), float(chance[row, 0])
            weight = None if usage.weights is None else float(usage.weights[row, expert])
            yield [layer, expert, usage.num_tokens, int(usage.load[row, expert]), value, expected, value - expected,
                   weight]
