"""Statistics over routing, checked by hand on small traces."""

import numpy as np
import pytest

from engine.routing_stats import (
    chance_load,
    chance_reuse,
    choice_entropy,
    entropy,
    expert_load,
    leading_expert,
    load_deviation,
    margin_quantiles,
    reuse,
    surprise,
    token_margin,
    token_shared,
    weight_sum,
)
from engine.trace import UNUSED_EXPERT, RoutingBlock, RoutingTrace, TraceToken


@pytest.fixture
def trace() -> RoutingTrace:
    """Three tokens, two layers, four experts, two of them per token."""
    made = RoutingTrace(num_experts=4)
    ids = np.array([[[0, 1], [3, 2]], [[1, 2], [3, 2]], [[0, 3], [0, 1]]], np.uint16)
    weights = np.array([[[0.75, 0.25], [0.5, 0.5]]] * 3, np.float16)
    margin = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], np.float16)
    made.append([TraceToken(id=n, text="", phase="decode") for n in range(3)],
                RoutingBlock(layers=(1, 2), ids=ids, weights=weights, margin=margin))
    return made


def test_load_counts_choices_per_layer(trace: RoutingTrace) -> None:
    assert expert_load(trace).tolist() == [[2, 2, 1, 1], [1, 1, 2, 2]]
    assert expert_load(trace, [0]).tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert expert_load(trace, []).sum() == 0


def test_weights_are_summed_per_expert(trace: RoutingTrace) -> None:
    assert weight_sum(trace).tolist() == [[1.5, 1.0, 0.25, 0.25], [0.5, 0.5, 1.0, 1.0]]
    bare = RoutingTrace(num_experts=4)
    bare.append([TraceToken(id=0, text="", phase="decode")],
                RoutingBlock(layers=(1,), ids=np.zeros((1, 1, 2), np.uint16)))
    with pytest.raises(ValueError, match="without weights"):
        weight_sum(bare)
    with pytest.raises(ValueError, match="without margins"):
        margin_quantiles(bare)


def test_entropy_is_one_for_even_and_zero_for_single_use() -> None:
    assert entropy(np.array([[3, 3, 3], [9, 0, 0], [0, 0, 0]])) == pytest.approx([1, 0, 0])


def test_chance_and_the_deviation_from_it(trace: RoutingTrace) -> None:
    chance = chance_load(100, 32, 4)
    assert (chance.mean, chance.deviation) == (12.5, pytest.approx(np.sqrt(100 * 0.125 * 0.875)))
    expected = (2 - 1.5) / np.sqrt(3 * 0.25)
    assert load_deviation(trace)[0].tolist() == pytest.approx([expected, expected, -expected, -expected])


def test_chance_agrees_with_random_routing() -> None:
    rng = np.random.default_rng(0)
    ids = np.argsort(rng.random((4000, 1, 16)), axis=2)[:, :, :4].astype(np.uint16)
    random = RoutingTrace(num_experts=16)
    random.append([TraceToken(id=0, text="", phase="decode")] * 4000, RoutingBlock(layers=(1,), ids=ids))
    assert reuse(random)[0] == pytest.approx(chance_reuse(16, 4), rel=0.05)
    assert np.abs(load_deviation(random)).max() < 4
    assert entropy(expert_load(random))[0] > 0.999


def test_margins_and_reuse(trace: RoutingTrace) -> None:
    assert margin_quantiles(trace, quantiles=(0.5,))[:, 0] == pytest.approx([0.3, 0.4], abs=1e-3)
    assert reuse(trace).tolist() == [0.5, 1.0]
    assert reuse(trace, [0]).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="Select at least one"):
        margin_quantiles(trace, [])


def bare_trace() -> RoutingTrace:
    """One token with expert numbers alone."""
    bare = RoutingTrace(num_experts=4)
    bare.append([TraceToken(id=0, text="", phase="prefill")],
                RoutingBlock(layers=(1,), ids=np.array([[[2, 1]]], np.uint16)))
    return bare


def test_the_leading_expert_has_the_largest_weight() -> None:
    made = RoutingTrace(num_experts=4)
    ids = np.array([[[0, 1]], [[2, 3]], [[3, UNUSED_EXPERT]], [[UNUSED_EXPERT, UNUSED_EXPERT]]], np.uint16)
    weights = np.array([[[0.25, 0.75]], [[0.5, 0.5]], [[0.1, 0.0]], [[0.0, 0.0]]], np.float16)
    made.append([TraceToken(id=0, text="", phase="decode")] * 4, RoutingBlock(layers=(1,), ids=ids, weights=weights))
    assert leading_expert(made, 0).tolist() == [1, 2, 3, -1]
    assert leading_expert(made, 0, [2, 0]).tolist() == [3, 1]
    assert leading_expert(bare_trace(), 0).tolist() == [2]


def test_the_entropy_of_a_choice_by_hand() -> None:
    made = RoutingTrace(num_experts=8)
    ids = np.array([[[0, 1, 2, 3], [0, 1, 2, 3]], [[0, 1, 2, 3], [0, 1, UNUSED_EXPERT, UNUSED_EXPERT]]], np.uint16)
    weights = np.array([[[0.5, 0.5, 0.5, 0.5], [2.5, 0, 0, 0]], [[0.5, 0.25, 0.125, 0.125], [1, 1, 0, 0]]], np.float16)
    made.append([TraceToken(id=0, text="", phase="decode")] * 2, RoutingBlock(layers=(3, 4), ids=ids, weights=weights))
    assert choice_entropy(made, layer_row=0).tolist() == pytest.approx([1.0, 1.75 / 2])
    assert choice_entropy(made, layer_row=1).tolist() == pytest.approx([0.0, 0.5])
    assert choice_entropy(made).tolist() == pytest.approx([0.5, (0.875 + 0.5) / 2])
    with pytest.raises(ValueError, match="without weights"):
        choice_entropy(bare_trace())


def test_margin_and_share_of_a_token_are_of_a_layer_or_the_mean(trace: RoutingTrace) -> None:
    assert token_margin(trace, [1]).tolist() == pytest.approx([0.35], abs=1e-3)
    assert token_margin(trace, [2, 0], layer_row=1).tolist() == pytest.approx([0.6, 0.2], abs=1e-3)
    for value in (token_margin, token_shared):
        with pytest.raises(ValueError, match=r"holds no|without margins"):
            value(bare_trace())


def test_surprise_is_in_bits_and_absent_where_no_probability_is_given() -> None:
    made = RoutingTrace(num_experts=2)
    tokens = [TraceToken(id=0, text="", phase="decode", logprob=logprob) for logprob in (None, np.log(0.25), 0.0)]
    made.append(tokens, RoutingBlock(layers=(1,), ids=np.zeros((3, 1, 1), np.uint16)))
    assert np.isnan(surprise(made)[0])
    assert surprise(made, [1, 2]).tolist() == pytest.approx([2.0, 0.0])
