"""The program's window in a data folder of the test's own, its engine a small server in a process of its own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bootstrap import Options, build_window
from app.core.history import History
from app.paths import DataPaths
from app.services.engine_process import EngineProcess
from app.settings import Settings
from app.shell.main_window import MainWindow

PAGE = "Here it is.\n\n```html index.html\n<!-- page | blue -->\n<p style='color:blue'>one</p>\n```\n"
FAKE_ENGINE = Path(__file__).parents[2] / "fake_engine.py"


class Program:
    """Windows over one data folder; `open` starts the program, `close` ends it."""

    def __init__(self, qtbot: QtBot, application: QApplication, base: Path) -> None:
        self.qtbot, self.application = qtbot, application
        self.paths = DataPaths(base)
        self.paths.create()
        self.window: MainWindow | None = None
        self.history: History | None = None

    def open(
        self, *arguments: str, size: tuple[int, int] = (1400, 900), text: str = PAGE, wait: bool = True
    ) -> MainWindow:
        """`arguments` are for the small server."""
        self.history = History(self.paths.database)
        command = [sys.executable, str(FAKE_ENGINE), "serve", "--exit-with-parent", "--text", text, *arguments]
        settings = Settings(self.paths.settings)
        model_dir = settings.text("model_dir")
        engine = EngineProcess(
            command, model_dir=Path(model_dir) if model_dir else None, parent=self.application
        )
        window = build_window(
            self.application, self.paths, self.history, Options(size=size, theme="dark"), engine=engine,
            settings=settings,
        )  # fmt: skip
        window.show()
        self.window = window
        self.qtbot.waitUntil(window.isActiveWindow, timeout=20_000)
        if wait:
            self.qtbot.waitUntil(lambda: engine.state.phase == "ready", timeout=20_000)
        return window

    def close(self) -> None:
        if self.window is None or self.history is None:
            return
        self.window.close()
        self.window.deleteLater()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        self.history.close()
        self.window = None


@pytest.fixture
def program(qtbot: QtBot, qapp: QApplication, tmp_path: Path) -> Iterator[Program]:
    made = Program(qtbot, qapp, tmp_path / "data")
    yield made
    made.close()
