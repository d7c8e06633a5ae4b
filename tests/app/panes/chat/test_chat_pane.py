"""The chat pane driven by clicks and keys."""

import threading

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QColor, QGuiApplication
from PySide6.QtWidgets import QLabel, QPushButton

from app.core.problem import Problem
from app.core.records import AnswerOrigin
from app.core.stream import StreamUpdate
from app.panes.chat.answer_settings import AnswerSettings
from app.panes.chat.notices import EndNotice, RejectNotice
from app.panes.chat.text_views import ProseView
from app.panes.chat.understood_row import ChipPopover
from app.services.engine_process import EngineState
from tests.app.panes.chat.conftest import READY, WAIT_MS, Chat
from tests.fake_engine import Answer

PAGE = "Here it is.\n\n```html index.html\n<!-- mountains | time: night | snow -->\n<p>one</p>\n```\n"
EDIT = "Done.\n\n```edit index.html\n<<<<<<< SEARCH\n<p>{}</p>\n=======\n<p>two</p>\n>>>>>>> REPLACE\n```\n"


def button(widget, text: str) -> QPushButton:
    found = [one for one in widget.findChildren(QPushButton) if one.text() == text and not one.isHidden()]
    assert found, f"no button {text!r}"
    return found[0]


def prose(view) -> str:
    return "\n".join(one.toPlainText() for one in view.findChildren(ProseView))


def test_enter_sends_and_the_answer_shows_prose_file_and_facts(chat: Chat):
    message = chat.ask("a mountain scene", PAGE)
    assert chat.pane.composer.draft() == ""
    assert chat.requests()[0].bubble.text() == "a mountain scene"
    answer = chat.answers()[0]
    assert prose(answer) == "Here it is."
    card = answer.views[1].card
    assert card.title.full_text() == "index.html"
    assert card.view.code() == "<!-- mountains | time: night | snow -->\n<p>one</p>"
    facts = answer.chips.findChildren(QLabel)
    assert {"index.html", "+2"} <= {label.text() for label in facts}
    assert any(f"{message.usage['completion_tokens']} tokens" in label.text() for label in facts)


