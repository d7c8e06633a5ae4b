"""Runs one project page: profile, page, view, policy and watchdog. The preview pane and `expertarium check` use it."""

import uuid
from collections import deque
from pathlib import Path
from typing import Any

from PySide6.QtCore import QElapsedTimer, QObject, Qt, Signal, Slot
from PySide6.QtWebEngineCore import QWebEnginePage, QWebEngineProfile

from app.core.run_report import BlockedRequest, PageError
from app.core.web_libraries import WebLibraries
from app.core.web_project import find_entry
from app.services.preview_guard import NetworkGate, RequestGuard
from app.services.preview_page import PreviewPage
from app.services.preview_scheme import SCHEME, SHELL_ADDRESS, PreviewSchemeHandler, project_address
from app.services.watchdog import Watchdog, WatchdogLimits
from app.services.web_view import WebView

MAX_LOADS = 3  # of one run, see `_take_report`
RELOADS, RELOADS_MS = 12, 3000  # a page that loads itself so often in so short a time will never come to an end
MAX_LISTED = 200  # errors and refused requests kept per run


class PageRunner(QObject):
    """One preview. `view` is the widget that shows it.

    Signals:
        run_started: a page is being loaded.
        page_loaded: its load event has fired.
        error_raised: (PageError).
        request_blocked: (BlockedRequest), once per address and kind in a run.
        console_written: (level, text, project path, line).
        fps_measured: (frames per second the page drew; 0 when it draws none).
        pause_changed: (paused, frame).
        page_described: (id, dict) the answer to `describe`.
        page_stopped: (reason) the page is gone: the watchdog ended it, or its process died. `run` starts it again.
        webgl_missed: the page asked for WebGL and got none.
        fullscreen_asked: (on).
    """

    run_started = Signal()
    page_loaded = Signal()
    error_raised = Signal(object)
    request_blocked = Signal(object)
    console_written = Signal(str, str, str, int)
    fps_measured = Signal(float)
    pause_changed = Signal(bool, int)
    page_described = Signal(int, object)
    page_stopped = Signal(str)
    webgl_missed = Signal()
    fullscreen_asked = Signal(bool)

    def __init__(
        self, libraries: WebLibraries, shell_folder: Path, gate: NetworkGate, *,
        limits: WatchdogLimits | None = None, stepped: bool = False, parent: QObject | None = None,
    ) -> None:  # fmt: skip
        """Build the preview.

        Args:
            libraries: what is served in place of CDNs.
            shell_folder: resources/web/preview.
            gate: the process's way to the network.
            limits: what a page may take.
            stepped: time advances with drawn frames, for comparing runs.
        """
        super().__init__(parent)
        self._gate = gate
        self._libraries = libraries
        self._owner = uuid.uuid4().hex
        self._stepped = stepped
        self._entry: str | None = None
        self._shell_loading = False
        self._frame_wanted = False
        self._has_script = False
        self._loads_left = 0
        self._loads_ms: deque[int] = deque(maxlen=RELOADS)
        self._clock = QElapsedTimer()
        self._clock.start()
        self._kill_reason = ""
        self._seen: set[BlockedRequest | PageError] = set()
        self._next_description = 0
        self.errors: list[PageError] = []
        self.blocked: list[BlockedRequest] = []
        self.view = WebView()
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self._profile = QWebEngineProfile()
        self._handler = PreviewSchemeHandler(libraries, shell_folder / "shell.html", self)
        self._guard = RequestGuard(self)
        self._profile.installUrlSchemeHandler(SCHEME, self._handler)
        self._profile.setUrlRequestInterceptor(self._guard)
        self._page = PreviewPage(self._profile, shell_folder / "page.js")
        self.view.setPage(self._page)
        self._watchdog = Watchdog(self._page, limits or WatchdogLimits(), self)
        self._connect()

    def _connect(self) -> None:
        self._page.loadFinished.connect(self._shell_loaded)
        self._page.renderProcessTerminated.connect(self._process_ended)
        self._page.error_raised.connect(self._note_error)
        self._page.console_written.connect(self.console_written)
        self._page.request_refused.connect(self._note_blocked)
        self._page.page_reported.connect(self._take_report)
        self._page.fullscreen_asked.connect(self.fullscreen_asked)
        self._guard.request_blocked.connect(self._note_refused)
        self._handler.file_missing.connect(self._note_missing)
        self._watchdog.page_killed.connect(self._note_kill)

    @property
    def page(self) -> PreviewPage:
        """The web page, for what only tests and screenshots need."""
        return self._page

    @property
    def entry(self) -> str | None:
        """The project file on show."""
        return self._entry

    @property
    def network_allowed(self) -> bool:
        """Whether this project may use the network."""
        return self._guard.network_allowed

    @property
    def responds(self) -> bool:
        """Whether the page has answered within the last second."""
        return self._watchdog.silent_s < 1.0

    @property
    def libraries_installed(self) -> bool:
        """Whether the JavaScript parts are there; without them pages that use them can't run."""
        return self._libraries.installed

    def open_project(self, folder: Path | None, entry: str | None = None) -> bool:
        """Choose what `run` shows; return whether there is a page. Nothing is loaded yet."""
        self._handler.folder = folder
        self._entry = (entry or find_entry(folder)) if folder is not None else None
        return self._entry is not None

    def set_network_allowed(self, allowed: bool) -> None:
        """Allow or deny the network; takes effect with the next `run`, denial of new requests at once."""
        self._guard.network_allowed = allowed
        self._handler.network_allowed = allowed
        self._page.network_allowed = allowed
        self._gate.set_allowed(self._owner, allowed=allowed)

    def run(self) -> None:
        """Load the page from its files as they are now, and forget what the last run showed."""
        self.clear()
        self._frame_wanted = True
        self._loads_left = MAX_LOADS
        self.run_started.emit()
        self._load_frame()

    def clear(self) -> None:
        """Forget errors and refused requests."""
        self.errors, self.blocked, self._seen = [], [], set()
        self._loads_ms.clear()
        self._kill_reason = ""

    def close_page(self) -> None:
        """Take the page away."""
        self._watchdog.stop()
        self._frame_wanted = False
        self._load_shell()

    def set_paused(self, paused: bool) -> None:
        """Stop or resume the page's clock; `pause_changed` follows."""
        self._page.order("pause" if paused else "resume")

    def run_to(self, frame: int) -> None:
        """Stepped runs: resume, and pause at that frame; `pause_changed` follows."""
        self._page.order("run_to", frame=frame)

    def set_frame_interval(self, interval_ms: int) -> None:
        """Draw no more often than this; 0 lifts the cap."""
        self._page.order("cap", interval_ms=interval_ms)

    def calm(self) -> None:
        """Take away what the browser itself shows after a click: selected text, a focus ring."""
        self._page.order("calm")

    def describe(self) -> int:
        """Ask what the page holds; `page_described` brings the answer with the id returned here."""
        self._next_description += 1
        self._page.order("describe", id=self._next_description)
        return self._next_description

    def shut_down(self) -> None:
        """Delete page, view and profile, in the order Qt wants."""
        self._watchdog.stop()
        self._gate.set_allowed(self._owner, allowed=False)
        self.view.deleteLater()
        self._page.deleteLater()
        self._profile.deleteLater()

    def _load_frame(self) -> None:
        self._loads_left -= 1
        self._page.set_up_script(stepped=self._stepped)
        self._load_shell()

    def _load_shell(self) -> None:
        if not self._shell_loading:  # a second load while one is under way would cancel both
            self._shell_loading = True
            self._page.load(SHELL_ADDRESS)

    def _emit_error(self, error: PageError) -> None:
        if error in self._seen or len(self.errors) >= MAX_LISTED:
            return
        self._seen.add(error)
        self.errors.append(error)
        self.error_raised.emit(error)

    @Slot(bool)
    def _shell_loaded(self, ok: bool) -> None:
        self._shell_loading = False
        if not ok:
            return
        folder = self._handler.folder
        if self._frame_wanted and self._entry is not None and folder is not None:
            self._has_script = False
            self._page.open_frame(project_address(folder, self._entry))
            self._watchdog.start()

    @Slot(object)
    def _note_error(self, error: PageError) -> None:
        self._emit_error(error)

    @Slot(str)
    def _note_missing(self, path: str) -> None:
        self._emit_error(PageError(message=f"The project has no file “{path}”.", kind="missing"))

    @Slot(object)
    def _note_blocked(self, request: BlockedRequest) -> None:
        if request in self._seen or len(self.blocked) >= MAX_LISTED:
            return
        self._seen.add(request)
        self.blocked.append(request)
        self.request_blocked.emit(request)

    @Slot(str, str)
    def _note_refused(self, address: str, kind: str) -> None:
        self._note_blocked(BlockedRequest(address=address, kind=kind))

    @Slot(str)
    def _note_kill(self, reason: str) -> None:
        self._kill_reason = reason

    @Slot(QWebEnginePage.RenderProcessTerminationStatus, int)
    def _process_ended(self, _status: QWebEnginePage.RenderProcessTerminationStatus, _code: int) -> None:
        self._watchdog.stop()
        reason = self._kill_reason or "its process ended unexpectedly"
        self._emit_error(PageError(message=f"The page was stopped: {reason}.", path=self._entry or "", kind="stopped"))
        self._frame_wanted = False
        self._shell_loading = False
        self._load_shell()
        self.page_stopped.emit(reason)

    def _note_load(self) -> None:
        """A page that loads itself again and again hangs as well, though it answers in between."""
        self._loads_ms.append(self._clock.elapsed())
        if len(self._loads_ms) == RELOADS and self._loads_ms[-1] - self._loads_ms[0] < RELOADS_MS:
            self._watchdog.end_page("it went on loading itself again without end")

    @Slot(str, object)
    def _take_report(self, kind: str, fields: dict[str, Any]) -> None:
        match kind:
            case "created":
                self._has_script = True
                if fields["is_page"]:
                    self._note_load()
            case "framed" if not self._has_script and self._loads_left > 0:
                # Right after a process was ended, Chromium sometimes starts the next one without our script (seen once
                # in ten on a busy machine): nobody would hear of this page's errors. So it is loaded again.
                self._load_frame()
            case "loaded":
                self.page_loaded.emit()
            case "fps":
                self.fps_measured.emit(float(fields["fps"]))
            case "paused":
                self.pause_changed.emit(bool(fields["paused"]), int(fields["frame"]))
            case "described":
                self.page_described.emit(int(fields["id"]), fields["answer"])
            case "no_webgl":
                self.webgl_missed.emit()
