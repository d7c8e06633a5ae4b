"""What requests and answers share, and the person's request: a bubble that can be edited and sent again."""

from PySide6.QtCore import QEvent, Qt, Signal, Slot
from PySide6.QtGui import QEnterEvent, QGuiApplication, QKeyEvent, QPainter, QPainterPath, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from app.core.records import Message
from app.panes.chat.notices import spaced
from app.panes.chat.text_views import plain_document
from app.theme.controls import QuietButton, make_button, make_label, make_tool_button
from app.theme.metrics import GAP_XS
from app.theme.theme import Theme

_BUBBLE_SHARE = 0.8
_BUBBLE_PADDING = 12


class SiblingArrows(QWidget):
    """< 2 of 3 >: the other versions of a message.

    Signals:
        stepped: -1 or +1.
    """

    stepped = Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self.previous = make_tool_button(theme, "chevron-left", "Earlier version", self._back, "faint")
        self.next = make_tool_button(theme, "chevron-right", "Later version", self._forward, "faint")
        self.place = make_label("", "faint", "small")
        for widget in (self.previous, self.place, self.next):
            row.addWidget(widget)
        for button in (self.previous, self.next):
            button.setFixedSize(20, 20)
        self.hide()

    def show_place(self, index: int, count: int) -> None:
        """Show "index+1 of count"; hidden for an only child."""
        self.place.setText(f"{index + 1} of {count}")
        self.previous.setEnabled(index > 0)
        self.next.setEnabled(index < count - 1)
        self.setVisible(count > 1)

    @Slot()
    def _back(self) -> None:
        self.stepped.emit(-1)

    @Slot()
    def _forward(self) -> None:
        self.stepped.emit(1)


class MessageView(QWidget):
    """What requests and answers share.

    Signals:
        sibling_stepped: (message id, -1 or +1).
    """

    sibling_stepped = Signal(int, int)

    def __init__(self, theme: Theme, message: Message) -> None:
        super().__init__()
        self._theme = theme
        self.message = message
        self.quiet_buttons: list[QuietButton] = []
        self.arrows = SiblingArrows(theme)
        self.arrows.stepped.connect(self._stepped)

    @Slot(int)
    def _stepped(self, delta: int) -> None:
        self.sibling_stepped.emit(self.message.id, delta)

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.message.text)

    def enterEvent(self, event: QEnterEvent) -> None:
        """Show the tools."""
        super().enterEvent(event)
        for button in self.quiet_buttons:
            button.set_owner_hovered(hovered=True)

    def leaveEvent(self, event: QEvent) -> None:
        """Hide the tools."""
        super().leaveEvent(event)
        for button in self.quiet_buttons:
            button.set_owner_hovered(hovered=False)


class Bubble(QLabel):
    """The person's words on a rounded ground, as wide as they need."""

    def __init__(self, theme: Theme, text: str) -> None:
        super().__init__(text)
        self._theme = theme
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setContentsMargins(_BUBBLE_PADDING, 8, _BUBBLE_PADDING, 8)

    def fit(self, available_px: int) -> None:
        """Take the size the text needs within `available_px`."""
        document = plain_document(self.text(), self._theme)
        padding = 2 * _BUBBLE_PADDING
        document.setTextWidth(max(40, available_px * _BUBBLE_SHARE - padding))
        width = int(document.idealWidth()) + padding + 4
        self.setFixedWidth(width)
        self.setFixedHeight(self.heightForWidth(width))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the ground: three round corners, the speaker's one small."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        path = QPainterPath()
        path.addRoundedRect(self.rect().toRectF(), 12, 12)
        corner = self.rect().toRectF()
        corner.setTopLeft(corner.center())
        path.addRoundedRect(corner, 4, 4)
        path.setFillRule(Qt.FillRule.WindingFill)
        painter.fillPath(path, self._theme.color("bubble"))
        painter.end()
        super().paintEvent(event)


class RequestEditor(QPlainTextEdit):
    """Edits a request in place; Enter sends, Escape leaves it as it was.

    Signals:
        accepted, cancelled.
    """

    accepted = Signal()
    cancelled = Signal()

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAccessibleName("Edit the request")
        self.setFixedHeight(min(160, max(56, (text.count("\n") + 2) * 20 + 16)))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter sends, Shift+Enter breaks the line."""
        plain = not event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and plain:
            self.accepted.emit()
        elif event.key() == Qt.Key.Key_Escape:
            self.cancelled.emit()
        else:
            super().keyPressEvent(event)


class RequestView(MessageView):
    """A request, at the right.

    Signals:
        edited: (message id, new text).
    """

    edited = Signal(int, str)

    def __init__(self, theme: Theme, message: Message) -> None:
        super().__init__(theme, message)
        self.bubble = Bubble(theme, message.text)
        self.editor: RequestEditor | None = None
        self.edit_button = QuietButton(theme, "edit", "Edit this request and send it again", self._edit)
        self.copy_button = QuietButton(theme, "copy", "Copy", self._copy)
        self.quiet_buttons = [self.copy_button, self.edit_button]
        self._column = spaced(QVBoxLayout(self), 2)
        self._row = QWidget()
        row = QHBoxLayout(self._row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addStretch(1)
        for widget in (self.arrows, *self.quiet_buttons):
            row.addWidget(widget)
        row.addSpacing(GAP_XS)
        row.addWidget(self.bubble)
        self._column.addWidget(self._row)

    @Slot()
    def _edit(self) -> None:
        if self.editor is not None:
            return
        self.editor = RequestEditor(self.message.text)
        self.editor.accepted.connect(self._accept)
        self.editor.cancelled.connect(self._leave)
        self._buttons = QWidget()
        row = QHBoxLayout(self._buttons)
        row.setContentsMargins(0, GAP_XS, 0, 0)
        row.addWidget(make_label("The answer is written again; this version stays.", "faint", "small"), 1)
        row.addWidget(make_button("Cancel", self._leave))
        row.addWidget(make_button("Send", self._accept, "primary"))
        self._column.addWidget(self.editor)
        self._column.addWidget(self._buttons)
        self._row.hide()
        self.editor.setFocus()

    @Slot()
    def _accept(self) -> None:
        assert self.editor is not None
        text = self.editor.toPlainText().strip()
        if text:  # the editor stays with its text until the new version is shown in this one's place
            self.edited.emit(self.message.id, text)
        else:
            self._leave()

    @Slot()
    def _leave(self) -> None:
        if self.editor is None:
            return
        for widget in (self.editor, self._buttons):
            widget.hide()
            widget.deleteLater()
        self.editor = None
        self._row.show()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Refit the bubble."""
        super().resizeEvent(event)
        self.bubble.fit(self.width())
