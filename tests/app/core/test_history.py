"""The history keeps what was said: through kill -9, damage, migration, deletion."""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from app.core import schema
from app.core.export import export_markdown
from app.core.history import History
from app.core.problem import Problem
from app.core.records import AnswerOrigin, AnswerOutcome
from app.core.recovery import HistoryDamaged
from app.core.titles import title_of_request


@pytest.fixture
def history(tmp_path):
    opened = History(tmp_path / "history.sqlite3")
    yield opened
    opened.close()


def ask(history, conversation, text, answer="", parent=None):
    request = history.add_request(conversation.id, parent, text)
    reply = history.begin_answer(conversation.id, request.id, AnswerOrigin())
    return history.finish_answer(reply.id, AnswerOutcome(text=answer, state="complete"))


def test_a_message_comes_back_with_everything_that_made_it(history):
    conversation = history.create_conversation()
    request = history.add_request(conversation.id, None, "a snowy mountain scene", snapshot_before="s0")
    origin = AnswerOrigin(
        model="nano", fingerprint="f1", seed=7, sampling={"temperature": 0.5}, snapshot_before="s0"
    )
    answer = history.begin_answer(conversation.id, request.id, origin)
    assert answer.state == "writing"
    history.finish_answer(
        answer.id,
        AnswerOutcome(
            text="Here.",
            state="complete",
            usage={"completion_tokens": 3},
            timings={"decode_tokens_per_s": 40.5},
            trace_file="1.moetrace",
            snapshot_after="s1",
            dropped_turns=2,
            applied={"changes": [{"path": "index.html"}], "rejects": []},
        ),
    )
    stored = history.messages(conversation.id)[1]
    assert (stored.parent_id, stored.role, stored.text, stored.state) == (request.id, "assistant", "Here.", "complete")
    assert (stored.model, stored.fingerprint, stored.seed, stored.sampling) == ("nano", "f1", 7, {"temperature": 0.5})
    assert (stored.snapshot_before, stored.snapshot_after, stored.trace_file) == ("s0", "s1", "1.moetrace")
    assert (stored.usage, stored.dropped_turns) == ({"completion_tokens": 3}, 2)
    assert stored.applied["changes"][0]["path"] == "index.html"
    assert history.conversation(conversation.id).active_leaf == stored.id


def test_the_first_request_titles_and_a_rename_stays(history):
    conversation = history.create_conversation()
    history.add_request(conversation.id, None, "please make me a snowy mountain scene")
    assert history.conversation(conversation.id).title == "Snowy mountain scene"
    history.rename(conversation.id, "  My  peaks ")
    history.add_request(conversation.id, None, "another request")
    assert history.conversation(conversation.id).title == "My peaks"
    with pytest.raises(Problem, match="empty"):
        history.rename(conversation.id, "   ")


@pytest.mark.parametrize(
    ("request_text", "title"),
    [
        ("can you draw me a solar system?", "Solar system"),
        ("I want a game of snake", "Game of snake"),
        ("make it night", "Make it night"),
        ("the", "The"),
        ("", "New conversation"),
        ("\n\n  bouncing   balls\nmore", "Bouncing balls"),
        ("word " * 40, "Word word word word word word word word word word word…"),
    ],
)
def test_titles(request_text, title):
    assert title_of_request(request_text) == title


def test_delete_can_be_undone_and_purge_is_for_good(history):
    conversation = history.create_conversation(title="Peaks")
    ask(history, conversation, "findable", "answer")
    history.delete(conversation.id)
    assert history.conversations() == []
    assert history.search("findable") == []
    history.undelete(conversation.id)
    assert [c.title for c in history.conversations()] == ["Peaks"]
    assert len(history.search("findable")) == 1
    history.delete(conversation.id)
    assert history.purge_deleted(older_than_s=3600) == []
    history.purge_deleted(older_than_s=-1)
    history._database.execute("INSERT INTO message_fts(message_fts) VALUES ('integrity-check')")
    assert history._database.execute("SELECT count(*) FROM message").fetchone()[0] == 0
    with pytest.raises(KeyError):
        history.conversation(conversation.id)


def test_the_newest_conversation_comes_first(history):
    first = history.create_conversation(title="first")
    history.create_conversation(title="second")
    history.add_request(first.id, None, "again")
    assert [c.title for c in history.conversations()] == ["first", "second"]


KILLED_WRITER = """
import sys, time
from pathlib import Path
from app.core.history import History
from app.core.records import AnswerOrigin
history = History(Path(sys.argv[1]))
conversation = history.create_conversation()
request = history.add_request(conversation.id, None, "scene")
answer = history.begin_answer(conversation.id, request.id, AnswerOrigin())
history.update_answer(answer.id, "half of the ans")
print("written", flush=True)
time.sleep(60)
"""


