"""What the tokens' colours can say: leading expert, evenness of the choice, margin, surprise, phase, shared expert.

A colouring computes what is new of a growing trace and keeps the rest. Its scale is set anew only when a quarter more
tokens have come, so that colours stay put while an answer streams. Values come from engine.routing_stats.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from app.panes.inspector.color_maps import U32, ColorMaps, lut_steps, tinted
from app.panes.inspector.legend import Legend, LegendItem
from engine.routing_stats import F64, choice_entropy, leading_expert, surprise, token_margin, token_shared
from engine.trace import RoutingTrace

RESCALE_GROWTH = 1.25
SURPRISE_BITS = 8.0
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coloring:
    """One way to colour tokens. `layers` says if it is about one layer, about one or the mean of all, or about none.

    `form` writes a value, `range` gives the scale's ends for values (quantiles keep single odd tokens from setting it).
    """

    key: str
    title: str
    name: str
    help: str
    layers: Literal["one", "any", "none"]
    form: Callable[[float], str] = str
    range: Callable[[F64], tuple[float, float]] = lambda values: (float(values.min()), float(values.max()))


def _quantiles(values: F64) -> tuple[float, float]:
    low, high = np.quantile(values, (0.05, 0.95))
    return float(low), float(high)


LEADER = Coloring(
    key="leader", title="Expert", name="leading expert", layers="one",
    help="The expert with the largest weight in one layer; the seven that lead most often have a hue",
)  # fmt: skip
ENTROPY = Coloring(
    key="entropy", title="Entropy", name="routing entropy", layers="any", form="{:.2f}".format, range=_quantiles,
    help="How evenly a token's weight is spread over its chosen experts: 1 alike, 0 one does it all",
)  # fmt: skip
MARGIN = Coloring(
    key="margin", title="Margin", name="margin of the choice", layers="any", form="{:.3f}".format,
    range=lambda values: (0.0, float(np.quantile(values, 0.95))),
    help="Biased score of the last chosen expert minus the first rejected one; near 0 it was a tie",
)  # fmt: skip
SURPRISE = Coloring(
    key="surprise", title="Surprise", name="surprise", layers="none", form="{:.1f} bits".format,
    range=lambda _values: (0.0, SURPRISE_BITS),
    help="−log₂ of the probability the model gave the token: 0 certain, 1 a coin's toss",
)  # fmt: skip
PHASE = Coloring(
    key="phase", title="Phase", name="prompt or answer", layers="none", help="Tokens read against tokens written"
)
SHARED = Coloring(
    key="shared", title="Shared", name="share of the shared expert", layers="any", form="{:.0%}".format,
    range=_quantiles, help="Share of the layer's output that the shared expert gave, which runs for every token",
)  # fmt: skip
COLORINGS = (LEADER, ENTROPY, MARGIN, SURPRISE, PHASE, SHARED)


def absence(trace: RoutingTrace, coloring: Coloring, *, has_probabilities: bool) -> str:
    """Say why a trace can't be coloured so; "" when it can."""
    if coloring is ENTROPY and trace.weights is None:
        return "Not given: this trace holds no weights"
    if coloring is MARGIN and trace.margin is None:
        return "Not given: this trace holds no margins"
    if coloring is SHARED and trace.shared is None:
        return "Not given: this trace holds no share of a shared expert"
    if coloring is SURPRISE and not has_probabilities:
        return "Not given: this trace holds no probabilities"
    return ""


def token_values(trace: RoutingTrace, coloring: Coloring, layer_row: int | None, rows: Rows) -> F64:
    """Give what a colouring shows of some tokens: [N], NaN where it isn't given.

    An expert number for LEADER, 1 for an answer's token for PHASE. Routing is that of the tokens' passes.
    """
    passes = trace.passes(rows)
    if coloring is LEADER:
        leaders = leading_expert(trace, layer_row or 0, passes).astype(np.float64)
        return np.asarray(np.where(leaders < 0, np.nan, leaders), np.float64)
    if coloring is ENTROPY:
        return choice_entropy(trace, passes, layer_row)
    if coloring is MARGIN:
        return token_margin(trace, passes, layer_row)
    if coloring is SHARED:
        return token_shared(trace, passes, layer_row)
    if coloring is SURPRISE:
        return surprise(trace, rows)
    return np.array([trace.tokens[row].phase == "decode" for row in rows], np.float64)


