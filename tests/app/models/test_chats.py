"""The conversation list: groups, search, rename, delete with undo."""

import datetime as dt
import time

import pytest
from PySide6.QtCore import Qt

from app.core.history import History
from app.core.problem import Problem
from app.models.chats import ChatRole, ConversationsModel


@pytest.fixture
def history(tmp_path):
    opened = History(tmp_path / "history.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
def model(history, qtmodeltester, qapp):
    old = history.create_conversation(title="Old peaks")
    history.add_request(old.id, None, "needle in old")
    history._database.execute("UPDATE conversation SET updated_at = ?", (time.time() - 3 * 86400,))
    for title in ("First", "Second", "Third"):
        history.create_conversation(title=title)
    made = ConversationsModel(history)
    qtmodeltester.check(made)
    return made


def titles(model):
    return [model.index(row).data() for row in range(model.rowCount())]


def test_groups_have_headers_that_cannot_be_chosen(model):
    assert titles(model) == ["Today", "Third", "Second", "First", "Earlier", "Old peaks"]
    header, row = model.index(0), model.index(1)
    assert header.data(ChatRole.IS_HEADER)
    assert not header.flags() & Qt.ItemFlag.ItemIsSelectable
    assert row.flags() & Qt.ItemFlag.ItemIsSelectable
    assert model.index(5).data(ChatRole.GROUP) == "Earlier"


def test_tomorrow_they_are_earlier(history, model):
    tomorrow = dt.datetime.now().date() + dt.timedelta(days=1)
    assert titles(ConversationsModel(history, today=lambda: tomorrow))[0] == "Earlier"


def test_search_shows_hits_with_their_place(history, model):
    model.set_query("needle")
    assert titles(model) == ["Found", "Old peaks"]
    index = model.index(1)
    start, length = index.data(ChatRole.MATCH)
    assert index.data(ChatRole.SNIPPET)[start : start + length] == "needle"
    assert index.data(ChatRole.MESSAGE_ID) is not None
    model.set_query("peaks")
    assert model.index(1).data(ChatRole.MESSAGE_ID) is None
    model.set_query("no such thing")
    assert titles(model) == ["Nothing found"]
    model.set_query("")
    assert model.rowCount() == 6


def test_rename_in_place(history, model, qtbot):
    assert model.setData(model.index(1), "Renamed")
    assert titles(model)[1] == "Renamed"
    with qtbot.waitSignal(model.problem_reported):
        assert not model.setData(model.index(1), "  ")
    assert not model.setData(model.index(0), "header")


def test_delete_and_undo(history, model, qtbot, qtmodeltester):
    target = model.index(2).data(ChatRole.ID)
    with qtbot.waitSignal(model.conversation_deleted) as deleted:
        model.delete(target)
    assert deleted.args == [target, "Second"]
    assert "Second" not in titles(model)
    assert model.row_of(target) == -1
    assert model.undo_delete() == target
    assert "Second" in titles(model)
    assert model.undo_delete() is None
    qtmodeltester.check(model)


def test_a_delete_that_fails_can_be_done_again(history, model, qtbot, monkeypatch):
    target = model.index(2).data(ChatRole.ID)

    def refuse(_conversation_id):
        raise Problem("The conversation cannot be saved.", "The disk is full.", "Free some space.")

    monkeypatch.setattr(history, "delete", refuse)
    with qtbot.waitSignal(model.problem_reported):
        model.delete(target)
    assert "Second" in titles(model)
    monkeypatch.undo()
    model.delete(target)
    monkeypatch.setattr(history, "undelete", refuse)
    with qtbot.waitSignal(model.problem_reported):
        assert model.undo_delete() is None
    monkeypatch.undo()
    assert model.undo_delete() == target


def test_the_one_that_is_used_moves_up_and_stays_selected(history, model, qtmodeltester):
    first = model.index(3).data(ChatRole.ID)
    moved, reset = [], []
    model.rowsMoved.connect(lambda *_: moved.append(True))
    model.modelReset.connect(lambda: reset.append(True))
    history.add_request(first, None, "again")
    model.refresh_conversation(first)
    assert titles(model)[:4] == ["Today", "First", "Third", "Second"]
    assert (moved, reset) == ([True], [])
    old = model.index(5).data(ChatRole.ID)
    history.add_request(old, None, "again")
    model.refresh()
    assert titles(model) == ["Today", "Old peaks", "First", "Third", "Second"]
    qtmodeltester.check(model)
