"""The window: start, stalls while an answer streams, memory, a long conversation. It drives window_process.py."""

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from tests.bench.figures import Figure

STARTS = 5


def in_process(job: str) -> dict[str, Any]:
    """Run one job in a window of its own, with a fresh data folder; return what it measured."""
    environment = dict(os.environ)
    if not environment.get("DISPLAY") and not environment.get("WAYLAND_DISPLAY"):
        environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.bench.window_process", job, folder, str(time.time())]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"the window's part {job!r} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_window() -> list[Figure]:
    """Measure starts, then one window at work."""
    starts = [in_process("start") for _ in range(STARTS)]
    work = in_process("work")
    figures = [
        Figure(name="window visible, from the program's start", unit="s", aim=1.5,
               values=[start["visible_s"] for start in starts]),
        Figure(name="engine ready, from the program's start", unit="s", aim=6,
               values=[start["ready_s"] for start in starts]),
        Figure(name="event loop stall while an answer streams, p99", unit="ms", values=work["p99_ms"], aim=33),
        Figure(name="event loop stall while an answer streams, longest", unit="ms", values=work["longest_ms"]),
        Figure(name="decode in the window, all routing captured", unit="tok/s", values=work["tokens_per_s"]),
        Figure(name="opening a conversation of 2,000 messages", unit="ms", values=work["open_ms"]),
    ]
    memory = [Figure(name=f"memory of {name}", unit="MB", values=[value]) for name, value in work["memory_mb"].items()]
    return figures + memory
