"""Traces with routing that is known: random, planted specialists, neighbours that resemble each other."""

import numpy as np
import numpy.typing as npt

from engine.trace import Phase, RoutingBlock, RoutingTrace, TraceToken


def trace_of(ids_NLK: npt.NDArray[np.integer], num_experts: int, *, texts: list[str] | None = None,
             phase: Phase = "decode") -> RoutingTrace:
    """Tokens that were read by these experts; `texts` follow one another."""
    trace = RoutingTrace(num_experts=num_experts, model={"id": "sample"})
    words = texts or ["x"] * len(ids_NLK)
    ends = np.cumsum([len(word) for word in words]).tolist()
    tokens = [TraceToken(id=0, text=word, phase=phase, start=end - len(word), end=end)
              for word, end in zip(words, ends, strict=True)]
    layers = tuple(range(1, ids_NLK.shape[1] + 1))
    trace.append(tokens, RoutingBlock(layers=layers, ids=ids_NLK.astype(np.uint16)))
    return trace


def random_ids(num_tokens: int, *, layers: int = 2, experts: int = 16, top_k: int = 4, seed: int = 0
               ) -> npt.NDArray[np.int64]:
    """Uniform routing: every token draws its experts at random."""
    scores = np.random.default_rng(seed).random((num_tokens, layers, experts))
    return np.argsort(scores, axis=2)[:, :, :top_k]


def plant(ids_NLK: npt.NDArray[np.int64], tokens: npt.NDArray[np.integer] | slice, layer: int, expert: int) -> None:
    """Let these tokens choose an expert in one layer, in place of their last choice."""
    for token in np.arange(len(ids_NLK))[tokens]:
        if expert not in ids_NLK[token, layer]:
            ids_NLK[token, layer, -1] = expert


def in_runs(num_tokens: int, run: int, choices: int, seed: int) -> npt.NDArray[np.int64]:
    """Numbers below `choices` that stay the same for `run` tokens."""
    return np.repeat(np.random.default_rng(seed).integers(0, choices, -(-num_tokens // run)), run)[:num_tokens]
