"""Sampling: greedy, filters, seeds, log probabilities."""

import numpy as np
import pytest

from engine.sampling import NonFiniteLogitsError, Sampler, SamplingParams, uniform

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.07, 0.03], np.float32))


def draw(count: int = 400, *, logits: np.ndarray = LOGITS, history: tuple[int, ...] = (), **params: float) -> list[int]:
    sampler = Sampler(SamplingParams(seed=7, **params), history=history)  # type: ignore[arg-type]
    return [sampler.sample(logits).token_id for _ in range(count)]


def test_temperature_zero_takes_the_best() -> None:
    assert set(draw(20, temperature=0)) == {0}


def test_frequencies_follow_the_probabilities() -> None:
    counts = np.bincount(draw(20000), minlength=5) / 20000
    assert counts == pytest.approx([0.5, 0.25, 0.15, 0.07, 0.03], abs=0.012)
    colder = np.bincount(draw(20000, temperature=0.5), minlength=5) / 20000
    squares = np.array([0.5, 0.25, 0.15, 0.07, 0.03]) ** 2
    assert colder == pytest.approx(squares / squares.sum(), abs=0.012)


@pytest.mark.parametrize(("params", "allowed"), [
    ({"top_k": 2}, {0, 1}),
    ({"top_p": 0.7}, {0, 1}),
    ({"top_p": 0.75}, {0, 1}),
    ({"top_p": 0.76}, {0, 1, 2}),
    ({"top_p": 0.0}, {0}),
    ({"min_p": 0.29}, {0, 1, 2}),
    ({"min_p": 1.0}, {0}),
    ({"top_k": 3, "top_p": 0.6}, {0, 1}),
    ({}, {0, 1, 2, 3, 4}),
])
def test_filters_keep_exactly_the_tokens_they_should(params: dict[str, float], allowed: set[int]) -> None:
    assert set(draw(**params)) == allowed


@pytest.mark.parametrize("top_p", [0.02, 0.3, 0.9, 0.999])
def test_the_nucleus_of_a_large_vocabulary_is_the_shortest_that_reaches_top_p(top_p: float) -> None:
    logits = np.random.default_rng(1).standard_normal(3000).astype(np.float32)
    probs = np.sort(np.exp(logits.astype(np.float64)))[::-1]
    size = int(np.searchsorted((probs / probs.sum()).cumsum(), top_p)) + 1
    allowed = set(np.argsort(-logits)[:size].tolist())
    drawn = set(draw(4000, logits=logits, top_p=top_p))
    assert drawn <= allowed
    assert size > 64 or drawn == allowed


def test_the_repetition_penalty_counts_prompt_and_answer() -> None:
    assert draw(3, temperature=0, repetition_penalty=5, history=(0,)) == [1, 2, 3]
    positive = np.array([2.0, 1.5, 1.2], np.float32)
    assert draw(2, logits=positive, temperature=0, repetition_penalty=1.5) == [0, 1]


def test_a_seed_repeats_and_another_differs() -> None:
    assert draw(50) == draw(50)
    other = Sampler(SamplingParams(seed=8), history=())
    assert [other.sample(LOGITS).token_id for _ in range(50)] != draw(50)
    fresh = {Sampler(SamplingParams(), history=()).seed for _ in range(4)}
    assert len(fresh) == 4


def test_a_restart_in_the_middle_goes_on_as_before() -> None:
    whole = draw(50)
    restarted = Sampler(SamplingParams(seed=7), history=(), position=20)
    assert [restarted.sample(LOGITS).token_id for _ in range(30)] == whole[20:]


def test_log_probabilities_are_the_models_own() -> None:
    sampler = Sampler(SamplingParams(seed=1, temperature=0.1, top_k=1), history=(), num_top_logprobs=2)
    sampled = sampler.sample(LOGITS + 3)
    assert sampled.logprob == pytest.approx(np.log(0.5), abs=1e-5)
    assert [token for token, _ in sampled.top] == [0, 1]
    assert [logprob for _, logprob in sampled.top] == pytest.approx(np.log([0.5, 0.25]), abs=1e-5)


@pytest.mark.parametrize("params", [
    {"temperature": -1}, {"top_p": 1.5}, {"top_k": -1}, {"min_p": 2}, {"repetition_penalty": 0},
    {"temperature": float("nan")},
])
def test_values_out_of_range_are_named(params: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(params))):
        SamplingParams(**params)  # type: ignore[arg-type]


def test_nan_is_noticed() -> None:
    with pytest.raises(NonFiniteLogitsError, match="weights are damaged"):
        Sampler(SamplingParams(), history=()).sample(np.array([1, np.nan, 0], np.float32))


def test_uniform_is_spread_evenly() -> None:
    values = [uniform(seed, position) for seed in range(50) for position in range(200)]
    assert min(values) >= 0
    assert max(values) < 1
    assert np.histogram(values, 10, (0, 1))[0] == pytest.approx(1000, rel=0.15)
