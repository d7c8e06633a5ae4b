"""Watches the process that renders a preview, and kills it when the page hangs or takes too much memory.

By process id: Chromium's own Stop doesn't stop a page that loops for ever (tried).
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from PySide6.QtCore import QElapsedTimer, QObject, QTimer, Signal, Slot
from PySide6.QtWebEngineCore import QWebEnginePage

TICK_MS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogLimits:
    """What a page may take.

    hang_s: longest time without an answer, in seconds; as much processor time must have gone into it, so that a
        page isn't blamed for a busy machine or a slow driver. After `silence_s` without an answer it goes anyway.
    memory_bytes: of the render process, and of what this process has grown since (drawing happens in it).
    """

    hang_s: float = 3.0
    silence_s: float = 20.0
    memory_bytes: int = 3 * 2**29  # 1.5 GiB


class Watchdog(QObject):
    """Pings one page while it is on watch.

    Signals:
        page_killed: (reason) said before the kill takes effect.
    """

    page_killed = Signal(str)

    def __init__(self, page: QWebEnginePage, limits: WatchdogLimits, parent: QObject) -> None:
        super().__init__(parent)
        self._page = page
        self._limits = limits
        self._ticker = QTimer(self, interval=TICK_MS)
        self._ticker.timeout.connect(self._tick)
        page.destroyed.connect(self._ticker.stop)  # a load that ends while the page goes starts the watch once more
        self._since_tick = QElapsedTimer()
        self._silent_s = 0.0
        self._cpu_at_answer_s = 0.0
        self._own_bytes = 0
        self._ping = 0
        self._answered = 0
        self._process: psutil.Process | None = None

    @property
    def silent_s(self) -> float:
        """How long the page has not answered, in seconds."""
        return self._silent_s

    def start(self) -> None:
        """Watch from now on."""
        self._own_bytes = psutil.Process().memory_info().rss
        self._process = None
        self._ping = self._answered = 0
        self._silent_s = 0.0
        self._since_tick.start()
        self._ticker.start()

    def stop(self) -> None:
        """Stop watching."""
        self._ticker.stop()

    def end_page(self, reason: str) -> None:
        """Kill the page's process."""
        process = self._find_process()
        if process is None:
            return
        self.stop()
        self.page_killed.emit(reason)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()

    def _answer_to(self, ping: int) -> Callable[[object], None]:
        def answered(_result: object) -> None:
            self._answered = max(self._answered, ping)

        return answered

    def _find_process(self) -> psutil.Process | None:
        pid = self._page.renderProcessPid()
        if pid <= 0 or pid == os.getpid():
            return None
        if self._process is None or self._process.pid != pid:
            try:
                self._process = psutil.Process(pid)
            except psutil.NoSuchProcess:
                return None
            self._cpu_at_answer_s = 0.0
        return self._process

    def _reason(self, process: psutil.Process) -> str:
        limits = self._limits
        grown = psutil.Process().memory_info().rss - self._own_bytes
        if max(process.memory_info().rss, grown) > limits.memory_bytes:
            return f"it took more than {limits.memory_bytes / 2**30:.1f} GiB of memory"
        times = process.cpu_times()
        cpu_s = times.user + times.system
        if self._answered == self._ping:
            self._silent_s = 0.0
            self._cpu_at_answer_s = cpu_s
            self._ping += 1
            self._page.runJavaScript("1", self._answer_to(self._ping))
            return ""
        hung = self._silent_s >= limits.hang_s and cpu_s - self._cpu_at_answer_s >= limits.hang_s
        if hung or self._silent_s >= limits.silence_s:
            return f"it did not answer for {limits.hang_s:g} seconds (a loop without end?)"
        return ""

    @Slot()
    def _tick(self) -> None:
        # when our own event loop stood still the page isn't to blame: a tick counts for two intervals at most
        self._silent_s += min(self._since_tick.restart(), 2 * TICK_MS) / 1000
        process = self._find_process()
        if process is None:
            return
        try:
            reason = self._reason(process)
        except psutil.NoSuchProcess:
            self._process = None
            return
        if reason:
            self.end_page(reason)
