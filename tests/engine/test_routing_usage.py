"""Balance: by hand on small traces, nothing found in random routing, and neighbours don't pass for evidence."""

import numpy as np
import pytest

from engine.routing_usage import effective_tokens, sample_of, usage
from engine.trace import UNUSED_EXPERT
from tests.engine.routing_samples import plant, random_ids, trace_of


def test_a_layer_by_hand() -> None:
    ids = np.array([[[0, 1]], [[0, 2]], [[0, 1]], [[0, 2]]])
    found = usage(trace_of(ids, 8, phase="prefill")).layers[0]
    assert found.layer == 1
    assert found.load.tolist() == [4, 2, 2, 0, 0, 0, 0, 0]
    assert (found.load_by_chance, found.max_over_mean, found.never_used) == (1.0, 4.0, 5)
    assert found.entropy == pytest.approx((0.5 * np.log(2) + 2 * 0.25 * np.log(4)) / np.log(8))
    assert found.never_used_by_chance == pytest.approx(8 * 0.75**4)
    assert (found.reuse, found.reuse_by_chance) == (1.0, 0.5)
    assert found.reuse_by_load == pytest.approx(1 + 0.25 + 0.25)
    # Binomial(4, 1/4): P(4) = 0.4% and P(>= 3) = 5.1%, so counts of 0 to 3 are in the band of 95%.
    assert (found.band_low, found.band_high) == (0, 3)
    assert found.outside_band == 1
    assert found.outside_band_by_chance == pytest.approx(8 * 0.25**4)


def test_random_routing_shows_nothing() -> None:
    found = usage(trace_of(random_ids(4000), 16))
    for layer in found.layers:
        assert not layer.far_out.any()
        assert layer.outside_band <= 4
        assert layer.effective_tokens > 3000
        assert layer.entropy == pytest.approx(layer.entropy_by_chance, abs=2e-4)
        assert layer.max_over_mean == pytest.approx(layer.max_over_mean_by_chance, abs=0.04)
        assert abs(layer.reuse - layer.reuse_by_chance) < 2 * layer.reuse_error


def test_the_chance_of_few_tokens_is_what_simulation_gives() -> None:
    runs = [usage(trace_of(random_ids(60, layers=1, seed=seed), 16)).layers[0] for seed in range(300)]
    by_chance = runs[0]
    assert np.mean([run.max_over_mean for run in runs]) == pytest.approx(by_chance.max_over_mean_by_chance, rel=0.02)
    assert np.mean([run.entropy for run in runs]) == pytest.approx(by_chance.entropy_by_chance, abs=1e-3)
    outside = np.mean([run.outside_band for run in runs])
    assert outside == pytest.approx(by_chance.outside_band_by_chance, rel=0.3)


def test_a_favourite_is_far_out() -> None:
    ids = random_ids(2000, layers=1)
    plant(ids, slice(None, None, 8), 0, 3)
    found = usage(trace_of(ids, 16)).layers[0]
    assert np.flatnonzero(found.far_out).tolist() == [3]
    assert found.max_over_mean > 1.3


def test_neighbours_that_repeat_count_as_fewer_tokens() -> None:
    once = random_ids(250, layers=1)
    repeated = np.repeat(once, 8, axis=0)
    effective = effective_tokens(repeated[:, 0].astype(np.uint16), 16)
    assert 150 < effective < 450
    assert not usage(trace_of(repeated, 16)).layers[0].far_out.any()


def test_places_that_stayed_empty_are_no_expert() -> None:
    ids = np.array([[[0, UNUSED_EXPERT]], [[1, UNUSED_EXPERT]]])
    found = usage(trace_of(ids, 4, phase="prefill")).layers[0]
    assert found.load.tolist() == [1, 1, 0, 0]
    assert (found.load_by_chance, found.reuse, found.reuse_by_chance) == (0.5, 0.0, 0.25)


def test_an_answer_s_tokens_count_the_passes_that_wrote_them() -> None:
    trace = trace_of(np.array([[[0]], [[1]]]), 4, phase="prefill")
    answer = trace_of(np.array([[[2]], [[3]]]), 4)
    trace.append(answer.tokens, answer.block())
    assert usage(trace, [2, 3]).layers[0].load.tolist() == [0, 1, 1, 0]
    assert usage(trace, [0, 1]).layers[0].load.tolist() == [1, 1, 0, 0]


def test_rows_are_told_and_no_rows_give_nothing() -> None:
    trace = trace_of(random_ids(10), 16)
    assert str(sample_of(trace, [1, 2])) == "2 answer tokens of sample"
    assert usage(trace, [0]).layers[0].load.sum() == 4
    assert usage(trace, []).layers == ()
    assert usage(trace).as_json()["layers"][0]["load"] == usage(trace).layers[0].load.tolist()