def test_shift_enter_breaks_the_line(chat: Chat):
    chat.type("one")
    chat.press(Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    chat.type("two")
    assert chat.pane.composer.draft() == "one\ntwo"
    assert chat.session.tree.path() == []


def test_one_can_type_while_an_answer_streams_and_stop_keeps_what_came(chat: Chat):
    hold = threading.Event()
    chat.engine.answers.append(Answer(text="One two three four five six.", hold=hold, hold_after=3))
    chat.type("go")
    with chat.qtbot.waitSignal(chat.session.answer_grew, timeout=WAIT_MS):
        chat.press(Qt.Key.Key_Return)
    chat.type("next thing")
    chat.press(Qt.Key.Key_Return)  # not sent: an answer is being written
    assert chat.pane.composer.draft() == "next thing"
    assert chat.pane.composer.send_button.isHidden()
    with chat.qtbot.waitSignal(chat.session.answer_finished, timeout=WAIT_MS):
        chat.click(chat.pane.composer.stop_button)
    hold.set()
    answer = chat.answers()[-1]
    assert answer.message.state == "stopped"
    assert prose(answer).startswith("One two")
    assert answer.findChild(EndNotice) is not None
    assert chat.pane.composer.draft() == "next thing"
    assert not chat.pane.composer.send_button.isHidden()


def test_escape_stops_and_continue_goes_on_where_it_stopped(chat: Chat):
    hold = threading.Event()
    chat.engine.answers += [Answer(text="One two three four.", hold=hold, hold_after=3), Answer(text=" And on.")]
    chat.type("go")
    with chat.qtbot.waitSignal(chat.session.answer_grew, timeout=WAIT_MS):
        chat.press(Qt.Key.Key_Return)
    with chat.qtbot.waitSignal(chat.session.answer_finished, timeout=WAIT_MS):
        chat.press(Qt.Key.Key_Escape)
    hold.set()
    before = chat.answers()[-1].message.text
    assert before
    with chat.qtbot.waitSignal(chat.session.answer_finished, timeout=WAIT_MS):
        chat.click(button(chat.answers()[-1], "Continue"))
    assert len(chat.answers()) == 1
    answer = chat.answers()[0]
    assert answer.message.text == before + " And on."
    assert prose(answer) == before + " And on."
    assert not [one for one in answer.findChildren(EndNotice) if not one.isHidden()]


def test_an_answer_says_that_it_waits_for_the_engine(chat: Chat):
    hold = threading.Event()
    chat.engine.answers.append(Answer(text="One two.", hold=hold, hold_after=0))
    chat.type("go")
    chat.press(Qt.Key.Key_Return)
    view = chat.answers()[-1]
    said = {}
    for phase in ("restarting", "loading", "ready"):
        chat.pane.show_engine_state(EngineState(phase=phase))
        said[phase] = [label.text() for label in view.findChildren(QLabel) if label.text().endswith("…")]
    assert said == {
        "restarting": ["the engine is restarting…"], "loading": ["the model is loading…"], "ready": ["thinking…"],
    }
    chat.pane.show_engine_state(EngineState(phase="restarting"))
    chat.session.path_changed.emit()  # the transcript is built anew
    view = chat.answers()[-1]
    assert "the engine is restarting…" in [label.text() for label in view.findChildren(QLabel)]
    hold.set()
    assert chat.wait_for_answer().text == "One two."


def test_another_answer_is_a_sibling_and_the_arrows_go_back(chat: Chat):
    chat.ask("go", "first")
    chat.engine.answers.append(Answer(text="second"))
    with chat.qtbot.waitSignal(chat.session.answer_finished, timeout=WAIT_MS):
        chat.click(chat.answers()[0].again_button)
    answer = chat.answers()[0]
    assert (prose(answer), answer.arrows.place.text()) == ("second", "2 of 2")
    chat.click(answer.arrows.previous)
    answer = chat.answers()[0]
    assert (prose(answer), answer.arrows.place.text()) == ("first", "1 of 2")
    assert not answer.arrows.previous.isEnabled()


def test_an_edited_request_starts_a_branch(chat: Chat):
    chat.ask("make it red", "red it is")
    request = chat.requests()[0]
    chat.engine.answers.append(Answer(text="blue it is"))
    chat.click(request.edit_button)
    request.editor.selectAll()
    chat.qtbot.keyClicks(request.editor, "make it blue")
    with chat.qtbot.waitSignal(chat.session.answer_finished, timeout=WAIT_MS):
        chat.qtbot.keyClick(request.editor, Qt.Key.Key_Return)
    assert [view.bubble.text() for view in chat.requests()] == ["make it blue"]
    assert chat.requests()[0].arrows.place.text() == "2 of 2"
    chat.click(chat.requests()[0].arrows.previous)
    assert prose(chat.answers()[0]) == "red it is"


def test_escape_leaves_an_edited_request_as_it_was(chat: Chat):
    chat.ask("make it red", "red it is")
    request = chat.requests()[0]
    chat.click(request.edit_button)
    chat.qtbot.keyClicks(request.editor, "no ")
    chat.qtbot.keyClick(request.editor, Qt.Key.Key_Escape)
    assert request.editor is None
    assert request.bubble.text() == "make it red"
    assert len(chat.session.tree) == 2


def test_changing_what_was_understood_writes_again_from_it(chat: Chat):
    chat.ask("a mountain scene", PAGE)
    row = chat.answers()[0].understood_row
    assert [chip.text() for chip in row.chips] == ["mountains", "time: night", "snow", "+"]
    chat.click(row.chips[1])
    popover = chat.pane.findChild(ChipPopover)
    popover.field.setText("time: dawn")
    chat.engine.answers.append(Answer(text="<p>dawn</p>\n```\n"))
    with chat.qtbot.waitSignal(chat.session.answer_finished, timeout=WAIT_MS):
        chat.qtbot.keyClick(popover.field, Qt.Key.Key_Return)
    assert chat.engine.requests[-1]["continue_from"].rstrip().endswith("<!-- mountains | time: dawn | snow -->")
    assert [chip.text() for chip in chat.answers()[0].understood_row.chips[:3]] == ["mountains", "time: dawn", "snow"]


def test_a_chip_can_be_removed(chat: Chat):
    chat.ask("a mountain scene", PAGE)
    row = chat.answers()[0].understood_row
    chat.click(row.chips[2])
    with chat.qtbot.waitSignal(row.change_requested) as changed:
        chat.click(button(chat.pane.findChild(ChipPopover), "Remove"))
    assert changed.args[0].chips == ("time: night",)


def test_a_rejected_edit_says_why_shows_the_block_and_asks_again(chat: Chat):
    chat.ask("a page", PAGE)
    chat.ask("change it", EDIT.format("not there"))
    notice = chat.answers()[-1].findChild(RejectNotice)
    assert "index.html" in notice.findChildren(QLabel)[1].text()
    assert notice.block.isHidden()
    chat.click(notice.show_button)
    assert not notice.block.isHidden()
    assert "not there" in notice.block.code()
    chat.engine.answers.append(Answer(text=EDIT.format("one")))
    with chat.qtbot.waitSignal(chat.session.answer_finished, timeout=WAIT_MS):
        chat.click(button(notice, "Ask again"))
    assert "could not be applied" in chat.requests()[-1].bubble.text()
    assert chat.session.workspace.read_text("index.html").endswith("<p>two</p>\n")


def test_an_edit_is_shown_as_a_diff_and_can_be_opened(chat: Chat):
    chat.ask("a page", PAGE)
    message = chat.ask("change it", EDIT.format("one"))
    card = chat.answers()[-1].views[1].card
    assert card.view.code() == "- <p>one</p>\n+ <p>two</p>"
    with chat.qtbot.waitSignal(chat.pane.diff_requested) as asked:
        chat.click(button(card, "Diff"))
    assert asked.args == [message.id, "index.html"]


def test_open_in_editor_and_copy(chat: Chat):
    chat.ask("a page", PAGE)
    card = chat.answers()[0].views[1].card
    with chat.qtbot.waitSignal(chat.pane.open_requested) as opened:
        chat.click(button(card, "Open in editor"))
    assert opened.args == ["index.html"]
    chat.click(card.copy_button)
    assert QGuiApplication.clipboard().text() == card.view.code()
    chat.click(chat.answers()[0].copy_button)
    assert QGuiApplication.clipboard().text() == PAGE


def test_clicking_code_tells_where_in_the_answer(chat: Chat):
    chat.ask("a page", PAGE)
    view = chat.answers()[0].views[1].card.view
    at = view.code().index("one")
    cursor = view.textCursor()
    cursor.setPosition(at)
    with chat.qtbot.waitSignal(chat.pane.range_picked) as picked:
        chat.qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.cursorRect(cursor).center())
    message_id, start, end = picked.args
    assert message_id == chat.answers()[0].message.id
    assert start == end == PAGE.index("one")


