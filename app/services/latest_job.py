"""One computation at a time in a thread of its own; of requests that wait, only the newest is run."""

import logging
from collections.abc import Callable

from PySide6.QtCore import QObject, QRunnable, Qt, QThreadPool, QTimer, Signal, Slot

logger = logging.getLogger(__name__)


class _Run(QObject):
    """Carries a result from the thread to the window's."""

    ended = Signal(object)


class _Task(QRunnable):
    def __init__(self, work: Callable[[], object], run: _Run) -> None:
        super().__init__()
        self._work, self._run = work, run

    def run(self) -> None:
        """Compute; a fault of ours is logged and ends in None."""
        try:
            result = self._work()
        except Exception:
            logger.exception("A computation in the background failed")
            result = None
        self._run.ended.emit(result)


class LatestJob(QObject):
    """Runs what it was last asked for.

    Signals:
        done: the result of a request; one that a newer request has overtaken is dropped, unless there is a pause
            between computations, in which it is better than nothing.
    """

    done = Signal(object)

    def __init__(self, parent: QObject, *, pause_ms: int = 0) -> None:
        """Make it ready; `pause_ms` leaves the processor to others between one computation and the next."""
        super().__init__(parent)
        self._pool = QThreadPool(self)  # waits for its thread when it is destroyed
        self._pool.setMaxThreadCount(1)
        self._run: _Run | None = None
        self._waiting: Callable[[], object] | None = None
        self._pause = QTimer(self, singleShot=True, interval=pause_ms)
        self._pause.timeout.connect(self._start_waiting)

    @property
    def is_busy(self) -> bool:
        """Whether a result is still to come."""
        return self._run is not None or self._waiting is not None

    def start(self, work: Callable[[], object]) -> None:
        """Have `work` called in the thread; what it uses must not be changed meanwhile."""
        self._waiting = work
        if self._run is None and not self._pause.isActive():
            self._start_waiting()

    @Slot()
    def _start_waiting(self) -> None:
        if self._waiting is None:
            return
        work, self._waiting = self._waiting, None
        self._run = _Run(self)
        self._run.ended.connect(self._ended, Qt.ConnectionType.QueuedConnection)
        self._pool.start(_Task(work, self._run))

    @Slot(object)
    def _ended(self, result: object) -> None:
        assert self._run is not None
        self._run.deleteLater()
        self._run = None
        is_overtaken = self._waiting is not None and not self._pause.interval()
        self._pause.start()
        if result is not None and not is_overtaken:
            self.done.emit(result)
