"""The real window in a process of its own: `python -m tests.bench.window_process start|work FOLDER STARTED_AT`.

Prints one JSON object. `start` notes when the window has painted and when the engine is ready; `work` asks for
programs and watches the event loop while they are written, with inspector, editor and preview open.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import psutil
from PySide6.QtCore import QEvent, QEventLoop, QObject, Qt, QTimer

from app.bootstrap import Options, build_window, make_application
from app.core.history import History
from app.core.records import AnswerOrigin
from app.paths import DataPaths, data_paths
from app.shell.main_window import MainWindow
from tests.bench.memory import memory_mb

REQUESTS = ("a snowy mountain scene", "a breakout game with five rows", "bouncing balls in many colours",
            "a snake game", "the solar system")
MESSAGES = 2000
OPENINGS = 5
TICK_MS = 4
LIMIT_S = 120


class FirstPaint(QObject):
    """Notes when a window has painted for the first time."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.at = 0.0
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Everything below is painted in the same turn of the event loop."""
        if event.type() == QEvent.Type.Paint and not self.at:
            watched.removeEventFilter(self)
            QTimer.singleShot(0, self, self._painted)
        return False

    def _painted(self) -> None:
        self.at = time.time()


class StallProbe(QObject):
    """Measures gaps between ticks of a timer: what is longer than a tick is time the event loop stood still."""

    def __init__(self) -> None:
        super().__init__()
        self._gaps_ms: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer(self, interval=TICK_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter()
        self._gaps_ms.append(max(0.0, 1000 * (now - self._last) - TICK_MS))
        self._last = now

    def stop(self) -> tuple[float, float]:
        """End; the 99th percentile of the stalls and the longest, in ms."""
        self._timer.stop()
        gaps = sorted(self._gaps_ms)
        return gaps[int(0.99 * (len(gaps) - 1))], gaps[-1]


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Run the event loop until something is so."""
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
        raise TimeoutError(f"{what} did not come in {LIMIT_S} s; look at the program's log")


def settle() -> None:
    """Run the event loop until layouts and paints that are asked for now are done."""
    for _ in range(4):
        loop = QEventLoop()
        QTimer.singleShot(0, loop.quit)
        loop.exec()


def fill_long_chat(history: History) -> int:
    """Store a conversation of MESSAGES messages; return its id."""
    conversation = history.create_conversation(title="A long chat")
    parent: int | None = None
    for number in range(MESSAGES // 2):
        request = history.add_request(conversation.id, parent, f"Request number {number}")
        text = f"Answer **{number}** in some words.\n\n```js part{number}.js\nconst n = {number};\n```\n"
        parent = history.begin_answer(conversation.id, request.id, AnswerOrigin(), text=text).id
    history.set_active_leaf(conversation.id, parent)
    return conversation.id


def stream_answers(window: MainWindow) -> dict[str, list[float]]:
    """Ask for programs one after the other; from the second on the preview runs the one before."""
    session = window.chats.active.session
    session.sampling = replace(session.sampling, temperature=0.0)
    finished: list[object] = []
    speeds: list[float] = []
    session.answer_finished.connect(finished.append)
    session.speed_measured.connect(speeds.append)
    window.panel.show_pane("experts")
    found: dict[str, list[float]] = {"p99_ms": [], "longest_ms": [], "tokens_per_s": []}
    for number, request in enumerate(REQUESTS):
        window.chats.active.ask(request)
        probe = StallProbe()
        wait_until(lambda: len(finished) > number, f"the answer to {request!r}")  # noqa: B023 - used in this turn only
        p99_ms, longest_ms = probe.stop()
        wait_until(window.preview.isVisible, "the preview")
        if number:
            found["p99_ms"].append(p99_ms)
            found["longest_ms"].append(longest_ms)
            found["tokens_per_s"].append(speeds[-1])
    return found


def memory_of_all(window: MainWindow) -> dict[str, float]:
    """Memory by kind of process, in MB."""
    this = psutil.Process()
    web = [child for child in this.children(recursive=True) if "webengine" in child.name().lower()]
    return {
        "the window's process": memory_mb(this),
        "the engine's process": memory_mb(psutil.Process(window.parts.engine.pid)),
        f"the {len(web)} web processes together (editor, preview, WebGL)": sum(memory_mb(child) for child in web),
    }


def open_long_chat(window: MainWindow, conversation_id: int) -> list[float]:
    """Open it several times from an empty conversation; ms until it is painted."""
    session = window.chats.active.session
    found = []
    for _ in range(OPENINGS):
        session.open_new()
        settle()
        started = time.perf_counter()
        session.open_conversation(conversation_id)
        settle()
        window.repaint()
        found.append(1000 * (time.perf_counter() - started))
    return found


def close(window: MainWindow, history: History) -> None:
    """End as the program does: what was asked to be deleted is, before the application object goes."""
    window.close()
    settle()
    history.close()


def start(paths: DataPaths, started_at: float) -> dict[str, object]:
    """When the window can be seen, and when the engine is ready, from `started_at` (time.time before this process)."""
    application = make_application()
    history = History(paths.database)
    window = build_window(application, paths, history, Options(size=(1600, 1000), theme="dark"))
    paint = FirstPaint(window)
    window.show()
    wait_until(lambda: paint.at > 0, "the first paint")
    wait_until(lambda: window.parts.engine.state.phase == "ready", "the engine")
    ready_at = time.time()
    close(window, history)
    return {"visible_s": paint.at - started_at, "ready_s": ready_at - started_at}


def work(paths: DataPaths, _started_at: float) -> dict[str, object]:
    """What it is like while answers are written, and with a long conversation."""
    application = make_application()
    history = History(paths.database)
    long_chat = fill_long_chat(history)
    window = build_window(application, paths, history, Options(size=(1600, 1000), theme="dark"))
    window.show()
    wait_until(lambda: window.parts.engine.state.phase == "ready", "the engine")
    found: dict[str, object] = {**stream_answers(window), "memory_mb": memory_of_all(window)}
    found["open_ms"] = open_long_chat(window, long_chat)
    close(window, history)
    return found


def main() -> None:
    """Do one job."""
    paths = data_paths(sys.argv[2])
    paths.create()
    found = {"start": start, "work": work}[sys.argv[1]](paths, float(sys.argv[3]))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
