"""The main job, end to end: ask, watch it run, see which experts fired."""

import os
import signal
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPlainTextEdit
from pytestqt.qtbot import QtBot

from app.core.records import Message
from app.models.experts import layer_routings
from app.shell.main_window import MainWindow
from engine.trace import RoutingTrace

ANSWER_MS = 150_000
PROMPT = "a snowy mountain scene"


def type_request(qtbot: QtBot, window: MainWindow, text: str) -> None:
    """Type into the composer and press Enter, as a person does."""
    composer = window.chats.active.findChild(QPlainTextEdit)
    assert composer is not None
    composer.setFocus()
    qtbot.keyClicks(composer, text)
    qtbot.keyClick(composer, Qt.Key.Key_Return)


def answer(qtbot: QtBot, window: MainWindow, text: str) -> Message:
    session = window.chats.active.session
    with qtbot.waitSignal(session.answer_finished, timeout=ANSWER_MS) as finished:
        type_request(qtbot, window, text)
    message = finished.args[0]
    assert isinstance(message, Message)
    return message


def test_a_prompt_becomes_a_running_scene_whose_tokens_show_their_experts(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    session = window.chats.active.session
    session.sampling = type(session.sampling)(temperature=0.0)
    with qtbot.waitSignal(window.preview.run_judged, timeout=ANSWER_MS) as judged:
        message = answer(qtbot, window, PROMPT)
    assert message.state == "complete"
    assert [change["path"] for change in message.applied["changes"]] == ["index.html"]
    assert message.fingerprint
    assert message.seed is not None

    # it runs: a WebGL scene without errors
    assert judged.args[0].errors == 0
    assert judged.args[0].fps > 0
    program = (session.workspace.root / "index.html").read_text()
    assert program.startswith("<!-- mountains")
    assert "THREE.Scene" in program
    assert window.editor.text("index.html") == program

    # a clicked token shows its experts in every MoE layer
    window.panel.show_pane("experts")
    inspector = window.links._inspector
    strip = inspector.tokens.strip
    qtbot.waitUntil(lambda: strip.token_count() == message.usage["completion_tokens"])
    index = 40
    strip.select(index, index)
    strip.select(-1, -1)
    qtbot.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, pos=strip.token_rect(index).center())
    model = inspector.tokens.detail.model()
    layers = session.model.card["moe_layers"]
    assert model.rowCount() == (layers if isinstance(layers, int) else len(layers))
    token = inspector.selection()[0]
    row = layer_routings(inspector.trace(), token)[0]
    assert len(row.experts) == 4
    assert row.weights is not None
    assert row.margin is not None
    assert row.margin >= 0
    assert model.index(0, 1).data() == " · ".join(map(str, row.experts))

    # what is shown is what was stored
    stored = RoutingTrace.load(next((tmp_path / "data").rglob("*.moetrace")))
    assert stored.tokens == inspector.trace().tokens
    assert set(row.experts) == set(map(int, stored.ids[token - 1, 0]))  # the pass before wrote it


def test_killing_the_engine_in_mid_answer_keeps_what_came_and_it_goes_on(qtbot: QtBot, window: MainWindow) -> None:
    session, engine = window.chats.active.session, window.parts.engine
    with qtbot.waitSignal(session.answer_finished, timeout=ANSWER_MS):
        type_request(qtbot, window, PROMPT)
        qtbot.waitUntil(lambda: session.stream is not None and len(session.stream.text) > 120, timeout=ANSWER_MS)
        os.kill(engine.pid, signal.SIGKILL)
    kept = session.tree.leaf
    assert kept is not None
    assert kept.state == "interrupted"
    assert len(kept.text) > 120
    assert kept.error
    assert window.parts.history.message(kept.id).text == kept.text
    with qtbot.waitSignal(session.answer_finished, timeout=ANSWER_MS) as again:
        session.continue_answer(kept.id)  # at once: the death may not be known yet
    assert again.args[0].id == kept.id
    assert again.args[0].text.startswith(kept.text)
    assert again.args[0].state == "complete", again.args[0].error
