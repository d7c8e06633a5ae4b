"""An expert's card: the tokens it is typically chosen for, in context, over any number of traces.

Typical are tokens that chose it more often than its own average would give, in standard deviations; so neither frequent
nor rare tokens have an advantage. Standard library and numpy only.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from engine.trace import RoutingTrace

CONTEXT_TOKENS = 6
MOST_CONTEXTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One place where a token chose the expert: what stood before and after it, in the same phase."""

    before: str
    text: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUse:
    """A token text: `count` of its `of` occurrences chose the expert, `deviations` above what its average gives."""

    text: str
    count: int
    of: int
    deviations: float
    contexts: tuple[Context, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertCard:
    """What one expert was chosen for. `tokens` were looked at in `traces` traces, `chosen` of them chose it."""

    layer: int
    expert: int
    traces: int
    tokens: int
    chosen: int
    uses: tuple[TokenUse, ...]


def expert_card(traces: Iterable[RoutingTrace], layer: int, expert: int, *, limit: int = 12) -> ExpertCard:
    """Collect an expert's most typical tokens; traces without the layer are passed over. `layer` is its number."""
    seen: Counter[str] = Counter()
    chosen: Counter[str] = Counter()
    contexts: defaultdict[str, list[Context]] = defaultdict(list)
    num_traces = 0
    for trace in traces:
        if layer not in trace.layers or expert >= trace.num_experts:
            continue
        num_traces += 1
        hits = (trace.ids[:, trace.layers.index(layer)] == expert).any(axis=1)
        seen.update(token.text for token in trace.tokens)
        for row in np.flatnonzero(hits).tolist():
            text = trace.tokens[row].text
            chosen[text] += 1
            if len(contexts[text]) < MOST_CONTEXTS:
                contexts[text].append(_context(trace, row))
    tokens, total = seen.total(), chosen.total()
    average = total / tokens if tokens else 0.0
    spread = (average * (1 - average)) ** 0.5 or 1.0
    uses = [TokenUse(text=text, count=count, of=seen[text], contexts=tuple(contexts[text]),
                     deviations=(count - seen[text] * average) / (seen[text] ** 0.5 * spread))
            for text, count in chosen.items()]
    uses.sort(key=lambda use: (-use.deviations, use.text))
    return ExpertCard(layer=layer, expert=expert, traces=num_traces, tokens=tokens, chosen=total,
                      uses=tuple(uses[:limit]))


def _context(trace: RoutingTrace, row: int) -> Context:
    tokens = trace.tokens
    phase = tokens[row].phase
    before = [token.text for token in tokens[max(0, row - CONTEXT_TOKENS):row] if token.phase == phase]
    after = [token.text for token in tokens[row + 1:row + 1 + CONTEXT_TOKENS] if token.phase == phase]
    return Context(before="".join(before), text=tokens[row].text, after="".join(after))
