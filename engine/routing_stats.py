"""Honest statistics of a RoutingTrace: usage, weight, evenness, margins, reuse, each with what chance would give.

Every function takes `rows` (row numbers of the trace; None for all). Nothing here draws or knows a model.
Standard library and numpy only.

Legend: N tokens, L MoE layers, E experts per layer, K experts per token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.trace import UNUSED_EXPERT, RoutingTrace

Rows = npt.NDArray[np.intp] | Sequence[int] | None
F64 = npt.NDArray[np.float64]

NO_WEIGHTS = 'This trace was recorded without weights. Record it again with routing "ids" or "full".'
NO_MARGIN = 'This trace was recorded without margins. Record it again with routing "ids" or "full".'
NO_SHARED = "This trace holds no shares of the shared experts: its source does not give them."


@dataclass(frozen=True, slots=True, kw_only=True)
class ChanceLoad:
    """What uniform routing would give: the expected count of each expert and its standard deviation."""

    mean: float
    deviation: float


def _selected(array: npt.NDArray[np.generic], rows: Rows) -> npt.NDArray[np.generic]:
    return array if rows is None else array[np.asarray(rows, dtype=np.intp)]


def expert_load(trace: RoutingTrace, rows: Rows = None) -> npt.NDArray[np.int64]:
    """Count how often each expert was chosen: [L,E]."""
    return load_and_weights(trace, rows, with_weights=False)[0]


def weight_sum(trace: RoutingTrace, rows: Rows = None) -> F64:
    """Sum the weights each expert was given: [L,E].

    Raises:
        ValueError: the trace holds no weights.
    """
    if trace.weights is None:
        raise ValueError(NO_WEIGHTS)
    weights = load_and_weights(trace, rows)[1]
    assert weights is not None
    return weights


def load_and_weights(
    trace: RoutingTrace, rows: Rows = None, *, with_weights: bool = True
) -> tuple[npt.NDArray[np.int64], F64 | None]:
    """Give expert_load and weight_sum in one go; the second is None where the trace holds no weights."""
    ids = _selected(trace.ids, rows)
    num_layers = len(trace.layers)
    cells = ids.astype(np.int64) + (np.arange(num_layers) * trace.num_experts)[None, :, None]
    weights = _selected(trace.weights, rows) if with_weights and trace.weights is not None else None
    used = ids != UNUSED_EXPERT
    if not used.all():  # picking costs more than counting, and is hardly ever needed
        cells, weights = cells[used], None if weights is None else weights[used]
    size, shape = num_layers * trace.num_experts, (num_layers, trace.num_experts)
    load = np.bincount(cells.ravel(), minlength=size).astype(np.int64).reshape(shape)
    if weights is None:
        return load, None
    sums = np.bincount(cells.ravel(), weights.astype(np.float64).ravel(), size)
    return load, np.asarray(sums, np.float64).reshape(shape)  # an empty bincount counts in whole numbers


def chance_load(num_tokens: int, num_experts: int, top_k: int) -> ChanceLoad:
    """Give the count an expert would have if every token chose K of E at random (binomial, p = K/E)."""
    share = top_k / num_experts
    return ChanceLoad(mean=num_tokens * share, deviation=float(np.sqrt(num_tokens * share * (1 - share))))


def load_deviation(trace: RoutingTrace, rows: Rows = None) -> F64:
    """Give each expert's load in standard deviations from chance: [L,E] (0 where chance has no spread)."""
    load = expert_load(trace, rows)
    num_tokens = int(_selected(trace.ids, rows).shape[0])
    chance = chance_load(num_tokens, trace.num_experts, trace.top_k)
    if chance.deviation == 0:
        return np.zeros(load.shape)
    return np.asarray((load - chance.mean) / chance.deviation, np.float64)


