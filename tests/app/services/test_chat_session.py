"""One prompt's way through a chat session: history, files, states, routing, and what happens when it goes wrong."""

import errno
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import shiboken6

from app.core.history import History
from app.core.problem import Problem
from app.core.snapshots import SnapshotStore
from app.core.wire import ModelInfo, Sampling
from app.paths import DataPaths
from app.services import answer_keeper
from app.services.chat_session import NEW_CONVERSATION, ChatSession
from app.services.endpoint import Endpoint, EndpointConfig
from app.services.engine_process import EngineProcess
from engine.artifacts import Understood
from tests.fake_engine import Answer, FakeEngine

WAIT_MS = 30_000
ROOT = Path(__file__).parents[3]

PAGE = "```html index.html\n<!-- mountains | snow -->\n<p>{}</p>\n```\n"
EDIT = "Done.\n\n```edit index.html\n<<<<<<< SEARCH\n<p>{}</p>\n=======\n<p>{}</p>\n>>>>>>> REPLACE\n```\n"


@pytest.fixture
def engine():
    with FakeEngine() as running:
        yield running


class Desk:
    """A session with everything around it, and how a test waits for it."""

    def __init__(self, engine, base, qtbot):
        self.engine, self.qtbot = engine, qtbot
        self.paths = DataPaths(base)
        self.paths.create()
        self.history = History(self.paths.database)
        self.endpoint = Endpoint()
        self.endpoint.set_config(EndpointConfig(base_url=engine.base_url, key=engine.key, is_local=True))
        self.model = ModelInfo(id="fake-moe", context_tokens=4096, card={"num_experts": 8, "fingerprint": "fp-fake"})
        self.problems, self.files, self.sessions = [], [], []
        self.session = self.new_session()

    def new_session(self):
        session = ChatSession(
            history=self.history,
            snapshots=SnapshotStore(self.paths.snapshots),
            paths=self.paths,
            endpoint=self.endpoint,
        )
        session.set_endpoint(self.endpoint, engine=None, model=self.model)
        session.problem_reported.connect(self.problems.append)
        session.files_changed.connect(self.files.append)
        self.sessions.append(session)
        return session

    def finish(self, act, *arguments, session=None):
        with self.qtbot.waitSignal((session or self.session).answer_finished, timeout=WAIT_MS) as finished:
            act(*arguments)
        return finished.args[0]

    def ask(self, text, *answers):
        self.engine.answers += [answer if isinstance(answer, Answer) else Answer(text=answer) for answer in answers]
        return self.finish(self.session.send, text)

    def page(self):
        return self.session.workspace.read_text("index.html")

    def close(self):
        # Deleted here, so that no collection in the fake engine's thread ever deletes them.
        for session in self.sessions:
            session.shut_down()
            shiboken6.delete(session)
        shiboken6.delete(self.endpoint)
        self.history.close()


@pytest.fixture
def desk(engine, tmp_path, qapp, qtbot):
    made = Desk(engine, tmp_path / "data", qtbot)
    yield made
    made.close()


def test_the_way_of_one_prompt(desk, engine, qtbot):
    session = desk.session
    added, blocks, busy, opened = [], [], [], []
    session.message_added.connect(added.append)
    session.answer_grew.connect(lambda _id, update: blocks.extend(update.closed))
    session.busy_changed.connect(busy.append)
    session.open_new()
    answer = desk.ask("a snowy mountain scene", "Here is a scene.\n\n" + PAGE.format("one"))
    assert answer.state == "complete"
    assert [message.role for message in added] == ["user", "assistant"]
    assert [block.kind for block in blocks] == ["prose", "file"]
    assert busy == [True, False]
    assert opened == []
    assert desk.page() == "<!-- mountains | snow -->\n<p>one</p>\n"
    assert desk.files == [["index.html"]]
    assert answer.applied["changes"] == [{"path": "index.html", "kind": "created", "added": 2, "removed": 0}]
    stored = desk.history.message(answer.id)
    assert (stored.model, stored.fingerprint, stored.seed) == ("fake-moe", "fp-fake", engine.requests[0]["seed"])
    assert stored.sampling["temperature"] == engine.requests[0]["temperature"]
    assert stored.usage["completion_tokens"] > 4
    assert stored.snapshot_before != stored.snapshot_after
    assert session.conversation.title == "Snowy mountain scene"
    trace = session.load_trace(answer.id)
    assert [token.phase for token in trace.tokens][:3] == ["prefill", "prefill", "decode"]
    assert "".join(token.text for token in trace.tokens[2:]) == answer.text
    assert trace.num_experts == 8
    assert len(session.trace) == len(trace)


