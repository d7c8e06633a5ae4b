"""What to do with a damaged history: say so, keep the damaged file, carry over every row that can be read."""

import logging
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from app.core.problem import Problem
from app.core.schema import open_database

logger = logging.getLogger(__name__)
_SIDE_FILES = ("-wal", "-shm")


class HistoryDamaged(Problem):
    """The history's file cannot be read. `recover` starts a new one with what can be saved of it."""

    def __init__(self, path: Path, cause: str) -> None:
        self.path = path
        super().__init__(
            "The conversations cannot be opened.",
            f"The file {path} is damaged ({cause}).",
            "When it starts, Expertarium can put the damaged file aside and go on with all that can still be read.",
        )

    def remember(self) -> None:
        """Have the next start look at the whole file: damage met on the way may lie where a start doesn't read."""
        with suppress(OSError):
            suspicion(self.path).touch()

    def recover(self) -> Path:
        """Move the damaged file aside, save what can be read into a new one; return where the old one is.

        Raises OSError when the file cannot be moved; it is untouched then.
        """
        kept = self.path.with_name(f"{self.path.stem}.damaged-{time.strftime('%Y%m%d-%H%M%S')}{self.path.suffix}")
        self.path.replace(kept)
        for side in _SIDE_FILES:
            side_file = self.path.with_name(self.path.name + side)
            if side_file.exists():
                side_file.replace(kept.with_name(kept.name + side))
        with closing(open_database(self.path)) as database:
            count = _salvage(kept, database)
        suspicion(self.path).unlink(missing_ok=True)
        logger.warning("Saved %d rows of the damaged history %s", count, kept)
        return kept


def suspicion(path: Path) -> Path:
    """The file whose being there says that damage was met in the history at `path`."""
    return path.with_name(path.name + ".suspect")


def _salvage(damaged: Path, database: sqlite3.Connection) -> int:
    saved = 0
    database.execute("PRAGMA foreign_keys = OFF")
    with closing(sqlite3.connect(damaged)) as source:
        source.row_factory = sqlite3.Row
        # Bytes that are no UTF-8 any more must not cost the row.
        source.text_factory = lambda data: data.decode("utf-8", errors="replace")
        for table in ("conversation", "message"):
            columns = [row["name"] for row in database.execute(f"PRAGMA table_info({table})")]
            for row in _readable_rows(source, table).values():
                saved += _copy_row(database, table, columns, row)
    database.execute(
        "INSERT OR IGNORE INTO conversation (id, title, created_at, updated_at)"
        " SELECT conversation_id, 'Recovered', min(created_at), max(created_at) FROM message"
        " WHERE conversation_id NOT IN (SELECT id FROM conversation) GROUP BY conversation_id"
    )
    # An answer whose request is lost becomes a root of its own, so that it can be shown.
    database.execute("UPDATE message SET parent_id = NULL WHERE parent_id NOT IN (SELECT id FROM message)")
    database.execute("UPDATE conversation SET active_leaf = NULL WHERE active_leaf NOT IN (SELECT id FROM message)")
    return saved


def _readable_rows(source: sqlite3.Connection, table: str) -> dict[int, sqlite3.Row]:
    """The rows before the first unreadable page and, from the other end, those behind the last one."""
    rows: dict[int, sqlite3.Row] = {}
    for direction in ("ASC", "DESC"):
        try:
            for row in source.execute(f"SELECT * FROM {table} NOT INDEXED ORDER BY id {direction}"):  # noqa: S608
                rows[row["id"]] = row
        except sqlite3.Error as error:
            logger.warning("Damaged history: reading %s (%s) ended early: %s", table, direction, error)
    return rows


def _copy_row(database: sqlite3.Connection, table: str, columns: list[str], row: sqlite3.Row) -> int:
    known = [column for column in columns if column in row.keys()]  # noqa: SIM118 - a Row iterates over values
    places = ", ".join("?" for _ in known)
    try:
        database.execute(
            f"INSERT OR IGNORE INTO {table} ({', '.join(known)}) VALUES ({places})",  # noqa: S608 - our own names
            [row[column] for column in known],
        )
    except sqlite3.Error as error:
        logger.warning("Damaged history: a row of %s could not be carried over: %s", table, error)
        return 0
    return 1
