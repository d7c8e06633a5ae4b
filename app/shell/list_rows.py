"""How the rows of the side bar are painted."""

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from app.models.chats import ChatRole
from app.theme.metrics import ROW_HEIGHT, SMALL_SIZE, TINY_SIZE
from app.theme.theme import Theme

Index = QModelIndex | QPersistentModelIndex
_LEFT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft


class RowDelegate(QStyledItemDelegate):
    """A row on a rounded ground: selected, hovered or plain."""

    def __init__(self, theme: Theme, parent: QObject) -> None:
        super().__init__(parent)
        self._theme = theme

    def _paint_ground(self, painter: QPainter, option: QStyleOptionViewItem) -> tuple[QRect, bool]:
        """Paint the ground; give the inner rectangle and whether the row is selected."""
        rect: QRect = option.rect.adjusted(0, 1, 0, -1)
        state = option.state
        selected = bool(state & QStyle.StateFlag.State_Selected)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if selected or state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self._theme.color("accent_background" if selected else "raised"))
            painter.drawRoundedRect(rect, 6, 6)
        return rect.adjusted(8, 0, -8, 0), selected

    def _text(self, painter: QPainter, rect: QRect, text: str, role: str, font: QFont) -> None:
        painter.setFont(font)
        painter.setPen(self._theme.color(role))
        shown = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
        painter.drawText(rect, _LEFT, shown)


class ChatRowDelegate(RowDelegate):
    """Conversations, group captions between them, and hits with the line they were found in."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint one row."""
        painter.save()
        if index.data(ChatRole.IS_HEADER):
            rect: QRect = option.rect.adjusted(8, 8, 0, 0)
            self._text(painter, rect, str(index.data()).upper(), "faint", self._theme.font(TINY_SIZE))
        else:
            rect, selected = self._paint_ground(painter, option)
            snippet = " ".join(str(index.data(ChatRole.SNIPPET) or "").split())
            title = QRect(rect)
            if snippet:
                title.setHeight(rect.height() // 2 + 2)
                below = rect.adjusted(0, rect.height() // 2 - 2, 0, 0)
                self._text(painter, below, snippet, "faint", self._theme.font(SMALL_SIZE))
            role = "text" if selected or snippet else "dim"
            self._text(painter, title, str(index.data()), role, self._theme.font())
        painter.restore()

    def sizeHint(self, _option: QStyleOptionViewItem, index: Index) -> QSize:
        """Two lines for a hit."""
        if index.data(ChatRole.IS_HEADER):
            return QSize(100, ROW_HEIGHT + 6)
        return QSize(100, 46 if index.data(ChatRole.SNIPPET) else ROW_HEIGHT + 4)


class FileRowDelegate(RowDelegate):
    """Files of the project, in the code font."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint one row."""
        painter.save()
        rect, selected = self._paint_ground(painter, option)
        font = self._theme.mono()
        self._text(painter, rect.adjusted(8, 0, 0, 0), str(index.data()), "text" if selected else "dim", font)
        painter.restore()

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        """One line."""
        return QSize(100, ROW_HEIGHT + 2)
