"""The heat map: its colours are its values, and its cells can be chosen."""

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from app.panes.inspector.heat_map import HeatMap, color_lut

STOPS = [QColor("black"), QColor("white")]


@pytest.fixture
def heat_map(qtbot: QtBot) -> HeatMap:
    widget = HeatMap()
    widget.set_colors(STOPS, label=QColor("gray"), outline=QColor("red"), gap=QColor("blue"))
    widget.resize(420, 120)
    qtbot.addWidget(widget)
    widget.show()
    widget.set_values(np.array([[0.0, 0.5, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]), [1, 2], maximum=1.0)
    return widget


def test_the_table_of_colours_runs_from_the_first_to_the_last_stop() -> None:
    lut = color_lut([QColor(0, 0, 0), QColor(255, 0, 0), QColor(255, 255, 255)])
    assert [hex(int(lut[i])) for i in (0, 255)] == ["0xff000000", "0xffffffff"]
    assert int(lut[127]) >> 16 & 0xFF > 250


def test_a_cell_is_as_bright_as_its_value(heat_map: HeatMap) -> None:
    image = heat_map.grab().toImage()
    lightness = [image.pixelColor(heat_map.cell_rect(0, e).center().toPoint()).lightness() for e in range(4)]
    assert lightness[0] == 0
    assert 110 < lightness[1] < 145
    assert lightness[2] == 255


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


def test_a_model_of_kimi_k2_s_shape_is_drawn_and_its_last_cell_found(heat_map: HeatMap) -> None:
    values = np.zeros((60, 384))
    values[59, 383] = 1.0
    heat_map.resize(900, 400)
    heat_map.set_values(values, list(range(1, 61)), maximum=1.0)
    where = heat_map.cell_rect(59, 383).center().toPoint()
    assert heat_map.cell_at(where) == (59, 383)
    assert heat_map.grab().toImage().pixelColor(where).lightness() > 200
