"""The command palette: type a few letters of a command, press Enter."""

from collections.abc import Iterable

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Slot,
)
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from app.theme.controls import Card, Line
from app.theme.metrics import GAP_XS, RADIUS_L, ROW_HEIGHT
from app.theme.theme import Theme

Index = QModelIndex | QPersistentModelIndex
_WIDTH_PX = 560
_MAX_ROWS = 12


def match_score(query: str, text: str) -> int | None:
    """How well `query` fits `text`: None when its letters don't occur in order; else higher is better."""
    query, text = query.lower().strip(), text.lower()
    if not query:
        return 0
    if query in text:
        at = text.index(query)
        return 1000 - at + (200 if at == 0 or text[at - 1] == " " else 0)
    score, at = 0, -1
    for letter in query.replace(" ", ""):
        found = text.find(letter, at + 1)
        if found < 0:
            return None
        score += 8 if found == 0 or text[found - 1] == " " else 3 if found == at + 1 else -1
        at = found
    return score


class _CommandsModel(QAbstractListModel):
    """Enabled actions that fit the query, the best first."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._actions: list[QAction] = []
        self.shown: list[QAction] = []

    def set_actions(self, actions: Iterable[QAction]) -> None:
        self._actions = [action for action in actions if action.isEnabled()]
        self.set_query("")

    def set_query(self, query: str) -> None:
        self.beginResetModel()
        scored = [(match_score(query, action.text()), action) for action in self._actions]
        fitting = [(score, action) for score, action in scored if score is not None]
        self.shown = [action for _, action in sorted(fitting, key=lambda pair: -pair[0])]
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.shown)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        action = self.shown[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return action.text()
        if role == Qt.ItemDataRole.UserRole:
            return action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        return None


class _CommandDelegate(QStyledItemDelegate):
    """A row: the command at the left, its keys at the right."""

    def __init__(self, theme: Theme, parent: QObject) -> None:
        super().__init__(parent)
        self._theme = theme

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        rect: QRect = option.rect
        state = option.state
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if state & QStyle.StateFlag.State_Selected:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self._theme.color("accent_background"))
            painter.drawRoundedRect(rect, 6, 6)
        inner = rect.adjusted(10, 0, -10, 0)
        painter.setPen(self._theme.color("text"))
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, index.data())
        painter.setPen(self._theme.color("faint"))
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight,
                         index.data(Qt.ItemDataRole.UserRole))
        painter.restore()

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(200, ROW_HEIGHT + 2)


class CommandPalette(QWidget):
    """Opens over the window's upper middle and closes on Escape, on a click elsewhere, or after a command."""

    def __init__(self, theme: Theme, window: QWidget) -> None:
        super().__init__(window, Qt.WindowType.Popup)
        self._window = window
        self.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
        self.field = QLineEdit()
        self.field.setPlaceholderText("Type a command")
        self.field.setAccessibleName("Command")
        self.field.setFrame(False)
        self.field.setProperty("kind", "bare")
        self.field.textChanged.connect(self._query_changed)
        self.field.returnPressed.connect(self._run)
        self.field.installEventFilter(self)
        self._model = _CommandsModel(self)
        self.list = QListView()
        self.list.setAccessibleName("Commands")
        self.list.setModel(self._model)
        self.list.setItemDelegate(_CommandDelegate(theme, self.list))
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setMouseTracking(True)
        self.list.setUniformItemSizes(True)
        self.list.clicked.connect(self._run)
        card = Card(theme, radius_px=RADIUS_L)
        card.column.setContentsMargins(GAP_XS + 2, GAP_XS + 2, GAP_XS + 2, GAP_XS + 2)
        card.column.setSpacing(GAP_XS)
        card.column.addWidget(self.field)
        card.column.addWidget(Line(theme))
        card.column.addWidget(self.list)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(card)

    def open_with(self, actions: Iterable[QAction]) -> None:
        """Show these commands."""
        self._model.set_actions(actions)
        self.field.clear()
        self._select(0)
        window = self._window
        width = min(_WIDTH_PX, window.width() - 40)
        rows = min(_MAX_ROWS, self._model.rowCount())
        self.setFixedSize(width, rows * (ROW_HEIGHT + 2) + 58)
        self.move(window.mapToGlobal(window.rect().topLeft()).x() + (window.width() - width) // 2,
                  window.mapToGlobal(window.rect().topLeft()).y() + 48)
        self.show()
        self.field.setFocus()

    def _select(self, row: int) -> None:
        if self._model.rowCount():
            self.list.setCurrentIndex(self._model.index(row % self._model.rowCount()))

    @Slot(str)
    def _query_changed(self, query: str) -> None:
        self._model.set_query(query)
        self._select(0)

    @Slot()
    def _run(self) -> None:
        row = self.list.currentIndex().row()
        self.hide()
        if 0 <= row < len(self._model.shown):
            self._model.shown[row].trigger()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Up and down move in the list while the field keeps the keys."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: 8, Qt.Key.Key_PageUp: -8}
            if event.key() in steps:
                self._select(self.list.currentIndex().row() + steps[Qt.Key(event.key())])
                return True
        return super().eventFilter(watched, event)
