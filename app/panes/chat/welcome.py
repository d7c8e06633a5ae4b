"""First start: what one can ask for, and how far the model's loading has come."""

from dataclasses import dataclass

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from app.theme.controls import make_label, paint_rounded, set_tone
from app.theme.metrics import GAP_L, GAP_M, GAP_S, GAP_XL, GAP_XS, RADIUS_L
from app.theme.theme import Theme


@dataclass(frozen=True, slots=True)
class PromptCard:
    """A request to begin with."""

    icon: str
    title: str
    prompt: str


PROMPT_CARDS = (
    PromptCard("mountain", "Mountain scene", "A mountain scene at night with 80 pine trees and a frozen lake"),
    PromptCard("ball", "Bouncing balls", "20 bouncing balls with trails"),
    PromptCard("chart", "Remote-work trends", "A chart of remote-work trends by industry"),
    PromptCard("cube", "Block world", "A block world at sunset"),
)


class CardButton(QWidget):
    """One prompt card.

    Signals:
        chosen: the prompt.
    """

    chosen = Signal(str)

    def __init__(self, theme: Theme, card: PromptCard) -> None:
        super().__init__()
        self._theme = theme
        self._card = card
        self._is_hovered = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(f"{card.title}: {card.prompt}")
        self.setToolTip("Send this request")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._icon = QLabel()
        self._icon.setFixedSize(QSize(20, 20))
        text = make_label(card.prompt, "dim", "small")
        text.setWordWrap(True)
        words = QVBoxLayout()
        words.setSpacing(GAP_XS)
        words.addWidget(make_label(card.title, bold=True))
        words.addWidget(text)
        words.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(GAP_L, GAP_M + 2, GAP_L, GAP_M)
        row.setSpacing(GAP_M)
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)
        self.setFixedHeight(84)
        theme.theme_changed.connect(self._apply_theme)
        self._apply_theme()

    @Slot()
    def _apply_theme(self) -> None:
        self._icon.setPixmap(self._theme.pixmap(self._card.icon, "accent", size_px=20, scale=2))
        self.update()

    def enterEvent(self, event: object) -> None:
        """Show that it can be pressed."""
        super().enterEvent(event)  # type: ignore[arg-type]
        self._is_hovered = True
        self.update()

    def leaveEvent(self, event: object) -> None:
        """Back to rest."""
        super().leaveEvent(event)  # type: ignore[arg-type]
        self._is_hovered = False
        self.update()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show the focus."""
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Hide the focus."""
        super().focusOutEvent(event)
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the press, so that the release comes here too."""
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Choose."""
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.chosen.emit(self._card.prompt)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Choose by keyboard."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.chosen.emit(self._card.prompt)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the ground."""
        lively = self._is_hovered or self.hasFocus()
        paint_rounded(self, self._theme.color("raised" if self._is_hovered else "panel"),
                      self._theme.color("accent" if lively else "line"), RADIUS_L)


class Welcome(QWidget):
    """Shown in an empty conversation.

    Signals:
        prompt_chosen: a request to send.
    """

    prompt_chosen = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.cards = [CardButton(theme, card) for card in PROMPT_CARDS]
        for card in self.cards:
            card.chosen.connect(self.prompt_chosen)
        self.state = make_label("", "dim", "small")
        self.state.setWordWrap(True)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setRange(0, 1000)
        self.progress.setMaximumWidth(200)
        self.progress.setAccessibleName("Loading the model")
        self._grid = QGridLayout()
        self._columns = 0
        self._build(theme)

    def _build(self, theme: Theme) -> None:
        title = make_label("What shall we build?")
        title.setFont(theme.font(20, bold=True))
        subtitle = make_label("Scenes, games and charts that run right here. Everything stays on this computer.", "dim")
        subtitle.setWordWrap(True)
        self._grid.setSpacing(GAP_M)
        loading = QHBoxLayout()
        loading.setSpacing(GAP_M)
        loading.addWidget(self.progress)
        loading.addWidget(self.state, 1)
        inner = QWidget()
        inner.setMaximumWidth(640)
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP_S)
        column.addWidget(title)
        column.addWidget(subtitle)
        column.addSpacing(GAP_L)
        column.addLayout(self._grid)
        column.addSpacing(GAP_M)
        column.addLayout(loading)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(inner, 1000)
        row.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(GAP_XL, GAP_XL, GAP_XL, GAP_XL)
        outer.addStretch(2)
        outer.addLayout(row)
        outer.addStretch(3)
        self._place_cards(2)

    def _place_cards(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        for column in range(2):
            self._grid.setColumnStretch(column, 1 if column < columns else 0)
        for number, card in enumerate(self.cards):
            self._grid.addWidget(card, number // columns, number % columns)

    def show_state(self, text: str, *, progress: float | None = None, failed: bool = False) -> None:
        """Say what the model does; `progress` (0..1) while it loads."""
        self.state.setText(text)
        set_tone(self.state, "error" if failed else "dim")
        self.progress.setVisible(progress is not None)
        if progress is not None:
            self.progress.setValue(round(progress * 1000))

    def resizeEvent(self, event: object) -> None:
        """One column of cards where there is no room for two."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._place_cards(2 if self.width() >= 520 else 1)
