"""The history's tables, their versions, and opening the file: migration with a backup, damage recognised."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from app.core.problem import Problem

_VERSION_1 = """
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    deleted_at REAL,
    active_leaf INTEGER,
    system_prompt TEXT NOT NULL DEFAULT '',
    draft TEXT NOT NULL DEFAULT '',
    project_dir TEXT
);
CREATE INDEX conversation_by_time ON conversation (updated_at DESC) WHERE deleted_at IS NULL;

CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id INTEGER NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
    parent_id INTEGER REFERENCES message (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    text TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('complete', 'writing', 'stopped', 'interrupted', 'error', 'length')),
    created_at REAL NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '',
    fingerprint TEXT NOT NULL DEFAULT '',
    seed INTEGER,
    sampling TEXT NOT NULL DEFAULT '{}',
    usage TEXT NOT NULL DEFAULT '{}',
    timings TEXT NOT NULL DEFAULT '{}',
    trace_file TEXT NOT NULL DEFAULT '',
    snapshot_before TEXT NOT NULL DEFAULT '',
    snapshot_after TEXT NOT NULL DEFAULT '',
    snapshot_left TEXT NOT NULL DEFAULT '',
    dropped_turns INTEGER NOT NULL DEFAULT 0,
    applied TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX message_by_conversation ON message (conversation_id, id);
CREATE INDEX message_by_parent ON message (parent_id);
CREATE INDEX message_being_written ON message (state) WHERE state = 'writing';

-- Two line ends behind every text give its last two characters trigrams of their own, so that a
-- search for two characters finds them there too.
CREATE VIEW message_searchable AS SELECT id, text || char(10, 10) AS text FROM message;
CREATE VIRTUAL TABLE message_fts USING fts5 (
    text, content = 'message_searchable', content_rowid = 'id', tokenize = 'trigram'
);
CREATE VIRTUAL TABLE message_trigrams USING fts5vocab ('message_fts', 'row');

-- An answer is indexed when it ends, not at each of its commits.
CREATE TRIGGER message_added AFTER INSERT ON message WHEN new.state <> 'writing' BEGIN
    INSERT INTO message_fts (rowid, text) VALUES (new.id, new.text || char(10, 10));
END;
CREATE TRIGGER message_unindexed AFTER UPDATE OF text, state ON message
WHEN old.state <> 'writing' AND (new.state = 'writing' OR new.text <> old.text) BEGIN
    INSERT INTO message_fts (message_fts, rowid, text) VALUES ('delete', old.id, old.text || char(10, 10));
END;
CREATE TRIGGER message_indexed AFTER UPDATE OF text, state ON message
WHEN new.state <> 'writing' AND (old.state = 'writing' OR new.text <> old.text) BEGIN
    INSERT INTO message_fts (rowid, text) VALUES (new.id, new.text || char(10, 10));
END;
CREATE TRIGGER message_removed AFTER DELETE ON message WHEN old.state <> 'writing' BEGIN
    INSERT INTO message_fts (message_fts, rowid, text) VALUES ('delete', old.id, old.text || char(10, 10));
END;
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1,)
"""Script n brings a file of version n to version n + 1. Scripts that shipped are never changed."""


def open_database(path: Path, migrations: Sequence[str] = MIGRATIONS) -> sqlite3.Connection:
    """Open (or make) the file and bring it to the newest version, after a backup of it.

    Raises sqlite3.DatabaseError when the file is damaged, Problem when it is of a newer program.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        database.row_factory = sqlite3.Row
        database.create_function("casefold", 1, _casefold, deterministic=True)
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("PRAGMA journal_mode = WAL")
        # NORMAL loses nothing when the program is killed, only, at worst, the last moment at a power cut.
        database.execute("PRAGMA synchronous = NORMAL")
        _migrate(database, path, migrations)
    except BaseException:
        database.close()
        raise
    return database


def _casefold(text: str | None) -> str:
    return (text or "").casefold()


def _migrate(database: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if version > len(migrations):
        raise Problem(
            "The conversations cannot be opened.",
            f"{path.name} was written by a newer Expertarium (format {version}, this one knows {len(migrations)}).",
            "Update Expertarium, or start with --basedir and another folder.",
        )
    if 0 < version < len(migrations):
        _back_up(database, backup_path(path, version))
    for number in range(version, len(migrations)):
        try:
            database.executescript(f"BEGIN IMMEDIATE;{migrations[number]};PRAGMA user_version = {number + 1};COMMIT;")
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise


def backup_path(path: Path, version: int) -> Path:
    """Where the file of `version` is kept before it is migrated."""
    return path.with_name(f"{path.stem}.format-{version}.backup{path.suffix}")


def _back_up(database: sqlite3.Connection, target: Path) -> None:
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(partial)) as copy:
        database.backup(copy)
    partial.replace(target)
