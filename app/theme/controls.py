"""Small styled controls every pane shares: labels, buttons, chips, a flowing row, a meter, a state dot.

Nothing here knows what it is used for.
"""

from collections.abc import Callable
from typing import Literal

from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt, SignalInstance, Slot
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QLabel,
    QLayout,
    QLayoutItem,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.theme.metrics import GAP_S, ICON_SIZE, ROW_HEIGHT
from app.theme.theme import Theme

Tone = Literal["text", "dim", "faint", "ok", "warning", "error", "accent"]
TextSize = Literal["normal", "small", "tiny"]
ButtonKind = Literal["plain", "primary", "chip", "link", "card", "keys"]


def make_label(text: str, tone: Tone = "text", size: TextSize = "normal", *, bold: bool = False) -> QLabel:
    """A label in one of the three steps of emphasis or a state's colour."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setProperty("tone", tone)
    label.setProperty("scale", size)  # "size" is QWidget's own property
    label.setProperty("weight", "bold" if bold else "normal")
    return label


def set_tone(label: QWidget, tone: Tone) -> None:
    """Change the tone of a label made above."""
    if label.property("tone") != tone:
        label.setProperty("tone", tone)
        label.style().unpolish(label)
        label.style().polish(label)


def make_button(text: str, slot: Callable[..., object] | SignalInstance, kind: ButtonKind = "plain",
                tip: str = "") -> QPushButton:
    """A push button; its accessible name is its text, its tooltip says more where there is more to say."""
    button = QPushButton(text)
    button.setProperty("kind", kind)
    button.setToolTip(tip)
    if kind in ("chip", "link"):
        button.setCursor(Qt.CursorShape.PointingHandCursor)
    button.clicked.connect(slot)
    return button


def make_tool_button(theme: Theme, icon: str, tip: str, slot: Callable[..., object] | None = None,
                     role: str = "dim") -> QToolButton:
    """An icon button with a tooltip that is also its accessible name."""
    button = QToolButton()
    button.setIconSize(QSize(ICON_SIZE, ICON_SIZE))
    button.setFixedSize(ROW_HEIGHT, ROW_HEIGHT)
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    theme.set_icon(button, icon, role)
    if slot is not None:
        button.clicked.connect(slot)
    return button


class QuietButton(QToolButton):
    """An icon button that shows only while the mouse is over its owner, or it has the focus itself."""

    def __init__(self, theme: Theme, icon: str, tip: str, slot: Callable[..., object]) -> None:
        super().__init__()
        self._owner_is_hovered = False
        self.setIconSize(QSize(ICON_SIZE - 2, ICON_SIZE - 2))
        self.setFixedSize(22, 20)
        self.setToolTip(tip)
        self.setAccessibleName(tip)
        theme.set_icon(self, icon, "faint")
        self.clicked.connect(slot)

    def set_owner_hovered(self, *, hovered: bool) -> None:
        """Show or hide; its place stays."""
        self._owner_is_hovered = hovered
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint when there is reason to."""
        if self._owner_is_hovered or self.hasFocus():
            super().paintEvent(event)


def surface(name: Literal["panel", "background", "code", "clear"]) -> QWidget:
    """A plain widget with the background of a surface."""
    widget = QWidget()
    widget.setProperty("surface", name)
    widget.setAttribute(Qt.WidgetAttribute.WA_StyledBackground, name != "clear")
    return widget


