"""The token strip, driven with mouse and keys."""

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from app.panes.inspector.token_strip import StripToken, TokenStrip, visible_text

ROLES = {role: QColor("gray") for role in ("text", "faint", "accent_background", "neutral")}


@pytest.fixture
def strip(qtbot: QtBot) -> TokenStrip:
    strip = TokenStrip()
    strip.set_colors([QColor("red"), QColor("blue")], accent=QColor("lime"), **ROLES)
    strip.resize(200, 120)
    qtbot.addWidget(strip)
    strip.show()
    strip.set_tokens([StripToken(text=f"tok{i}", hue=i % 2) for i in range(40)])
    return strip


def click(qtbot: QtBot, strip: TokenStrip, index: int, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier
          ) -> None:
    qtbot.mouseClick(strip.viewport(), Qt.MouseButton.LeftButton, modifier, strip.token_rect(index).center())


def test_tokens_wrap_into_rows_and_are_found_where_they_are_drawn(strip: TokenStrip) -> None:
    rects = [strip.token_rect(index) for index in range(40)]
    assert len({rect.top() for rect in rects}) > 3
    assert max(rect.right() for rect in rects) <= strip.viewport().width()
    assert [strip.token_at(rect.center()) for rect in rects[:8]] == list(range(8))
    assert strip.token_at(QPoint(-5, -5)) == -1


def test_click_shift_click_and_arrows_select(qtbot: QtBot, strip: TokenStrip) -> None:
    click(qtbot, strip, 2)
    assert strip.selection() == (2, 2)
    click(qtbot, strip, 5, Qt.KeyboardModifier.ShiftModifier)
    assert strip.selection() == (2, 5)
    qtbot.keyClick(strip, Qt.Key.Key_Right)
    assert strip.selection() == (6, 6)
    qtbot.keyClick(strip, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    assert strip.selection() == (5, 6)
    row_above = strip.token_rect(5).top()
    qtbot.keyClick(strip, Qt.Key.Key_Down)
    assert strip.token_rect(strip.selection()[0]).top() > row_above
    qtbot.keyClick(strip, Qt.Key.Key_Escape)
    assert strip.selection() == (-1, -1)


def test_end_scrolls_to_the_last_token(qtbot: QtBot, strip: TokenStrip) -> None:
    qtbot.keyClick(strip, Qt.Key.Key_End)
    assert strip.selection() == (39, 39)
    assert strip.viewport().rect().contains(strip.token_rect(39).center())


def test_growing_keeps_the_selection_and_replacing_drops_it(qtbot: QtBot, strip: TokenStrip) -> None:
    click(qtbot, strip, 3)
    strip.set_tokens([StripToken(text=f"tok{i}", hue=0) for i in range(60)])
    assert strip.selection() == (3, 3)
    strip.set_tokens([StripToken(text="other", hue=0)])
    assert strip.selection() == (-1, -1)


def test_a_token_wears_the_hue_of_its_expert(strip: TokenStrip) -> None:
    image = strip.viewport().grab().toImage()
    corners = [strip.token_rect(index).topLeft() + QPoint(6, 2) for index in (0, 1)]
    first, second = (image.pixelColor(corner * image.devicePixelRatio()) for corner in corners)
    assert first.red() > first.blue()
    assert second.blue() > second.red()


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\n", "↵"), (" ", "␣"), ("    ", "␣4"), ("\n  ", "↵"), (" const", "const"), ("", "∅"), ("a\tb", "a⇥b")],
)
def test_white_space_is_made_visible(text: str, shown: str) -> None:
    assert visible_text(text) == shown