def test_a_range_of_tokens_is_marked_in_its_block(chat: Chat):
    message = chat.ask("a page", PAGE)
    view = chat.answers()[0].views[1].card.view
    start = PAGE.index("one")
    chat.pane.mark_range(message.id, start, start + 3)
    assert [mark.cursor.selectedText() for mark in view.extraSelections()] == ["one"]
    chat.pane.mark_range(-1, 0, 0)
    assert view.extraSelections() == []


def test_reading_back_is_not_scrolled_away(chat: Chat):
    for number in range(6):
        chat.ask(f"request {number}", "\n\n".join(f"Paragraph {line} of answer {number}." for line in range(8)))
    bar = chat.pane.transcript.verticalScrollBar()
    chat.qtbot.waitUntil(lambda: bar.maximum() > 0 and bar.value() == bar.maximum())
    hold = threading.Event()
    chat.engine.answers.append(Answer(text="\n\n".join(["More."] * 20), hold=hold, hold_after=3))
    chat.type("more")
    with chat.qtbot.waitSignal(chat.session.answer_grew, timeout=WAIT_MS):
        chat.press(Qt.Key.Key_Return)
    place = bar.maximum() // 2
    bar.setValue(place)
    hold.set()
    chat.wait_for_answer()
    before = bar.maximum()
    chat.qtbot.waitUntil(lambda: bar.maximum() >= before)
    assert bar.value() == place
    assert not chat.pane.transcript.to_end_button.isHidden()
    chat.click(chat.pane.transcript.to_end_button)
    assert bar.value() == bar.maximum()


def test_the_newest_line_is_followed(chat: Chat):
    chat.ask("go", "\n\n".join(f"Paragraph {line}." for line in range(60)))
    bar = chat.pane.transcript.verticalScrollBar()
    chat.qtbot.waitUntil(lambda: bar.maximum() > 0 and bar.value() == bar.maximum())


def test_a_draft_stays_with_its_conversation(chat: Chat):
    chat.ask("first", "one")
    first = chat.session.conversation.id
    chat.type("half a thought")
    chat.pane.store_draft()
    chat.session.open_new()
    assert chat.pane.composer.draft() == ""
    chat.type("another")
    chat.pane.store_draft()
    chat.session.open_conversation(first)
    assert chat.pane.composer.draft() == "half a thought"
    chat.session.open_new()
    assert chat.pane.composer.draft() == "another"


