"""The token strip, driven with mouse and keys."""

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from app.panes.inspector.strip_paint import StripColors
from app.panes.inspector.token_strip import TokenStrip, visible_text

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
RED, BLUE = QColor("red").rgb(), QColor("blue").rgb()


@pytest.fixture
def strip(qtbot: QtBot) -> TokenStrip:
    strip = TokenStrip()
    strip.set_colors(StripColors(text=QColor("black"), faint=QColor("gray"), panel=QColor("white"),
                                 accent=QColor("lime"), on_accent=QColor("black"), selection=QColor("yellow")))
    strip.resize(200, 120)
    qtbot.addWidget(strip)
    strip.show()
    strip.append(f"tok{i}" for i in range(40))
    strip.set_fills(np.array([(RED, BLUE)[i % 2] for i in range(40)], np.uint32))
    return strip


def click(qtbot: QtBot, strip: TokenStrip, index: int, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier
          ) -> None:
    qtbot.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, modifier, strip.token_rect(index).center())


def color_of(strip: TokenStrip, index: int) -> QColor:
    """The colour of a token's left edge, where no letter is."""
    rect = strip.token_rect(index)
    return strip.viewport().grab().toImage().pixelColor(rect.left() + 2, rect.center().y())


def test_tokens_wrap_into_rows_and_are_found_where_they_are_drawn(strip: TokenStrip) -> None:
    rects = [strip.token_rect(index) for index in range(40)]
    assert len({rect.top() for rect in rects}) > 3
    assert max(rect.right() for rect in rects) <= strip.viewport().width()
    assert [strip.token_at(rect.center()) for rect in rects[:8]] == list(range(8))
    assert strip.token_at(QPoint(-5, -5)) == -1


def test_rows_wrap_alike_whether_tokens_came_at_once_or_one_by_one(strip: TokenStrip) -> None:
    at_once = [strip.token_rect(index).topLeft() for index in range(40)]
    strip.clear()
    for i in range(40):
        strip.append([f"tok{i}"])
    strip.verticalScrollBar().setValue(0)
    assert [strip.token_rect(index).topLeft() for index in range(40)] == at_once
    strip.resize(500, 120)
    wide = [strip.token_rect(index).topLeft() for index in range(40)]
    strip.resize(200, 120)
    assert wide != at_once
    assert [strip.token_rect(index).topLeft() for index in range(40)] == at_once


def test_a_token_wider_than_the_strip_has_a_row_of_its_own(strip: TokenStrip) -> None:
    strip.append(["x" * 300, "end"])
    assert strip.token_rect(40).right() < strip.viewport().width()
    assert strip.token_rect(40).top() < strip.token_rect(41).top()


def test_tokens_have_their_colour_and_what_is_not_given_has_none(strip: TokenStrip) -> None:
    assert color_of(strip, 0) == QColor("red")
    assert color_of(strip, 1) == QColor("blue")
    strip.set_fills(np.zeros(40, np.uint32))
    assert color_of(strip, 1) == strip.palette().base().color()


def test_click_shift_click_and_arrows_select(qtbot: QtBot, strip: TokenStrip) -> None:
    click(qtbot, strip, 2)
    assert strip.selection() == (2, 2)
    click(qtbot, strip, 5, SHIFT)
    assert strip.selection() == (2, 5)
    qtbot.keyClick(strip, Qt.Key.Key_Right)
    assert strip.selection() == (6, 6)
    qtbot.keyClick(strip, Qt.Key.Key_Left, SHIFT)
    assert strip.selection() == (5, 6)
    row_above = strip.token_rect(5).top()
    qtbot.keyClick(strip, Qt.Key.Key_Down)
    assert strip.token_rect(strip.selection()[0]).top() > row_above
    qtbot.keyClick(strip, Qt.Key.Key_Escape)
    assert strip.selection() == (-1, -1)
    qtbot.keyClick(strip, Qt.Key.Key_A, CONTROL)
    assert strip.selection() == (0, 39)


def test_a_drag_selects_as_far_as_it_goes_and_past_a_row_s_end(qtbot: QtBot, strip: TokenStrip) -> None:
    viewport = strip.viewport()
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=strip.token_rect(1).center())
    qtbot.mouseMove(viewport, strip.token_rect(4).center())
    assert strip.selection() == (1, 4)
    last_of_row = max(index for index in range(40) if strip.token_rect(index).top() == strip.token_rect(0).top())
    qtbot.mouseMove(viewport, QPoint(viewport.width() - 1, strip.token_rect(0).center().y()))
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton)
    assert strip.selection() == (1, last_of_row)


def test_end_scrolls_to_the_last_token_and_pages_move_by_what_is_seen(qtbot: QtBot, strip: TokenStrip) -> None:
    qtbot.keyClick(strip, Qt.Key.Key_End)
    assert strip.selection() == (39, 39)
    assert strip.viewport().rect().contains(strip.token_rect(39).center())
    qtbot.keyClick(strip, Qt.Key.Key_PageUp)
    assert 0 < strip.selection()[0] < 35


def test_growing_keeps_the_selection_and_clearing_drops_it(qtbot: QtBot, strip: TokenStrip) -> None:
    click(qtbot, strip, 3)
    strip.append(f"new{i}" for i in range(20))
    assert strip.selection() == (3, 3)
    assert strip.token_count() == 60
    strip.clear()
    assert strip.selection() == (-1, -1)


def test_who_reads_the_end_stays_at_the_end_and_who_reads_above_is_left_alone(qtbot: QtBot, strip: TokenStrip) -> None:
    bar = strip.verticalScrollBar()
    bar.setValue(bar.maximum())
    strip.append(f"new{i}" for i in range(60))
    assert bar.value() == bar.maximum()
    bar.setValue(0)
    strip.append(f"more{i}" for i in range(60))
    assert bar.value() == 0


def test_marked_tokens_stand_out_from_the_others(strip: TokenStrip) -> None:
    strip.set_marked(np.arange(40) == 2)
    assert color_of(strip, 2) == QColor("red")
    assert color_of(strip, 0).red() < 0.6 * 255
    strip.set_marked(None)
    assert color_of(strip, 0) == QColor("red")


@pytest.mark.parametrize(("text", "shown"), [("", "∅"), (" ", "␣"), ("    ", "␣4"), ("\n\n", "↵↵"), (" const", "const"),
                                             ("a\nb", "a↵b")])
def test_white_space_is_made_visible(text: str, shown: str) -> None:
    assert visible_text(text) == shown
