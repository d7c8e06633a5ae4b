"""The heat map: its colours are its values, its cells can be chosen, and it zooms."""

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.panes.inspector.color_maps import color_lut
from app.panes.inspector.heat_map import HeatMap
from app.panes.inspector.heat_paint import HeatColors

GREY = color_lut([QColor("black"), QColor("white")])
DIVERGING = color_lut([QColor("blue"), QColor("white"), QColor("red")])
VALUES = np.array([[0.0, 0.5, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])


@pytest.fixture
def heat_map(qtbot: QtBot) -> HeatMap:
    widget = HeatMap()
    widget.set_colors(HeatColors(label=QColor("gray"), mark=QColor("red"), chosen=QColor("red"), gap=QColor("blue"),
                                 light_ink=QColor("white"), dark_ink=QColor("black")))
    widget.resize(220, 120)
    qtbot.addWidget(widget)
    widget.show()
    widget.set_values(VALUES, [1, 2], low=0.0, high=1.0, lut=GREY)
    return widget


def lightness(heat_map: HeatMap, row: int, expert: int) -> int:
    """Lightness of a cell's corner, where no number is."""
    where = heat_map.cell_rect(row, expert).topLeft() + QPointF(4, 4)
    return heat_map.grab().toImage().pixelColor(where.toPoint()).lightness()


def wheel(heat_map: HeatMap, position: QPoint, clicks: int) -> None:
    turned = QPoint(0, 120 * clicks)
    event = QWheelEvent(position.toPointF(), heat_map.mapToGlobal(position).toPointF(), QPoint(), turned,
                        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False)
    QApplication.sendEvent(heat_map, event)


def test_a_cell_is_as_bright_as_its_value(heat_map: HeatMap) -> None:
    found = [lightness(heat_map, 0, expert) for expert in range(4)]
    assert found[0] == 0
    assert 110 < found[1] < 145
    assert found[2] == 255


def test_click_and_arrow_keys_choose_a_cell(qtbot: QtBot, heat_map: HeatMap) -> None:
    with qtbot.waitSignal(heat_map.cell_chosen) as chosen:
        where = heat_map.cell_rect(1, 2).center().toPoint()
        qtbot.mouseClick(heat_map, Qt.MouseButton.LeftButton, pos=where)
    assert chosen.args == [1, 2]
    with qtbot.waitSignal(heat_map.cell_chosen) as moved:
        qtbot.keyClick(heat_map, Qt.Key.Key_Left)
    assert moved.args == [1, 1]
    with qtbot.waitSignal(heat_map.cell_chosen) as dropped:
        qtbot.keyClick(heat_map, Qt.Key.Key_Escape)
    assert dropped.args == [-1, -1]


def test_in_another_order_a_cell_keeps_its_expert(qtbot: QtBot, heat_map: HeatMap) -> None:
    order = np.argsort(-VALUES, axis=1, kind="stable")
    heat_map.set_values(VALUES, [1, 2], low=0.0, high=1.0, lut=GREY, order=order)
    assert heat_map.cell_rect(0, 2).left() < heat_map.cell_rect(0, 1).left() < heat_map.cell_rect(0, 0).left()
    assert lightness(heat_map, 0, 2) == 255
    with qtbot.waitSignal(heat_map.cell_chosen) as chosen:
        qtbot.mouseClick(heat_map, Qt.MouseButton.LeftButton, pos=heat_map.place_rect(0, 0).center().toPoint())
    assert chosen.args == [0, 2]
    with qtbot.waitSignal(heat_map.cell_chosen) as moved:
        qtbot.keyClick(heat_map, Qt.Key.Key_Right)
    assert moved.args == [0, 1]


@pytest.fixture
def large(heat_map: HeatMap) -> HeatMap:
    """Kimi K2's shape, its last cell the only one in use."""
    values = np.zeros((60, 384))
    values[59, 383] = 1.0
    heat_map.resize(300, 250)
    heat_map.set_values(values, list(range(1, 61)), low=0.0, high=1.0, lut=GREY)
    return heat_map


def test_what_is_smaller_than_a_pixel_is_still_seen(large: HeatMap) -> None:
    where = large.cell_rect(59, 383).center()
    assert large.cell_rect(59, 383).width() < 1
    assert large.cell_at(where.toPoint())[0] == 59
    assert large.grab().toImage().pixelColor(int(where.x()), int(where.y())).lightness() > 200


def test_a_scale_around_zero_keeps_what_is_farthest_from_it(large: HeatMap) -> None:
    values = np.zeros((60, 384))
    values[10, 100], values[10, 200] = -1.0, 1.0
    large.set_values(values, list(range(1, 61)), low=-1.0, high=1.0, lut=DIVERGING)
    image = large.grab().toImage()
    seen = {expert: image.pixelColor(large.cell_rect(10, expert).center().toPoint()) for expert in (100, 200, 300)}
    assert seen[100].blue() > 200 > 100 > seen[100].red()
    assert seen[200].red() > 200 > 100 > seen[200].blue()
    assert seen[300].lightness() > 240


def test_the_wheel_zooms_to_single_experts_where_the_mouse_is_and_zero_shows_all(qtbot: QtBot, large: HeatMap) -> None:
    where = large.cell_rect(59, 383).center().toPoint()
    wheel(large, where, 20)
    assert large.is_zoomed()
    assert large.cell_rect(59, 383).width() > 30
    assert large.cell_at(large.cell_rect(59, 383).center().toPoint()) == (59, 383)
    assert lightness(large, 59, 383) == 255
    qtbot.keyClick(large, Qt.Key.Key_0)
    assert not large.is_zoomed()
    qtbot.keyClick(large, Qt.Key.Key_Plus)
    assert large.is_zoomed()
    for _ in range(3):
        qtbot.keyClick(large, Qt.Key.Key_Minus)
    assert not large.is_zoomed()


def test_a_drag_moves_the_zoomed_map_and_chooses_nothing(qtbot: QtBot, large: HeatMap) -> None:
    large.zoom(4.0)
    before = large.cell_rect(30, 190).center().toPoint()
    chosen: list[tuple[int, int]] = []
    large.cell_chosen.connect(lambda row, expert: chosen.append((row, expert)))
    qtbot.mousePress(large, Qt.MouseButton.LeftButton, pos=QPoint(150, 120))
    qtbot.mouseMove(large, QPoint(170, 130))
    qtbot.mouseRelease(large, Qt.MouseButton.LeftButton, pos=QPoint(170, 130))
    moved = large.cell_rect(30, 190).center().toPoint() - before
    assert (moved.x(), moved.y()) == (20, 10)
    assert chosen == []


def test_arrow_keys_bring_the_chosen_cell_into_sight(qtbot: QtBot, large: HeatMap) -> None:
    large.zoom(100.0)
    large.choose(0, 0)
    assert large.map_area().contains(large.cell_rect(0, 0).center())
    qtbot.keyClick(large, Qt.Key.Key_Left)
    assert large.chosen() == (0, 383)
    assert large.map_area().contains(large.cell_rect(0, 383).center())
