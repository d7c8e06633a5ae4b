"""The specialisation page: planted specialists in the list, nothing without evidence, and the expert's card."""

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.panes.inspector.pages import NO_SELECTION
from app.panes.inspector.specialisation_page import WRITTEN, SpecialisationPage
from app.theme.theme import Theme
from engine.trace import RoutingTrace
from tests.app.panes.inspector.traces import planted_trace

TRACE = planted_trace()


@pytest.fixture
def files() -> list[Path]:
    return []


@pytest.fixture
def page(qtbot: QtBot, theme: Theme, files: list[Path]) -> SpecialisationPage:
    page = SpecialisationPage(theme, lambda fingerprint: files if fingerprint == "fp" else [])
    page.resize(1200, 260)
    qtbot.addWidget(page)
    page.show()
    return page


def compare(qtbot: QtBot, page: SpecialisationPage, trace: RoutingTrace = TRACE) -> None:
    page.show_trace(trace, NO_SELECTION)
    qtbot.waitUntil(lambda: not page._job.is_busy)


def claims(page: SpecialisationPage) -> list[list[str]]:
    model = page.claims
    return [[model.index(row, column).data() for column in range(3)] for row in range(model.rowCount())]


def test_the_planted_specialist_is_claimed_and_no_other(qtbot: QtBot, page: SpecialisationPage) -> None:
    compare(qtbot, page)
    assert claims(page) == [["2", "5", "number"]]
    assert "shifts of the classes" in page.sample.full_text()
    assert "2 without a class" in page.sample.full_text()


def test_a_claim_shows_its_expert_s_card(qtbot: QtBot, page: SpecialisationPage) -> None:
    compare(qtbot, page)
    page.list.selectRow(0)
    qtbot.waitUntil(lambda: "42" in page.card.text())
    assert "Layer 2 · expert 5" in page.card.text()
    assert "Chosen for number" in page.card.text()
    assert page.layer.currentText() == "Layer 2"


def test_the_card_reads_the_whole_history_and_passes_over_damaged_files(
    qtbot: QtBot, page: SpecialisationPage, files: list[Path], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        TRACE.save(tmp_path / f"{name}.moetrace")
    (tmp_path / "c.moetrace").write_bytes(b"damaged")
    files += sorted(tmp_path.iterdir())
    compare(qtbot, page)
    page.show_expert(1, 5)
    qtbot.waitUntil(lambda: "of 2 answers" in page.card.text())


def test_the_matrix_chooses_experts_with_mouse_and_keys(qtbot: QtBot, page: SpecialisationPage) -> None:
    compare(qtbot, page)
    page.layer.setCurrentIndex(1)
    where = page.matrix.cell_rect(0, 3).center().toPoint()
    qtbot.mouseClick(page.matrix, Qt.MouseButton.LeftButton, pos=where)
    assert "expert 3" in page.card.text()
    qtbot.keyClick(page.matrix, Qt.Key.Key_Right)
    assert "expert 4" in page.card.text()
    assert "No class of tokens stands out" in page.card.text()
    qtbot.keyClick(page.matrix, Qt.Key.Key_Escape)
    assert "Choose an expert" in page.card.text()
    qtbot.waitUntil(lambda: not page._card_job.is_busy)


def test_a_cell_is_the_colour_of_its_log_odds(qtbot: QtBot, page: SpecialisationPage) -> None:
    compare(qtbot, page)
    page.layer.setCurrentIndex(1)
    table = page.table()
    assert table is not None
    row = table.classes.index("number") - sum(not count for count in table.class_tokens[:table.classes.index("number")])
    image = page.matrix.grab().toImage()
    corner = page.matrix.cell_rect(row, 5).topLeft().toPoint()
    more = image.pixelColor(corner.x() + 4, corner.y() + 4)
    assert more.red() > more.blue()


def test_the_class_of_the_token_written_next_can_be_compared(qtbot: QtBot, page: SpecialisationPage) -> None:
    compare(qtbot, page)
    page.whose.setCurrentText(WRITTEN)
    qtbot.waitUntil(lambda: not page._job.is_busy)
    assert ["2", "5", "number"] not in claims(page)


def test_little_evidence_and_no_texts_are_said(qtbot: QtBot, page: SpecialisationPage) -> None:
    compare(qtbot, page, TRACE.take(range(30)))
    assert "too few" in page._nothing.text()
    page.part.set_part("selected")
    qtbot.waitUntil(lambda: not page._job.is_busy)
    assert "None of these tokens has a class" in page._nothing.text()
