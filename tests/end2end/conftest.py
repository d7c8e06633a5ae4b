"""The real window with the real engine and the shipped Nano, in a data folder of the test's own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bootstrap import Options, build_window
from app.core.history import History
from app.paths import data_paths
from app.services.web_flags import apply_web_flags
from app.services.web_schemes import register_schemes
from app.shell.main_window import MainWindow

apply_web_flags(os.environ)
register_schemes()

ENGINE_MS = 60_000


@pytest.fixture
def window(qtbot: QtBot, qapp: QApplication, tmp_path: Path) -> Iterator[MainWindow]:
    """The program's window, its engine ready."""
    paths = data_paths(tmp_path / "data")
    paths.create()
    history = History(paths.database)
    window = build_window(qapp, paths, history, Options(size=(1400, 900), theme="dark"))
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: window.parts.engine.state.phase == "ready", timeout=ENGINE_MS)
    yield window
    window.close()
    history.close()