def test_the_draft_is_stored_soon_after_typing(chat: Chat):
    chat.type("do not lose me")
    chat.qtbot.waitUntil(lambda: chat.session.draft == "do not lose me", timeout=WAIT_MS)


def test_settings_of_the_next_answer(chat: Chat):
    chat.click(chat.pane.composer.settings_button)
    popover = chat.pane.findChild(AnswerSettings)
    popover.temperature.setValue(0.0)
    popover.seed.setValue(7)
    popover.max_tokens.setValue(50)
    popover.system_prompt.setPlainText("Be brief.")
    popover.close()
    chat.ask("go", "fine")
    body = chat.engine.requests[-1]
    assert (body["temperature"], body["seed"], body["max_tokens"]) == (0.0, 7, 50)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}


def test_a_prompt_card_waits_for_the_model_and_is_sent_when_it_is_there(chat: Chat):
    chat.pane.show_engine_state(EngineState(phase="loading", progress=0.4, model="nano"))
    assert "40%" in chat.pane.welcome.state.text()
    assert chat.pane.welcome.progress.value() == 400
    chat.click(chat.pane.welcome.cards[0])
    assert chat.session.tree.path() == []
    assert chat.pane.composer.draft() == chat.pane.welcome.cards[0]._card.prompt
    chat.engine.answers.append(Answer(text="There you are."))
    with chat.qtbot.waitSignal(chat.session.answer_finished, timeout=WAIT_MS):
        chat.pane.show_engine_state(READY)
    assert prose(chat.answers()[0]) == "There you are."
    assert chat.pane.composer.draft() == ""


def test_a_prompt_card_works_by_keyboard(chat: Chat):
    chat.engine.answers.append(Answer(text="Balls."))
    with chat.qtbot.waitSignal(chat.session.answer_finished, timeout=WAIT_MS):
        chat.qtbot.keyClick(chat.pane.welcome.cards[1], Qt.Key.Key_Return)
    assert "trails" in chat.requests()[0].bubble.text()


def test_a_failed_engine_is_said_with_its_reason_and_the_ways_out(chat: Chat):
    other, pressed = QAction("Open a model folder", chat.pane), []
    other.triggered.connect(lambda: pressed.append(True))
    chat.pane.set_ways_out([other])
    failed = EngineState(phase="failed", message="/models/big has no config.json.", model="big")
    chat.pane.show_engine_state(failed)
    bar = chat.pane.problem_bar
    assert "No model is loaded" in chat.pane.welcome.state.text()
    assert bar.text.text().replace("\u200b", "") == "/models/big has no config.json."
    chat.session.open_new()
    assert not bar.isHidden()
    chat.type("a scene")
    chat.press(Qt.Key.Key_Return)  # waits for a model
    assert chat.pane.composer.draft() == "a scene"
    chat.click(button(bar, "Open a model folder"))
    assert pressed == [True]
    chat.pane.show_engine_state(EngineState(phase="loading", progress=0.5, model="nano"))
    assert bar.isHidden()
    assert chat.pane.welcome.state.text() == "Loading Nano · 50%"
    with chat.qtbot.waitSignal(chat.session.answer_finished, timeout=WAIT_MS):
        chat.pane.show_engine_state(READY)
    assert chat.requests()[0].bubble.text() == "a scene"


def refuse(*_arguments: object, **_options: object) -> None:
    raise Problem("The conversation cannot be saved.", "The disk is full.", "Free some space.")


def test_a_request_that_cannot_be_stored_stays_in_the_field(chat: Chat, monkeypatch):
    monkeypatch.setattr(chat.history, "add_request", refuse)
    chat.type("a scene")
    chat.press(Qt.Key.Key_Return)
    assert chat.pane.composer.draft() == "a scene"
    assert "disk is full" in chat.pane.problem_bar.text.text()
    monkeypatch.undo()
    chat.ask("", "Here.")
    assert chat.requests()[0].bubble.text() == "a scene"


