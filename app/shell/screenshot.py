"""`--screenshot`: ask, wait until the answer is complete and the preview has drawn, save a picture, quit."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QObject, QPoint, QTimer, Slot
from PySide6.QtGui import QCursor

from app.core.records import Message
from app.services.engine_process import EngineState

if TYPE_CHECKING:
    from app.shell.main_window import MainWindow

logger = logging.getLogger(__name__)
SETTLE_MS = 2500
DRAW_LIMIT_MS = 20_000
EXIT_NO_ANSWER = 1


class ScreenshotJob(QObject):
    """One picture of the window. `exit_code` is 0 when all went as asked.

    `view` names a page of the inspector, or "code" for the code tinted by its experts; "" leaves the window as it is.
    """

    def __init__(self, window: "MainWindow", file: Path, prompt: str, view: str = "") -> None:
        super().__init__(window)
        self._window, self._file, self._prompt = window, file, prompt
        self.exit_code = EXIT_NO_ANSWER
        window.asks_before_loss = False  # there is nobody to ask
        self._waits_for_page = False
        # A resting mouse would show some button as hovered.
        QCursor.setPos(window.mapToGlobal(QPoint(window.width() // 2, window.height() - 2)))
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._view = view
        self._settle.timeout.connect(self._show_view)
        self._limit = QTimer(self, singleShot=True, interval=DRAW_LIMIT_MS)
        self._limit.timeout.connect(self._settle.start)
        window.parts.engine.state_changed.connect(self._engine_changed)
        if prompt:
            session = window.chats.active.session
            session.answer_finished.connect(self._answer_finished)
            window.preview.run_judged.connect(self._page_judged)
            if session.tree.path():
                session.open_new()
            window.chats.active.ask(prompt)

    @Slot(object)
    def _engine_changed(self, state: EngineState) -> None:
        if state.phase == "failed":
            logger.error("%s", state.message)
            self._settle.start()
        elif state.phase == "ready" and not self._prompt:
            self.exit_code = 0
            self._settle.start()

    @Slot(object)
    def _answer_finished(self, message: Message) -> None:
        self.exit_code = 0 if message.state in ("complete", "length") else EXIT_NO_ANSWER
        if any(str(change["path"]).endswith((".html", ".htm")) for change in message.applied.get("changes", ())):
            self._waits_for_page = True
            self._limit.start()
        else:
            self._settle.start()

    @Slot(object)
    def _page_judged(self, _judgement: object) -> None:
        if self._waits_for_page:
            self._settle.start()

    @Slot()
    def _show_view(self) -> None:
        """Bring the wanted view up; what it computes gets the same time again."""
        view, self._view = self._view, ""
        if not view:
            self._grab()
            return
        if view == "code":
            self._window.commands.actions["view.tint"].trigger()
        elif view != self._window.panel.current:
            self._window.panel.show_pane(view)
        self._settle.start()

    def _grab(self) -> None:
        if not self._saved():
            logger.error("The screenshot could not be written to %s", self._file)
            self.exit_code = EXIT_NO_ANSWER
        self._window.close()
        QCoreApplication.quit()

    def _saved(self) -> bool:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            return False
        return self._window.grab().save(str(self._file))
