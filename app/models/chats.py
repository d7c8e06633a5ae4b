"""The list of conversations as a Qt model: grouped by time, or what a search found."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal, Slot

from app.core.history import History
from app.core.problem import Problem
from app.core.records import Hit

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
TODAY, EARLIER, FOUND = "Today", "Earlier", "Found"


class ChatRole(IntEnum):
    """What a row says beside its title (Qt.ItemDataRole.DisplayRole)."""

    ID = Qt.ItemDataRole.UserRole + 1
    GROUP = Qt.ItemDataRole.UserRole + 2
    UPDATED_AT = Qt.ItemDataRole.UserRole + 3
    SNIPPET = Qt.ItemDataRole.UserRole + 4
    MATCH = Qt.ItemDataRole.UserRole + 5
    """(start, length) in the snippet, in code points."""
    MESSAGE_ID = Qt.ItemDataRole.UserRole + 6
    """The message a search found; None for a title."""
    IS_HEADER = Qt.ItemDataRole.UserRole + 7


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    title: str
    group: str
    conversation_id: int = -1
    updated_at: float = 0.0
    hit: Hit | None = None

    @property
    def is_header(self) -> bool:
        return self.conversation_id < 0


class ConversationsModel(QAbstractListModel):
    """Rows are group headers (not selectable) and conversations; while a query is set, its hits.

    Signals:
        conversation_deleted(int, str): id and title; `undo_delete` brings it back.
        problem_reported(ProblemText): the history could not be read or changed.
    """

    conversation_deleted = Signal(int, str)
    problem_reported = Signal(object)

    def __init__(
        self,
        history: History,
        *,
        today: Callable[[], dt.date] = dt.date.today,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._history = history
        self._today = today
        self._query = ""
        self._deleted: list[int] = []
        self._rows: list[_Row] = []
        self.refresh()

    @property
    def query(self) -> str:
        """What is searched for; empty when all conversations are shown."""
        return self._query

    @Slot(str)
    def set_query(self, query: str) -> None:
        """Show what a search finds; an empty query shows everything."""
        if query.strip() != self._query:
            self._query = query.strip()
            self.refresh()

    @Slot()
    def refresh(self) -> None:
        """Read the history again. Rows that stay keep their selection."""
        try:
            rows = self._found() if self._query else self._all()
        except Problem as problem:
            self.problem_reported.emit(problem.text)
            return
        self._show(rows)

    @Slot(int)
    def refresh_conversation(self, _conversation_id: int) -> None:
        """A conversation changed (its title, its time)."""
        if not self._query:
            self.refresh()

    def rename(self, conversation_id: int, title: str) -> None:
        """Give a conversation another title."""
        self._change(lambda: self._history.rename(conversation_id, title))

    def delete(self, conversation_id: int) -> None:
        """Delete a conversation; it can be undone."""
        if self._change(lambda: self._history.delete(conversation_id)):
            self._deleted.append(conversation_id)
            self.conversation_deleted.emit(conversation_id, self._history.conversation(conversation_id).title)

    def undo_delete(self) -> int | None:
        """Bring back what was deleted last; its id, or None when there is nothing to undo or it can't be done now."""
        if not self._deleted or not self._change(lambda: self._history.undelete(self._deleted[-1])):
            return None
        return self._deleted.pop()

    def row_of(self, conversation_id: int) -> int:
        """The first row that shows a conversation, -1 when none does."""
        return next((n for n, row in enumerate(self._rows) if row.conversation_id == conversation_id), -1)

    # --- inside

    def _change(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except Problem as problem:
            self.problem_reported.emit(problem.text)
            return False
        self.refresh()
        return True

    def _all(self) -> list[_Row]:
        rows: list[_Row] = []
        midnight = dt.datetime.combine(self._today(), dt.time()).timestamp()
        for conversation in self._history.conversations():
            group = TODAY if conversation.updated_at >= midnight else EARLIER
            if not rows or rows[-1].group != group:
                rows.append(_Row(title=group, group=group))
            title = conversation.title or "New conversation"
            rows.append(
                _Row(
                    title=title,
                    group=group,
                    conversation_id=conversation.id,
                    updated_at=conversation.updated_at,
                )
            )
        return rows

    def _found(self) -> list[_Row]:
        rows = [
            _Row(title=hit.title, group=FOUND, conversation_id=hit.conversation_id, updated_at=hit.created_at, hit=hit)
            for hit in self._history.search(self._query)
        ]
        return [_Row(title=FOUND if rows else "Nothing found", group=FOUND), *rows]

    def _show(self, rows: list[_Row]) -> None:
        same_places = [row.conversation_id for row in rows] == [row.conversation_id for row in self._rows]
        if same_places and not self._query:
            self._rows = rows
            if rows:
                self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))
            return
        if self._move_one_up(rows):
            return
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def _move_one_up(self, rows: list[_Row]) -> bool:
        """The usual change: a conversation of today was used and goes to the top; selections stay with it."""
        old_ids = [row.conversation_id for row in self._rows]
        new_ids = [row.conversation_id for row in rows]
        if len(new_ids) < 2 or self._query or new_ids[1] not in old_ids:
            return False
        source = old_ids.index(new_ids[1])
        moved = [*old_ids[:1], old_ids[source], *old_ids[1:source], *old_ids[source + 1 :]]
        if source < 2 or moved != new_ids or [row.group for row in self._rows[:2]] != [row.group for row in rows[:2]]:
            return False
        self.beginMoveRows(QModelIndex(), source, source, QModelIndex(), 1)
        self._rows = rows
        self.endMoveRows()
        self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))
        return True

    # --- Qt overrides

    def rowCount(self, parent: Index = _ROOT) -> int:
        """Headers and conversations."""
        return 0 if parent.isValid() else len(self._rows)

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Headers cannot be chosen."""
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        if self._rows[index.row()].is_header:
            return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemNeverHasChildren
        editable = Qt.ItemFlag.NoItemFlags if self._query else Qt.ItemFlag.ItemIsEditable
        selectable = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return selectable | Qt.ItemFlag.ItemNeverHasChildren | editable

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Rename in place."""
        if role != Qt.ItemDataRole.EditRole or not index.isValid() or self._rows[index.row()].is_header:
            return False
        conversation_id = self._rows[index.row()].conversation_id
        return self._change(lambda: self._history.rename(conversation_id, str(value)))

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """See ChatRole."""
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return row.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return None if row.is_header else row.title
        values = {
            ChatRole.ID: row.conversation_id,
            ChatRole.GROUP: row.group,
            ChatRole.UPDATED_AT: row.updated_at,
            ChatRole.IS_HEADER: row.is_header,
            ChatRole.SNIPPET: row.hit.snippet if row.hit and row.hit.message_id is not None else "",
            ChatRole.MATCH: (row.hit.match_start, row.hit.match_length) if row.hit else None,
            ChatRole.MESSAGE_ID: row.hit.message_id if row.hit else None,
        }
        return values.get(role)  # type: ignore[call-overload]