def test_an_edited_request_that_cannot_be_stored_stays_in_its_editor(chat: Chat, monkeypatch):
    chat.ask("a scene", PAGE)
    view = chat.requests()[0]
    view.edit_button.click()
    view.editor.setPlainText("another scene")
    monkeypatch.setattr(chat.history, "add_request", refuse)
    chat.qtbot.keyClick(view.editor, Qt.Key.Key_Return)
    assert view.editor.toPlainText() == "another scene"
    assert len(chat.answers()) == 1
    monkeypatch.undo()
    with chat.qtbot.waitSignal(chat.session.answer_finished, timeout=WAIT_MS):
        chat.qtbot.keyClick(view.editor, Qt.Key.Key_Return)
    assert chat.requests()[0].bubble.text() == "another scene"


def test_a_request_from_elsewhere_leaves_what_is_typed(chat: Chat):
    chat.type("half a tho")
    with chat.qtbot.waitSignal(chat.session.answer_finished, timeout=WAIT_MS):
        chat.pane.ask("Please repair this.")
    assert chat.requests()[0].bubble.text() == "Please repair this."
    assert chat.pane.composer.draft() == chat.session.draft == "half a tho"
    chat.pane.show_engine_state(EngineState(phase="loading"))
    chat.pane.ask("And this.")
    assert chat.pane.composer.draft() == "half a tho"
    assert "has not been sent" in chat.pane.problem_bar.text.text()


def test_an_answer_that_failed_says_why(chat: Chat):
    error = {"error": {"message": "The prompt is too long.", "type": "invalid_request_error", "code": "bad"}}
    message = chat.ask("go", Answer(error=(400, error)))
    assert message.state == "error"
    notice = chat.answers()[0].findChild(EndNotice)
    assert "too long" in notice.findChildren(QLabel)[0].text()


def test_a_long_conversation_keeps_few_widgets_alive(chat: Chat):
    conversation = chat.history.create_conversation(title="long")
    parent = None
    for number in range(75):
        parent = chat.history.add_request(conversation.id, parent, f"request {number}").id
        parent = chat.history.begin_answer(conversation.id, parent, AnswerOrigin(), text=f"answer {number}").id
    chat.session.open_conversation(conversation.id)
    assert len(chat.pane.transcript.views()) == 60
    assert chat.answers()[-1].message.text == "answer 74"
    chat.click(chat.pane.transcript.earlier_button)
    assert len(chat.pane.transcript.views()) == 120
    chat.click(chat.pane.transcript.earlier_button)
    assert len(chat.pane.transcript.views()) == 150
    assert chat.requests()[0].bubble.text() == "request 0"
    assert chat.pane.transcript.earlier_button.isHidden()


def test_closed_blocks_are_left_alone_while_the_next_one_grows(chat: Chat):
    hold = threading.Event()
    chat.engine.answers.append(Answer(text="First paragraph.\n\nSecond one grows here.", hold=hold, hold_after=4))
    chat.type("go")
    chat.press(Qt.Key.Key_Return)
    chat.qtbot.waitUntil(lambda: bool(chat.answers()) and len(chat.answers()[0].views) >= 2, timeout=WAIT_MS)
    first = chat.answers()[0].views[0]
    calls = []
    first.show_block = calls.append
    hold.set()
    chat.wait_for_answer()
    assert calls == []
    assert prose(chat.answers()[0]) == "First paragraph.\nSecond one grows here."


def test_an_update_of_an_answer_that_is_not_shown_is_ignored(chat: Chat):
    chat.pane._answer_grew(999, StreamUpdate(closed=(), open=None))
    assert chat.answers() == []


def test_how_a_program_ran_is_shown_under_its_answer(chat: Chat):
    message = chat.ask("a page", PAGE)
    chat.pane.show_run(message.id, "ran clean · 60 fps", clean=True)
    chat.pane.show_run(message.id, "2 errors", clean=False)
    chips = chat.answers()[0].chips

    def shown() -> list[str]:
        return [label.text() for label in chips.findChildren(QLabel) if label.isVisible()]

    chat.qtbot.waitUntil(lambda: "2 errors" in shown())
    assert "ran clean · 60 fps" not in shown()


def test_context_and_model_are_named(chat: Chat):
    chat.pane.set_model("Nano")
    chat.ask("a page", PAGE)
    assert chat.pane.composer.context_label.text().endswith("of 4.1k")
    assert chat.pane.composer.model_button.text() == "Nano"


def test_the_theme_switches_while_messages_are_shown(chat: Chat):
    chat.ask("a page", PAGE)
    code = chat.answers()[0].views[1].card.view

    def first_color() -> QColor:
        formats = code.document().firstBlock().layout().formats()
        return QColor(formats[0].format.foreground().color())

    before = first_color()
    chat.theme.set_mode("light")
    assert first_color() != before
