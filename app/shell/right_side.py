"""The right side: code and preview, side by side or one of them, under one row of tabs."""

from typing import Literal

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QTabBar, QVBoxLayout, QWidget

from app.shell.docks import TAB_ROW_PX, TabRow
from app.theme.controls import Line
from app.theme.theme import Theme

Mode = Literal["code", "split", "preview"]
_NARROW_PX = 620


class RightSide(QWidget):
    """Holds the editor's file tabs, the editor and the preview. Nothing is ever reparented after the start.

    Signals:
        mode_changed: "code", "split" or "preview".
    """

    mode_changed = Signal(str)

    def __init__(self, theme: Theme, file_tabs: QTabBar, editor: QWidget, preview: QWidget) -> None:
        super().__init__()
        self.setProperty("surface", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._editor, self._preview = editor, preview
        self._mode: Mode = "split"
        self.modes = TabRow()
        self.modes.row.setContentsMargins(0, 0, 8, 0)
        for key, text in (("code", "Code"), ("split", "Split"), ("preview", "Preview")):
            self.modes.add(key, text, at_right=True)
        self.modes.chosen.connect(self._mode_chosen)
        file_tabs.setFixedHeight(TAB_ROW_PX - 1)
        file_tabs.tabBarClicked.connect(self._file_tab_clicked)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setHandleWidth(1)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(editor)
        self.splitter.addWidget(preview)
        self.splitter.setSizes([500, 500])
        row = QHBoxLayout()
        row.setContentsMargins(8, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(file_tabs, 1)
        row.addWidget(self.modes)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(row)
        column.addWidget(Line(theme))
        column.addWidget(self.splitter, 1)
        self.modes.set_current(self._mode)

    @property
    def mode(self) -> Mode:
        """What is on show."""
        return self._mode

    def set_mode(self, mode: Mode) -> None:
        """Show code, preview or both."""
        changed = mode != self._mode
        self._mode = mode
        self.modes.set_current(mode)
        self._editor.setVisible(mode != "preview")
        self._preview.setVisible(mode != "code")
        if changed:
            self.mode_changed.emit(mode)

    def make_code_visible(self) -> None:
        """Bring the code into sight, keeping the preview where there is room."""
        if self._mode == "preview":
            self.set_mode("split" if self.width() >= _NARROW_PX else "code")

    @Slot(str)
    def _mode_chosen(self, key: str) -> None:
        modes: dict[str, Mode] = {"code": "code", "split": "split", "preview": "preview"}
        self.set_mode(modes[key])

    @Slot(int)
    def _file_tab_clicked(self, index: int) -> None:
        if index >= 0:
            self.make_code_visible()