class Line(QWidget):
    """A border of one pixel, horizontal or vertical."""

    def __init__(self, theme: Theme, orientation: Qt.Orientation = Qt.Orientation.Horizontal) -> None:
        super().__init__()
        self._theme = theme
        if orientation is Qt.Orientation.Horizontal:
            self.setFixedHeight(1)
        else:
            self.setFixedWidth(1)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the line."""
        QPainter(self).fillRect(self.rect(), self._theme.color("line"))


class Dot(QWidget):
    """A round state mark; whoever shows it puts a word beside it."""

    def __init__(self, theme: Theme, role: str = "faint") -> None:
        super().__init__()
        self._theme = theme
        self._role = role
        self.setFixedSize(8, 8)

    def set_role(self, role: str) -> None:
        """Take another colour role."""
        self._role = role
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the dot."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color(self._role))
        painter.drawEllipse(QRectF(0.5, 0.5, 7, 7))


class Meter(QWidget):
    """A thin bar that shows a share of 0..1."""

    def __init__(self, theme: Theme, name: str, width_px: int = 90) -> None:
        super().__init__()
        self._theme = theme
        self._share = 0.0
        self.setFixedSize(width_px, 14)
        self.setAccessibleName(name)

    def set_share(self, share: float) -> None:
        """Show another share; past 85% it is drawn as a warning."""
        self._share = min(max(share, 0.0), 1.0)
        self.update()

    def share(self) -> float:
        """The share on show."""
        return self._share

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint track and bar."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        track = QRectF(0, self.height() / 2 - 2, self.width(), 4)
        painter.setBrush(self._theme.color("line"))
        painter.drawRoundedRect(track, 2, 2)
        if self._share > 0:
            track.setWidth(max(4.0, track.width() * self._share))
            painter.setBrush(self._theme.color("warning" if self._share > 0.85 else "accent"))
            painter.drawRoundedRect(track, 2, 2)


class ElidedLabel(QLabel):
    """A one-line label that gives way: it ends in an ellipsis where there is no room."""

    def __init__(self, text: str = "", tone: Tone = "dim") -> None:
        super().__init__()
        self._full = ""
        self.setProperty("tone", tone)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.set_full_text(text)

    def set_full_text(self, text: str) -> None:
        """Show another text."""
        self._full = " ".join(text.split())
        self.setAccessibleName(self._full)
        self._elide()
        self.updateGeometry()

    def full_text(self) -> str:
        """The text before it was cut."""
        return self._full

    def _elide(self) -> None:
        shown = QFontMetrics(self.font()).elidedText(self._full, Qt.TextElideMode.ElideRight, self.width())
        if shown != self.text():
            self.setText(shown)
        self.setToolTip(self._full if shown != self._full else "")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cut again."""
        super().resizeEvent(event)
        self._elide()

    def sizeHint(self) -> QSize:
        """Room for the whole text."""
        metrics = QFontMetrics(self.font())
        return QSize(metrics.horizontalAdvance(self._full) + 2, metrics.height())

    def minimumSizeHint(self) -> QSize:
        """It can shrink to a few letters."""
        return QSize(min(self.sizeHint().width(), 24), self.sizeHint().height())


class FlowLayout(QLayout):
    """Lays widgets in rows from the left and wraps, as words of a text."""

    def __init__(self, parent: QWidget | None = None, gap_px: int = GAP_S) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self._gap = gap_px
        self.setContentsMargins(0, 0, 0, 0)

    def _arrange(self, rect: QRect, *, move: bool) -> int:
        x, y, row_height = rect.x(), rect.y(), 0
        for item in self._items:
            widget = item.widget()
            if widget is not None and widget.isHidden():
                continue
            hint = item.sizeHint()
            if x > rect.x() and x + hint.width() > rect.right() + 1:
                x, y, row_height = rect.x(), y + row_height + self._gap, 0
            if move:
                item.setGeometry(QRect(QPoint(x, y), hint.boundedTo(QSize(rect.width(), hint.height()))))
            x += hint.width() + self._gap
            row_height = max(row_height, hint.height())
        return y + row_height - rect.y()

    def addItem(self, item: QLayoutItem) -> None:
        """Take an item."""
        self._items.append(item)

    def count(self) -> int:
        """Number of items."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        """Item by index."""
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        """Give an item back."""
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def hasHeightForWidth(self) -> bool:
        """Rows depend on the width."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Height of all rows."""
        return self._arrange(QRect(0, 0, width, 0), move=False)

    def setGeometry(self, rect: QRect) -> None:
        """Place the items."""
        super().setGeometry(rect)
        self._arrange(rect, move=True)

    def sizeHint(self) -> QSize:
        """The smallest size that holds the widest item."""
        return self.minimumSize()

    def minimumSize(self) -> QSize:
        """The smallest size that holds the widest item."""
        size = QSize(0, 0)
        for item in self._items:
            size = size.expandedTo(item.minimumSize())
        return size


class Card(QFrame):
    """A rounded surface with a border of one pixel, painted (no style sheet of its own)."""

    def __init__(self, theme: Theme, fill: str = "panel", border: str = "line", radius_px: int = 8) -> None:
        super().__init__()
        self._theme = theme
        self._fill, self._border, self._radius = fill, border, radius_px
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 1, 1, 1)
        column.setSpacing(0)
        self.column = column
        theme.theme_changed.connect(self._repaint)

    def set_roles(self, fill: str, border: str) -> None:
        """Take other colours."""
        self._fill, self._border = fill, border
        self.update()

    @Slot()
    def _repaint(self) -> None:
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the surface."""
        paint_rounded(self, self._theme.color(self._fill), self._theme.color(self._border), self._radius)


def paint_rounded(widget: QWidget, fill: QColor, border: QColor, radius_px: int) -> None:
    """Fill a widget with a rounded, bordered rectangle."""
    painter = QPainter(widget)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(border)
    painter.setBrush(fill)
    painter.drawRoundedRect(QRectF(widget.rect()).adjusted(0.5, 0.5, -0.5, -0.5), radius_px, radius_px)
