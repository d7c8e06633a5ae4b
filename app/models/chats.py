"""The list of conversations: grouped by day, or what a search found. Not here: how rows are drawn (app.shell)."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from app.core.history import History

ModelIndex = QModelIndex | QPersistentModelIndex
ID_ROLE = int(Qt.ItemDataRole.UserRole) + 1
GROUP_ROLE = ID_ROLE + 1
UPDATED_ROLE = ID_ROLE + 2
SNIPPET_ROLE = ID_ROLE + 3
MESSAGE_ROLE = ID_ROLE + 4
IS_HEADER_ROLE = ID_ROLE + 5

UNTITLED = "New chat"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A conversation, a hit of a search, or (without an id) the heading of a group."""

    title: str
    group: str
    conversation_id: int | None = None
    updated_at: float = 0.0
    snippet: str = ""
    message_id: int | None = None


class ConversationsModel(QAbstractListModel):
    """Conversations, the one used last first, under a heading for each group; headings are rows, not selectable.

    Signals:
        deleted: (id, title) of a conversation that was deleted; `undo_delete` brings it back.
    """

    deleted = Signal(int, str)

    def __init__(self, history: History, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._history = history
        self._query = ""
        self._deleted: list[int] = []
        self._rows: list[_Row] = []
        self.refresh()

    def refresh(self) -> None:
        """Read the list again; nothing is reset when nothing changed."""
        rows = self._found() if self._query.strip() else self._listed()
        if rows == self._rows:
            return
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def set_query(self, text: str) -> None:
        """Show what is found for `text`; an empty one shows all conversations."""
        self._query = text
        self.refresh()

    def rename(self, conversation_id: int, title: str) -> None:
        """Give a conversation a title.

        Raises:
            Problem: the title is empty.
        """
        self._history.rename(conversation_id, title)
        self.refresh()

    def delete(self, conversation_id: int) -> None:
        """Delete a conversation; it can be brought back while the program runs."""
        title = self._history.conversation(conversation_id).title
        self._history.delete(conversation_id)
        self._deleted.append(conversation_id)
        self.refresh()
        self.deleted.emit(conversation_id, title)

    def undo_delete(self) -> int | None:
        """Bring the conversation deleted last back; return its id, or None when there is none."""
        if not self._deleted:
            return None
        conversation_id = self._deleted.pop()
        self._history.undelete(conversation_id)
        self.refresh()
        return conversation_id

    def row_of(self, conversation_id: int) -> int:
        """Return the first row of a conversation, or -1."""
        return next((n for n, row in enumerate(self._rows) if row.conversation_id == conversation_id), -1)

    def _listed(self) -> list[_Row]:
        today = datetime.now().astimezone().date()
        rows: list[_Row] = []
        for conversation in self._history.conversations():
            group = "Today" if _day(conversation.updated_at) == today else "Earlier"
            if not rows or rows[-1].group != group:
                rows.append(_Row(title=group, group=group))
            rows.append(
                _Row(title=conversation.title or UNTITLED, group=group, conversation_id=conversation.id,
                     updated_at=conversation.updated_at)
            )
        return rows

    def _found(self) -> list[_Row]:
        hits = self._history.search(self._query)
        heading = [_Row(title=f"Found {len(hits)}", group="Found")] if hits else []
        return heading + [
            _Row(title=hit.title or UNTITLED, group="Found", conversation_id=hit.conversation_id,
                 updated_at=hit.created_at, snippet="" if hit.message_id is None else hit.snippet,
                 message_id=hit.message_id)
            for hit in hits
        ]

    # --- Qt overrides

    def rowCount(self, parent: ModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of rows, headings included."""
        return 0 if parent.isValid() else len(self._rows)

    def flags(self, index: ModelIndex) -> Qt.ItemFlag:
        """Headings can't be selected."""
        if not index.isValid() or self._rows[index.row()].conversation_id is None:
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren

    def data(self, index: ModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a row's title or one of the roles above."""
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        values = {
            int(Qt.ItemDataRole.DisplayRole): row.title,
            int(Qt.ItemDataRole.ToolTipRole): row.snippet or row.title,
            ID_ROLE: row.conversation_id,
            GROUP_ROLE: row.group,
            UPDATED_ROLE: row.updated_at,
            SNIPPET_ROLE: row.snippet,
            MESSAGE_ROLE: row.message_id,
            IS_HEADER_ROLE: row.conversation_id is None,
        }
        return values.get(int(role))


def _day(timestamp: float) -> date:
    return datetime.fromtimestamp(timestamp).astimezone().date()
