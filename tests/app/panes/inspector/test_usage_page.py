"""The usage page: numbers beside chance, what they were computed from, the plot, and its ways out."""

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from app.panes.inspector.pages import NO_SELECTION
from app.panes.inspector.usage_page import BY_NUMBER, UsagePage
from app.theme.theme import Theme
from tests.app.panes.inspector.traces import EXPERTS, planted_trace

FAVOURITE = 3
TRACE = planted_trace(favourite=FAVOURITE)


@pytest.fixture
def page(qtbot: QtBot, theme: Theme) -> UsagePage:
    page = UsagePage(theme)
    page.resize(1100, 260)
    qtbot.addWidget(page)
    page.show()
    return page


def count(qtbot: QtBot, page: UsagePage, part: str = "answer", selection: tuple[int, int] = NO_SELECTION) -> None:
    page.part.set_part(part)  # type: ignore[arg-type]
    page.show_trace(TRACE, selection)
    qtbot.waitUntil(lambda: not page._job.is_busy)


def test_each_layer_stands_beside_chance_and_says_what_was_counted(qtbot: QtBot, page: UsagePage) -> None:
    count(qtbot, page)
    assert page.sample.full_text() == f"From {len(TRACE) - 1} answer tokens of sample"
    assert page.model.rowCount() == 2
    row = [page.model.index(1, column).data() for column in range(7)]
    assert row[0] == "2"
    assert row[3] == "0 (0.0)"
    assert row[4].split()[0] != "0"
    usage = page.usage()
    assert usage is not None
    assert usage.layers[1].far_out[FAVOURITE]


def test_the_plot_marks_who_is_far_out_and_names_who_is_pointed_at(qtbot: QtBot, page: UsagePage, theme: Theme) -> None:
    count(qtbot, page)
    page.table.selectRow(1)
    assert page.plot.order()[0] == FAVOURITE
    assert page.plot.bar_colors()[0] == theme.color("warning")
    assert theme.color("accent") in page.plot.bar_colors()
    qtbot.keyClick(page.plot, Qt.Key.Key_Home)
    assert f"expert {FAVOURITE}" in page.caption.full_text()
    assert "95% band" in page.caption.full_text()
    page.order.setCurrentText(BY_NUMBER)
    assert page.plot.order() == list(range(EXPERTS))


def test_only_selected_tokens_or_the_prompt_can_be_counted(qtbot: QtBot, page: UsagePage) -> None:
    count(qtbot, page, "selected", (3, 12))
    assert page.sample.full_text().startswith("From 10 answer tokens")
    count(qtbot, page, "prompt")
    assert page.sample.full_text().startswith("From 1 prompt token of")
    count(qtbot, page, "selected")
    assert page.sample.full_text() == "No token is selected"
    assert not page.plot.isVisible()


def test_numbers_and_picture_can_be_saved(
    qtbot: QtBot, page: UsagePage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(qtbot, page)
    for name, entry in (("a.csv", "CSV"), ("a.png", "PNG")):
        target = str(tmp_path / name)
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args, target=target, **_kwargs: (target, ""))
        next(action for action in page.export.entries.actions() if entry in action.text()).trigger()
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0].startswith("layer,expert,tokens,by chance")
    assert len(lines) == 1 + 2 * EXPERTS
    assert "answer tokens of sample" in lines[1]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_trace_it_says_what_to_do(page: UsagePage) -> None:
    page.show_trace(None, NO_SELECTION)
    assert not page.table.isVisible()
