"""Choosing the next token from logits: repetition penalty, temperature, top-k, top-p, min-p, seed.

The random draw is a function of seed and position in the answer and of nothing else: an answer that is restarted
from one of its tokens goes on as it did before, and requests that share a batch don't influence each other.
numpy only; logits arrive on the host.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
_MASK64 = (1 << 64) - 1
MAX_TOP_LOGPROBS = 20
_NUCLEUS_GUESS = 64  # sorting a few candidates is enough almost always, and far cheaper than sorting all


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to sample; temperature 0 is greedy. `seed` None means a fresh one for each request.

    Raises ValueError for values out of range, naming the field and its range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        _require("temperature", self.temperature, 0.0, 10.0)
        _require("top_p", self.top_p, 0.0, 1.0)
        _require("top_k", self.top_k, 0, 1_000_000)
        _require("min_p", self.min_p, 0.0, 1.0)
        _require("repetition_penalty", self.repetition_penalty, 0.1, 10.0)


def _require(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; it must lie between {low:g} and {high:g}. Change it and send again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A chosen token with its natural log probability before any of the filters, and the likeliest others."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class NonFiniteLogitsError(ValueError):
    """The model gave NaN: its weights are damaged or its numbers overflowed."""


class Sampler:
    """Samples one request's tokens. `history` (prompt and answer) counts for the repetition penalty."""

    def __init__(self, params: SamplingParams, *, history: Sequence[int], position: int = 0,
                 num_top_logprobs: int = 0) -> None:
        self.params = params
        self.seed = random.SystemRandom().getrandbits(63) if params.seed is None else params.seed
        self._position = position
        self._num_top = min(num_top_logprobs, MAX_TOP_LOGPROBS)
        self._seen = np.array(sorted(set(history)), np.int64) if params.repetition_penalty != 1 else None

    def sample(self, logits_V: F32) -> Sampled:
        """Choose a token.

        Raises:
            NonFiniteLogitsError: the logits hold NaN.
        """
        highest = float(logits_V.max())
        if not np.isfinite(highest):
            raise NonFiniteLogitsError(
                "The model's output is not a number (NaN). Its weights are damaged or overflow in this number "
                "format. Fetch the checkpoint again, or load it as float32."
            )
        log_total = highest + float(np.log(np.exp(logits_V - highest).sum(dtype=np.float64)))
        token = self._choose(logits_V)
        self._position += 1
        if self._seen is not None and token not in self._seen:
            self._seen = np.append(self._seen, token)
        return Sampled(token_id=token, logprob=float(logits_V[token]) - log_total, top=self._top(logits_V, log_total))

    def _top(self, logits_V: F32, log_total: float) -> tuple[tuple[int, float], ...]:
        if not self._num_top:
            return ()
        order = np.argsort(-logits_V, kind="stable")[: self._num_top]
        return tuple((int(token), float(logits_V[token]) - log_total) for token in order)

    def _choose(self, logits_V: F32) -> int:
        params = self.params
        if self._seen is not None:
            # Keskar et al. 2019 (CTRL): divide what is positive, multiply what is negative.
            logits_V = logits_V.copy()
            seen = logits_V[self._seen]
            penalty = np.float32(params.repetition_penalty)
            logits_V[self._seen] = np.where(seen > 0, seen / penalty, seen * penalty)
        if params.temperature == 0:
            return int(logits_V.argmax())
        ids = _best(logits_V, params.top_k)
        scores = logits_V if ids is None else logits_V[ids]
        probs = np.exp((scores - scores.max()).astype(np.float64) / params.temperature)
        probs /= probs.sum()
        if params.top_p < 1:
            kept = _nucleus(probs, params.top_p)
            ids, probs = (kept if ids is None else ids[kept]), probs[kept]
        if params.min_p > 0:
            kept = np.flatnonzero(probs >= params.min_p * probs.max())
            ids, probs = (kept if ids is None else ids[kept]), probs[kept]
        cumulative = probs.cumsum()
        drawn = uniform(self.seed, self._position) * cumulative[-1]
        chosen = min(int(np.searchsorted(cumulative, drawn, side="right")), len(cumulative) - 1)
        return chosen if ids is None else int(ids[chosen])


def _best(logits_V: F32, top_k: int) -> npt.NDArray[np.int64] | None:
    """Give the ids of the `top_k` best, or None for all."""
    if not 0 < top_k < len(logits_V):
        return None
    return np.sort(np.argpartition(-logits_V, top_k - 1)[:top_k])


def _nucleus(probs: npt.NDArray[np.float64], top_p: float) -> npt.NDArray[np.int64]:
    """Give the indices of the fewest likeliest tokens whose probabilities reach `top_p`, best first."""
    size = min(_NUCLEUS_GUESS, len(probs))
    while True:
        some = np.arange(len(probs)) if size == len(probs) else np.argpartition(-probs, size - 1)[:size]
        some = some[np.argsort(-probs[some], kind="stable")]
        cumulative = probs[some].cumsum()
        if cumulative[-1] >= top_p or size == len(probs):
            return some[: 1 + int(np.count_nonzero(cumulative[:-1] < top_p))]
        size = min(16 * size, len(probs))


def uniform(seed: int, position: int) -> float:
    """Give a number in [0, 1) for a seed and a position: SplitMix64 (Steele et al. 2014) of the two."""
    mixed = ((seed & _MASK64) * 0xD1342543DE82EF95 + (position + 1) * 0x9E3779B97F4A7C15) & _MASK64
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK64
    return float((mixed ^ (mixed >> 31)) >> 11) / float(1 << 53)
