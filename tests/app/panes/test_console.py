"""The console with a real kernel: it runs files, shows figures, and asks before running a model's code."""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot

from app.panes.console import ConsolePane
from app.services import kernel
from app.theme.theme import Theme

KERNEL_MS = 60_000


@pytest.fixture
def pane(qtbot: QtBot, theme: Theme, project: Path) -> Iterator[ConsolePane]:
    pane = ConsolePane(theme)
    pane.resize(600, 300)
    pane.set_folder(project)
    qtbot.addWidget(pane)
    pane.show()
    yield pane
    pane.stop()


def shown(pane: ConsolePane) -> str:
    console = pane.widget()
    return "" if console is None else str(console._control.toPlainText())


def test_a_file_runs_in_the_project_s_folder_with_the_libraries_at_hand(
    qtbot: QtBot, pane: ConsolePane, project: Path
) -> None:
    (project / "analysis.py").write_text("import os\nprint('in', os.path.basename(os.getcwd()), 6 * 7)\n")
    assert pane.run_file(project / "analysis.py", written_by_model=False)
    qtbot.waitUntil(lambda: "in project 42" in shown(pane), timeout=KERNEL_MS)
    console = pane.widget()
    assert console is not None
    console.execute("print(pd.Series(np.arange(4)).sum()); plt.plot([1, 2]); plt.show()")
    qtbot.waitUntil(lambda: "\n6\n" in shown(pane), timeout=KERNEL_MS)
    qtbot.waitUntil(lambda: "\ufffc" in shown(pane), timeout=KERNEL_MS)  # the figure, as an inline object


def test_a_model_s_file_runs_only_after_the_person_agrees(
    qtbot: QtBot, pane: ConsolePane, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "evil.py").write_text("print('ran')\n")
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Cancel)
    assert not pane.run_file(project / "evil.py", written_by_model=True)
    assert pane.widget() is None
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    assert pane.run_file(project / "evil.py", written_by_model=True)
    assert pane.widget() is not None
    qtbot.waitUntil(lambda: "\nran\n" in shown(pane), timeout=KERNEL_MS)


def test_a_restart_forgets_every_name_and_a_kernel_that_dies_comes_back(qtbot: QtBot, pane: ConsolePane) -> None:
    with qtbot.waitSignal(pane.kernel_started, timeout=KERNEL_MS):
        pane.start()
    console = pane.widget()
    assert console is not None
    console.execute("secret = 5; print('is', secret)")
    qtbot.waitUntil(lambda: "\nis 5\n" in shown(pane), timeout=KERNEL_MS)
    with qtbot.waitSignal(pane.kernel_started, timeout=KERNEL_MS):
        pane.restart()
    console.execute("print('secret' in dir(), np.arange(3).sum())")
    qtbot.waitUntil(lambda: "\nFalse 3\n" in shown(pane), timeout=KERNEL_MS)
    with qtbot.waitSignal(pane.kernel_started, timeout=KERNEL_MS):
        console.execute("import os; os._exit(3)")
    assert pane.widget() is console
    console.execute("print('back', np.arange(4).sum())")
    qtbot.waitUntil(lambda: "\nback 6\n" in shown(pane), timeout=KERNEL_MS)


def test_it_starts_whatever_folders_and_kernels_the_computer_has(
    qtbot: QtBot, theme: Theme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("temporary" * 12)  # longer than the path of a socket may be
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    other = tmp_path / "jupyter" / "kernels" / "python3"  # the person's own "python3", of another Python
    other.mkdir(parents=True)
    spec = {"argv": ["false"], "display_name": "Other", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    folder = tmp_path / "a {PRELUDE} $x 'b'"
    folder.mkdir()
    pane = ConsolePane(theme)
    qtbot.addWidget(pane)
    pane.show()
    with qtbot.waitSignal(pane.kernel_started, timeout=KERNEL_MS):
        pane.start()
    pane.set_folder(folder)
    console = pane.widget()
    assert console is not None
    console.execute("import sys, os; print('at', os.path.basename(os.getcwd()), sys.prefix)")
    qtbot.waitUntil(lambda: f"\nat {folder.name} {sys.prefix}\n" in shown(pane), timeout=KERNEL_MS)
    pane.stop()


def test_a_kernel_that_ends_before_it_answers_says_why_and_can_be_started_again(
    qtbot: QtBot, pane: ConsolePane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ipykernel_launcher.py").write_text("raise ImportError('no kernel here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    qtbot.mouseClick(pane.start_button, Qt.MouseButton.LeftButton)
    assert not pane.start_button.isVisible()
    qtbot.waitUntil(pane.start_button.isVisible, timeout=KERNEL_MS)
    assert "Python did not start: ImportError: no kernel here" in pane.state.text()
    assert pane.widget() is None
    monkeypatch.delenv("PYTHONPATH")
    with qtbot.waitSignal(pane.kernel_started, timeout=KERNEL_MS):
        qtbot.mouseClick(pane.start_button, Qt.MouseButton.LeftButton)


@pytest.mark.skipif(os.name == "nt", reason="needs a process that stands still")
def test_a_kernel_that_does_not_answer_is_said_and_can_be_restarted(
    qtbot: QtBot, pane: ConsolePane, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "PATIENCE_MS", 0)
    (project / "late.py").write_text("print('late', 6 * 7)\n")
    pane.run_file(project / "late.py", written_by_model=False)
    manager = pane.kernel.manager
    assert manager is not None
    manager.signal_kernel(signal.SIGSTOP)
    qtbot.waitUntil(pane.start_button.isVisible, timeout=KERNEL_MS)
    assert "has not answered" in pane.state.text()
    with qtbot.waitSignal(pane.kernel_started, timeout=KERNEL_MS):
        qtbot.mouseClick(pane.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "\nlate 42\n" in shown(pane), timeout=KERNEL_MS)  # what waited is not lost
