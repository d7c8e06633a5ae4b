"""The composition root: builds every service, model and pane, passes them in, and runs the window.

Phases: flags and address schemes (before the application object), theme, data folder and its lock, history,
services and models, window, and only then, with the window on screen, the engine and the panes that can wait.
"""

import logging
import os
import signal
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QCoreApplication, QProcess, Qt, QTimer
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication, QMessageBox

from app.core.history import History
from app.core.network_choices import NetworkChoices
from app.core.problem import Problem, problem_of_os_error
from app.core.recovery import HistoryDamaged
from app.core.snapshots import SnapshotStore
from app.core.web_libraries import WebLibraries
from app.log import set_up_logging
from app.models.chats import ConversationsModel
from app.models.files import ProjectFilesModel
from app.models.problems import ProblemEntry, ProblemsModel
from app.panes.editor.pane import EditorPane
from app.panes.inspector.pages import BENCH_KEY, InspectorPage, TracePage
from app.panes.preview.pane import PreviewPane
from app.paths import DataPaths, data_paths
from app.resources import resource_path, resource_text
from app.services.chat_session import ChatSession
from app.services.engine_process import EngineProcess
from app.services.instance_lock import InstanceLock
from app.services.preview_guard import NetworkGate
from app.services.runner import PageRunner
from app.services.web_flags import apply_web_flags
from app.services.web_schemes import register_schemes
from app.settings import Settings, WindowState
from app.shell.main_window import MainWindow
from app.shell.parts import Parts, sampling_of
from app.shell.screenshot import ScreenshotJob
from app.theme.icons import icon_pixmap
from app.theme.theme import Mode, Theme

if TYPE_CHECKING:
    from app.panes.console import ConsolePane
    from app.panes.inspector.pane import InspectorPane

