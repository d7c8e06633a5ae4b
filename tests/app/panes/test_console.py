"""The console with a real kernel: it runs files, shows figures, and asks before running a model's code."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot

from app.panes.console import ConsolePane
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


def test_a_restart_forgets_every_name(qtbot: QtBot, pane: ConsolePane) -> None:
    pane.start()
    qtbot.waitSignal(pane.kernel_started, timeout=KERNEL_MS).wait()
    console = pane.widget()
    assert console is not None
    console.execute("secret = 5; print('is', secret)")
    qtbot.waitUntil(lambda: "\nis 5\n" in shown(pane), timeout=KERNEL_MS)
    with qtbot.waitSignal(pane.kernel_started, timeout=KERNEL_MS):
        pane.restart()
    console.execute("print('secret' in dir(), np.arange(3).sum())")
    qtbot.waitUntil(lambda: "\nFalse 3\n" in shown(pane), timeout=KERNEL_MS)


def test_a_kernel_that_ends_before_it_answers_is_said_and_can_be_started_again(
    qtbot: QtBot, pane: ConsolePane
) -> None:
    pane.start()
    assert pane._manager is not None
    pane._manager.shutdown_kernel(now=True)
    qtbot.waitUntil(lambda: "ended before it answered" in pane._state.text(), timeout=KERNEL_MS)
    assert pane.widget() is None
    with qtbot.waitSignal(pane.kernel_started, timeout=KERNEL_MS):
        pane.start()