def test_the_next_turn_sees_the_files_and_edits_them(desk, engine):
    desk.ask("a scene", "First.\n\n" + PAGE.format("one"))
    answer = desk.ask("make it two", EDIT.format("one", "two"))
    assert "<p>two</p>" in desk.page()
    assert answer.applied["changes"][0]["kind"] == "edited"
    messages = engine.requests[1]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == "First.\n\n[index.html]"
    assert messages[2]["content"].startswith("```html index.html\n<!-- mountains | snow -->\n<p>one</p>\n```")
    assert messages[2]["content"].endswith("make it two")


def test_an_edit_that_does_not_match_is_shown_not_applied(desk, qtbot):
    desk.ask("a scene", PAGE.format("one"))
    with qtbot.waitSignal(desk.session.edits_rejected, timeout=WAIT_MS) as rejected:
        answer = desk.ask("change", EDIT.format("absent", "two"))
    assert rejected.args[0] == answer.id
    assert "not in the file" in rejected.args[1][0]["reason"]
    assert "absent" in rejected.args[1][0]["block"]
    assert "<p>one</p>" in desk.page()


def test_a_path_that_leaves_the_project_is_refused(desk, tmp_path):
    answer = desk.ask("x", "```html ../../evil.html\n<p>\n```\n")
    assert "leaves the project" in answer.applied["rejects"][0]["reason"]
    assert list(tmp_path.rglob("evil.html")) == []


def test_regenerating_starts_from_the_same_state_and_keeps_hand_edits(desk, engine):
    desk.ask("a scene", PAGE.format("one"))
    second = desk.ask("make it two", EDIT.format("one", "two"))
    desk.session.workspace.write_text("index.html", "by hand")
    engine.answers.append(Answer(text=EDIT.format("one", "three")))
    other = desk.finish(desk.session.regenerate, second.id)
    assert "<p>three</p>" in desk.page()
    assert desk.session.tree.siblings(other.id) == [second.id, other.id]
    assert engine.requests[1]["messages"] == engine.requests[2]["messages"]
    assert engine.requests[1]["seed"] != engine.requests[2]["seed"]
    desk.session.show_sibling(second.id)
    assert desk.page() == "by hand"
    assert [message.id for message in desk.session.tree.path()][-1] == second.id
    desk.session.show_sibling(other.id)
    assert "<p>three</p>" in desk.page()


def test_regenerating_with_changed_experts_sends_and_records_them(desk, engine):
    first = desk.ask("x", "y")
    changes = ({"layers": [1, 2], "experts": [3], "action": "mute"},)
    engine.answers.append(Answer(text="z and more"))
    second = desk.finish(lambda: desk.session.regenerate(first.id, seed=first.seed, interventions=changes, text="z"))
    assert engine.requests[-1]["interventions"] == [dict(change) for change in changes]
    assert engine.requests[-1]["continue_from"] == "z"
    assert desk.history.message(second.id).sampling["interventions"] == [dict(change) for change in changes]
    assert "interventions" not in desk.history.message(first.id).sampling
    engine.answers.append(Answer(text="w"))
    desk.finish(desk.session.regenerate, second.id)
    assert "interventions" not in engine.requests[-1]


def test_editing_a_request_makes_a_branch_from_its_starting_state(desk, engine, qtbot):
    first = desk.ask("a scene", PAGE.format("one"))
    engine.answers.append(Answer(text=PAGE.format("other")))
    with qtbot.waitSignal(desk.session.path_changed, timeout=WAIT_MS):
        desk.finish(desk.session.edit_request, first.parent_id, "another scene")
    assert desk.session.tree.path()[0].text == "another scene"
    assert len(desk.session.tree.siblings(first.parent_id)) == 2
    assert "```html" not in engine.requests[1]["messages"][-1]["content"]
    conversation = desk.session.conversation.id
    desk.session.show_sibling(first.parent_id)
    assert "<p>one</p>" in desk.page()
    again = desk.new_session()
    again.open_conversation(conversation)
    assert [message.id for message in again.tree.path()][-1] == first.id


