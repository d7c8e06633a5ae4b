"""The list behind the Problems pane: errors of the running page, rejected edits, and what else went wrong."""

from dataclasses import dataclass
from typing import Any, Literal

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

ModelIndex = QModelIndex | QPersistentModelIndex
PROBLEM_ROLE = int(Qt.ItemDataRole.UserRole) + 1
MAX_ENTRIES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemEntry:
    """One problem. `source` is who found it: page, edit, network or program. Lines count from 1; 0 is unknown."""

    severity: Literal["error", "warning"]
    source: str
    text: str
    path: str = ""
    line: int = 0
    count: int = 1


class ProblemsModel(QAbstractListModel):
    """Problems, the newest last. The same problem again raises its count instead of filling the list.

    Signals:
        count_changed: number of entries.
    """

    count_changed = Signal(int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._entries: list[ProblemEntry] = []

    def add(self, entry: ProblemEntry) -> None:
        """Add a problem; past the limit the oldest goes."""
        key = (entry.source, entry.text, entry.path, entry.line)
        for row, known in enumerate(self._entries):
            if (known.source, known.text, known.path, known.line) == key:
                self._entries[row] = ProblemEntry(
                    severity=known.severity, source=known.source, text=known.text, path=known.path,
                    line=known.line, count=known.count + 1,
                )
                self.dataChanged.emit(self.index(row), self.index(row))
                return
        if len(self._entries) == MAX_ENTRIES:
            self.beginRemoveRows(QModelIndex(), 0, 0)
            del self._entries[0]
            self.endRemoveRows()
        self.beginInsertRows(QModelIndex(), len(self._entries), len(self._entries))
        self._entries.append(entry)
        self.endInsertRows()
        self.count_changed.emit(len(self._entries))

    def clear(self, source: str = "") -> None:
        """Forget the problems of one source, or all of them."""
        self.beginResetModel()
        self._entries = [entry for entry in self._entries if source and entry.source != source]
        self.endResetModel()
        self.count_changed.emit(len(self._entries))

    def entries(self) -> list[ProblemEntry]:
        """Return every problem."""
        return list(self._entries)

    # --- Qt overrides

    def rowCount(self, parent: ModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of problems."""
        return 0 if parent.isValid() else len(self._entries)

    def data(self, index: ModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a problem, or its text."""
        if not index.isValid():
            return None
        entry = self._entries[index.row()]
        if role == PROBLEM_ROLE:
            return entry
        if role == Qt.ItemDataRole.DisplayRole:
            where = f"{entry.path}:{entry.line}" if entry.line else entry.path
            times = f"  ×{entry.count}" if entry.count > 1 else ""
            return f"{entry.text}{times}" + (f"   {where}" if where else "")
        if role == Qt.ItemDataRole.ToolTipRole:
            return entry.text
        return None
