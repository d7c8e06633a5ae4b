"""The preview pane used as a person would use it, around the real engine."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from app.core.network_choices import NetworkChoices
from app.core.web_libraries import WebLibraries
from app.panes.preview.pane import PreviewPane, RunJudgement
from app.panes.preview.strips import ErrorRow
from app.resources import resource_path
from app.services.preview_guard import NetworkGate
from app.services.runner import PageRunner
from app.services.watchdog import WatchdogLimits
from app.theme.theme import Theme

ANIMATED = """<!DOCTYPE html><title>first</title><body style="background:#204060"><script>
(function draw() { requestAnimationFrame(draw) })();</script>"""
FAULTY = "<!DOCTYPE html>\n<p>text</p>\n<script>\n  brokenCall();\n</script>\n<img src='https://example.com/a.png'>"


@pytest.fixture
def pane(theme: Theme, tmp_path: Path, qtbot: QtBot) -> Iterator[PreviewPane]:
    runner = PageRunner(
        WebLibraries(resource_path("web", "node_modules")), resource_path("web", "preview"), NetworkGate(),
        limits=WatchdogLimits(hang_s=0.7),
    )  # fmt: skip
    pane = PreviewPane(theme, runner, NetworkChoices(tmp_path / "network.json"), tmp_path / "pictures")
    pane.resize(520, 420)
    pane.show()
    yield pane
    pane.shut_down()
    pane.close()
    pane.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def click(qtbot: QtBot, button: QPushButton) -> None:
    assert button.isVisible()
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def open_page(pane: PreviewPane, project: Path, text: str, qtbot: QtBot) -> None:
    (project / "index.html").write_text(text)
    with qtbot.waitSignal(pane.runner.page_loaded, timeout=20_000):
        pane.open_project(project)


def title(pane: PreviewPane, qtbot: QtBot) -> str:
    with qtbot.waitSignal(pane.runner.page_described, timeout=20_000) as answer:
        pane.runner.describe()
    return str(answer.args[1]["title"])


def test_an_empty_project_says_so_and_offers_no_tools(pane: PreviewPane, project: Path) -> None:
    pane.open_project(project)
    assert pane.state() == "empty"
    assert not pane.tools.run_button.isEnabled()
    assert not pane.tools.network_button.isEnabled()


def test_a_page_appears_when_its_file_does_and_is_loaded_again_when_it_changes(
    pane: PreviewPane, project: Path, qtbot: QtBot
) -> None:
    pane.open_project(project)
    with qtbot.waitSignal(pane.runner.page_loaded, timeout=20_000):
        (project / "index.html").write_text(ANIMATED)
    assert pane.state() == "running"
    assert title(pane, qtbot) == "first"
    with qtbot.waitSignal(pane.runner.page_loaded, timeout=20_000):
        (project / "index.html").write_text(ANIMATED.replace("first", "second"))
    assert title(pane, qtbot) == "second"


def test_a_clean_run_shows_its_frame_rate_and_is_judged(pane: PreviewPane, project: Path, qtbot: QtBot) -> None:
    with qtbot.waitSignal(pane.run_judged, timeout=30_000) as judged:
        open_page(pane, project, ANIMATED, qtbot)
    judgement = judged.args[0]
    assert (judgement.errors, judgement.blocked) == (0, 0)
    assert judgement.fps > 5
    assert pane.tools.fps_label.text().endswith(" fps")
    assert pane.errors.isHidden()


def test_judgements_in_words() -> None:
    assert str(RunJudgement(errors=0, blocked=0, fps=59.6)) == "ran clean · 60 fps"
    assert str(RunJudgement(errors=0, blocked=2, fps=0)) == "ran · 2 blocked"
    assert str(RunJudgement(errors=1, blocked=2, fps=60)) == "1 error"


def test_an_error_leads_to_its_line_and_to_the_model(pane: PreviewPane, project: Path, qtbot: QtBot) -> None:
    open_page(pane, project, FAULTY, qtbot)
    qtbot.waitUntil(lambda: pane.errors.count() == 1 and pane.blocked.total() == 1, timeout=20_000)
    assert "brokenCall is not defined" in pane.errors.headline.full_text()
    click(qtbot, pane.errors.fold_button)
    row = pane.errors.row(0)
    assert isinstance(row, ErrorRow)
    with qtbot.waitSignal(pane.source_requested) as place:
        click(qtbot, row.place)
    assert place.args == ["index.html", 4]
    with qtbot.waitSignal(pane.fix_requested) as request:
        click(qtbot, pane.errors.fix_button)
    assert "index.html:4" in request.args[0]
    assert "`brokenCall();`" in request.args[0]
    with qtbot.waitSignal(pane.runner.page_loaded, timeout=20_000):
        (project / "index.html").write_text(ANIMATED)
    assert pane.errors.isHidden()  # the repaired page has none of the old errors


def test_the_network_opens_only_after_a_question_and_for_this_project(
    pane: PreviewPane, project: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    open_page(pane, project, FAULTY, qtbot)
    qtbot.waitUntil(lambda: pane.tools.network_button.text() == "Network off · 1 blocked", timeout=20_000)
    click(qtbot, pane.tools.network_button)
    assert not pane.runner.network_allowed
    with qtbot.waitSignal(pane.runner.page_loaded, timeout=20_000):
        click(qtbot, pane.question.answer_button)
    assert pane.runner.network_allowed
    assert pane.tools.network_button.text() == "Network on"
    assert json.loads((tmp_path / "network.json").read_text()) == [project.name]
    other = tmp_path / "other"
    other.mkdir()
    open_page(pane, other, ANIMATED, qtbot)
    assert not pane.runner.network_allowed
    open_page(pane, project, ANIMATED, qtbot)
    assert pane.runner.network_allowed
    with qtbot.waitSignal(pane.runner.page_loaded, timeout=20_000):
        click(qtbot, pane.tools.network_button)
    assert not pane.runner.network_allowed


def test_a_hung_page_is_stopped_and_can_be_run_again(pane: PreviewPane, project: Path, qtbot: QtBot) -> None:
    with qtbot.waitSignal(pane.run_judged, timeout=30_000) as judged:
        open_page(pane, project, "<p>text</p><script>setTimeout(() => { for (;;); }, 20)</script>", qtbot)
        qtbot.waitUntil(lambda: pane.state() == "stopped", timeout=30_000)
    assert judged.args[0].errors == 1
    stopped = pane._stopped
    assert "did not answer" in stopped.text.text()
    with qtbot.waitSignal(pane.fix_requested) as request:
        click(qtbot, stopped.second)
    assert "loop without end" in request.args[0]
    (project / "index.html").write_text(ANIMATED)
    pane._watcher.watch(project)  # only the button is to start it
    with qtbot.waitSignal(pane.runner.page_loaded, timeout=20_000):
        click(qtbot, stopped.first)
    assert pane.state() == "running"
    assert title(pane, qtbot) == "first"


def test_pause_and_go_on(pane: PreviewPane, project: Path, qtbot: QtBot) -> None:
    open_page(pane, project, ANIMATED, qtbot)
    for name in ("Go on", "Pause"):
        with qtbot.waitSignal(pane.runner.pause_changed, timeout=20_000):
            qtbot.mouseClick(pane.tools.pause_button, Qt.MouseButton.LeftButton)
        assert pane.tools.pause_button.accessibleName() == name


def test_the_screenshot_shows_the_page(pane: PreviewPane, project: Path, qtbot: QtBot) -> None:
    open_page(pane, project, ANIMATED, qtbot)
    qtbot.waitUntil(lambda: pane.runner.view.grab().toImage().pixelColor(100, 100).name() == "#204060", timeout=20_000)
    with qtbot.waitSignal(pane.screenshot_taken) as taken:
        click(qtbot, pane.tools.screenshot_button)
    picture = QImage(taken.args[0])
    assert picture.pixelColor(100, 100).name() == "#204060"
    assert taken.args[0] in pane.question.text()


def test_the_page_moves_to_its_own_window_and_back_without_a_new_start(
    pane: PreviewPane, project: Path, qtbot: QtBot
) -> None:
    open_page(pane, project, ANIMATED + "<script>setTimeout(() => { document.title = 'older' }, 50)</script>", qtbot)
    qtbot.waitUntil(lambda: title(pane, qtbot) == "older", timeout=20_000)
    pane.tools.actions_by_name["Open in its own window"].trigger()
    assert pane.state() == "own window"
    assert pane._window is not None
    assert pane._window.view.page() is pane.runner.page
    assert title(pane, qtbot) == "older"
    click(qtbot, pane._away.first)
    assert pane.state() == "running"
    assert pane.runner.view.page() is pane.runner.page
    assert title(pane, qtbot) == "older"


def test_closing_the_own_window_brings_the_page_back(pane: PreviewPane, project: Path, qtbot: QtBot) -> None:
    open_page(pane, project, ANIMATED, qtbot)
    pane.tools.actions_by_name["Full screen"].trigger()
    window = pane._window
    assert window is not None
    assert window.isFullScreen()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=10_000)
    qtbot.keyClick(window, Qt.Key.Key_F11)
    assert pane.state() == "running"
    assert title(pane, qtbot) == "first"


def test_exports_say_where_they_went_or_why_not(pane: PreviewPane, project: Path, tmp_path: Path, qtbot: QtBot) -> None:
    open_page(pane, project, ANIMATED, qtbot)
    assert pane.exports.export_html(tmp_path / "out.html")
    assert (tmp_path / "out.html").read_text() == ANIMATED
    assert pane.exports.export_zip(tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == ["index.html"]
    (tmp_path / "file").touch()
    assert not pane.exports.export_html(tmp_path / "file" / "out.html")
    assert "can't be written" in pane.question.text()


def test_a_hidden_page_is_capped_and_a_shown_one_is_not(
    pane: PreviewPane, project: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_page(pane, project, ANIMATED, qtbot)
    asked: list[int] = []
    monkeypatch.setattr(pane.runner, "set_frame_interval", asked.append)
    pane.hide()
    pane.show()
    assert asked == [1000, 0]


def test_a_page_that_yields_is_capped_through_hiding_and_reloading(
    pane: PreviewPane, project: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_page(pane, project, ANIMATED, qtbot)
    asked: list[int] = []
    monkeypatch.setattr(pane.runner, "set_frame_interval", asked.append)
    pane.set_yielding(True)
    pane.hide()
    pane.show()
    pane.runner.page_loaded.emit()
    pane.set_yielding(False)
    assert asked == [100, 1000, 100, 100, 0]


def test_a_page_without_webgl_offers_the_restart(pane: PreviewPane, project: Path, qtbot: QtBot) -> None:
    open_page(pane, project, ANIMATED, qtbot)
    pane.runner.webgl_missed.emit()
    assert "WebGL" in pane.question.text()
    with qtbot.waitSignal(pane.webgl_restart_requested):
        click(qtbot, pane.question.answer_button)