def test_stop_keeps_what_came_and_it_can_go_on(desk, engine, qtbot):
    hold = threading.Event()
    text = "Here it is.\n\n" + PAGE.format("one two three four five")
    engine.answers.append(Answer(text=text, hold=hold, hold_after=5))
    with qtbot.waitSignal(desk.session.answer_grew, timeout=WAIT_MS):
        desk.session.send("a scene")
    desk.qtbot.waitUntil(lambda: "html" in desk.session.stream.text, timeout=WAIT_MS)
    stopped = desk.finish(desk.session.stop)
    assert stopped.state == "stopped"
    assert text.startswith(stopped.text)
    assert desk.history.message(stopped.id).text == stopped.text
    qtbot.waitUntil(engine.cancelled.is_set, timeout=WAIT_MS)
    engine.answers.append(Answer(text=text[len(stopped.text) :]))
    finished = desk.finish(desk.session.continue_answer, stopped.id)
    assert (finished.id, finished.text, finished.state) == (stopped.id, text, "complete")
    assert engine.requests[1]["continue_from"] == stopped.text
    assert engine.requests[1]["seed"] == engine.requests[0]["seed"]
    assert "one two three four five" in desk.page()
    trace = desk.session.load_trace(finished.id)
    decoded = [token for token in trace.tokens if token.phase == "decode"]
    assert "".join(token.text for token in decoded) == text
    assert all(text[token.start : token.end] == token.text for token in decoded)
    assert len([token for token in trace.tokens if token.phase == "prefill"]) == 2


def test_the_token_limit_is_told_and_continued(desk, engine):
    answer = desk.ask("x", Answer(text="Half of", finish_reason="length"))
    assert answer.state == "length"
    engine.answers.append(Answer(text=" it."))
    assert desk.finish(desk.session.continue_answer, answer.id).text == "Half of it."


def test_an_engine_that_dies_leaves_an_interrupted_answer(desk, engine):
    answer = desk.ask("x", Answer(text="One two three four five six.", die_after=8))
    assert (answer.state, answer.text) == ("interrupted", "One two three four")
    assert "closed it before" in answer.error
    engine.answers.append(Answer(text=" and more."))
    finished = desk.finish(desk.session.continue_answer, answer.id)
    assert (finished.state, finished.text) == ("complete", "One two three four and more.")
    assert finished.error == ""


def test_an_answer_asked_of_an_engine_that_has_just_died_waits_for_the_restart(desk, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, str(ROOT / "tests" / "fake_engine.py"), "serve", "--exit-with-parent"]
    engine = EngineProcess(command, first_delay_ms=10)
    try:
        with desk.qtbot.waitSignal(engine.model_described, timeout=WAIT_MS):
            engine.start()
        desk.session.set_endpoint(engine.endpoint, engine=engine, model=None)
        answer = desk.finish(desk.session.send, "x")
        assert answer.state == "complete"
        os.kill(engine.pid, signal.SIGKILL)
        phases = []
        engine.state_changed.connect(lambda state: phases.append(state.phase))
        assert engine.state.phase == "ready"  # nobody has noticed
        again = desk.finish(desk.session.send, "y")
        assert (again.state, again.error) == ("complete", "")
        assert phases[0] == "restarting"
        os.kill(engine.pid, signal.SIGKILL)
        desk.qtbot.waitUntil(lambda: engine.state.phase == "restarting", timeout=WAIT_MS)
        assert desk.finish(desk.session.regenerate, again.id).state == "complete"
    finally:
        desk.session.shut_down()
        engine.stop()


def test_text_is_committed_while_it_is_written(desk, engine, qtbot):
    hold = threading.Event()
    engine.answers.append(Answer(text="One two three four.", hold=hold, hold_after=2))
    desk.session.send("x")
    other = History(desk.paths.database.with_name("other.sqlite3"))
    other.close()
    answer_id = desk.session.writing_id
    qtbot.waitUntil(lambda: desk.history.message(answer_id).text == "One two", timeout=WAIT_MS)
    assert desk.history.message(answer_id).state == "writing"
    hold.set()
    qtbot.waitUntil(lambda: not desk.session.is_busy, timeout=WAIT_MS)


def test_a_prompt_that_is_too_long_loses_its_oldest_turns_and_says_so(desk, engine, qtbot):
    for number in range(3):
        desk.ask(f"request {number}", f"answer {number}")
    too_long = (400, {"error": {"message": "5000 tokens, 4096 fit", "code": "context_length_exceeded"}})
    counts = []
    desk.session.turns_dropped.connect(counts.append)
    answer = desk.ask("request 3", Answer(error=too_long), Answer(error=too_long), "fits now")
    assert (answer.text, answer.state) == ("fits now", "complete")
    assert counts == [2, 4]
    assert desk.history.message(answer.id).dropped_turns == 4
    sent = [message["content"] for message in engine.requests[-1]["messages"]]
    assert sent == ["request 2", "answer 2", "request 3"]


def test_a_request_that_never_fits_ends_with_the_reason(desk):
    too_long = (400, {"error": {"message": "5000 tokens, 4096 fit", "code": "context_length_exceeded"}})
    answer = desk.ask("x", Answer(error=too_long))
    assert answer.state == "error"
    assert "5000 tokens" in answer.error


