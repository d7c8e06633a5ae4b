"""What stands in place of the page while there is none to see."""

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.theme.controls import make_button, make_label
from app.theme.metrics import GAP_S
from app.theme.theme import Theme


class StatePage(QWidget):
    """What stands in place of the page: nothing there yet, or stopped. Up to two buttons say what can be done.

    Signals:
        first_pressed, second_pressed.
    """

    first_pressed = Signal()
    second_pressed = Signal()

    def __init__(self, theme: Theme, icon: str, tone: str = "faint") -> None:
        super().__init__()
        self._theme, self._icon, self._tone = theme, icon, tone
        self._picture = QLabel()
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.title = make_label("", "text", bold=True)
        self.text = make_label("", "dim", "small")
        for label in (self.title, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            label.setWordWrap(True)
        self.first = make_button("", self.first_pressed, "primary")
        self.second = make_button("", self.second_pressed)
        buttons = QHBoxLayout()
        buttons.setSpacing(GAP_S)
        buttons.addStretch(1)
        buttons.addWidget(self.first)
        buttons.addWidget(self.second)
        buttons.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(32, 16, 32, 16)
        column.setSpacing(GAP_S)
        column.addStretch(2)
        column.addWidget(self._picture)
        column.addWidget(self.title)
        column.addWidget(self.text)
        column.addSpacing(GAP_S)
        column.addLayout(buttons)
        column.addStretch(3)
        theme.theme_changed.connect(self._paint_icon)
        self._paint_icon()

    def say(self, title: str, text: str, first: str = "", second: str = "") -> None:
        """Show other words; a button without a word is hidden."""
        self.title.setText(title)
        self.text.setText(text)
        for button, word in ((self.first, first), (self.second, second)):
            button.setText(word)
            button.setVisible(bool(word))

    @Slot()
    def _paint_icon(self) -> None:
        ratio = self.devicePixelRatioF()
        self._picture.setPixmap(self._theme.pixmap(self._icon, self._tone, 32, ratio))
