"""The expert bench in the real window: mute an expert, have the answer written again, compare, tally."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from app.panes.inspector.bench import ExpertBench
from app.panes.inspector.pages import BENCH_KEY
from app.shell.main_window import MainWindow

ANSWER_MS = 120_000


def click(qtbot: QtBot, button: QPushButton) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_an_expert_is_muted_and_what_changes_is_shown(qtbot: QtBot, window: MainWindow) -> None:
    session = window.chats.active.session
    with qtbot.waitSignal(session.answer_finished, timeout=ANSWER_MS) as first:
        window.chats.active.ask("20 bouncing balls")
    window.panel.show_pane("experts")
    inspector = window.inspector
    assert inspector is not None
    window.panel.show_pane(BENCH_KEY)
    page = inspector.page(BENCH_KEY)
    assert isinstance(page, ExpertBench)
    assert not page.run_button.isEnabled()  # nothing is changed unless somebody says so

    trace = session.trace
    assert trace is not None
    inspector.select_tokens(len(trace) - 30, len(trace) - 30)
    layer = trace.layers[0]
    click(qtbot, page.pick_button)
    muted = int(page.experts.text())
    assert muted in trace.ids[len(trace) - 31, 0]
    click(qtbot, page.add_button)
    assert page.changes() == [{"layers": [layer, layer], "experts": [muted], "action": "mute"}]

    with qtbot.waitSignal(session.answer_finished, timeout=ANSWER_MS) as second:
        click(qtbot, page.run_button)
    message = second.args[0]
    assert message.parent_id == first.args[0].parent_id
    assert message.seed == first.args[0].seed
    assert window.parts.history.message(message.id).sampling["interventions"] == page.changes()
    assert session.trace is not None
    assert not (session.trace.ids[:, 0] == muted).any()
    assert page.results.routing.rowCount() > 0
    assert f"mute expert {muted} in layer {layer}" in page.state.text()
    assert page.results.diff.toPlainText()
    qtbot.waitUntil(lambda: page.results.before.state.text() != "", timeout=ANSWER_MS)  # both run
    qtbot.waitUntil(lambda: page.results.after.state.text() != "", timeout=ANSWER_MS)

    page.seeds.setValue(1)
    click(qtbot, page.tally_button)
    qtbot.waitUntil(lambda: page.results.tally.rowCount() == 3, timeout=ANSWER_MS)
    names = [page.results.tally.item(row, 0).text() for row in range(3)]
    assert names == ["as it is", "with the changes", "control"]
    assert all(page.results.tally.item(row, 1).text() in ("0 of 1", "1 of 1") for row in range(3))
    assert str(muted) not in page.results.tally.item(2, 2).text().split("experts")[-1].split(" in ")[0].split()