def test_long_conversations_are_cut_before_they_are_sent(desk, engine):
    desk.ask("word " * 3000, "short")
    desk.ask("next", "ok")
    assert [message["content"] for message in engine.requests[-1]["messages"]] == ["next"]


def test_an_answer_goes_on_while_its_pane_shows_another_conversation(desk, engine, qtbot):
    hold = threading.Event()
    engine.answers.append(Answer(text="First.\n\n" + PAGE.format("one"), hold=hold, hold_after=2))
    session = desk.session
    session.send("first")
    qtbot.waitUntil(lambda: len(engine.requests) == 1, timeout=WAIT_MS)
    first = session.conversation.id
    session.open_new()
    assert not session.is_busy
    assert session.conversation is None
    desk.ask("second", "Second.")
    session.open_conversation(first)
    assert session.is_busy
    answer = desk.finish(hold.set)
    assert answer.state == "complete"
    assert "<p>one</p>" in desk.page()
    engine.answers.append(Answer(text="Late.", hold=(late := threading.Event()), hold_after=1))
    session.send("third")
    session.open_new()
    with qtbot.waitSignal(session.conversation_changed, timeout=WAIT_MS):
        late.set()
    assert desk.history.messages(first)[-1].text == "Late."


def test_two_panes_write_at_once(desk, engine, qtbot):
    other = desk.new_session()
    hold = threading.Event()
    engine.answers += [Answer(text="One two.", hold=hold), Answer(text="Three four.")]
    desk.session.send("first")
    qtbot.waitUntil(lambda: len(engine.requests) == 1, timeout=WAIT_MS)
    assert desk.finish(other.send, "second", session=other).text == "Three four."
    assert desk.finish(hold.set).text == "One two."


def test_the_understood_line_is_changed_and_written_on_from(desk, engine):
    answer = desk.ask("a scene", "Here.\n\n" + PAGE.format("one"))
    engine.answers.append(Answer(text="<p>night</p>\n```\n"))
    line = Understood(kind="mountains", chips=("snow", "time: night"))
    other = desk.finish(desk.session.rewrite_understood, answer.id, line)
    assert other.id != answer.id
    assert engine.requests[1]["continue_from"].endswith("<!-- mountains | snow | time: night -->\n")
    assert engine.requests[1]["seed"] == engine.requests[0]["seed"]
    assert desk.page() == "<!-- mountains | snow | time: night -->\n<p>night</p>\n"


def test_a_full_disk_while_files_are_written_keeps_the_old_ones(desk, engine, monkeypatch):
    desk.ask("a scene", PAGE.format("one"))
    real = os.fsync
    session = desk.session

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    engine.answers.append(Answer(text=EDIT.format("one", "two")))
    session.answer_grew.connect(lambda *_: monkeypatch.setattr(os, "fsync", full))
    answer = desk.finish(session.send, "change")
    monkeypatch.setattr(os, "fsync", real)
    assert "<p>one</p>" in desk.page()
    assert any("disk is full" in str(problem) for problem in desk.problems)
    assert "disk is full" in answer.applied["rejects"][0]["reason"]
    assert "<p>two</p>" in answer.applied["rejects"][0]["block"]
    assert desk.history.message(answer.id).text == answer.text


def test_an_end_that_cannot_be_stored_is_stored_later(desk, engine, monkeypatch, qtbot):
    monkeypatch.setattr(answer_keeper, "RETRY_MS", 10)
    session = desk.session = desk.new_session()
    session._keeper._retry.setInterval(10)
    real = desk.history.finish_answer
    refused = []

    def refuse_once(message_id, outcome):
        if not refused:
            refused.append(message_id)
            raise Problem("The conversation cannot be saved.", "The disk is full.", "Free some space.")
        return real(message_id, outcome)

    monkeypatch.setattr(desk.history, "finish_answer", refuse_once)
    answer = desk.ask("x", "Kept in mind.")
    assert answer.text == "Kept in mind."
    qtbot.waitUntil(lambda: desk.history.message(answer.id).state == "complete", timeout=WAIT_MS)
    assert desk.history.message(answer.id).text == "Kept in mind."
    assert "disk is full" in str(desk.problems[0])