def test_what_was_committed_survives_kill_9_and_is_marked_interrupted(tmp_path):
    path = tmp_path / "history.sqlite3"
    writer = subprocess.Popen([sys.executable, "-c", KILLED_WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline().strip() == "written"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    history = History(path)
    [conversation] = history.conversations()
    answer = history.messages(conversation.id)[1]
    assert (answer.text, answer.state) == ("half of the ans", "interrupted")
    assert history.interrupted_on_start == [answer.id]
    assert history.reopen_answer(answer.id).state == "writing"
    history.close()


def test_an_older_file_is_backed_up_before_it_is_migrated(tmp_path, monkeypatch):
    path = tmp_path / "history.sqlite3"
    history = History(path)
    history.create_conversation(title="kept")
    history.close()
    newer = (*schema.MIGRATIONS, "ALTER TABLE conversation ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'")
    database = schema.open_database(path, newer)
    assert database.execute("SELECT colour FROM conversation").fetchone()["colour"] == "blue"
    database.close()
    backup = sqlite3.connect(schema.backup_path(path, 1))
    assert [row[1] for row in backup.execute("PRAGMA table_info(conversation)")].count("colour") == 0
    assert backup.execute("SELECT title FROM conversation").fetchone() == ("kept",)
    backup.close()


def test_a_failed_migration_changes_nothing(tmp_path):
    path = tmp_path / "history.sqlite3"
    schema.open_database(path).close()
    broken = (*schema.MIGRATIONS, "CREATE TABLE extra (id); SELECT no_such_column FROM conversation")
    with pytest.raises(sqlite3.OperationalError):
        schema.open_database(path, broken)
    database = schema.open_database(path)
    assert database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone()[0] == 0
    database.close()


def test_a_file_of_a_newer_program_is_refused_untouched(tmp_path):
    path = tmp_path / "history.sqlite3"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(Problem, match="newer Expertarium"):
        History(path)


def test_a_file_that_is_no_database_is_kept_and_replaced(tmp_path):
    path = tmp_path / "history.sqlite3"
    path.write_bytes(b"this is not a database, not at all" * 100)
    with pytest.raises(HistoryDamaged, match="damaged") as caught:
        History(path)
    kept = caught.value.recover()
    assert kept.read_bytes().startswith(b"this is not")
    history = History(path)
    assert history.conversations() == []
    history.close()


def test_recovery_saves_what_can_be_read(tmp_path):
    path = tmp_path / "history.sqlite3"
    history = History(path)
    conversation = history.create_conversation(title="Peaks")
    parent = None
    for number in range(300):
        parent = ask(history, conversation, f"request {number}", f"answer {number} " + "x" * 500, parent).id
    history.close()
    data = bytearray(path.read_bytes())
    page_bytes = 4096
    # Break pages in the middle of the file, as a bad disk does; the root pages stay.
    for page in range(40, 44):
        data[page * page_bytes : (page + 1) * page_bytes] = b"\xff" * page_bytes
    path.write_bytes(data)
    broken = History(path)
    with pytest.raises(HistoryDamaged):
        broken.messages(conversation.id)
    broken.close()
    with pytest.raises(HistoryDamaged) as again:  # found at the next start, wherever it lies
        History(path)
    kept = again.value.recover()
    assert kept.exists()
    saved = History(path)
    texts = [message.text for message in saved.messages(conversation.id)]
    assert "request 0" in texts
    assert any(text.startswith("answer 299 ") for text in texts)
    assert saved.search("request 0")
    saved.close()


def test_a_suspicion_that_proves_false_is_dropped(tmp_path):
    path = tmp_path / "history.sqlite3"
    History(path).close()
    HistoryDamaged(path, "a passing fault").remember()
    for _ in range(2):
        History(path).close()
    assert [file.name for file in tmp_path.iterdir()] == ["history.sqlite3"]


def test_damaged_facts_cost_the_facts_and_not_the_message(history):
    conversation = history.create_conversation()
    request = history.add_request(conversation.id, None, "a scene")
    history._database.execute("UPDATE message SET usage = '{\"tok', applied = '[1]'")
    message = history.message(request.id)
    assert (message.text, message.usage, message.applied) == ("a scene", {}, {})


def test_a_full_disk_is_told_and_costs_nothing_that_was_there(history):
    conversation = history.create_conversation(title="kept")
    pages = history._database.execute("PRAGMA page_count").fetchone()[0]
    history._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Problem, match="disk is full"):
        history.add_request(conversation.id, None, "x" * 1_000_000)
    assert history.messages(conversation.id) == []
    history._database.execute("PRAGMA max_page_count = 1000000")
    assert history.add_request(conversation.id, None, "fits again").text == "fits again"


def test_a_folder_that_cannot_be_made_is_a_problem(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(Problem, match="cannot be opened"):
        History(tmp_path / "file" / "history.sqlite3")


def test_export_holds_the_branch_and_its_code(history):
    conversation = history.create_conversation(title="Peaks", system_prompt="Be brief.")
    request = history.add_request(conversation.id, None, "a scene")
    answer = history.begin_answer(conversation.id, request.id, AnswerOrigin(model="nano"))
    answer = history.finish_answer(
        answer.id, AnswerOutcome(text="Here.\n\n```html index.html\n<p>hi</p>\n```", state="stopped")
    )
    text = export_markdown(conversation, [request, answer])
    assert text.startswith("# Peaks\n")
    assert "Be brief." in text
    assert "## You, " in text
    assert "## Nano, " in text
    assert "```html index.html\n<p>hi</p>\n```" in text
    assert "stopped by hand" in text
