"""One line above the composer for what went wrong in this chat; it stays until it is closed or solved."""

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QHBoxLayout

from app.theme.controls import Card, make_label, make_tool_button
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
        self.hide()

    def show_text(self, text: str) -> None:
        """Say it."""
        self.text.setText(text)
        self.show()

    @Slot()
    def _close(self) -> None:
        self.hide()
