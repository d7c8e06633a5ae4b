"""Traces for the tests of the pages: specialists that are planted, and an answer whose words have classes."""

import numpy as np

from engine.trace import RoutingBlock, RoutingTrace, TraceToken

LAYERS = (1, 2)
EXPERTS, TOP_K = 8, 2
LINES = (("let", " a", " =", " 42", ";", "\n"), ("x", " =", " 7", ";", "\n"), ("go", "(", "x", ")", ";", "\n"),
         ("\n",), ("let", " s", " =", " 'a b'", ";", "\n"))
NUMBER_EXPERT = 5


def planted_trace(lines: int = 120, *, favourite: int | None = None) -> RoutingTrace:
    """An answer of code in which expert 5 of layer 2 is chosen for numbers; everything else is random.

    A `favourite` is chosen by every second token of that layer.
    """
    rng = np.random.default_rng(0)
    words = [word for line in rng.integers(0, len(LINES), lines) for word in LINES[line]]
    texts = ["```js a.js\n", *words, "```"]
    ids = np.argsort(rng.random((len(texts), len(LAYERS), EXPERTS)), axis=2)[:, :, :TOP_K]
    for row, text in enumerate(texts):
        if text.strip().isdigit() and NUMBER_EXPERT not in ids[row, 1] and rng.random() < 0.8:
            ids[row, 1, -1] = NUMBER_EXPERT
        if favourite is not None and row % 2 and favourite not in ids[row, 1]:
            ids[row, 1, 0] = favourite
    ends = np.cumsum([len(text) for text in texts]).tolist()
    trace = RoutingTrace(num_experts=EXPERTS, model={"id": "sample"}, fingerprint="fp")
    tokens = [TraceToken(id=1, text=text, phase="decode", logprob=-0.1, start=end - len(text), end=end)
              for text, end in zip(texts, ends, strict=True)]
    prompt = [TraceToken(id=2, text="write", phase="prefill", start=0, end=5, message=0)]
    weights = np.tile(np.array([0.7, 0.3], np.float16), (len(texts) + 1, len(LAYERS), 1))
    trace.append([*prompt, *tokens], RoutingBlock(
        layers=LAYERS, ids=np.concatenate([ids[:1], ids]).astype(np.uint16), weights=weights))
    return trace
