"""`--screenshot`: ask, wait until the answer is complete and the preview has drawn, save a picture, quit."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QObject, QPoint, QTimer, Slot
from PySide6.QtGui import QCursor

from app.core.records import Message
from app.panes.inspector.bench import ExpertBench
from app.services.engine_process import EngineState

if TYPE_CHECKING:
    from app.shell.main_window import MainWindow

logger = logging.getLogger(__name__)
SETTLE_MS = 2500
DRAW_LIMIT_MS = 20_000
SEEN_COLUMNS = 40  # of a line that the editor shows without being scrolled aside
EXIT_NO_ANSWER = 1


class ScreenshotJob(QObject):
    """A picture of the window, or one of each view. `exit_code` is 0 when all went as asked.

    `views` name pages of the inspector, or "code" for the code tinted by its experts; their pictures have the view
    before the file's name. None leaves the window as it is.
    """

    def __init__(self, window: "MainWindow", file: Path, prompt: str, views: Sequence[str] = ()) -> None:
        super().__init__(window)
        self._window, self._file, self._prompt = window, file, prompt
        self.exit_code = EXIT_NO_ANSWER
        window.asks_before_loss = False  # there is nobody to ask
        self._waits_for_page = False
        # A resting mouse would show some button as hovered.
        QCursor.setPos(window.mapToGlobal(QPoint(window.width() // 2, window.height() - 2)))
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._views, self._view = list(views), ""
        self._settle.timeout.connect(self._go_on)
        self._limit = QTimer(self, singleShot=True, interval=DRAW_LIMIT_MS)
        self._limit.timeout.connect(self._settle.start)
        window.parts.engine.state_changed.connect(self._engine_changed)
        if prompt:
            session = window.chats.active.session
            session.answer_finished.connect(self._answer_finished)
            session.problem_reported.connect(self._problem_reported)
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
        if self._view:  # the bench had it written again; both programs run now
            self._limit.start()
        elif any(str(change["path"]).endswith((".html", ".htm")) for change in message.applied.get("changes", ())):
            self._waits_for_page = True
            self._limit.start()
        else:
            self._settle.start()

    @Slot(object)
    def _problem_reported(self, problem: object) -> None:
        logger.error("%s", problem)
        self.exit_code = EXIT_NO_ANSWER
        self._settle.start()

    @Slot(object)
    def _page_judged(self, _judgement: object) -> None:
        if self._waits_for_page:
            self._settle.start()

    @Slot()
    def _go_on(self) -> None:
        """Save what is on show, and bring the next view up; what it computes gets the same time again."""
        if self._view or not self._views:
            self._grab(self._file.with_name(f"{self._view}-{self._file.name}") if self._view else self._file)
        if self._views:
            self._view = self._views.pop(0)
            self._show_view(self._view)
            if self._view != "bench" or not self._mute_who_wrote_it():
                self._settle.start()
        else:
            self._window.close()
            QCoreApplication.quit()

    def _show_view(self, view: str) -> None:
        self._window.right.set_mode("code")  # where pages are drawn by the processor, they'd keep the views waiting
        if view == "code":
            self._window.panel.show_pane("experts")
            self._window.editor.tint_bar.switch.setChecked(True)
        else:
            self._window.panel.show_pane(view)
            self._select_a_number()
        height = sum(self._window.middle.sizes())
        page_px = height * (3 if view == "code" else 5) // 10
        self._window.middle.setSizes([height - page_px, page_px])

    def _select_a_number(self) -> None:
        """Select a number the model wrote, as somebody would who wants to know which experts did."""
        inspector = self._window.inspector
        trace = inspector.trace() if inspector is not None else None
        if inspector is None or trace is None:
            return
        numbers, line = [], ""
        for row in trace.rows_of("decode").tolist():
            text = trace.tokens[row].text
            if text.strip().isdigit() and len(line) < SEEN_COLUMNS:
                numbers.append(row)
            line = (line + text).rpartition("\n")[2]
        if numbers:
            row = numbers[len(numbers) // 2]
            inspector.select_tokens(row, row)

    def _mute_who_wrote_it(self) -> bool:
        """Have the answer written again without the expert that led in each layer where the selected token was made.

        False when there is no answer to write again.
        """
        inspector = self._window.inspector
        trace = inspector.trace() if inspector is not None else None
        if inspector is None or trace is None:
            return False
        page = inspector.page("bench")
        assert isinstance(page, ExpertBench)
        for layer in trace.layers:
            page.first.setValue(layer)
            page.pick_button.click()
            page.add_button.click()
        can_write = page.run_button.isEnabled()
        page.run_button.click()
        return can_write

    def _grab(self, file: Path) -> None:
        if not self._saved(file):
            logger.error("The screenshot could not be written to %s", file)
            self.exit_code = EXIT_NO_ANSWER

    def _saved(self, file: Path) -> bool:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            return False
        return self._window.grab().save(str(file))
