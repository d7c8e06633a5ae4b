"""The engine as a process behind its API: start, first token, what capture costs, memory."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.bench.figures import Figure
from tests.bench.memory import memory_mb

NANO = Path(__file__).parents[2] / "resources" / "models" / "nano"
REQUEST = "a snowy mountain scene at sunset with 80 pine trees and a frozen lake"
DECODE_TOKENS = 256
STARTS = 3
BLOCKS = 6
ROUNDS = 10  # of a block
CAPTURE_TOKENS = 96
KEY = "bench"
MODES = ("off", "ids", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A running engine: its client and process, and how long it took to be ready."""

    client: httpx.Client
    process: psutil.Process
    ready_s: float


@contextmanager
def running_engine() -> Iterator[Engine]:
    """Start `python -m engine serve` on Nano and wait until the model is loaded."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "engine", "serve", "--model", str(NANO)]
    environment = {**os.environ, "EXPERTARIUM_API_KEY": KEY}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["port"]
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120) as client:
            while client.get("/healthz").json()["status"] != "ready":
                time.sleep(0.02)
            ready_s = time.perf_counter() - started
            yield Engine(client=client, process=psutil.Process(process.pid), ready_s=ready_s)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def one_answer(engine: Engine, *, routing: str, seed: int) -> tuple[float, dict[str, float]]:
    """Stream one answer; return ms to the first token and the engine's own timings."""
    body = {
        # A number in front, so that no run finds the prompt in the prefix cache; the seed of a round is the same.
        "messages": [{"role": "user", "content": f"{seed} {REQUEST}"}],
        "stream": True, "temperature": 1.0, "seed": seed // 10, "max_tokens": CAPTURE_TOKENS, "routing": routing,
    }
    started, first_ms = time.perf_counter(), 0.0
    timings: dict[str, float] = {}
    with engine.client.stream("POST", "/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            if not first_ms and chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                first_ms = 1000 * (time.perf_counter() - started)
            timings = chunk.get("timings") or chunk.get("expertarium", {}).get("timings") or timings
    return first_ms, timings


def measure_engine() -> list[Figure]:
    """Measure; the modes of capture take turns in short answers, and are compared block by block."""
    ready: list[float] = []
    for _ in range(STARTS - 1):
        with running_engine() as engine:
            ready.append(engine.ready_s)
    firsts: list[float] = []
    speeds: dict[str, list[float]] = {mode: [] for mode in MODES}
    with running_engine() as engine:
        ready.append(engine.ready_s)
        one_answer(engine, routing="full", seed=0)
        for number in range(BLOCKS * ROUNDS):
            for place in range(len(MODES)):
                turn = (number + place) % len(MODES)
                first_ms, timings = one_answer(engine, routing=MODES[turn], seed=10 * number + turn + 10)
                speeds[MODES[turn]].append(timings["decode_tokens_per_s"])
                firsts.append(first_ms)
        memory = memory_mb(engine.process)
    plain = _of_blocks(speeds["off"])

    def cost(mode: str) -> list[float]:
        return [100 * (1 - speed / without) for speed, without in zip(_of_blocks(speeds[mode]), plain, strict=True)]

    return [
        Figure(name="engine alone, from its start to ready", unit="s", values=ready),
        Figure(name="first token of a new request, through the API", unit="ms", values=firsts),
        Figure(name="decode through the API, all routing captured", unit="tok/s", values=_of_blocks(speeds["full"])),
        Figure(name="what capturing experts and weights costs in decode", unit="%", values=cost("ids"), aim=5),
        Figure(name="what capturing all costs in decode", unit="%", values=cost("full"), aim=5),
        Figure(name="memory of the engine after these answers", unit="MB", values=[memory]),
    ]


def _of_blocks(speeds: Sequence[float]) -> list[float]:
    """The median of each block of rounds."""
    return [statistics.median(speeds[start : start + ROUNDS]) for start in range(0, len(speeds), ROUNDS)]
