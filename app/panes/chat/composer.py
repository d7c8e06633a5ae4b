"""The composer: where the person writes. It stays usable while an answer streams."""

from PySide6.QtCore import QMimeData, Qt, Signal, Slot
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QMenu, QPlainTextEdit, QVBoxLayout, QWidget

from app.theme.controls import make_button, make_label, make_tool_button, paint_rounded, set_tone
from app.theme.metrics import GAP_M, GAP_S, RADIUS_L
from app.theme.theme import Theme

_MAX_LINES = 9
_LINE_PX = 20


class ComposerText(QPlainTextEdit):
    """Plain text that is one to nine lines tall. Enter sends, Shift+Enter breaks the line.

    Signals:
        submitted, focus_moved.
    """

    submitted = Signal()
    focus_moved = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName("Message")
        self.setTabChangesFocus(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().setDocumentMargin(0)
        self.textChanged.connect(self.fit)
        self.fit()

    @Slot()
    def fit(self) -> None:
        """Follow the number of lines, wrapped ones too."""
        lines = max(1, round(self.document().size().height()))
        line_px = max(_LINE_PX - 3, QFontMetrics(self.font()).lineSpacing())
        self.setVerticalScrollBarPolicy(
            Qt.ScrollBarPolicy.ScrollBarAsNeeded if lines > _MAX_LINES else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        self.setFixedHeight(min(lines, _MAX_LINES) * line_px + 6)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter sends."""
        breaks = event.modifiers() & (Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.AltModifier)
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not breaks:
            self.submitted.emit()
        else:
            super().keyPressEvent(event)

    def insertFromMimeData(self, source: QMimeData) -> None:
        """Paste text only."""
        if source.hasText():
            self.insertPlainText(source.text())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrapped lines change with the width."""
        super().resizeEvent(event)
        self.fit()

    def focusInEvent(self, event: object) -> None:
        """Show the frame's focus."""
        super().focusInEvent(event)  # type: ignore[arg-type]
        self.focus_moved.emit()

    def focusOutEvent(self, event: object) -> None:
        """Show the frame's focus."""
        super().focusOutEvent(event)  # type: ignore[arg-type]
        self.focus_moved.emit()


class Composer(QWidget):
    """Text field and the row under it.

    Signals:
        sent: the text; it is cleared by whoever accepts it.
        stop_requested.
        settings_requested: the person wants the answer's settings.
        text_changed: the draft.
    """

    sent = Signal(str)
    stop_requested = Signal()
    settings_requested = Signal()
    text_changed = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._is_busy = False
        self._is_first = True
        self.text = ComposerText()
        self.text.submitted.connect(self._submit)
        self.text.focus_moved.connect(self.update)
        self.text.textChanged.connect(self._text_changed)
        self.model_button = make_button("Model", self._open_model_menu, "link", "The model that answers")
        self.settings_button = make_tool_button(
            theme, "settings", "Temperature, seed, length, system prompt", self.settings_requested.emit
        )
        self.context_label = make_label("", "faint", "small")
        self.hint_label = make_label("", "accent", "small")
        self.send_button = make_button("Send", self._submit, "primary", "Send (Enter)")
        self.stop_button = make_button(
            "Stop", self.stop_requested.emit, "primary", "Stop writing (Escape); what came is kept"
        )
        self.stop_button.hide()
        self._model_menu: QMenu | None = None
        self._build()
        theme.theme_changed.connect(self._repaint)
        self._show_placeholder()
        self._text_changed()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(GAP_M, GAP_M, GAP_S, GAP_S)
        column.setSpacing(6)
        column.addWidget(self.text)
        row = QHBoxLayout()
        row.setSpacing(2)
        self.settings_button.setFixedSize(26, 24)
        row.addWidget(self.model_button)
        row.addWidget(self.settings_button)
        row.addWidget(self.hint_label)
        row.addStretch(1)
        row.addWidget(self.context_label)
        row.addSpacing(GAP_S)
        row.addWidget(self.send_button)
        row.addWidget(self.stop_button)
        column.addLayout(row)

    # --- content

    def draft(self) -> str:
        """The text as typed."""
        return self.text.toPlainText()

    def set_draft(self, text: str) -> None:
        """Replace the text."""
        if text != self.draft():
            self.text.setPlainText(text)
            self.text.moveCursor(self.text.textCursor().MoveOperation.End)

    def set_busy(self, *, busy: bool) -> None:
        """Show Stop instead of Send while an answer is written."""
        self._is_busy = busy
        self.stop_button.setVisible(busy)
        self.send_button.setVisible(not busy)
        self._show_placeholder()
        self._text_changed()

    def set_first(self, *, first: bool) -> None:
        """Whether the next request is the first of its conversation."""
        self._is_first = first
        self._show_placeholder()

    def _show_placeholder(self) -> None:
        text = "Ask for a scene, a game or a chart" if self._is_first else "Ask for a change, or something new"
        self.text.setPlaceholderText("Write the next message" if self._is_busy else text)

    def set_model(self, name: str, menu: QMenu | None = None) -> None:
        """Name the model; `menu` opens from the name."""
        self.model_button.setText(f"{name} ▾" if menu is not None else name)
        self._model_menu = menu

    def set_context(self, used: int, limit: int | None) -> None:
        """Say how much of the context the next prompt takes."""
        short = f"{short_count(used)} of {short_count(limit)}" if limit else ""
        self.context_label.setText(short)
        self.context_label.setAccessibleName(f"Context: {short} tokens" if limit else "")
        full = limit is not None and used > 0.9 * limit
        set_tone(self.context_label, "warning" if full else "faint")
        self.context_label.setToolTip(
            f"The next request takes about {used} of {limit} tokens; the oldest turns go first." if limit else ""
        )

    def show_hint(self, text: str) -> None:
        """Say something short in the row under the text; "" says nothing."""
        self.hint_label.setText(text)

    # --- receivers

    @Slot()
    def _submit(self) -> None:
        text = self.draft().strip()
        if text and not self._is_busy:
            self.sent.emit(text)

    @Slot()
    def _text_changed(self) -> None:
        self.send_button.setEnabled(bool(self.draft().strip()))
        self.text_changed.emit(self.draft())

    @Slot()
    def _open_model_menu(self) -> None:
        if self._model_menu is not None:
            corner = self.model_button.mapToGlobal(self.model_button.rect().topLeft())
            corner.setY(corner.y() - self._model_menu.sizeHint().height() - 4)
            self._model_menu.popup(corner)

    @Slot()
    def _repaint(self) -> None:
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape stops the answer."""
        if event.key() == Qt.Key.Key_Escape and self._is_busy:
            self.stop_requested.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the raised ground."""
        border = "accent" if self.text.hasFocus() else "line"
        paint_rounded(self, self._theme.color("raised"), self._theme.color(border), RADIUS_L)


def short_count(count: int) -> str:
    """1300 as "1.3k"."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.1f}".removesuffix(".0") + "k"
