"""Counts of a growing trace are those of the whole trace, of any range and phase."""

import numpy as np
import pytest

from engine.routing_stats import expert_load, weight_sum
from engine.routing_tally import BLOCK_TOKENS, RoutingTally
from engine.trace import UNUSED_EXPERT, Phase, RoutingBlock, RoutingTrace, TraceToken

EXPERTS, TOP_K = 6, 2


def grow(trace: RoutingTrace, count: int, phase: Phase, *, seed: int, with_weights: bool = True) -> None:
    rng = np.random.default_rng(seed)
    ids = np.argsort(rng.random((count, 2, EXPERTS)), axis=2)[:, :, :TOP_K].astype(np.uint16)
    ids[::7, 0, 1] = UNUSED_EXPERT
    weights = rng.random((count, 2, TOP_K)).astype(np.float16) if with_weights else None
    block = RoutingBlock(layers=(1, 2), ids=ids, weights=weights)
    trace.append([TraceToken(id=0, text="", phase=phase)] * count, block)


@pytest.fixture
def trace() -> RoutingTrace:
    """Two turns' worth of prompt and answer, with blocks that end in the middle of both."""
    trace = RoutingTrace(num_experts=EXPERTS)
    for seed, (count, phase) in enumerate([(700, "prefill"), (1300, "decode"), (40, "prefill"), (600, "decode")]):
        grow(trace, count, phase, seed=seed)  # type: ignore[arg-type]
    return trace


@pytest.mark.parametrize("phase", [None, "prefill", "decode"])
@pytest.mark.parametrize(("first", "last"), [(0, None), (5, 5), (0, 511), (3, 2400), (690, 1999), (2030, 2639)])
def test_a_range_counts_what_the_statistics_count(
    trace: RoutingTrace, phase: Phase | None, first: int, last: int | None
) -> None:
    tally = RoutingTally(trace)
    while not tally.update(max_tokens=97):
        pass
    stop = len(trace) if last is None else last + 1
    rows = [row for row in range(first, stop) if phase in (None, trace.tokens[row].phase)]
    usage = tally.usage(phase, first, last)
    assert usage.num_tokens == len(rows)
    assert usage.load.tolist() == expert_load(trace, trace.passes(rows)).tolist()
    assert usage.weights is not None
    assert np.allclose(usage.weights, weight_sum(trace, trace.passes(rows)), atol=1e-3)
    assert set(rows) <= set(tally.rows(phase).tolist())


def test_a_tally_follows_a_trace_that_grows_and_blocks_are_summed_once(trace: RoutingTrace) -> None:
    tally = RoutingTally(trace)
    assert tally.update()
    before = tally.usage("decode").load
    total = int(before.sum())
    grow(trace, BLOCK_TOKENS, "decode", seed=9)
    assert tally.usage("decode").load.sum() == total
    tally.update()
    assert tally.num_counted == len(trace)
    assert tally.usage("decode").load.tolist() == expert_load(trace, trace.passes(trace.rows_of("decode"))).tolist()
    assert before.sum() == total  # a value once given does not change under its reader


def test_weights_that_a_later_part_lacks_are_absent_for_all(trace: RoutingTrace) -> None:
    tally = RoutingTally(trace)
    tally.update()
    grow(trace, 3, "decode", seed=5, with_weights=False)
    tally.update()
    usage = tally.usage()
    assert usage.weights is None
    assert usage.num_tokens == len(trace)


def test_share_and_chance_by_hand() -> None:
    trace = RoutingTrace(num_experts=4)
    ids = np.array([[[0, 1]], [[0, 2]], [[0, UNUSED_EXPERT]], [[0, 1]]], np.uint16)
    trace.append([TraceToken(id=0, text="", phase="decode")] * 4, RoutingBlock(layers=(1,), ids=ids))
    tally = RoutingTally(trace)
    tally.update()
    usage = tally.usage()
    assert usage.share.tolist() == [[1.0, 0.5, 0.25, 0.0]]
    chance = 7 / 4 / 4  # seven choices by four tokens, four experts
    assert usage.chance_share.tolist() == [[chance]]
    assert usage.chance_deviation[0, 0] == pytest.approx(np.sqrt(chance * (1 - chance) / 4))
    empty = tally.usage("prefill")
    assert (empty.num_tokens, empty.share.sum(), empty.chance_share.sum()) == (0, 0.0, 0.0)
