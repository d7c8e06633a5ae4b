"""The inspector over traces of Kimi K2's shape: how long opening one takes, and if a live view stalls the window.

60 MoE layers of 384 experts, 8 per token, with all that "full" recording holds. No model runs: the routing is random,
which is the worst case for every count.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from app.panes.inspector.pane import InspectorPane
from app.theme.theme import Theme
from engine.routing_stats import entropy, expert_load, load_deviation, margin_quantiles, reuse, weight_sum
from engine.trace import RoutingBlock, RoutingTrace, TraceToken, slice_rows
from tests.bench.figures import Figure
from tests.bench.window_process import StallProbe

LAYERS, EXPERTS, TOP_K = 60, 384, 8
TOKENS, LONG_TOKENS = 10_000, 100_000
TOKENS_PER_S, LIVE_S, CHUNKS_PER_S = 500, 10, 30
REPEATS = 3


def routing(count: int, seed: int = 0) -> RoutingBlock:
    """Random routing of `count` tokens: for each token and layer 2 K experts at a random stride."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, EXPERTS, (count, LAYERS, 1))
    stride = 6 * rng.integers(0, EXPERTS // 6, (count, LAYERS, 1)) + 1  # coprime to 384 = 2**7 * 3: steps don't meet
    candidates = ((start + np.arange(2 * TOP_K) * stride) % EXPERTS).astype(np.uint16)
    scores = np.sort(rng.random((count, LAYERS, 2 * TOP_K), np.float32), axis=2)[..., ::-1].astype(np.float16)
    margin = np.asarray(scores[..., TOP_K - 1] - scores[..., TOP_K], np.float16)
    return RoutingBlock(layers=tuple(range(1, LAYERS + 1)), ids=candidates[..., :TOP_K].copy(),
                        weights=scores[..., :TOP_K].copy(), margin=margin, shared=margin, candidates=candidates,
                        raw=scores, biased=scores)


def tokens(count: int) -> list[TraceToken]:
    """Tokens with texts of a program's kind; the first tenth is the prompt."""
    words = ("const", " scene", " =", " new", " THREE", ".", "Scene", "();", "\n", "  ")
    return [TraceToken(id=n % 4096, text=words[n % 10], phase="prefill" if n < count // 10 else "decode", logprob=-0.3)
            for n in range(count)]


def trace_of(count: int) -> RoutingTrace:
    """A trace of so many tokens."""
    trace = RoutingTrace(num_experts=EXPERTS, model={"id": "shape of Kimi K2"})
    names = tokens(count)
    for start in range(0, count, 1000):
        part = names[start : start + 1000]
        trace.append(part, routing(len(part), start))
    return trace


def seconds_of(job: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def wait(milliseconds: int) -> None:
    """Let the event loop run."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def open_in(pane: InspectorPane, trace: RoutingTrace) -> None:
    """Show a trace in place of none, prompt and answer, until its last token is counted and painted."""
    pane.set_trace(None)
    pane.set_trace(trace)
    pane.tokens.column.set_phase(None)
    while pane.tokens.strip.token_count() < len(trace):
        wait(0)
    pane.repaint()


def statistics(trace: RoutingTrace) -> None:
    """What the usage view shows of a whole trace."""
    entropy(expert_load(trace))
    weight_sum(trace)
    load_deviation(trace)
    margin_quantiles(trace)
    reuse(trace)


def live_stalls(pane: InspectorPane) -> tuple[float, float]:
    """Stream tokens into the view, a block 30 times a second; p99 and longest stall of the event loop, in ms."""
    trace = RoutingTrace(num_experts=EXPERTS, model={"id": "shape of Kimi K2"})
    block, names = routing(TOKENS_PER_S * LIVE_S), tokens(TOKENS_PER_S * LIVE_S)
    per_chunk = TOKENS_PER_S // CHUNKS_PER_S
    pane.set_trace(trace)
    probe = StallProbe()
    for start in range(0, len(names), per_chunk):
        end = min(start + per_chunk, len(names))
        trace.append(names[start:end], slice_rows(block, start, end))
        pane.trace_grew()
        wait(1000 // CHUNKS_PER_S)
    return probe.stop()


def measured() -> list[Figure]:
    """Measure opening, statistics, selecting and the live view, in this process."""
    application = QApplication(sys.argv)
    pane = InspectorPane(Theme(application, "dark"))
    pane.resize(1360, 420)
    pane.show()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "k2.moetrace"
        trace_of(TOKENS).save(file)
        openings = [seconds_of(lambda: open_in(pane, RoutingTrace.load(file))) for _ in range(REPEATS)]
        trace = RoutingTrace.load(file)
    counted = [seconds_of(lambda: statistics(trace)) for _ in range(REPEATS)]
    stalls = [live_stalls(pane) for _ in range(REPEATS)]
    long_trace = trace_of(LONG_TOKENS)
    probe = StallProbe()
    open_in(pane, long_trace)
    opened = probe.stop()
    drags = [1000 * seconds_of(partial(pane.select_tokens, 5_003, last)) for last in range(60_000, 90_000, 1009)]
    shape = f"{LAYERS} x {EXPERTS}, top-{TOP_K}"
    return [
        Figure(name=f"opening a trace of {TOKENS:,} tokens ({shape}): read, counted, painted", unit="s", aim=1,
               values=openings),
        Figure(name="statistics of it", unit="s", aim=2, values=counted),
        Figure(name=f"event loop stall while {TOKENS_PER_S} tokens a second come in, p99", unit="ms", aim=33,
               values=[each[0] for each in stalls]),
        Figure(name="the same, longest", unit="ms", values=[each[1] for each in stalls]),
        Figure(name=f"event loop stall while {LONG_TOKENS:,} tokens are opened, p99", unit="ms", aim=33,
               values=[opened[0]]),
        Figure(name=f"a step of a selection dragged over {LONG_TOKENS:,} tokens", unit="ms", aim=33, values=drags),
    ]  # fmt: skip


def measure_inspector() -> list[Figure]:
    """Measure in a process of its own: a program has one QApplication, and the next part shall not inherit it."""
    environment = dict(os.environ)
    if not environment.get("DISPLAY") and not environment.get("WAYLAND_DISPLAY"):
        environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    done = subprocess.run([sys.executable, "-m", "tests.bench.inspector"], capture_output=True, text=True,
                          env=environment)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the inspector's part failed:\n{done.stderr[-3000:]}")
    return [Figure(**values) for values in json.loads(done.stdout.splitlines()[-1])]


if __name__ == "__main__":
    print(json.dumps([asdict(figure) for figure in measured()]))