def entropy(load_LE: npt.NDArray[np.generic]) -> F64:
    """Give the evenness of each layer's load: Shannon entropy over log E, 1 = all alike, 0 = one expert: [L].

    Layers without any load give 0.
    """
    load = load_LE.astype(np.float64)
    totals = load.sum(axis=1, keepdims=True)
    share = np.divide(load, totals, out=np.zeros_like(load), where=totals > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    num_experts = load.shape[1]
    return -(share * logs).sum(axis=1) / np.log(num_experts) if num_experts > 1 else np.zeros(len(load))


def margin_quantiles(trace: RoutingTrace, rows: Rows = None,
                     quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> F64:
    """Give quantiles of the margin of each layer: [L, len(quantiles)]; small margins are near ties.

    Raises:
        ValueError: the trace holds no margins, or no row is selected.
    """
    if trace.margin is None:
        raise ValueError(NO_MARGIN)
    margins = _selected(trace.margin, rows).astype(np.float64)
    if len(margins) == 0:
        raise ValueError("No tokens are selected. Select at least one.")
    return np.quantile(margins, quantiles, axis=0).T


def reuse(trace: RoutingTrace, rows: Rows = None) -> F64:
    """Give, for each layer, how many of a token's K experts the next token used too, on average: [L].

    Neighbours are neighbours in `rows`. Compare with `chance_reuse`.
    """
    ids = _selected(trace.ids, rows)
    if len(ids) < 2:
        return np.zeros(len(trace.layers))
    same = (ids[:-1, :, :, None] == ids[1:, :, None, :]) & (ids[1:, :, None, :] != UNUSED_EXPERT)
    return np.asarray(same.sum(axis=(2, 3)).mean(axis=0), np.float64)


def chance_reuse(num_experts: int, top_k: int) -> float:
    """Give the overlap two random choices of K among E have on average: K*K/E."""
    return top_k * top_k / num_experts


# --- one token at a time


def leading_expert(trace: RoutingTrace, layer_row: int, rows: Rows = None) -> npt.NDArray[np.int64]:
    """Give each token's expert of the largest weight in one layer (of the first place, without weights): [N].

    `layer_row` counts the trace's layers from 0. A token for which no expert ran has -1.
    """
    ids = _selected(trace.ids[:, layer_row], rows).astype(np.int64)
    slots = np.zeros(len(ids), np.intp)
    if trace.weights is not None and len(ids):
        weights = _selected(trace.weights[:, layer_row], rows).astype(np.float32)
        slots = np.where(ids == UNUSED_EXPERT, -np.inf, weights).argmax(axis=1)
    leaders = ids[np.arange(len(ids)), slots]
    return np.where(leaders == UNUSED_EXPERT, -1, leaders)


def choice_entropy(trace: RoutingTrace, rows: Rows = None, layer_row: int | None = None) -> F64:
    """Give how evenly a token's weight is spread over its chosen experts, in one layer or as the mean of all: [N].

    Shannon entropy of the weights, normalised to a sum of 1, over log K: 1 = all alike, 0 = one expert does it all.

    Raises:
        ValueError: the trace holds no weights.
    """
    if trace.weights is None:
        raise ValueError(NO_WEIGHTS)
    used = _layers_of(trace.ids, layer_row, rows) != UNUSED_EXPERT
    weights = np.where(used, np.maximum(_layers_of(trace.weights, layer_row, rows).astype(np.float64), 0.0), 0.0)
    totals = weights.sum(axis=2, keepdims=True)
    share = np.divide(weights, totals, out=np.zeros_like(weights), where=totals > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    top_k = weights.shape[2]
    spread = -(share * logs).sum(axis=2) / np.log(top_k) if top_k > 1 else np.zeros(weights.shape[:2])
    return np.asarray(spread.mean(axis=1), np.float64)


def token_margin(trace: RoutingTrace, rows: Rows = None, layer_row: int | None = None) -> F64:
    """Give each token's margin in one layer or as the mean of all: [N].

    Raises:
        ValueError: the trace holds no margins.
    """
    if trace.margin is None:
        raise ValueError(NO_MARGIN)
    return np.asarray(_layers_of(trace.margin, layer_row, rows).astype(np.float64).mean(axis=1), np.float64)


def token_shared(trace: RoutingTrace, rows: Rows = None, layer_row: int | None = None) -> F64:
    """Give the shared experts' share of the output norm, in one layer or as the mean of all: [N].

    Raises:
        ValueError: the trace holds no shares.
    """
    if trace.shared is None:
        raise ValueError(NO_SHARED)
    return np.asarray(_layers_of(trace.shared, layer_row, rows).astype(np.float64).mean(axis=1), np.float64)


def surprise(trace: RoutingTrace, rows: Rows = None) -> F64:
    """Give each token's surprise, -log2 p, in bits: [N], NaN where its source gives no probability (a prompt)."""
    tokens = trace.tokens if rows is None else [trace.tokens[row] for row in rows]
    logprobs = np.array([np.nan if token.logprob is None else token.logprob for token in tokens], np.float64)
    return np.asarray(np.maximum(-logprobs / np.log(2.0), 0.0), np.float64)


def _layers_of(array: npt.NDArray[np.generic], layer_row: int | None, rows: Rows) -> npt.NDArray[np.generic]:
    return _selected(array if layer_row is None else array[:, layer_row:layer_row + 1], rows)