class TokenColors:
    """The colours of a growing trace's tokens by one colouring, and their legend."""

    def __init__(self, trace: RoutingTrace, coloring: Coloring, layer_row: int | None, maps: ColorMaps) -> None:
        self._trace, self._coloring, self._maps = trace, coloring, maps
        self._layer_row = layer_row
        self._values: F64 = np.zeros(0)
        self._count = 0
        self._scaled_at = 0
        self._range = (0.0, 1.0)
        self._hued: list[int] = []

    def update(self, count: int, shown: Rows) -> bool:
        """Take in the tokens up to `count`; the scale is that of the `shown` ones. Says if old colours changed too."""
        if count > len(self._values):
            self._values = np.concatenate([self._values, np.full(max(count - len(self._values), 256), np.nan)])
        rows = np.arange(self._count, count)
        self._values[self._count:count] = token_values(self._trace, self._coloring, self._layer_row, rows)
        self._count = count
        if len(shown) < self._scaled_at * RESCALE_GROWTH and self._scaled_at:
            return False
        self._scaled_at = len(shown)
        self._set_scale(self._given(shown))
        return True

    def value(self, row: int) -> float | None:
        """Give a token's value, None where it isn't given."""
        value = float(self._values[row])
        return None if np.isnan(value) else value

    def colors(self, rows: Rows) -> U32:
        """Give the tokens' ARGB32 colours, 0 where there is nothing to show."""
        values = self._values[rows]
        given = ~np.isnan(values)
        colors = np.zeros(len(rows), np.uint32)
        if self._coloring in (LEADER, PHASE):
            colors[given] = self._hue_table()[values[given].astype(np.intp)]
        else:
            colors[given] = self._maps.sequential[lut_steps(values[given], *self._range)]
        return colors

    def legend(self, shown: Rows) -> Legend:
        """Give the legend for the `shown` tokens."""
        given = self._given(shown)
        absent = (LegendItem(argb=0, text="not given"),) if len(given) < len(shown) else ()
        if self._coloring is LEADER:
            return Legend(text="led by expert", items=self._leader_items(given) + absent)
        if self._coloring is PHASE:
            prompt, answer = (int(color) for color in self._maps.hues[:2])
            return Legend(items=(LegendItem(argb=prompt, text="prompt"), LegendItem(argb=answer, text="answer")))
        low, high = (self._coloring.form(end) for end in self._range)
        signs = ("≤ " if self._range[0] > 0 else "", "≥ ")
        return Legend(text=self._coloring.name, gradient=self._maps.sequential, low=signs[0] + low,
                      high=signs[1] + high, items=absent)

    # --- scales

    def _given(self, rows: Rows) -> F64:
        values = self._values[rows]
        return np.asarray(values[~np.isnan(values)], np.float64)

    def _set_scale(self, given: F64) -> None:
        if not len(given):
            return
        if self._coloring is LEADER:
            self._assign_hues(given)
        elif self._coloring is not PHASE:
            low, high = self._coloring.range(given)
            self._range = (low, high if high > low else low + 1e-3)

    def _assign_hues(self, given: F64) -> None:
        """Give hues to the experts that lead most often, by their number where two don't want the same.

        So an expert has the same hue here and there, and mostly keeps it while an answer streams.
        """
        num_hues = len(self._maps.hues)
        counts = np.bincount(given.astype(np.intp), minlength=self._trace.num_experts)
        self._hued = [-1] * num_hues
        for expert in np.argsort(-counts, kind="stable")[:num_hues].tolist():
            if counts[expert]:
                free = (slot % num_hues for slot in range(expert, expert + num_hues) if self._hued[slot % num_hues] < 0)
                self._hued[next(free)] = expert

    def _hue_table(self) -> U32:
        if self._coloring is PHASE:
            return tinted(self._maps.hues[:2])
        table = np.full(self._trace.num_experts, self._maps.other, np.uint32)
        for hue, expert in zip(self._maps.hues, self._hued, strict=False):
            if expert >= 0:
                table[expert] = hue
        return tinted(table)

    def _leader_items(self, given: F64) -> tuple[LegendItem, ...]:
        counts = np.bincount(given.astype(np.intp), minlength=self._trace.num_experts)
        total = max(1, len(given))
        hued = [(expert, int(hue)) for expert, hue in zip(self._hued, self._maps.hues, strict=False) if expert >= 0]
        hued.sort(key=lambda pair: -counts[pair[0]])
        items = [
            LegendItem(argb=hue, text=f"{expert} · {counts[expert] / total:.0%}", short=str(expert))
            for expert, hue in hued
        ]
        rest = total - sum(int(counts[expert]) for expert, _ in hued)
        if len(given) and rest:
            items.append(LegendItem(argb=self._maps.other, text=f"others · {rest / total:.0%}", short="others"))
        return tuple(items)
