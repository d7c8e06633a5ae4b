"""The Problems pane and its model."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from app.models.problems import MAX_ENTRIES, ProblemEntry, ProblemsModel
from app.panes.problems import ProblemsPane

ERROR = ProblemEntry(severity="error", source="page", text="x is not defined", path="index.html", line=7)


@pytest.fixture
def pane(qtbot: QtBot) -> ProblemsPane:
    model = ProblemsModel()
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal, model)
    pane = ProblemsPane(model)
    model.setParent(pane)
    pane.resize(500, 200)
    qtbot.addWidget(pane)
    pane.show()
    return pane


def model_of(pane: ProblemsPane) -> ProblemsModel:
    model = pane.list.model()
    assert isinstance(model, ProblemsModel)
    return model


def test_the_same_problem_again_is_counted(pane: ProblemsPane) -> None:
    for _ in range(3):
        model_of(pane).add(ERROR)
    model_of(pane).add(ProblemEntry(severity="warning", source="network", text="blocked https://a.example"))
    rows = [model_of(pane).index(row).data() for row in range(2)]
    assert "×3" in rows[0]
    assert "index.html:7" in rows[0]
    assert "blocked" in rows[1]


def test_a_problem_leads_to_its_line_and_to_a_fix(qtbot: QtBot, pane: ProblemsPane) -> None:
    assert not pane.fix_button.isVisible()
    model_of(pane).add(ERROR)
    with qtbot.waitSignal(pane.source_requested) as requested:
        pane.list.setCurrentIndex(model_of(pane).index(0))
        qtbot.keyClick(pane.list, Qt.Key.Key_Return)
    assert requested.args == ["index.html", 7]
    with qtbot.waitSignal(pane.fix_requested) as fix:
        qtbot.mouseClick(pane.fix_button, Qt.MouseButton.LeftButton)
    assert fix.args == ["error: x is not defined (index.html:7)"]
    qtbot.mouseClick(pane.copy_button, Qt.MouseButton.LeftButton)
    assert "x is not defined" in QGuiApplication.clipboard().text()
    qtbot.mouseClick(pane.clear_button, Qt.MouseButton.LeftButton)
    assert model_of(pane).rowCount() == 0


def test_one_source_can_be_cleared_and_the_list_is_bounded(pane: ProblemsPane) -> None:
    model_of(pane).add(ERROR)
    for number in range(MAX_ENTRIES):
        model_of(pane).add(ProblemEntry(severity="error", source="edit", text=f"edit {number}"))
    assert model_of(pane).rowCount() == MAX_ENTRIES
    model_of(pane).clear("edit")
    assert model_of(pane).entries() == []
