"""The routing difference of two answers counts the passes that wrote their tokens."""

import numpy as np
import pytest

from app.core.bench_comparison import load_shifts
from engine.trace import Phase, RoutingBlock, RoutingTrace, TraceToken


def trace_of(prompt: list[int], answer: list[int], *, layer: int = 3) -> RoutingTrace:
    """One expert in one layer per token, as it was read."""
    trace = RoutingTrace(num_experts=4)
    parts: tuple[tuple[Phase, list[int]], ...] = (("prefill", prompt), ("decode", answer))
    for phase, experts in parts:
        ids = np.array(experts, np.uint16).reshape(-1, 1, 1)
        trace.append([TraceToken(id=0, text="", phase=phase)] * len(experts), RoutingBlock(layers=(layer,), ids=ids))
    return trace


def test_shares_are_of_the_passes_that_wrote_the_answers_and_the_largest_change_comes_first() -> None:
    shifts = load_shifts(trace_of([0, 1], [1, 2, 3, 3]), trace_of([0, 2], [2, 2, 3, 3]))
    assert [(shift.layer, shift.expert, shift.before, shift.after) for shift in shifts] == [
        (3, 1, 0.5, 0.0), (3, 2, 0.25, 0.75)]  # expert 3: a quarter in both, for its last pass wrote nothing


def test_answers_of_other_models_are_refused() -> None:
    with pytest.raises(ValueError, match="different models"):
        load_shifts(trace_of([0], [1]), trace_of([0], [1], layer=2))