logger = logging.getLogger(__name__)
EXIT_REFUSED = 3
_TICK_MS = 250


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the command line asked for. `size` is width and height of the window in pixels, `view` for pictures."""

    basedir: str | None = None
    screenshot: Path | None = None
    size: tuple[int, int] | None = None
    theme: Mode | None = None
    prompt: str = ""
    view: Sequence[str] = ()


def run(options: Options) -> int:
    """Run the program; return its exit code."""
    try:
        choose_platform(os.environ, wants_screen=options.screenshot is None)
    except Problem as problem:
        print(problem, file=sys.stderr)  # noqa: T201 - the command line's own words
        return EXIT_REFUSED
    paths = data_paths(options.basedir)
    settings = Settings(paths.settings)
    application = make_application(force_webgl=settings.flag("software_webgl"))
    lock = InstanceLock(paths.lock)
    try:
        check_screen(os.environ, application.platformName(), wants_screen=options.screenshot is None)
        paths.create()
        lock.acquire()
        history = _open_history(paths, ask=options.screenshot is None)
    except Problem as problem:
        return _refuse(problem, ask=options.screenshot is None)
    set_up_logging(paths.log)
    sys.excepthook = _log_exception
    window = build_window(application, paths, history, options, settings=settings)
    job = _start_job(window, options)
    window.show()
    _quit_on_signals(application, window)
    code = application.exec()
    history.close()
    lock.release()
    if window.wants_restart:
        QProcess.startDetached(sys.executable, ["-m", "app", *sys.argv[1:]])
    return job.exit_code if job is not None else code


def choose_platform(environment: MutableMapping[str, str], *, wants_screen: bool, system: str = sys.platform) -> None:
    """Have Qt draw in memory where a picture is all that is wanted and there is no screen.

    Raises Problem when a window is wanted and there is no screen. Where there should be one, drawing in memory comes
    last in Qt's list: it would abort the process when the screen can't be opened, and `make_application` can say why.
    """
    if system != "linux" or environment.get("QT_QPA_PLATFORM"):
        return
    screens = {"wayland": environment.get("WAYLAND_DISPLAY"), "xcb": environment.get("DISPLAY")}
    if any(screens.values()):
        first = "wayland" if environment.get("XDG_SESSION_TYPE") == "wayland" else "xcb"
        order = sorted((name for name, screen in screens.items() if screen), key=lambda name: name != first)
        environment["QT_QPA_PLATFORM"] = ";".join([*order, "offscreen"])
        return
    if wants_screen:
        raise Problem(
            "There is no screen to open the window on.", "Neither DISPLAY nor WAYLAND_DISPLAY is set.",
            "Start it from a desktop, or take a picture with --screenshot OUT.png.",
        )  # fmt: skip
    environment["QT_QPA_PLATFORM"] = "offscreen"


def check_screen(environment: Mapping[str, str], platform: str, *, wants_screen: bool) -> None:
    """Raises Problem when Qt ended up drawing in memory though a window is wanted and nobody asked for that."""
    if wants_screen and platform == "offscreen" and not environment["QT_QPA_PLATFORM"].startswith("offscreen"):
        raise Problem(
            "The screen cannot be opened.", "Qt said why above: the display does not answer, or a library is missing.",
            "Check DISPLAY and WAYLAND_DISPLAY, and install the system's libraries with make run.",
        )  # fmt: skip


def make_application(*, force_webgl: bool = False) -> QApplication:
    """The application object, with everything Qt wants to know before it exists.

    `force_webgl` is the person's choice to draw WebGL in software where there is no graphics card.
    """
    apply_web_flags(os.environ, force_webgl=force_webgl)
    register_schemes()
    QCoreApplication.setAttribute(Qt.ApplicationAttribute.AA_ShareOpenGLContexts)
    QCoreApplication.setApplicationName("expertarium")
    QApplication.setApplicationDisplayName("Expertarium")
    application = QApplication(sys.argv[:1])
    application.setDesktopFileName("expertarium")
    return application


def build_window(
    application: QApplication, paths: DataPaths, history: History, options: Options, *,
    engine: EngineProcess | None = None, settings: Settings | None = None,
) -> MainWindow:  # fmt: skip
    """Build services, models and the window. `engine` replaces the program's own, for tests.

    `settings` are those already read: reading puts a damaged file aside, so only the first one has it to tell.
    """
    settings = settings or Settings(paths.settings)
    theme = Theme(application, options.theme or _mode(settings))
    theme.set_code_size(settings.whole("code_font_size"))
    application.setWindowIcon(QIcon(icon_pixmap("experts", theme.color("accent"), size_px=64, scale=2)))
    model_dir = settings.text("model_dir")
    engine = engine or EngineProcess(model_dir=Path(model_dir) if model_dir else None, parent=application)
    snapshots = SnapshotStore(paths.snapshots)
    panes = _PaneMakers(theme, paths, history, engine)
    guide = resource_text("prompts", "system.md")

    def make_session() -> ChatSession:
        session = ChatSession(
            history=history, snapshots=snapshots, paths=paths, endpoint=engine.endpoint, engine=engine,
            parent=application,
        )  # fmt: skip
        session.sampling = sampling_of(settings)
        session.guide = guide
        return session

    parts = Parts(
        theme=theme, settings=settings, window_state=WindowState(paths.window), paths=paths, history=history,
        snapshots=snapshots, engine=engine, chats=ConversationsModel(history, parent=application),
        files=ProjectFilesModel(application), problems=ProblemsModel(application), make_session=make_session,
        make_editor=panes.editor, make_preview=panes.preview, inspector_pages=panes.inspector_pages,
        make_inspector=panes.inspector, make_console=panes.console,
    )  # fmt: skip
    window = MainWindow(parts)
    for text in settings.problems:
        parts.problems.add(ProblemEntry(severity="warning", source="program", text=text))
    if options.size is not None:
        window.resize(*options.size)
    return window


class _PaneMakers:
    """Makes the panes. Inspector and console are imported when made: NumPy and Jupyter cost start-up time."""

    def __init__(self, theme: Theme, paths: DataPaths, history: History, engine: EngineProcess) -> None:
        self._theme, self._paths, self._history, self._engine = theme, paths, history, engine
        self._gate = NetworkGate()
        self.inspector_pages: tuple[InspectorPage, ...] = (
            InspectorPage(key="usage", title="Usage", make=self._usage),
            InspectorPage(key="specialisation", title="Specialisation", make=self._specialisation),
            InspectorPage(key=BENCH_KEY, title="Expert bench", make=self._bench),
            InspectorPage(key="anatomy", title="Anatomy", make=self._anatomy),
        )

    def editor(self) -> EditorPane:
        return EditorPane(self._theme, self._paths.window)

    def preview(self) -> PreviewPane:
        choices = NetworkChoices(self._paths.base / "network.json")
        return PreviewPane(self._theme, self._runner(), choices, self._paths.screenshots)

    def inspector(self) -> "InspectorPane":
        from app.panes.inspector.pane import InspectorPane

        return InspectorPane(self._theme, self.inspector_pages)

    def _usage(self) -> TracePage:
        from app.panes.inspector.usage_page import UsagePage

        return UsagePage(self._theme)

    def _specialisation(self) -> TracePage:
        from app.panes.inspector.specialisation_page import SpecialisationPage

        return SpecialisationPage(self._theme, self._trace_files)

    def _trace_files(self, fingerprint: str) -> list[Path]:
        return [self._paths.traces / name for name in self._history.trace_files(fingerprint)]

    def _anatomy(self) -> TracePage:
        from app.core.known_models import known_models
        from app.panes.inspector.anatomy_page import AnatomyPage

        return AnatomyPage(self._theme, known_models(), self._loaded_model)

    def _loaded_model(self) -> tuple[str, Mapping[str, Any]] | None:
        model = self._engine.model
        return (model.id, model.card) if model is not None else None

    def _bench(self) -> TracePage:
        from app.panes.inspector.bench import ExpertBench

        return ExpertBench(self._theme, self._runner)

    def _runner(self) -> PageRunner:
        libraries = WebLibraries(resource_path("web", "node_modules"))
        return PageRunner(libraries, resource_path("web", "preview"), self._gate)

    def console(self) -> "ConsolePane":
        from app.panes.console import ConsolePane

        return ConsolePane(self._theme)


def _mode(settings: Settings) -> Mode:
    modes: dict[str, Mode] = {"light": "light", "dark": "dark"}
    return modes.get(settings.text("theme"), "system")


def _open_history(paths: DataPaths, *, ask: bool) -> History:
    """Open the conversations; a damaged file is put aside and what it still holds carried over, if agreed."""
    try:
        return _readable_history(paths)
    except HistoryDamaged as damaged:
        if ask:
            buttons = QMessageBox.StandardButton
            answer = QMessageBox.question(
                None, "Expertarium", f"{damaged}\n\nDo that now?", buttons.Yes | buttons.Cancel
            )
            if answer != buttons.Yes:
                raise
        try:
            damaged.recover()
        except OSError as error:
            raise problem_of_os_error("The damaged conversations could not be put aside.", error) from error
        return History(paths.database)


def _readable_history(paths: DataPaths) -> History:
    """Open the conversations and read their list, which finds most damage while one can still ask."""
    history = History(paths.database)
    try:
        history.conversations()
    except Problem:
        history.close()
        raise
    return history


def _refuse(problem: Problem, *, ask: bool) -> int:
    print(problem, file=sys.stderr)  # noqa: T201 - the command line's own words
    if ask and QApplication.platformName() != "offscreen":
        QMessageBox.critical(None, "Expertarium", str(problem))
    return EXIT_REFUSED


def _start_job(window: MainWindow, options: Options) -> ScreenshotJob | None:
    if options.screenshot is not None:
        return ScreenshotJob(window, options.screenshot, options.prompt, options.view)
    if options.prompt:
        window.chats.active.ask(options.prompt)
    return None


def _quit_on_signals(application: QApplication, window: MainWindow) -> None:
    """Ctrl+C and a polite kill close the window as the person would. Python needs a tick to see a signal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: QTimer.singleShot(0, window.close))
    tick = QTimer(application, interval=_TICK_MS)
    tick.timeout.connect(_nothing)
    tick.start()


def _log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An error in a slot must not vanish: it goes to the log, which diagnostics quote, and to stderr."""
    logger.critical("Unhandled error", exc_info=(kind, error, trace))


def _nothing() -> None:
    """Gives the interpreter a turn."""
