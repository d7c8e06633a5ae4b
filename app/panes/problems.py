"""The Problems pane: what went wrong, each with a way to the code and a way to have it fixed."""

from PySide6.QtCore import QModelIndex, Qt, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QListView, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from app.models.problems import PROBLEM_ROLE, ProblemEntry, ProblemsModel

EMPTY_TEXT = "No problems.\nErrors of the running page, rejected edits and blocked requests are listed here."


class ProblemsPane(QWidget):
    """Lists problems.

    Signals:
        source_requested: (path, line) to show in the editor.
        fix_requested: a report for the model, in words.
    """

    source_requested = Signal(str, int)
    fix_requested = Signal(str)

    def __init__(self, model: ProblemsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._build()
        model.count_changed.connect(self._show_state)
        self._show_state(model.rowCount())

    def _build(self) -> None:
        self.list = QListView(self)
        self.list.setAccessibleName("Problems")
        self.list.setModel(self._model)
        self.list.setUniformItemSizes(True)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.activated.connect(self._activated)
        empty = QLabel(EMPTY_TEXT, self)
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        empty.setProperty("tone", "dim")
        self._pages = QStackedWidget(self)
        self._pages.addWidget(empty)
        self._pages.addWidget(self.list)
        self.fix_button = self._button("Fix it", "Send these problems to the model", self._ask_for_fix)
        self.copy_button = self._button("Copy", "Copy the problems as text", self._copy)
        self.clear_button = self._button("Clear", "Forget these problems", self._clear)
        row = QHBoxLayout()
        row.addStretch(1)
        for button in (self.fix_button, self.copy_button, self.clear_button):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.addWidget(self._pages, 1)
        column.addLayout(row)

    def _button(self, text: str, tip: str, slot: object) -> QPushButton:
        button = QPushButton(text, self)
        button.setProperty("kind", "link")
        button.setToolTip(tip)
        button.clicked.connect(slot)
        return button

    def _report(self) -> str:
        return "\n".join(_line(entry) for entry in self._model.entries())

    @Slot(int)
    def _show_state(self, count: int) -> None:
        self._pages.setCurrentIndex(1 if count else 0)
        for button in (self.fix_button, self.copy_button, self.clear_button):
            button.setVisible(count > 0)

    @Slot(QModelIndex)
    def _activated(self, index: QModelIndex) -> None:
        entry = index.data(PROBLEM_ROLE)
        if entry.path:
            self.source_requested.emit(entry.path, entry.line)

    @Slot()
    def _ask_for_fix(self) -> None:
        self.fix_requested.emit(self._report())

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._report())

    @Slot()
    def _clear(self) -> None:
        self._model.clear()


def _line(entry: ProblemEntry) -> str:
    where = f" ({entry.path}:{entry.line})" if entry.path and entry.line else f" ({entry.path})" if entry.path else ""
    return f"{entry.severity}: {entry.text}{where}"
