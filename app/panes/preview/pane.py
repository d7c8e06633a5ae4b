"""The preview pane: tools, the running page, its errors, and the states in which there is no page to see."""

import contextlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QGuiApplication, QHideEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWebEngineCore import QWebEnginePage
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from app.core.network_choices import NetworkChoices
from app.core.run_report import BlockedRequest, PageError, fix_request
from app.core.web_project import project_file
from app.panes.preview.exports import PageExports
from app.panes.preview.own_window import OwnWindow
from app.panes.preview.state_page import StatePage
from app.panes.preview.strips import AskStrip, BlockedStrip, ErrorStrip
from app.panes.preview.tool_row import ToolRow
from app.services.folder_watcher import FolderWatcher
from app.services.runner import PageRunner
from app.theme.controls import Line, surface
from app.theme.theme import Theme

JUDGE_MS = 2500  # a page that ran this long without an error is said to run clean
HIDDEN_FRAME_MS = 1000
YIELDING_FRAME_MS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJudgement:
    """What the first seconds of a run showed. fps is 0 for a page that draws no frames of its own."""

    errors: int
    blocked: int
    fps: float

    def __str__(self) -> str:
        if self.errors:
            return "1 error" if self.errors == 1 else f"{self.errors} errors"
        parts = ["ran clean"]
        if self.blocked:
            parts = ["ran", f"{self.blocked} blocked"]
        if self.fps:
            parts.append(f"{self.fps:.0f} fps")
        return " · ".join(parts)


