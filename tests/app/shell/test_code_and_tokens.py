"""Between code, tokens and trace files, in the whole window."""

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from app.core.documents import codepoint_offset
from engine.trace import RoutingTrace
from tests.app.panes.inspector.traces import planted_trace
from tests.app.shell.conftest import Program
from tests.app.shell.test_window import ask

WAIT_MS = 20_000
CONFIG = '{"num_hidden_layers": 2, "n_routed_experts": 8, "num_experts_per_tok": 2, "model_type": "sample"}'


def drop(window, file: Path) -> bool:
    """Drag a file over the window and let it go; say whether it was taken."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(file))])
    action, button, modifier = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    entered = QDragEnterEvent(QPointF(5, 5).toPoint(), action, data, button, modifier)
    entered.ignore()
    window.dragEnterEvent(entered)
    if entered.isAccepted():
        window.dropEvent(QDropEvent(QPointF(5, 5), action, data, button, modifier))
    return entered.isAccepted()


def test_code_selects_its_tokens_and_the_switch_tints_it(qtbot: QtBot, program: Program):
    window = program.open()
    ask(qtbot, window, "a blue page")
    editor = window.editor
    qtbot.waitUntil(lambda: editor.tint_bar.isVisible(), timeout=WAIT_MS)
    text = editor.text("index.html")
    at = text.index("blue")
    editor.marks.experts_asked.emit("index.html", at, at + 4)
    inspector = window.inspector
    first, last = inspector.selection()
    picked = "".join(token.text for token in inspector.trace().tokens[first : last + 1])
    assert "blue" in picked
    assert window.panel.current == "experts"
    assert "layer 1: experts" in editor.tint_bar.summary.full_text()
    told = []
    qtbot.waitUntil(lambda: editor._view.is_ready, timeout=WAIT_MS)
    window.commands.actions["view.tint"].trigger()

    def tinted() -> bool:
        editor._view.page().runJavaScript("document.querySelectorAll('[class*=token-]').length", told.append)
        return bool(told and told[-1])

    qtbot.waitUntil(tinted, timeout=WAIT_MS)
    assert "%" in editor.tint_bar.legend.text()


def test_without_a_selection_the_block_around_the_cursor_is_meant(qtbot: QtBot, program: Program):
    page = "```js a.js\nlet a;\nfunction f() {\n  go();\n}\n```\n"
    window = program.open(text=page)
    ask(qtbot, window, "code")
    editor = window.editor
    qtbot.waitUntil(lambda: editor.tint_bar.isVisible(), timeout=WAIT_MS)
    text = editor.text("a.js")
    at = text.index("go")
    assert codepoint_offset(text, at) == at
    editor.marks.experts_asked.emit("a.js", at, at)
    first, last = window.inspector.selection()
    picked = "".join(token.text for token in window.inspector.trace().tokens[first : last + 1])
    assert picked.strip().startswith("function")
    assert "let" not in picked


def test_a_dropped_trace_is_shown_with_its_checks_and_the_chat_comes_back(
    qtbot: QtBot, program: Program, tmp_path: Path
):
    window = program.open()
    ask(qtbot, window, "a blue page")
    planted_trace().save(tmp_path / "other.moetrace")
    assert not drop(window, tmp_path / "notes.txt")
    assert drop(window, tmp_path / "other.moetrace")
    qtbot.waitUntil(lambda: window.inspector is not None and window.inspector.shows_file, timeout=WAIT_MS)
    notice = window.inspector.notice
    assert "other.moetrace" in notice.text()
    assert "Checks passed" in notice.text()
    assert window.inspector.trace().model["id"] == "sample"
    window.inspector.select_tokens(5, 5)
    assert window.chats.active.session.trace is not window.inspector.trace()
    notice.closed.emit()
    assert window.inspector.trace() is window.chats.active.session.trace


def test_other_engines_files_are_opened_with_the_config_beside_them(qtbot: QtBot, program: Program, tmp_path: Path):
    window = program.open()
    ids = np.stack([np.random.default_rng(0).permuted(np.arange(8))[:2] for _ in range(80)]).reshape(40, 2, 2)
    np.save(tmp_path / "a.npy", ids.astype(np.uint8))
    (tmp_path / "config.json").write_text(CONFIG)
    window.traces.open_file(tmp_path / "a.npy")
    qtbot.waitUntil(lambda: window.inspector is not None and window.inspector.shows_file, timeout=WAIT_MS)
    assert np.array_equal(window.inspector.trace().ids, ids)
    assert "vLLM" in window.inspector.notice.text()
    assert "weights, margins and texts are not in it" in window.inspector.notice.text()


def test_a_ranking_cut_in_pieces_is_said_at_once(qtbot: QtBot, program: Program, tmp_path: Path):
    window = program.open()
    rankings = np.argsort(np.random.default_rng(0).random((2, 20, 8)), axis=2).reshape(2, 80, 2).transpose(1, 0, 2)
    np.save(tmp_path / "a.npy", rankings.astype(np.int32))
    (tmp_path / "config.json").write_text(CONFIG)
    window.traces.open_file(tmp_path / "a.npy")
    qtbot.waitUntil(lambda: window.inspector is not None and window.inspector.shows_file, timeout=WAIT_MS)
    assert "1 check failed" in window.inspector.notice.text()
    assert window.inspector.notice._details.isVisibleTo(window.inspector)


def test_damaged_files_and_missing_configs_are_told(
    qtbot: QtBot, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    window = program.open()
    (tmp_path / "bad.moetrace").write_bytes(b"\xff" * 40)
    window.traces.open_file(tmp_path / "bad.moetrace")
    qtbot.waitUntil(lambda: window.parts.problems.rowCount() == 1, timeout=WAIT_MS)
    assert "cut off" in window.parts.problems.index(0).data()
    asked: list[str] = []
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda _parent, title, *_: (asked.append(title) or "", ""))
    (tmp_path / "a.int32").write_bytes(b"\0" * 64)
    window.traces.open_file(tmp_path / "a.int32")
    qtbot.waitUntil(lambda: bool(asked), timeout=WAIT_MS)
    assert "config.json" in asked[0]


def test_the_routing_on_show_can_be_saved(
    qtbot: QtBot, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    window = program.open()
    window.commands.actions["trace.save"].trigger()
    assert "no routing to save" in window.parts.problems.index(0).data()
    ask(qtbot, window, "a blue page")
    window.panel.show_pane("usage")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "a"), ""))
    window.commands.actions["trace.save"].trigger()
    assert len(RoutingTrace.load(tmp_path / "a.moetrace")) == len(window.inspector.trace())
