"""The window as a person uses it: chats, panes, folding, commands, and what a restart brings back."""

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLineEdit, QMessageBox
from pytestqt.qtbot import QtBot

from app.core.problem import Problem
from app.models.chats import ChatRole
from app.settings import Settings
from tests.app.shell.conftest import Program

WAIT_MS = 20_000


def ask(qtbot: QtBot, window, text: str) -> None:
    pane = window.chats.active
    with qtbot.waitSignal(pane.session.answer_finished, timeout=WAIT_MS):
        qtbot.keyClicks(pane.composer.text, text)
        qtbot.keyClick(pane.composer.text, Qt.Key.Key_Return)


def activate(qtbot: QtBot, window) -> None:
    """The offscreen platform takes the focus away when a web view starts; a person's desktop doesn't."""
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=WAIT_MS)


def run_command(qtbot: QtBot, window, words: str) -> None:
    """Through the palette, by keys."""
    activate(qtbot, window)
    qtbot.keyClick(window, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    palette = window.commands.palette
    assert palette.isVisible()
    qtbot.keyClicks(palette.field, words)
    qtbot.keyClick(palette.field, Qt.Key.Key_Return)


def click_row(qtbot: QtBot, view, row: int) -> None:
    place = view.visualRect(view.model().index(row, 0)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_an_answer_reaches_files_editor_preview_inspector_and_status(qtbot: QtBot, program: Program):
    window = program.open()
    assert window.right.isHidden()
    with qtbot.waitSignal(window.preview.run_judged, timeout=WAIT_MS):
        ask(qtbot, window, "a blue page")
    assert not window.right.isHidden()
    assert window.editor.current_path() == "index.html"
    assert window.editor.text("index.html").startswith("<!-- page | blue -->")
    assert window.parts.files.rowCount() == 1
    assert window.header.title.full_text()
    answer = next(iter(window.chats.active._answers.values()))
    assert answer.chips._run is not None
    inspector = window.panel.pane("experts")
    assert inspector.trace() is window.chats.active.session.trace
    assert "50 tok/s" in window.status.speed.text()
    assert window.header.chip.name.full_text().startswith("fake-moe")


def test_a_page_drawn_by_the_processor_yields_it_while_an_answer_is_written(
    qtbot: QtBot, program: Program, monkeypatch: pytest.MonkeyPatch
):
    window = program.open()
    asked: list[bool] = []
    monkeypatch.setattr(window.preview, "set_yielding", asked.append)
    ask(qtbot, window, "a blue page")
    assert asked == [True, False]


def test_a_click_in_the_code_selects_its_token_and_back(qtbot: QtBot, program: Program):
    window = program.open()
    ask(qtbot, window, "a blue page")
    inspector = window.panel.pane("experts")
    message = window.chats.active.session.tree.path()[-1]
    qtbot.waitUntil(lambda: inspector.tokens.strip.token_count() == message.usage["completion_tokens"], timeout=WAIT_MS)
    code = next(iter(window.chats.active._answers.values())).views[1].card.view
    at = message.text.index("blue")
    window.chats.active.range_picked.emit(message.id, at, at)
    trace = inspector.trace()
    first, last = inspector.selection()
    selected = [token.text for token in trace.tokens[first : last + 1]]
    assert len(selected) == 1
    assert "blue" in selected[0]
    marks = [mark.cursor.selectedText() for mark in code.extraSelections()]
    assert [mark.strip() for mark in marks] == [selected[0].strip()]


def test_two_chats_side_by_side_have_projects_of_their_own(qtbot: QtBot, program: Program):
    window = program.open()
    ask(qtbot, window, "first page")
    activate(qtbot, window)
    qtbot.keyClick(window, Qt.Key.Key_Backslash, Qt.KeyboardModifier.ControlModifier)
    first, second = window.chats.panes()
    assert window.chats.active is second
    assert window.right.isHidden()
    ask(qtbot, window, "second page")
    assert first.session.workspace.root != second.session.workspace.root
    activate(qtbot, window)
    first.composer.text.setFocus()
    qtbot.waitUntil(lambda: window.chats.active is first)
    assert window.parts.files.workspace.root == first.session.workspace.root
    run_command(qtbot, window, "close this chat's pane")
    assert window.chats.panes() == [second]


def test_a_restart_brings_back_chat_draft_layout_and_mode(qtbot: QtBot, program: Program):
    window = program.open()
    ask(qtbot, window, "a page")
    qtbot.keyClicks(window.chats.active.composer.text, "unfinished")
    window.right.set_mode("preview")
    window.panel.show_pane("problems")
    window.outer.setSizes([300, 1100])
    title = window.header.title.full_text()
    sidebar_px = window.sidebar.width()
    program.close()
    again = program.open(wait=False)
    qtbot.waitUntil(lambda: again.panel.current == "problems")
    assert again.header.title.full_text() == title
    assert again.chats.active.composer.draft() == "unfinished"
    assert len(again.chats.active.transcript.views()) == 2
    assert again.right.mode == "preview"
    assert again.sidebar.width() == sidebar_px


def drag(qtbot: QtBot, splitter, by: QPoint) -> None:
    handle = splitter.handle(1)
    start = handle.rect().center()
    qtbot.mousePress(handle, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(handle, start + by)
    qtbot.mouseRelease(handle, Qt.MouseButton.LeftButton, pos=start + by)


def sizes(window) -> list[list[int]]:
    return [splitter.sizes() for splitter in window._splitters()]


def test_every_border_that_was_dragged_stands_there_after_a_restart(qtbot: QtBot, program: Program):
    window = program.open(size=(1800, 1000))
    ask(qtbot, window, "a page")
    run_command(qtbot, window, "open a second chat")
    window.chats.set_active(window.chats.panes()[0])
    window.panel.show_pane("problems")
    qtbot.waitUntil(lambda: not window.right.isHidden())
    at_first = sizes(window)
    steps = (QPoint(40, 0), QPoint(0, -60), QPoint(-70, 0), QPoint(-40, 0), QPoint(45, 0))
    for splitter, by in zip(window._splitters(), steps, strict=True):
        drag(qtbot, splitter, by)
    dragged = sizes(window)
    assert [before != after for before, after in zip(at_first, dragged, strict=True)] == [True] * 5, (at_first, dragged)
    program.close()
    again = program.open(size=(1800, 1000), wait=False)
    qtbot.waitUntil(lambda: again.panel.current == "problems")
    again.chats.set_active(again.chats.panes()[0])  # the one with a project
    qtbot.waitUntil(lambda: sizes(again) == dragged, timeout=WAIT_MS)


def test_the_chats_keep_their_width_when_a_project_comes_back(qtbot: QtBot, program: Program):
    window = program.open()
    ask(qtbot, window, "a page")
    drag(qtbot, window.top, QPoint(-60, 0))
    chat_px = window.top.sizes()[0]
    run_command(qtbot, window, "new chat")
    qtbot.waitUntil(window.right.isHidden)
    program.close()
    again = program.open()
    assert again.right.isHidden()
    ask(qtbot, again, "another page")
    assert again.top.sizes()[0] == chat_px


def test_what_was_never_sent_comes_back_too(qtbot: QtBot, program: Program):
    window = program.open(wait=False)
    qtbot.keyClicks(window.chats.active.composer.text, "only typed")
    program.close()
    assert program.open(wait=False).chats.active.composer.draft() == "only typed"


def test_little_room_folds_the_side_bar_and_the_split(qtbot: QtBot, program: Program):
    window = program.open(wait=False)
    assert not window.sidebar.isHidden()
    window.resize(1024, 700)
    qtbot.waitUntil(lambda: window.sidebar.isHidden())
    assert window.right.mode == "preview"
    qtbot.mouseClick(window.header.sidebar_button, Qt.MouseButton.LeftButton)
    assert not window.sidebar.isHidden()
    window.resize(1500, 900)
    qtbot.waitUntil(lambda: window.right.mode == "split")
    assert not window.sidebar.isHidden()


def test_nothing_sticks_out_of_a_small_window(qtbot: QtBot, program: Program):
    window = program.open(size=(1024, 700))
    ask(qtbot, window, "a page")
    assert window.width() == 1024
    right_edge = window.right.mapTo(window, QPoint(window.right.width(), 0)).x()
    assert right_edge <= 1024
    assert window.chats.width() >= 300


def test_the_first_answer_brings_the_experts_and_folding_gives_the_room_back(qtbot: QtBot, program: Program):
    window = program.open()
    assert window.panel.is_folded
    assert window.panel.height() <= 40
    ask(qtbot, window, "a page")
    assert not window.panel.is_folded
    assert window.panel.current == "experts"
    qtbot.waitUntil(lambda: window.panel.height() >= 180, timeout=WAIT_MS)
    open_px = window.panel.height()
    qtbot.mouseClick(window.panel.fold_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.panel.height() <= 40, timeout=WAIT_MS)
    assert window.middle.sizes()[1] <= 40
    qtbot.mouseClick(window.panel.fold_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: abs(window.panel.height() - open_px) <= 2, timeout=WAIT_MS)


def test_rename_search_delete_and_undo(qtbot: QtBot, program: Program):
    window = program.open()
    ask(qtbot, window, "a page about whales")
    chat_id = window.chats.active.session.conversation.id
    run_command(qtbot, window, "rename this chat")
    field = window.sidebar.chats.findChild(QLineEdit)
    field.selectAll()
    qtbot.keyClicks(field, "Whales")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.header.title.full_text() == "Whales", timeout=WAIT_MS)

    activate(qtbot, window)
    qtbot.keyClick(window, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClicks(window.sidebar.search, "color:blue")
    qtbot.keyClick(window.sidebar.search, Qt.Key.Key_Return)
    model = window.parts.chats
    assert model.rowCount() == 2
    assert model.index(1).data(ChatRole.SNIPPET)
    run_command(qtbot, window, "new chat")
    click_row(qtbot, window.sidebar.chats, 1)
    assert window.chats.active.session.conversation.id == chat_id
    window.sidebar.search.clear()
    qtbot.waitUntil(lambda: model.query == "", timeout=WAIT_MS)

    run_command(qtbot, window, "delete this chat")
    assert window.chats.active.session.conversation is None
    assert model.row_of(chat_id) == -1
    qtbot.mouseClick(window.sidebar.undo_button, Qt.MouseButton.LeftButton)
    assert model.row_of(chat_id) >= 0
    assert window.chats.active.session.conversation.id == chat_id


def test_the_conversation_can_be_exported(qtbot: QtBot, program: Program, tmp_path, monkeypatch):
    window = program.open()
    ask(qtbot, window, "a page")
    file = tmp_path / "chat.md"
    monkeypatch.setattr("app.shell.window_commands.QFileDialog.getSaveFileName", lambda *_: (str(file), ""))
    run_command(qtbot, window, "export this chat")
    text = file.read_text()
    assert "a page" in text
    assert "<p style='color:blue'>one</p>" in text


def test_an_export_that_fails_is_listed_with_its_cause(qtbot: QtBot, program: Program, tmp_path, monkeypatch):
    window = program.open()
    ask(qtbot, window, "a page")
    (tmp_path / "file").write_text("kept")
    target = tmp_path / "file" / "chat.md"
    monkeypatch.setattr("app.shell.window_commands.QFileDialog.getSaveFileName", lambda *_: (str(target), ""))
    run_command(qtbot, window, "export this chat")
    assert window.panel.current == "problems"
    assert "a file, not a folder" in window.parts.problems.entries()[-1].text


def test_themes_by_command_are_kept(qtbot: QtBot, program: Program):
    window = program.open(wait=False)
    run_command(qtbot, window, "use light colours")
    assert not window.parts.theme.is_dark
    assert window.parts.settings.text("theme") == "light"


def test_diagnostics_tell_of_the_engine_and_not_of_the_chat(qtbot: QtBot, program: Program):
    window = program.open()
    ask(qtbot, window, "my secret plan")
    run_command(qtbot, window, "copy diagnostics")
    report = QGuiApplication.clipboard().text()
    assert "engine: ready" in report
    assert "engine log line" in report
    assert "secret plan" not in report
    assert window.parts.engine.endpoint.config.key == "process-key"
    assert "process-key" not in report
    assert "- model: fake-moe" in report
    assert "- free space in the data folder: " in report
    assert "- web pages are drawn by: " in report


def test_files_in_the_side_bar_open_in_the_editor(qtbot: QtBot, program: Program):
    window = program.open()
    ask(qtbot, window, "a page")
    workspace = window.chats.active.session.workspace
    workspace.write_text("notes.md", "hello")
    window.parts.files.refresh()
    click_row(qtbot, window.sidebar.files, 1)
    assert window.editor.current_path() == "notes.md"


def test_the_engine_killed_is_said_and_comes_back(qtbot: QtBot, program: Program):
    import os
    import signal

    window = program.open()
    engine = window.parts.engine
    seen = []
    engine.state_changed.connect(lambda state: seen.append((state.phase, window.status.state.text())))
    pid = engine.pid
    os.kill(pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: engine.state.phase == "ready" and engine.pid not in (0, pid), timeout=WAIT_MS)
    assert "Restarting the engine" in [text for _, text in seen]
    assert window.status.state.text() == "Ready"


def test_problems_of_a_page_are_counted_and_can_be_sent_to_the_model(qtbot: QtBot, program: Program):
    window = program.open(text="Broken.\n\n```html index.html\n<script>nope();</script>\n```\n")
    ask(qtbot, window, "a broken page")
    qtbot.waitUntil(lambda: window.parts.problems.rowCount() > 0, timeout=WAIT_MS)
    assert window.panel.tabs.button("problems").text() == "Problems 1"
    window.panel.show_pane("problems")
    with qtbot.waitSignal(window.chats.active.session.answer_finished, timeout=WAIT_MS):
        qtbot.mouseClick(window.problems.fix_button, Qt.MouseButton.LeftButton)
    assert "nope" in window.chats.active.session.tree.path()[-2].text


def test_a_model_that_cannot_be_loaded_leaves_ways_out(qtbot: QtBot, program: Program, tmp_path):
    Settings(program.paths.settings).set("model_dir", str(tmp_path / "broken"))
    window = program.open("--refuse-model", wait=False)
    engine = window.parts.engine
    qtbot.waitUntil(lambda: engine.state.phase == "failed", timeout=WAIT_MS)
    bar = window.chats.active.problem_bar
    assert "broken has no config.json" in bar.text.text().replace("\u200b", "")
    assert [one.text() for one in bar.buttons] == [
        "Open a model folder…", "Use the model in the box", "Restart the engine"]
    qtbot.mouseClick(bar.buttons[1], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: engine.state.phase == "ready", timeout=WAIT_MS)
    assert bar.isHidden()
    assert window.parts.settings.text("model_dir") == ""
    ask(qtbot, window, "a page")


@pytest.mark.parametrize("layout", ["[1, 2]", '{"panel": "gone", "panel_folded": false, "panel_px": "x", "mode": 5}'])
def test_damaged_files_of_the_window_are_no_obstacle(qtbot: QtBot, program: Program, layout):
    program.paths.settings.write_text('{"theme": "da')
    (program.paths.window / "layout.json").write_text(layout)
    window = program.open()
    assert window.right.mode == "split"
    assert "not JSON" in window.parts.problems.entries()[0].text


def test_an_unreadable_project_is_said_where_one_works(qtbot: QtBot, program: Program):
    window = program.open()
    ask(qtbot, window, "a page")
    root = window.chats.active.session.workspace.root
    root.rename(root.with_name("away"))
    root.write_text("a file in its place")
    pane = window.chats.active
    qtbot.keyClicks(pane.composer.text, "another page")
    qtbot.keyClick(pane.composer.text, Qt.Key.Key_Return)
    assert "cannot be read" in pane.problem_bar.text.text()
    assert pane.composer.draft() == "another page"
    root.unlink()
    root.with_name("away").rename(root)
    ask(qtbot, window, "")
    assert "another page" in [message.text for message in pane.session.tree.path()]


def test_quitting_asks_when_what_was_typed_cannot_be_kept(qtbot: QtBot, program: Program, monkeypatch):
    window = program.open()
    ask(qtbot, window, "a page")
    qtbot.keyClicks(window.chats.active.composer.text, "half a thought")

    def full(*_arguments):
        raise Problem("The conversation cannot be saved.", "The disk is full.", "Free some space.")

    monkeypatch.setattr(program.history, "set_draft", full)
    answers = [QMessageBox.StandardButton.Cancel, QMessageBox.StandardButton.Discard]
    monkeypatch.setattr("app.shell.main_window.QMessageBox.question", lambda *_: answers.pop(0))
    assert not window.close()
    assert window.isVisible()
    assert window.close()
    assert answers == []


def test_quitting_ends_the_engine(qtbot: QtBot, program: Program):
    window = program.open()
    engine = window.parts.engine
    assert engine.pid
    qtbot.keyClick(window, Qt.Key.Key_Q, Qt.KeyboardModifier.ControlModifier)
    assert engine.pid == 0
    assert not window.isVisible()


