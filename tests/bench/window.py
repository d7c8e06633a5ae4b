"""The window's figures, measured in a process of its own: start, stalls while an answer streams, memory, a long chat.

Run as `python -m tests.bench.window`; prints one JSON object.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
from PySide6.QtCore import QEventLoop, QTimer

from app.bootstrap import Options, build_window, make_application
from app.core.history import History
from app.paths import data_paths
from app.shell.main_window import MainWindow

PROMPT = "a snowy mountain scene"
MESSAGES = 2000
TICK_MS = 4
LIMIT_S = 180


def wait_until(done: Callable[[], bool]) -> float:
    """Run the event loop until something is so; return the seconds it took."""
    started = time.perf_counter()
    loop = QEventLoop()
    timer = QTimer(interval=10)

    def look() -> None:
        if done() or time.perf_counter() - started > LIMIT_S:
            loop.quit()

    timer.timeout.connect(look)
    timer.start()
    loop.exec()
    if not done():
        raise TimeoutError("the program did not get there in time; look at its log")
    return time.perf_counter() - started


class StallProbe:
    """Measures gaps between ticks of a timer: what is longer than a tick is time the event loop stood still."""

    def __init__(self) -> None:
        self._gaps_ms: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer(interval=TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter()
        self._gaps_ms.append(max(0.0, 1000 * (now - self._last) - TICK_MS))
        self._last = now

    def quantile(self, share: float) -> float:
        """Return a quantile of the stalls so far, in ms."""
        gaps = sorted(self._gaps_ms)
        return gaps[min(len(gaps) - 1, int(share * len(gaps)))]


def fill_long_chat(history: History) -> int:
    """Store a conversation of MESSAGES messages; return its id."""
    conversation = history.create_conversation(title="A long chat")
    parent: int | None = None
    for number in range(MESSAGES // 2):
        request = history.add_request(conversation.id, parent, f"Request number {number}")
        text = f"Answer **{number}** in some words.\n\n```js part{number}.js\nconst n = {number};\n```\n"
        parent = history.begin_answer(conversation.id, request.id, text=text).id
    history.set_active_leaf(conversation.id, parent)
    return conversation.id


def measure(window: MainWindow, long_chat: int) -> dict[str, float]:
    """Return the figures of a window that is on screen."""
    engine, pane = window.parts.engine, window.chats.active
    wait_until(lambda: engine.state.phase == "ready")
    window.panel.show_pane("experts")
    finished: list[object] = []
    pane.session.answer_finished.connect(finished.append)
    pane.session.sampling = replace(pane.session.sampling, temperature=0.0)
    pane.ask(PROMPT)
    wait_until(lambda: window.right.isVisible())
    probe = StallProbe()
    wait_until(lambda: bool(finished))
    figures = {"event loop stall while streaming, p99 ms": probe.quantile(0.99),
               "event loop stall while streaming, longest ms": probe.quantile(1.0)}
    wait_until(lambda: window.preview.isVisible())
    this = psutil.Process()
    figures["window memory, MB"] = this.memory_info().rss / 1e6
    web = [child for child in this.children(recursive=True) if "QtWebEngine" in child.name()]
    figures["web processes together, MB"] = sum(child.memory_info().rss for child in web) / 1e6
    figures["engine process, MB"] = psutil.Process(engine.pid).memory_info().rss / 1e6
    started = time.perf_counter()
    pane.session.open_conversation(long_chat)
    window.repaint()
    figures[f"opening a chat of {MESSAGES} messages, ms"] = 1000 * (time.perf_counter() - started)
    return figures


def main() -> None:
    """Start the program as `expertarium` does and print its figures."""
    with tempfile.TemporaryDirectory() as folder:
        application = make_application()
        paths = data_paths(Path(folder))
        paths.create()
        history = History(paths.database)
        long_chat = fill_long_chat(history)
        building = time.perf_counter()
        window = build_window(application, paths, history, Options(size=(1600, 1000), theme="dark"))
        window.show()
        wait_until(lambda: window.isVisible() and window.windowHandle().isExposed())
        process_s = time.time() - psutil.Process().create_time()
        fill_s = building - START
        figures = {"window visible, s": process_s - fill_s, **measure(window, long_chat)}
        window.close()
        history.close()
    sys.stdout.write(json.dumps(figures) + "\n")


START = time.perf_counter()

if __name__ == "__main__":
    main()
