"""Conversations and their message trees in one SQLite file (WAL).

Everything that was said stays: an edit or a regeneration adds a sibling, a deleted conversation can be
undeleted. What is searched lives in app.core.search, the tables in app.core.schema.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.core.problem import Problem, problem_of_os_error
from app.core.records import AnswerOrigin, AnswerOutcome, Conversation, Hit, Message
from app.core.recovery import HistoryDamaged, suspicion
from app.core.schema import open_database
from app.core.search import search
from app.core.titles import title_of_request

logger = logging.getLogger(__name__)
_DAMAGE_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_JSON_COLUMNS = ("sampling", "usage", "timings", "applied")


class History:
    """The conversations of one data folder. Used from one thread.

    `interrupted_on_start` lists the answers that were being written when the program last died.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises HistoryDamaged (which can recover), or Problem."""
        self.path = path
        with self._faults_told():
            try:
                self._database = open_database(path)
            except OSError as error:
                raise problem_of_os_error("The conversations cannot be opened.", error) from error
            self._look_whole_if_suspected()
            self.interrupted_on_start = self._interrupt_unfinished()

    def close(self) -> None:
        """Close the file; the write-ahead log is folded into it."""
        self._database.close()

    # Conversations

    def create_conversation(
        self, *, title: str = "", system_prompt: str = "", project_dir: str | None = None
    ) -> Conversation:
        """Add an empty conversation."""
        now = time.time()
        with self._transaction() as database:
            cursor = database.execute(
                "INSERT INTO conversation (title, system_prompt, project_dir, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (title, system_prompt, project_dir, now, now),
            )
        return self.conversation(int(cursor.lastrowid or 0))

    def conversation(self, conversation_id: int) -> Conversation:
        """One conversation, deleted or not. Raises KeyError when there is none."""
        with self._faults_told():
            row = self._database.execute(
                "SELECT * FROM conversation WHERE id = ?", (conversation_id,)
            ).fetchone()
        if row is None:
            raise KeyError(conversation_id)
        return _conversation(row)

    def conversations(self) -> list[Conversation]:
        """All that are not deleted, the one used last first."""
        with self._faults_told():
            rows = self._database.execute(
                "SELECT * FROM conversation WHERE deleted_at IS NULL ORDER BY updated_at DESC, id DESC"
            )
            return [_conversation(row) for row in rows]

    def rename(self, conversation_id: int, title: str) -> None:
        """Give it a title; an empty one is refused with a Problem."""
        title = " ".join(title.split())
        if not title:
            raise Problem("The conversation was not renamed.", "A title cannot be empty.", "Type a title.")
        self._set(conversation_id, title=title)

    def delete(self, conversation_id: int) -> None:
        """Take it out of lists and search; `undelete` brings it back."""
        self._set(conversation_id, deleted_at=time.time())

    def undelete(self, conversation_id: int) -> None:
        """Undo a delete."""
        self._set(conversation_id, deleted_at=None)

    def purge_deleted(self, *, older_than_s: float) -> list[str]:
        """Forget for good what was deleted longer ago; returns the trace files that belonged to it."""
        limit = (time.time() - older_than_s,)
        with self._transaction() as database:
            traces = database.execute(
                "SELECT trace_file FROM message JOIN conversation ON conversation.id = conversation_id"
                " WHERE trace_file <> '' AND deleted_at < ?",
                limit,
            ).fetchall()
            # Its messages go with it (ON DELETE CASCADE).
            database.execute("DELETE FROM conversation WHERE deleted_at < ?", limit)
        return [row["trace_file"] for row in traces]

    def set_draft(self, conversation_id: int, text: str) -> None:
        """Keep what is typed but not sent."""
        self._set(conversation_id, draft=text)

    def set_system_prompt(self, conversation_id: int, text: str) -> None:
        """The system prompt of this conversation; empty for none."""
        self._set(conversation_id, system_prompt=text)

    def set_active_leaf(self, conversation_id: int, message_id: int | None) -> None:
        """Which branch is shown: the one that ends in this message."""
        self._set(conversation_id, active_leaf=message_id)

    # Messages

    def messages(self, conversation_id: int) -> list[Message]:
        """Every message of every branch, oldest first."""
        with self._faults_told():
            rows = self._database.execute(
                "SELECT * FROM message WHERE conversation_id = ? ORDER BY id", (conversation_id,)
            )
            return [_message(row) for row in rows]

    def message(self, message_id: int) -> Message:
        """One message. Raises KeyError when there is none."""
        with self._faults_told():
            row = self._database.execute("SELECT * FROM message WHERE id = ?", (message_id,)).fetchone()
        if row is None:
            raise KeyError(message_id)
        return _message(row)

    def trace_files(self, fingerprint: str) -> list[str]:
        """Trace files of the answers one model wrote, the newest first, without those of deleted conversations."""
        with self._faults_told():
            rows = self._database.execute(
                "SELECT trace_file FROM message JOIN conversation ON conversation.id = conversation_id"
                " WHERE trace_file <> '' AND fingerprint = ? AND deleted_at IS NULL ORDER BY message.id DESC",
                (fingerprint,),
            )
            return [row["trace_file"] for row in rows]

    def add_request(
        self, conversation_id: int, parent_id: int | None, text: str, *, snapshot_before: str = ""
    ) -> Message:
        """Add what the person asked, make it the shown branch, and title an untitled conversation by it."""
        message_id = self._insert(
            conversation_id,
            parent_id,
            role="user",
            text=text,
            state="complete",
            snapshot_before=snapshot_before,
            snapshot_after=snapshot_before,
        )
        with self._transaction() as database:
            database.execute(
                "UPDATE conversation SET title = ? WHERE id = ? AND title = ''",
                (title_of_request(text), conversation_id),
            )
        return self.message(message_id)

    def begin_answer(
        self, conversation_id: int, parent_id: int, origin: AnswerOrigin, *, text: str = ""
    ) -> Message:
        """Add an answer in state `writing`; `text` is what it already starts with."""
        message_id = self._insert(
            conversation_id,
            parent_id,
            role="assistant",
            text=text,
            state="writing",
            model=origin.model,
            fingerprint=origin.fingerprint,
            seed=origin.seed,
            sampling=json.dumps(dict(origin.sampling)),
            snapshot_before=origin.snapshot_before,
        )
        return self.message(message_id)

    def update_answer(self, message_id: int, text: str) -> None:
        """Commit what the answer holds by now. Called at least twice a second while it is written."""
        with self._transaction() as database:
            database.execute("UPDATE message SET text = ? WHERE id = ?", (text, message_id))

    def reopen_answer(self, message_id: int) -> Message:
        """Back to `writing`, to be continued."""
        with self._transaction() as database:
            database.execute("UPDATE message SET state = 'writing', error = '' WHERE id = ?", (message_id,))
        return self.message(message_id)

    def finish_answer(self, message_id: int, outcome: AnswerOutcome) -> Message:
        """Store how the answer ended."""
        values: dict[str, Any] = {"text": outcome.text, "state": outcome.state, "error": outcome.error}
        for name in ("model", "fingerprint", "trace_file", "snapshot_after", "dropped_turns"):
            if value := getattr(outcome, name):
                values[name] = value
        for name in ("usage", "timings", "applied"):
            if value := getattr(outcome, name):
                values[name] = json.dumps(dict(value))
        with self._transaction() as database:
            _update(database, "message", message_id, values)
            database.execute(
                "UPDATE conversation SET updated_at = ?"
                " WHERE id = (SELECT conversation_id FROM message WHERE id = ?)",
                (time.time(), message_id),
            )
        return self.message(message_id)

    def set_snapshot_left(self, message_id: int, snapshot: str) -> None:
        """Remember the project as it was when the branch ending here was left."""
        with self._transaction() as database:
            database.execute("UPDATE message SET snapshot_left = ? WHERE id = ?", (snapshot, message_id))

    def search(self, query: str, *, limit: int = 60) -> list[Hit]:
        """Titles, then messages and code, the newest first, at most `limit`."""
        with self._faults_told():
            return search(self._database, query, limit=limit)

    # Inside

    def _look_whole_if_suspected(self) -> None:
        mark = suspicion(self.path)
        if not mark.exists():
            return
        found = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            self._database.close()
            raise HistoryDamaged(self.path, str(found).splitlines()[-1])
        mark.unlink()

    def _interrupt_unfinished(self) -> list[int]:
        with self._transaction() as database:
            rows = database.execute("SELECT id FROM message WHERE state = 'writing'").fetchall()
            database.execute("UPDATE message SET state = 'interrupted' WHERE state = 'writing'")
        return [row["id"] for row in rows]

    def _set(self, conversation_id: int, **values: Any) -> None:
        with self._transaction() as database:
            _update(database, "conversation", conversation_id, values)

    def _insert(self, conversation_id: int, parent_id: int | None, **values: Any) -> int:
        now = time.time()
        values = {"conversation_id": conversation_id, "parent_id": parent_id, "created_at": now, **values}
        places = ", ".join("?" for _ in values)
        with self._transaction() as database:
            cursor = database.execute(
                f"INSERT INTO message ({', '.join(values)}) VALUES ({places})",  # noqa: S608 - our own names
                list(values.values()),
            )
            database.execute(
                "UPDATE conversation SET active_leaf = ?, updated_at = ? WHERE id = ?",
                (cursor.lastrowid, now, conversation_id),
            )
        return int(cursor.lastrowid or 0)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._faults_told():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise _problem_of(self.path, error) from error


def _problem_of(path: Path, error: sqlite3.DatabaseError) -> Problem:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGE_CODES:
        damaged = HistoryDamaged(path, str(error))
        damaged.remember()
        return damaged
    if code == sqlite3.SQLITE_FULL:
        return Problem(
            "The conversation cannot be saved.",
            "The disk is full.",
            "Free some space; what was saved so far is safe.",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Problem(
            "The conversation cannot be saved.",
            f"Another program is using {path}.",
            "Close the other program and try again.",
        )
    return Problem(
        "The conversations cannot be read or saved.",
        f"{path}: {error}.",
        "Check that the data folder is there and can be written, then try again.",
    )


def _update(database: sqlite3.Connection, table: str, row_id: int, values: Mapping[str, Any]) -> None:
    columns = ", ".join(f"{name} = ?" for name in values)
    database.execute(f"UPDATE {table} SET {columns} WHERE id = ?", [*values.values(), row_id])  # noqa: S608 - our own names


def _conversation(row: sqlite3.Row) -> Conversation:
    return Conversation(
        id=row["id"],
        title=row["title"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        active_leaf=row["active_leaf"],
        system_prompt=row["system_prompt"],
        draft=row["draft"],
        project_dir=row["project_dir"],
    )


def _message(row: sqlite3.Row) -> Message:
    values = dict(row)
    for name in _JSON_COLUMNS:
        values[name] = _json_object(values[name], row["id"]) if values[name] != "{}" else {}
    return Message(**values)


def _json_object(text: str, message_id: int) -> dict[str, Any]:
    """What a column holds; a damaged one costs the facts in it, never the message."""
    try:
        value = json.loads(text)
    except (ValueError, TypeError) as error:
        logger.warning("Facts of message %d are damaged and left out: %s", message_id, error)
        return {}
    return value if isinstance(value, dict) else {}
