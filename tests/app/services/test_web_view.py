"""Files that are dragged over a page reach the widget around it; text stays the page's."""

from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.services.web_view import WebView


class Around(QWidget):
    """Takes whatever is dropped on it."""

    def __init__(self) -> None:
        super().__init__()
        self.setAcceptDrops(True)
        self.num_entered = 0

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        self.num_entered += 1
        event.acceptProposedAction()


@pytest.mark.parametrize(("what", "entered"), [("file", 1), ("text", 0)])
def test_files_dragged_over_a_page_are_the_window_s(qtbot: QtBot, tmp_path: Path, what: str, entered: int) -> None:
    around = Around()
    qtbot.addWidget(around)
    view = WebView(around)
    QVBoxLayout(around).addWidget(view)
    around.show()
    data = QMimeData()
    if what == "file":
        data.setUrls([QUrl.fromLocalFile(str(tmp_path / "a.moetrace"))])
    else:
        data.setText("some text")
    event = QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton,
                            Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(view, event)
    assert around.num_entered == entered
    assert event.isAccepted()
