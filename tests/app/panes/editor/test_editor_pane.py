"""The editor pane with the real Monaco: typing, saving, tabs, changes on the disk, a renderer that dies."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox, QPushButton, QTabBar
from pytestqt.qtbot import QtBot

from app.core.token_places import TokenPlace
from app.core.workspace import Workspace
from app.panes.editor import EditorPane
from app.panes.editor.page import EditorView
from app.theme.theme import Theme

READY_MS = 30_000


@pytest.fixture
def pane(qtbot: QtBot, theme: Theme, project: Path, tmp_path: Path) -> Iterator[EditorPane]:
    (project / "index.html").write_text("<p>one</p>\n")
    (project / "a.js").write_text("const a = 1;\n")
    pane = EditorPane(theme, tmp_path / "drafts")
    pane.resize(600, 400)
    qtbot.addWidget(pane)
    pane.show()
    pane.open_project(Workspace(project))
    yield pane
    pane.open_project(None)


def open_ready(qtbot: QtBot, pane: EditorPane, path: str) -> EditorView:
    pane.open_file(path)
    view = pane.findChild(EditorView)
    assert view is not None
    qtbot.waitUntil(lambda: view.is_ready, timeout=READY_MS)
    return view


def evaluate(qtbot: QtBot, view: EditorView, script: str) -> Any:
    found: list[Any] = []
    view.page().runJavaScript(f"JSON.stringify({script})", found.append)
    qtbot.waitUntil(lambda: bool(found), timeout=READY_MS)
    return found[0]


def type_at_start(view: EditorView, text: str) -> None:
    edit = f"[{{range: new monaco.Range(1, 1, 1, 1), text: {text!r}}}]"
    view.page().runJavaScript(f"editor.executeEdits('test', {edit})")


def tab_texts(pane: EditorPane) -> list[str]:
    tabs = pane.findChild(QTabBar)
    assert tabs is not None
    return [tabs.tabText(index) for index in range(tabs.count())]


def test_typing_marks_the_tab_and_ctrl_s_saves(qtbot: QtBot, pane: EditorPane, project: Path) -> None:
    view = open_ready(qtbot, pane, "a.js")
    type_at_start(view, "let b; ")
    qtbot.waitUntil(lambda: tab_texts(pane) == ["● a.js"], timeout=READY_MS)
    assert (project / "a.js").read_text() == "const a = 1;\n"
    with qtbot.waitSignal(pane.file_saved):
        qtbot.keyClick(pane, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    assert (project / "a.js").read_text() == "let b; const a = 1;\n"
    assert tab_texts(pane) == ["a.js"]


def test_unsaved_text_and_tabs_come_back(qtbot: QtBot, pane: EditorPane, theme: Theme, project: Path) -> None:
    view = open_ready(qtbot, pane, "index.html")
    pane.open_file("a.js")
    type_at_start(view, "typed ")
    qtbot.waitUntil(lambda: pane.dirty_paths() == ["a.js"], timeout=READY_MS)
    drafts = pane._drafts_folder / "project.json"
    qtbot.waitUntil(lambda: "typed" in drafts.read_text(), timeout=READY_MS)
    again = EditorPane(theme, pane._drafts_folder)
    qtbot.addWidget(again)
    again.open_project(Workspace(project))
    assert again.open_paths() == ["index.html", "a.js"]
    assert again.text("a.js") == "typed const a = 1;\n"
    again.open_project(None)


def bar_button(pane: EditorPane, text: str) -> QPushButton:
    return next(button for button in pane.findChildren(QPushButton) if button.text() == text and button.isVisible())


def test_a_clean_file_follows_the_disk_and_a_dirty_one_asks(qtbot: QtBot, pane: EditorPane, project: Path) -> None:
    view = open_ready(qtbot, pane, "a.js")
    (project / "a.js").write_text("from outside\n")
    qtbot.waitUntil(lambda: pane.text("a.js") == "from outside\n", timeout=READY_MS)
    qtbot.waitUntil(lambda: evaluate(qtbot, view, "editor.getValue()") == '"from outside\\n"', timeout=READY_MS)
    type_at_start(view, "mine ")
    qtbot.waitUntil(lambda: pane.dirty_paths() == ["a.js"], timeout=READY_MS)
    (project / "a.js").write_text("again from outside\n")
    qtbot.waitUntil(pane._conflict_bar.isVisible, timeout=READY_MS)
    assert pane.text("a.js") == "mine from outside\n"
    assert (project / "a.js").read_text() == "again from outside\n"


def test_a_file_that_goes_and_comes_back_asks_only_when_others_took_it(
    qtbot: QtBot, pane: EditorPane, project: Path
) -> None:
    open_ready(qtbot, pane, "a.js")
    (project / "a.js").unlink()
    pane.refresh_from_disk(by_program=True)
    assert not pane._conflict_bar.isVisible()
    (project / "a.js").write_text("back\n")
    pane.refresh_from_disk(by_program=True)
    assert pane.text("a.js") == "back\n"
    (project / "a.js").unlink()
    qtbot.waitUntil(pane._conflict_bar.isVisible, timeout=READY_MS)
    assert "gone from the disk" in pane._conflict_label.text()
    (project / "a.js").write_text("back again\n")
    qtbot.waitUntil(pane._conflict_bar.isHidden, timeout=READY_MS)
    assert pane.text("a.js") == "back again\n"
    assert pane.dirty_paths() == []


def test_a_file_that_others_took_is_closed_or_written_again_as_the_person_says(
    qtbot: QtBot, pane: EditorPane, project: Path
) -> None:
    view = open_ready(qtbot, pane, "a.js")
    type_at_start(view, "mine ")
    qtbot.waitUntil(lambda: pane.dirty_paths() == ["a.js"], timeout=READY_MS)
    mine = pane.text("a.js")
    (project / "a.js").unlink()
    qtbot.waitUntil(pane._conflict_bar.isVisible, timeout=READY_MS)
    qtbot.mouseClick(bar_button(pane, "Keep mine"), Qt.MouseButton.LeftButton)
    assert (project / "a.js").read_text() == mine
    (project / "a.js").unlink()
    qtbot.waitUntil(pane._conflict_bar.isVisible, timeout=READY_MS)
    qtbot.mouseClick(bar_button(pane, "Close it"), Qt.MouseButton.LeftButton)
    assert pane.open_paths() == []
    assert not pane._conflict_bar.isVisible()
    assert not (project / "a.js").exists()


def test_closing_a_dirty_tab_asks_first(qtbot: QtBot, pane: EditorPane, monkeypatch: pytest.MonkeyPatch) -> None:
    view = open_ready(qtbot, pane, "a.js")
    type_at_start(view, "x")
    qtbot.waitUntil(lambda: pane.dirty_paths() == ["a.js"], timeout=READY_MS)
    answers = [QMessageBox.StandardButton.Cancel, QMessageBox.StandardButton.Discard]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    qtbot.keyClick(pane, Qt.Key.Key_W, Qt.KeyboardModifier.ControlModifier)
    assert tab_texts(pane) == ["● a.js"]
    qtbot.keyClick(pane, Qt.Key.Key_W, Qt.KeyboardModifier.ControlModifier)
    assert tab_texts(pane) == []
    assert answers == []


def test_a_renderer_that_dies_loses_nothing(qtbot: QtBot, pane: EditorPane) -> None:
    view = open_ready(qtbot, pane, "a.js")
    type_at_start(view, "kept ")
    qtbot.waitUntil(lambda: pane.dirty_paths() == ["a.js"], timeout=READY_MS)
    with qtbot.waitSignal(view.page_lost, timeout=READY_MS):
        os.kill(view.page().renderProcessPid(), signal.SIGKILL)
    qtbot.waitUntil(lambda: view.is_ready, timeout=READY_MS)
    qtbot.waitUntil(
        lambda: evaluate(qtbot, view, "editor.getValue()") == '"kept const a = 1;\\n"', timeout=READY_MS
    )


def test_a_selection_in_the_code_is_told_in_code_points(qtbot: QtBot, pane: EditorPane, project: Path) -> None:
    (project / "smile.js").write_text("// 😀 hi\n")
    view = open_ready(qtbot, pane, "smile.js")
    with qtbot.waitSignal(pane.code_selected, check_params_cb=lambda _path, start, end: end > start) as selected:
        view.page().runJavaScript("editor.setSelection(new monaco.Selection(1, 7, 1, 9))")
    assert selected.args == ["smile.js", 5, 7]


def test_a_diff_is_shown_and_closed(qtbot: QtBot, pane: EditorPane) -> None:
    view = open_ready(qtbot, pane, "a.js")
    pane.show_diff("a.js", "const a = 0;\n", "const a = 1;\n")
    changes = "diffEditor && diffEditor.getLineChanges() && diffEditor.getLineChanges().length"
    qtbot.waitUntil(lambda: evaluate(qtbot, view, changes) == "1", timeout=READY_MS)
    pane._close_diff()
    assert evaluate(qtbot, view, "document.body.classList.contains('reading-diff')") == "false"


def marked_texts(qtbot: QtBot, view: EditorView) -> Any:
    script = """[...marks.get('a.js')].map(([id, token]) => {
        const range = models.get('a.js').model.getDecorationRange(id);
        return [token, models.get('a.js').model.getValueInRange(range)];
    }).sort((one, two) => one[0] - two[0])"""
    return json.loads(evaluate(qtbot, view, script))


def mark(pane: EditorPane) -> None:
    """Tokens 7 to 9 wrote `const`, ` a` and ` = 1`."""
    spans = ((7, 0, 5), (8, 5, 7), (9, 7, 11))
    places = [TokenPlace(token=token, start=start, end=end) for token, start, end in spans]
    pane.marks.set_places("a.js", pane.text("a.js"), places)


def test_marks_stay_with_their_characters_while_the_text_is_edited(qtbot: QtBot, pane: EditorPane) -> None:
    view = open_ready(qtbot, pane, "a.js")
    mark(pane)
    type_at_start(view, "/* mine */ ")
    qtbot.waitUntil(lambda: pane.text("a.js").startswith("/* mine"), timeout=READY_MS)
    assert marked_texts(qtbot, view) == [[7, "const"], [8, " a"], [9, " = 1"]]
    pane.marks.color("a.js", {7: 0, 9: 1}, ["rgba(1, 2, 3, 0.5)", "rgba(4, 5, 6, 0.5)"])
    assert marked_texts(qtbot, view) == [[7, "const"], [8, " a"], [9, " = 1"]]
    background = """[...document.querySelectorAll('.token-0')]
        .map((element) => [element.textContent, getComputedStyle(element).backgroundColor])"""
    qtbot.waitUntil(lambda: json.loads(evaluate(qtbot, view, background)) == [["const", "rgba(1, 2, 3, 0.5)"]],
                    timeout=READY_MS)
    pane.marks.color("a.js", {}, [])
    qtbot.waitUntil(lambda: json.loads(evaluate(qtbot, view, background)) == [], timeout=READY_MS)


def test_a_selection_in_the_code_tells_its_tokens_and_tokens_select_their_code(qtbot: QtBot, pane: EditorPane) -> None:
    view = open_ready(qtbot, pane, "a.js")
    mark(pane)
    with qtbot.waitSignal(pane.marks.tokens_picked, timeout=READY_MS) as picked:
        view.page().runJavaScript("editor.setPosition({lineNumber: 1, column: 2})")
        view.page().runJavaScript("editor.trigger('test', 'cursorRightSelect')")
    assert picked.args == ["a.js", 7, 7]
    with qtbot.waitSignal(pane.marks.tokens_picked, timeout=READY_MS) as picked:
        view.page().runJavaScript("editor.trigger('test', 'editor.action.selectAll')")
    assert picked.args == ["a.js", 7, 9]
    assert pane.marks.select_tokens("a.js", 8, 9)
    selected = "editor.getModel().getValueInRange(editor.getSelection())"
    qtbot.waitUntil(lambda: evaluate(qtbot, view, selected) == '" a = 1"', timeout=READY_MS)
    assert not pane.marks.select_tokens("a.js", 1, 2)


def test_the_menu_entry_asks_for_the_experts_of_the_selection(qtbot: QtBot, pane: EditorPane) -> None:
    view = open_ready(qtbot, pane, "a.js")
    with qtbot.waitSignal(pane.marks.experts_asked, timeout=READY_MS) as asked:
        view.page().runJavaScript("editor.setSelection(new monaco.Selection(1, 1, 1, 6))")
        view.page().runJavaScript("editor.getAction('experts').run()")
    assert asked.args == ["a.js", 0, 5]


def test_a_file_read_again_wants_its_marks_anew(qtbot: QtBot, pane: EditorPane, project: Path) -> None:
    open_ready(qtbot, pane, "a.js")
    with qtbot.waitSignal(pane.marks.places_wanted, timeout=READY_MS) as wanted:
        (project / "a.js").write_text("from outside\n")
    assert wanted.args == ["a.js"]
