"""Usage and balance: how evenly experts are used, each number beside what chance would give.

Chance is uniform routing: every token draws K of E experts at random. Neighbouring tokens resemble each other, so n
tokens say less than n independent ones would; every band here is for the *effective* number of tokens (Kish's
design effect, measured over blocks of neighbours). Standard library and numpy only.

Legend: N tokens, L MoE layers, E experts per layer, K experts per token.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.routing_stats import Rows
from engine.trace import UNUSED_EXPERT, RoutingTrace

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

CONFIDENCE = 0.95
BLOCK_TOKENS = 32
MIN_BLOCKS, MAX_BLOCKS = 8, 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a number was computed from."""

    model: str
    fingerprint: str
    prompt_tokens: int
    answer_tokens: int

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.prompt_tokens + self.answer_tokens

    def __str__(self) -> str:
        counts = [f"{count:,} {what}" for count, what in
                  ((self.prompt_tokens, "prompt"), (self.answer_tokens, "answer")) if count]
        noun = "token" if self.tokens == 1 else "tokens"
        return f"{' and '.join(counts) or 'no'} {noun} of {self.model or 'a model that is not named'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerUsage:
    """One layer's balance. Counts are tokens; each `*_by_chance` is what uniform routing gives on average.

    `band_low` to `band_high` holds an expert's load in 95 of 100 cases under chance; `far_out` marks experts outside
    the band that holds *all* experts of *all* layers in 95 of 100 cases (Bonferroni). `reuse` is the number of experts
    a token shares with the one before; `reuse_by_load` what unrelated tokens with these loads would share.
    """

    layer: int
    effective_tokens: float
    load: I64
    load_by_chance: float
    band_low: float
    band_high: float
    far_out: npt.NDArray[np.bool_]
    outside_band: int
    outside_band_by_chance: float
    max_over_mean: float
    max_over_mean_by_chance: float
    entropy: float
    entropy_by_chance: float
    never_used: int
    never_used_by_chance: float
    reuse: float
    reuse_error: float
    reuse_by_chance: float
    reuse_by_load: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Balance of every layer over one sample."""

    sample: Sample
    num_experts: int
    top_k: int
    layers: tuple[LayerUsage, ...]

    def as_json(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        names = [name for name in LayerUsage.__dataclass_fields__ if name not in ("load", "far_out")]
        layers = [{**{name: getattr(layer, name) for name in names}, "load": layer.load.tolist(),
                   "far_out": np.flatnonzero(layer.far_out).tolist()} for layer in self.layers]
        return {"num_experts": self.num_experts, "top_k": self.top_k, "confidence": CONFIDENCE, "layers": layers}


def sample_of(trace: RoutingTrace, rows: Rows = None) -> Sample:
    """Say what these rows (None: all) are."""
    chosen = trace.tokens if rows is None else [trace.tokens[row] for row in rows]
    answer = sum(token.phase == "decode" for token in chosen)
    name = str(trace.model.get("name") or trace.model.get("id") or "")
    return Sample(model=name, fingerprint=trace.fingerprint, prompt_tokens=len(chosen) - answer, answer_tokens=answer)


def usage(trace: RoutingTrace, rows: Rows = None) -> Usage:
    """Measure the balance of every layer over some tokens of a trace (None: all); no tokens give no layers.

    Counted are the passes that read the prompt's tokens and wrote the answer's (RoutingTrace.passes).
    """
    sample = sample_of(trace, rows)
    comparisons = len(trace.layers) * trace.num_experts
    ids = trace.ids[trace.passes(rows)]
    layers = [] if not len(ids) else [
        _layer_usage(layer, ids[:, position], trace.num_experts, comparisons)
        for position, layer in enumerate(trace.layers)]
    return Usage(sample=sample, num_experts=trace.num_experts, top_k=trace.top_k, layers=tuple(layers))


def _layer_usage(layer: int, ids_NK: npt.NDArray[np.uint16], num_experts: int, comparisons: int) -> LayerUsage:
    num_tokens = len(ids_NK)
    load = _counted(ids_NK, num_experts)
    mean_k = float(load.sum()) / num_tokens  # below K where an intervention took experts away
    share = mean_k / num_experts
    effective = effective_tokens(ids_NK, num_experts)
    chance = _Binomial(round(effective), share)
    scale = num_tokens / chance.trials
    low, high = (edge * scale for edge in chance.band(1 - CONFIDENCE))
    far_low, far_high = (edge * scale for edge in chance.band((1 - CONFIDENCE) / comparisons))
    mean = num_tokens * share
    overlap = _overlaps(ids_NK)
    return LayerUsage(
        layer=layer, effective_tokens=effective, load=load, load_by_chance=mean, band_low=low, band_high=high,
        far_out=(load < far_low) | (load > far_high), outside_band=int(((load < low) | (load > high)).sum()),
        outside_band_by_chance=num_experts * chance.outside(1 - CONFIDENCE),
        max_over_mean=float(load.max() / mean) if mean else 0.0,
        max_over_mean_by_chance=chance.expected_max(num_experts) * scale / mean if mean else 0.0,
        entropy=_evenness(load),
        entropy_by_chance=_evenness_by_chance(num_experts, share, effective),
        never_used=int((load == 0).sum()), never_used_by_chance=num_experts * (1 - share) ** effective,
        reuse=float(overlap.mean()) if len(overlap) else 0.0, reuse_error=_error_of_mean(overlap),
        reuse_by_chance=mean_k * share, reuse_by_load=float(((load / num_tokens) ** 2).sum()))


def _counted(ids_NK: npt.NDArray[np.uint16], num_experts: int) -> I64:
    return np.bincount(ids_NK[ids_NK != UNUSED_EXPERT], minlength=num_experts).astype(np.int64)


def effective_tokens(ids_NK: npt.NDArray[np.uint16], num_experts: int) -> float:
    """Give how many independent tokens these neighbours are worth, at most N.

    N over Kish's design effect: the variance of an expert's count between blocks of neighbours over the variance that
    independent tokens with the same loads would have, both summed over the experts. Under 8 blocks, N itself.
    """
    num_tokens = len(ids_NK)
    length = max(BLOCK_TOKENS, -(-num_tokens // MAX_BLOCKS))
    blocks = num_tokens // length
    if blocks < MIN_BLOCKS:
        return float(num_tokens)
    ids = ids_NK[: blocks * length].astype(np.int64)
    cells = ids + (np.arange(len(ids)) // length * num_experts)[:, None]
    counts = np.bincount(cells[ids != UNUSED_EXPERT], minlength=blocks * num_experts).reshape(blocks, num_experts)
    share = counts.mean(axis=0) / length
    independent = float((length * share * (1 - share)).sum())
    measured = float(counts.var(axis=0, ddof=1).sum())
    return num_tokens / max(1.0, measured / independent) if independent > 0 else float(num_tokens)


def _overlaps(ids_NK: npt.NDArray[np.uint16]) -> F64:
    """Experts that each token shares with the one before: [N-1]."""
    same = (ids_NK[1:, :, None] == ids_NK[:-1, None, :]) & (ids_NK[1:, :, None] != UNUSED_EXPERT)
    return np.asarray(same.sum(axis=(1, 2)), np.float64)


def _error_of_mean(values: F64) -> float:
    """Half width of the 95% interval of the mean, from blocks of neighbours where there are enough."""
    blocks = len(values) // BLOCK_TOKENS
    if blocks >= MIN_BLOCKS:
        values = values[: blocks * BLOCK_TOKENS].reshape(blocks, BLOCK_TOKENS).mean(axis=1)
    return 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0


def _evenness(load_E: I64) -> float:
    """Shannon entropy of the load over log E: 1 = all alike, 0 = one expert."""
    share = load_E[load_E > 0] / max(1, load_E.sum())
    return max(0.0, float(-(share * np.log(share)).sum() / np.log(len(load_E)))) if len(load_E) > 1 else 0.0


def _evenness_by_chance(num_experts: int, share: float, tokens: float) -> float:
    """Expected evenness of uniform routing: a finite sample is never quite even (second order, Miller 1955)."""
    chosen = tokens * share * num_experts
    if num_experts < 2 or chosen <= 0:
        return 0.0
    return float(max(0.0, 1 - num_experts * (1 - share) / (2 * chosen * np.log(num_experts))))


class _Binomial:
    """How often one expert is chosen in n independent tokens."""

    def __init__(self, trials: int, probability: float) -> None:
        self.trials = max(1, trials)
        probability = min(max(probability, 1e-12), 1 - 1e-12)
        k = np.arange(self.trials + 1)
        logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, self.trials + 1)))))
        powers = k * np.log(probability) + (self.trials - k) * np.log1p(-probability)
        self._cdf = np.minimum(np.cumsum(np.exp(logs[-1] - logs - logs[::-1] + powers)), 1.0)

    def band(self, outside: float) -> tuple[int, int]:
        """Lowest and highest count that are not in the tails of `outside` together."""
        low, high = np.searchsorted(self._cdf, (outside / 2, 1 - outside / 2))
        return int(low), min(int(high), self.trials)

    def outside(self, outside: float) -> float:
        """How often a count really lies outside `band(outside)`: less, since counts are whole."""
        low, high = self.band(outside)
        return float((self._cdf[low - 1] if low else 0.0) + 1 - self._cdf[high])

    def expected_max(self, experts: int) -> float:
        """Mean of the largest of `experts` counts, taken as independent."""
        return float((1 - self._cdf[:-1] ** experts).sum())