def test_an_unreadable_project_is_told_and_nothing_is_sent(desk, engine, monkeypatch):
    desk.ask("a scene", PAGE.format("one"))

    def refuse(_path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert not desk.session.send("again")
    assert "permission" in str(desk.problems[0])
    assert not desk.session.is_busy
    assert len(engine.requests) == 1
    monkeypatch.undo()
    assert desk.ask("again", "fine").text == "fine"


def test_an_answer_that_cannot_be_written_again_is_shown_as_before(desk, engine, monkeypatch):
    answer = desk.ask("a scene", PAGE.format("one"))

    def refuse(*_arguments, **_options):
        raise Problem("The conversation cannot be saved.", "The disk is full.", "Free some space.")

    monkeypatch.setattr(desk.history, "begin_answer", refuse)
    desk.session.regenerate(answer.id)
    assert "disk is full" in str(desk.problems[0])
    assert [message.id for message in desk.session.tree.path()][-1] == answer.id
    monkeypatch.setattr(desk.history, "add_request", refuse)
    desk.session.edit_request(answer.parent_id, "another scene")
    assert [message.id for message in desk.session.tree.path()][-1] == answer.id
    monkeypatch.setattr(desk.history, "set_system_prompt", refuse)
    desk.session.set_system_prompt("Be brief.")
    assert len(desk.problems) == 3
    monkeypatch.undo()
    assert desk.ask("again", "fine").text == "fine"


def test_drafts_and_the_system_prompt_come_back(desk):
    desk.session.set_draft("half a tho")
    assert desk.new_session().draft == "half a tho"
    desk.session.set_system_prompt("Be brief.")
    desk.session.set_draft("typed")
    conversation = desk.session.conversation.id
    desk.session.open_new()
    assert desk.session.draft == ""
    again = desk.new_session()
    again.open_conversation(conversation)
    assert again.draft == "typed"
    desk.session = again
    desk.ask("hi", "ok")
    assert desk.engine.requests[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert again.draft == ""


def test_only_one_answer_at_a_time_in_a_conversation(desk, engine):
    hold = threading.Event()
    engine.answers.append(Answer(text="One.", hold=hold))
    desk.session.send("first")
    desk.session.send("second")
    assert "still being written" in str(desk.problems[0])
    assert len(desk.session.tree) == 2
    desk.finish(hold.set)


def test_closing_the_program_keeps_the_answer_as_interrupted(desk, engine, qtbot):
    engine.answers.append(Answer(text="One two three.", hold=threading.Event(), hold_after=2))
    desk.session.send("x")
    qtbot.waitUntil(lambda: desk.session.stream is not None and desk.session.stream.text == "One two", timeout=WAIT_MS)
    answer_id = desk.session.writing_id
    desk.session.shut_down()
    stored = desk.history.message(answer_id)
    assert (stored.text, stored.state) == ("One two", "interrupted")


def test_hand_edits_made_while_an_answer_is_written_can_be_found(desk, engine, qtbot):
    desk.ask("a scene", PAGE.format("one"))
    hold = threading.Event()
    engine.answers.append(Answer(text=PAGE.format("two"), hold=hold))
    desk.session.send("again")
    desk.session.workspace.write_text("index.html", "by hand")
    answer = desk.finish(hold.set)
    assert "<p>two</p>" in desk.page()
    request = desk.history.message(answer.parent_id)
    assert SnapshotStore(desk.paths.snapshots).read(request.snapshot_left, "index.html") == b"by hand"


def test_sampling_is_sent_as_set(desk, engine):
    desk.session.sampling = Sampling(temperature=0.0, top_p=0.5, seed=11, max_tokens=77)
    desk.ask("x", "y")
    sent = engine.requests[0]
    assert (sent["temperature"], sent["top_p"], sent["seed"], sent["max_tokens"]) == (0.0, 0.5, 11, 77)


def test_a_model_that_does_not_know_our_formats_is_told_them(desk, engine):
    desk.session.guide = "Answer in files."
    desk.ask("x", "y")
    assert engine.requests[0]["messages"][0] == {"role": "system", "content": "Answer in files."}


def test_routing_that_makes_no_sense_costs_the_trace_not_the_answer(desk, engine):
    desk.model = ModelInfo(id="fake-moe", card={"num_experts": 3})
    desk.session = desk.new_session()
    answer = desk.ask("x", "All the text is here.")
    assert (answer.text, answer.state) == ("All the text is here.", "complete")
    assert desk.session.load_trace(answer.id) is None


def test_opening_tells_the_pane(desk):
    opened = []
    desk.session.conversation_opened.connect(opened.append)
    desk.ask("x", "y")
    conversation = desk.session.conversation.id
    desk.session.open_new()
    desk.session.open_conversation(conversation)
    assert opened == [NEW_CONVERSATION, conversation]
    assert [message.text for message in desk.session.tree.path()] == ["x", "y"]
    assert desk.session.context_used_tokens() > 0
    assert desk.session.context_tokens == 4096
