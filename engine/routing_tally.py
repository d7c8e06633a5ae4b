"""Counts over a RoutingTrace that is still growing, so that a view of it costs what is new and not what there is.

The numbers are those of routing_stats.expert_load and weight_sum over the tokens' passes (tests compare them).
Standard library and numpy only.

Legend: N tokens, L MoE layers, E experts per layer, K experts per token.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.routing_stats import F64, load_and_weights
from engine.trace import Phase, RoutingTrace

BLOCK_TOKENS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How some tokens used the experts.

    `load` [L,E] counts choices, `weights` [L,E] sums weights (None where the trace holds none), `num_tokens` says of
    how many tokens, `top_k` how many experts a token of the trace has.
    """

    load: npt.NDArray[np.int64]
    weights: F64 | None
    num_tokens: int
    top_k: int

    @property
    def share(self) -> F64:
        """Share of the tokens that chose each expert: [L,E]; zeros when there are no tokens."""
        return np.asarray(self.load / max(1, self.num_tokens), np.float64)

    @property
    def chance_share(self) -> F64:
        """Share that every expert of a layer would have if all were chosen alike: [L,1].

        K / E, less where an intervention left places empty.
        """
        chosen = self.load.sum(axis=1, keepdims=True) / max(1, self.num_tokens)
        return np.asarray(chosen / max(1, self.load.shape[1]), np.float64)

    @property
    def chance_deviation(self) -> F64:
        """Standard deviation of that share for so many tokens (binomial): [L,1]; 0 without tokens."""
        share = self.chance_share
        return np.asarray(np.sqrt(share * (1 - share) / max(1, self.num_tokens)), np.float64)


class _Ladder:
    """Sums of one phase's tokens up to every BLOCK_TOKENS-th of them, in the trace's order, and up to the last."""

    def __init__(self, trace: RoutingTrace) -> None:
        self._trace = trace
        shape = (len(trace.layers), trace.num_experts)
        self.rows: list[int] = []
        self._load = np.zeros(shape, np.int64)
        self._weights = np.zeros(shape, np.float64) if trace.weights is not None else None
        self._load_steps = [self._load.astype(np.int32)]
        self._weight_steps = [] if self._weights is None else [self._weights.copy()]

    def add(self, rows: Sequence[int]) -> None:
        """Count rows that follow those before."""
        done = 0
        while done < len(rows):
            room = BLOCK_TOKENS - len(self.rows) % BLOCK_TOKENS
            part = rows[done:done + room]
            load, weights = self._sums(part)
            self._load += load
            if self._weights is not None and weights is not None:
                self._weights += weights
            self.rows.extend(part)
            done += len(part)
            if len(self.rows) % BLOCK_TOKENS == 0:
                self._load_steps.append(self._load.astype(np.int32))
                if self._weights is not None:
                    self._weight_steps.append(self._weights.copy())

    def between(self, first: int, end: int) -> tuple[npt.NDArray[np.int64], F64 | None]:
        """Sum the places first to end of `rows`: from the nearest steps, corrected by the tokens in between."""
        if (first, end) == (0, len(self.rows)):
            return self._load, self._weights
        if end - first <= BLOCK_TOKENS:
            return self._sums(self.rows[first:max(first, end)])
        load, weights = self._up_to(end)
        load_before, weights_before = self._up_to(first)
        return load - load_before, None if weights is None or weights_before is None else weights - weights_before

    def _up_to(self, end: int) -> tuple[npt.NDArray[np.int64], F64 | None]:
        step = min((end + BLOCK_TOKENS // 2) // BLOCK_TOKENS, len(self._load_steps) - 1)
        at = step * BLOCK_TOKENS
        load, weights = self._sums(self.rows[min(at, end):max(at, end)])
        sign = 1 if end >= at else -1
        both = None if weights is None or self._weights is None else self._weight_steps[step] + sign * weights
        return self._load_steps[step] + sign * load, both

    def _sums(self, rows: Sequence[int]) -> tuple[npt.NDArray[np.int64], F64 | None]:
        return load_and_weights(self._trace, self._trace.passes(rows))


class RoutingTally:
    """Usage of the experts over a growing trace, prompt and answer apart, of all its tokens or of any range.

    A range costs at most a block of tokens however long it is, so that it can be dragged over 100k tokens.
    """

    def __init__(self, trace: RoutingTrace) -> None:
        self._trace = trace
        self._start()

    def _start(self) -> None:
        self._has_weights = self._trace.weights is not None
        self._ladders: dict[Phase, _Ladder] = {"prefill": _Ladder(self._trace), "decode": _Ladder(self._trace)}
        self._is_decode = np.zeros(64, bool)
        self._counted = 0

    @property
    def num_counted(self) -> int:
        """How many of the trace's tokens are counted."""
        return self._counted

    def update(self, max_tokens: int | None = None) -> bool:
        """Count tokens that came since, at most `max_tokens`; say whether all are counted now."""
        if self._has_weights and self._trace.weights is None:  # a part without weights came in: now they lack for all
            self._start()
        tokens = self._trace.tokens
        end = len(tokens) if max_tokens is None else min(len(tokens), self._counted + max_tokens)
        new: dict[Phase, list[int]] = {"prefill": [], "decode": []}
        for row in range(self._counted, end):
            new[tokens[row].phase].append(row)
        if end > len(self._is_decode):
            self._is_decode = np.concatenate([self._is_decode, np.zeros(max(end, len(self._is_decode)), bool)])
        self._is_decode[new["decode"]] = True
        for phase, rows in new.items():
            self._ladders[phase].add(rows)
        self._counted = end
        return end == len(tokens)

    def rows(self, phase: Phase | None = None) -> npt.NDArray[np.intp]:
        """Give the counted tokens' row numbers, of one phase or (None) of both."""
        if phase is None:
            return np.arange(self._counted, dtype=np.intp)
        return np.flatnonzero(self._is_decode[: self._counted] == (phase == "decode"))

    def usage(self, phase: Phase | None = None, first: int = 0, last: int | None = None) -> Usage:
        """Give the usage by the counted tokens from row `first` to row `last` (both included), of one phase or both."""
        last = self._counted - 1 if last is None else last
        load = np.zeros((len(self._trace.layers), self._trace.num_experts), np.int64)
        weights = np.zeros(load.shape) if self._has_weights else None
        num_tokens = 0
        for name, ladder in self._ladders.items():
            if phase not in (None, name):
                continue
            start, end = bisect_left(ladder.rows, first), bisect_right(ladder.rows, last)
            part_load, part_weights = ladder.between(start, end)
            load += part_load
            if weights is not None and part_weights is not None:
                weights += part_weights
            num_tokens += max(0, end - start)
        return Usage(load=load, weights=weights, num_tokens=num_tokens, top_k=self._trace.top_k)
