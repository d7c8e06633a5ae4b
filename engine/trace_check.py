"""Checks that tell real routing from artefacts of how it was recorded, said in words. Standard library and numpy only.

The one that matters most: llama.cpp's `ffn_moe_topk` is a view into the full ranking of the experts; copied flat, the
"choices" of a few consecutive tokens are one token's whole ranking cut in pieces. Such a file looks perfectly balanced.
"""

from dataclasses import dataclass
from math import comb, factorial, log
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.trace import UNUSED_EXPERT, RoutingTrace

MOST_LAYERS, LEAST_GROUPS = 8, 8
LOG_DOUBT = log(1e-6)  # what chance may explain at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check says: passed, failed, or could not tell; `text` is for people."""

    check: str
    verdict: Literal["passed", "failed", "unknown"]
    text: str


def check_trace(trace: RoutingTrace) -> tuple[Finding, ...]:
    """Look at a trace for what real routing never shows."""
    if not len(trace):
        return (Finding(check="tokens", verdict="unknown", text="The trace holds no tokens, so there is nothing to "
                        "check."),)
    return _partition(trace), _twice(trace), _same(trace)


def partition_share(ids_NK: npt.NDArray[np.uint16], num_experts: int) -> tuple[float, int]:
    """Give the share of groups of E/K neighbours that use every expert exactly once, and how many groups there are.

    The groups may begin at any of the first E/K tokens; the best beginning counts. (0, 0) where K does not divide E
    or there are fewer tokens than a group needs.
    """
    top_k = ids_NK.shape[1]
    if num_experts % top_k or top_k == num_experts:
        return 0.0, 0
    size, wanted = num_experts // top_k, np.arange(num_experts)
    best = (0.0, 0)
    for begin in range(size):
        groups = (len(ids_NK) - begin) // size
        if groups > 0:
            cut = np.sort(ids_NK[begin:begin + groups * size].reshape(groups, num_experts), axis=1)
            best = max(best, (float((cut == wanted).all(axis=1).mean()), groups))
    return best


def _partition(trace: RoutingTrace) -> Finding:
    experts, top_k = trace.num_experts, trace.top_k
    size = experts // top_k
    rows = trace.ids[: max(512, (LEAST_GROUPS + 1) * size)]
    step = max(1, len(trace.layers) // MOST_LAYERS)
    found = [partition_share(rows[:, layer], experts) for layer in range(0, len(trace.layers), step)]
    groups = sum(count for _, count in found)
    if not groups:
        reason = (f"{experts} experts can't be divided into groups of {top_k}" if experts % top_k or size < 2
                  else f"{size} tokens are needed")
        return Finding(check="partition", verdict="unknown", text="Whether neighbouring tokens share out the experts "
                       f"between them, as a damaged recording does, can't be told: {reason}.")
    hits = round(sum(share * count for share, count in found))
    # Chance that `size` draws of K among E miss no expert: E!/(K!)^size ways among C(E,K)^size.
    log_chance = log(factorial(experts)) - size * (log(factorial(top_k)) + log(comb(experts, top_k)))
    if 2 * hits >= groups and hits * log_chance < LOG_DOUBT:
        return Finding(check="partition", verdict="failed", text=(
            f"In {hits} of {groups} groups of {size} neighbouring tokens every expert appears exactly once. Real "
            "routing does not do that: the file holds rankings cut in pieces, as a flat copy of llama.cpp's "
            "ffn_moe_topk does. Its numbers say nothing about the model; record it again row by row."))
    return Finding(check="partition", verdict="passed", text=(
        f"Neighbouring tokens don't share out the experts between them ({hits} of {groups} groups of {size} tokens), "
        "so this is no ranking cut in pieces."))


def _twice(trace: RoutingTrace) -> Finding:
    ids = np.sort(trace.ids, axis=2)
    same = (ids[:, :, 1:] == ids[:, :, :-1]) & (ids[:, :, 1:] != UNUSED_EXPERT)
    tokens = int(same.any(axis=(1, 2)).sum())
    if tokens:
        return Finding(check="distinct", verdict="failed", text=(
            f"{tokens:,} of {len(trace):,} tokens name the same expert twice in a layer, which no router does. The "
            "file was read with the wrong model's config.json, or it is damaged."))
    return Finding(check="distinct", verdict="passed", text="No token names an expert twice in a layer.")


def _same(trace: RoutingTrace) -> Finding:
    if len(trace) < 16:
        return Finding(check="varied", verdict="unknown", text=f"{len(trace)} tokens are too few to tell whether the "
                       "routing ever changes.")
    constant = [trace.layers[layer] for layer in np.flatnonzero((trace.ids == trace.ids[:1]).all(axis=(0, 2)))]
    if constant:
        named = ", ".join(map(str, constant[:8])) + (", ..." if len(constant) > 8 else "")
        return Finding(check="varied", verdict="failed", text=(
            f"Every token has the same experts in layer {named}: nothing was recorded there, or the layer has no "
            "experts. Leave these layers out of what you conclude."))
    return Finding(check="varied", verdict="passed", text="Every layer's routing changes from token to token.")
