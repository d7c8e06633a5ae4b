"""What went wrong in this chat and what one can do, above the composer; it stays until it is closed or solved."""

from collections.abc import Sequence

from PySide6.QtCore import Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget

from app.theme.controls import Card, FlowLayout, make_button, make_label, make_tool_button
from app.theme.metrics import GAP_S
from app.theme.theme import Theme


class ProblemBar(Card):
    """Hidden until there is something to say."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, fill="error_background", border="error_background")
        self.text = make_label("")
        self.text.setWordWrap(True)
        row = QHBoxLayout()
        row.setContentsMargins(12, 4, 4, 4)
        row.setSpacing(GAP_S)
        row.addWidget(self.text, 1)
        row.addWidget(make_tool_button(theme, "close", "Close this message", self._close))
        self.column.addLayout(row)
        self.buttons: list[QPushButton] = []
        self._ways_out = QWidget()
        self._flow = FlowLayout(self._ways_out, GAP_S)
        foot = QHBoxLayout()
        foot.setContentsMargins(12, 0, 12, 8)
        foot.addWidget(self._ways_out)
        self._foot = QWidget()
        self._foot.setLayout(foot)
        self.column.addWidget(self._foot)
        self.hide()

    def show_text(self, text: str, ways_out: Sequence[QAction] = ()) -> None:
        """Say it, with a button for everything that would help."""
        # A path has no spaces, and a line that can't break would push the pane wide.
        self.text.setText(text.replace("/", "/\u200b"))
        self.text.setAccessibleName(text)
        for button in self.buttons:
            self._flow.removeWidget(button)
            button.deleteLater()
        self.buttons = [make_button(action.text(), action.trigger) for action in ways_out]
        for button in self.buttons:
            self._flow.addWidget(button)
        self._foot.setVisible(bool(self.buttons))
        self.show()

    @Slot()
    def _close(self) -> None:
        self.hide()