class PreviewPane(QWidget):
    """Shows one project's page at a time, and loads it again when its files change.

    Signals:
        source_requested: (path, line) to show in the editor.
        fix_requested: (text) a message for the model.
        error_raised: (PageError), for the Problems pane.
        request_blocked: (BlockedRequest), for the Problems pane.
        run_started: the page is being loaded; earlier errors are void.
        run_judged: (RunJudgement) what the first seconds showed.
        console_written: (level, text, path, line) what the page logs.
        webgl_restart_requested: restart the program with software WebGL.
        screenshot_taken: (path).
    """

    source_requested = Signal(str, int)
    fix_requested = Signal(str)
    error_raised = Signal(object)
    request_blocked = Signal(object)
    run_started = Signal()
    run_judged = Signal(object)
    console_written = Signal(str, str, str, int)
    webgl_restart_requested = Signal()
    screenshot_taken = Signal(str)

    def __init__(
        self, theme: Theme, runner: PageRunner, network: NetworkChoices, screenshots: Path,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        """Build the pane around a runner.

        Args:
            theme: colours and icons.
            runner: runs the page; the pane shows its view and shuts it down with `shut_down`.
            network: which projects may use the network.
            screenshots: the folder pictures are saved to.
        """
        super().__init__(parent)
        self._theme, self._runner, self._network, self._screenshots = theme, runner, network, screenshots
        self._folder: Path | None = None
        self._running = False
        self._fps = 0.0
        self._asked = ""
        self._yields = False
        self._window: OwnWindow | None = None
        self._watcher = FolderWatcher(self)
        self.exports = PageExports(self)
        self._judge_timer = QTimer(self, interval=JUDGE_MS, singleShot=True)
        self._build()
        self._connect()
        self._show_empty()

    # --- what others call

    def open_project(self, folder: Path | None) -> None:
        """Show another project's page and run it; None shows none."""
        self._bring_back()
        self._folder = folder
        self._watcher.watch(folder)
        allowed = folder is not None and self._network.is_allowed(folder)
        self._runner.set_network_allowed(allowed)
        self.reload()

    @Slot()
    def reload(self) -> None:
        """Run the page from its files as they are now."""
        self._clear()
        found = self._runner.open_project(self._folder)
        self.exports.set_page(self._folder if found else None, self._runner.entry)
        if not found:
            self._runner.close_page()
            self._show_empty()
            return
        self._running = True
        self.tools.set_page_there(there=True)
        self._pages.setCurrentWidget(self._runner.view if self._window is None else self._away)
        self._runner.run()

    @Slot()
    def project_changed(self) -> None:
        """Look whether files changed, and run the page again if they did. The pane watches the folder itself too."""
        self._watcher.look()

    def set_yielding(self, on: bool) -> None:
        """Let the page draw ten times a second only: something else needs the processor more."""
        self._yields = on
        self._limit_frames()

    def shut_down(self) -> None:
        """End the page and its process."""
        self._bring_back()
        self._running = False
        self._watcher.watch(None)
        self._runner.shut_down()

    @property
    def runner(self) -> PageRunner:
        """What runs the page."""
        return self._runner

    def state(self) -> str:
        """What the pane shows: "empty", "running", "stopped" or "own window"."""
        names = {self._empty: "empty", self._stopped: "stopped", self._away: "own window"}
        return names.get(self._pages.currentWidget(), "running")  # type: ignore[call-overload,no-any-return]

    # --- building

    def _build(self) -> None:
        self.tools = ToolRow(self._theme)
        self.errors = ErrorStrip(self._theme)
        self.blocked = BlockedStrip(self._theme)
        self.question = AskStrip(self._theme)
        self._empty = StatePage(self._theme, "play")
        self._stopped = StatePage(self._theme, "stop", "warning")
        self._away = StatePage(self._theme, "external")
        self._away.say("The page is in its own window", "It goes on running there.", "Bring it back")
        self._pages = QStackedWidget()
        for page in (self._empty, self._stopped, self._away, self._runner.view):
            self._pages.addWidget(page)
        body = surface("background")
        body_column = QVBoxLayout(body)
        body_column.setContentsMargins(0, 0, 0, 0)
        body_column.addWidget(self._pages)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for widget in (self.tools, Line(self._theme)):
            column.addWidget(widget)
        column.addWidget(body, 1)
        for strip in (self.question, self.blocked, self.errors):
            column.addWidget(strip)
        self.setAccessibleName("Preview")
        self._runner.view.setAccessibleName("The running page")

    def _connect(self) -> None:
        tools, runner = self.tools, self._runner
        for signal, slot in (
            (tools.run_pressed, self.reload), (tools.pause_pressed, runner.set_paused),
            (tools.screenshot_pressed, self._take_screenshot), (tools.window_pressed, self._open_window),
            (tools.fullscreen_pressed, self._open_fullscreen), (tools.browser_pressed, self.exports.open_in_browser),
            (tools.html_pressed, self.exports.ask_html), (tools.zip_pressed, self.exports.ask_zip),
            (self.exports.told, self.question.tell),
            (tools.network_pressed, self._network_pressed), (self.question.answered, self._answered),
            (self.errors.source_requested, self.source_requested), (self.errors.fix_requested, self._ask_for_fix),
            (self._stopped.first_pressed, self.reload), (self._stopped.second_pressed, self._ask_for_fix),
            (self._away.first_pressed, self._bring_back), (runner.run_started, self.run_started),
            (runner.page_loaded, self._judge_timer.start), (runner.page_loaded, self._limit_frames),
            (runner.error_raised, self._show_error),
            (runner.request_blocked, self._show_blocked), (runner.fps_measured, self._show_fps),
            (runner.pause_changed, self._show_paused), (runner.page_stopped, self._show_stopped),
            (runner.webgl_missed, self._show_no_webgl), (runner.console_written, self.console_written),
            (runner.fullscreen_asked, self._page_wants_fullscreen), (self._watcher.files_changed, self.reload),
            (self._judge_timer.timeout, self._judge),
        ):  # fmt: skip
            signal.connect(slot)
        QShortcut(QKeySequence("F5"), self, self.reload, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)

    # --- states

    def _clear(self) -> None:
        self._judge_timer.stop()
        self._fps = 0.0
        self.errors.clear()
        self.blocked.clear()
        self.question.hide()
        self.tools.show_paused(paused=False)
        self.tools.show_fps(None)
        self.tools.show_network(on=self._runner.network_allowed, blocked=0)

    def _show_empty(self) -> None:
        self._running = False
        self.tools.set_page_there(there=False)
        if self._runner.libraries_installed:
            self._empty.say("Nothing to run yet", "Ask for a scene, or add an index.html to the project.")
        else:
            self._empty.say(
                "The preview's libraries are missing", "Run “make run” once with a network connection to install them."
            )
        self._pages.setCurrentWidget(self._empty)

    @Slot(str)
    def _show_stopped(self, reason: str) -> None:
        self._bring_back()
        self._running = False
        self._judge()
        self.tools.show_fps(None)
        self._stopped.say("The page was stopped", f"It was ended because {reason}.", "Run again", "Fix it")
        self._pages.setCurrentWidget(self._stopped)

    @Slot(object)
    def _show_error(self, error: PageError) -> None:
        self.errors.add(error)
        self.error_raised.emit(error)

    @Slot(object)
    def _show_blocked(self, request: BlockedRequest) -> None:
        self.blocked.add(request)
        self.tools.show_network(on=self._runner.network_allowed, blocked=self.blocked.total())
        self.request_blocked.emit(request)

    @Slot(float)
    def _show_fps(self, fps: float) -> None:
        self._fps = fps
        self.tools.show_fps(fps)

    @Slot(bool, int)
    def _show_paused(self, paused: bool, _frame: int) -> None:
        self.tools.show_paused(paused=paused)

    @Slot()
    def _show_no_webgl(self) -> None:
        self._asked = "webgl"
        self.question.ask("This page needs WebGL, and there is no graphics device.", "Restart with software WebGL")

    @Slot()
    def _judge(self) -> None:
        if self._running and not self._runner.responds:
            self._judge_timer.start()  # too early to say anything: the watchdog may be about to end it
            return
        self._judge_timer.stop()
        runner = self._runner
        self.run_judged.emit(RunJudgement(errors=len(runner.errors), blocked=len(runner.blocked), fps=self._fps))

    # --- what the person does

    @Slot()
    def _ask_for_fix(self) -> None:
        lines: dict[tuple[str, int], str] = {}
        for error in self._runner.errors:
            file = project_file(self._folder, error.path) if self._folder and error.path and error.line else None
            if file is not None:
                with contextlib.suppress(OSError, IndexError):
                    text = file.read_text(encoding="utf-8", errors="replace")
                    lines[error.path, error.line] = text.splitlines()[error.line - 1]
        self.fix_requested.emit(fix_request(self._runner.errors, lines))

    @Slot(bool)
    def _network_pressed(self, wanted: bool) -> None:
        if wanted:
            self._asked = "network"
            self.question.ask(
                "Let pages of this project load from the web and send to it?", "Allow for this project"
            )
        else:
            self._set_network(allowed=False)

    def _set_network(self, *, allowed: bool) -> None:
        if self._folder is None:
            return
        try:
            self._network.set_allowed(self._folder, allowed=allowed)
        except OSError as error:
            self.question.tell(f"The choice holds until you quit; it can't be saved: {error.strerror}.")
        self._runner.set_network_allowed(allowed)
        self.reload()

    @Slot()
    def _answered(self) -> None:
        if self._asked == "network":
            self._set_network(allowed=True)
        elif self._asked == "webgl":
            self.webgl_restart_requested.emit()

    @Slot()
    def _take_screenshot(self) -> None:
        view = self._window.view if self._window is not None else self._runner.view
        picture = view.grab()
        file = self._screenshots / f"{datetime.now().astimezone():%Y-%m-%d %H.%M.%S}.png"
        QGuiApplication.clipboard().setPixmap(picture)
        try:
            self._screenshots.mkdir(parents=True, exist_ok=True)
            saved = picture.save(str(file))
        except OSError:
            saved = False
        if saved:
            self.question.tell(f"Copied, and saved as {file}")
            self.screenshot_taken.emit(str(file))
        else:
            self.question.tell(f"Copied. It could not be saved to {self._screenshots}.")

    # --- its own window, the whole screen

    @Slot()
    def _open_window(self) -> None:
        self._take_out(fullscreen=False)

    @Slot()
    def _open_fullscreen(self) -> None:
        self._take_out(fullscreen=True)

    @Slot(bool)
    def _page_wants_fullscreen(self, on: bool) -> None:
        if on:
            self._take_out(fullscreen=True)
        else:
            self._bring_back()

    def _take_out(self, *, fullscreen: bool) -> None:
        if not self._running:
            return
        if self._window is not None:
            if fullscreen:
                self._window.showFullScreen()
            return
        title = self._folder.name if self._folder else ""
        self._window = OwnWindow(self._runner.page, f"{title} - Expertarium", fullscreen=fullscreen)
        self._window.closed.connect(self._bring_back)
        self._pages.setCurrentWidget(self._away)

    @Slot()
    def _bring_back(self) -> None:
        window, self._window = self._window, None
        if window is None:
            return
        window.closed.disconnect(self._bring_back)
        self._runner.page.triggerAction(QWebEnginePage.WebAction.ExitFullScreen)
        self._runner.view.setPage(self._runner.page)
        window.close()
        if self._running:
            self._pages.setCurrentWidget(self._runner.view)

    # --- Qt overrides

    def hideEvent(self, event: QHideEvent) -> None:
        """A page nobody sees draws once a second."""
        super().hideEvent(event)
        self._limit_frames()

    def showEvent(self, event: QShowEvent) -> None:
        """Lift the cap."""
        super().showEvent(event)
        self._limit_frames()

    @Slot()
    def _limit_frames(self) -> None:
        if not self._running:
            return
        is_seen = self.isVisible() or self._window is not None
        self._runner.set_frame_interval(YIELDING_FRAME_MS * self._yields if is_seen else HIDDEN_FRAME_MS)
