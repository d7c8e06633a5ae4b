"""Branches of a conversation's tree."""

import pytest

from app.core.conversation import ConversationTree
from app.core.records import Message


def message(number, parent, **values):
    role = "user" if number % 2 else "assistant"
    return Message(id=number, conversation_id=1, parent_id=parent, role=role, text=str(number), **values)


@pytest.fixture
def tree():
    #  1 - 2 - 3 - 4
    #    \ 6       \ 8 - 9 - 10
    messages = [message(1, None), message(2, 1), message(3, 2), message(4, 3)]
    messages += [message(6, 1), message(8, 3), message(9, 8), message(10, 9)]
    return ConversationTree(messages, 4)


def ids(messages):
    return [m.id for m in messages]


def test_the_shown_branch(tree):
    assert ids(tree.path()) == [1, 2, 3, 4]
    assert ids(ConversationTree().path()) == []
    assert ConversationTree([message(1, None)], 99).leaf.id == 1


def test_siblings_and_steps(tree):
    assert tree.siblings(4) == [4, 8]
    assert tree.siblings(1) == [1]
    assert (tree.step(4, 1), tree.step(4, -1), tree.step(8, 1)) == (8, None, None)


def test_activating_shows_the_newest_branch_below(tree):
    assert tree.activate(8).id == 10
    assert ids(tree.path()) == [1, 2, 3, 8, 9, 10]
    assert tree.activate(6).id == 6
    assert ids(tree.path()) == [1, 6]
    tree.show_up_to(None)
    assert tree.path() == []


def test_put_adds_and_replaces(tree):
    tree.put(message(2, 1, error="changed"))
    assert tree.siblings(2) == [2, 6]
    assert tree.get(2).error == "changed"
    tree.put(message(12, 1))
    assert tree.siblings(2) == [2, 6, 12]
    assert 12 in tree
    assert len(tree) == 9


def test_states_of_messages():
    tree = ConversationTree([message(1, None, snapshot_before="a", snapshot_after="a")])
    assert tree.resting_state(1) == "a"
    tree.put(message(2, 1, snapshot_before="a", snapshot_after="b"))
    assert (tree.starting_state(2), tree.resting_state(2)) == ("a", "b")
    tree.put(message(2, 1, snapshot_before="a", snapshot_after="b", snapshot_left="hand"))
    assert tree.resting_state(2) == "hand"
