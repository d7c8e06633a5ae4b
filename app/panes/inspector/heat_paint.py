"""How the heat map's grid, labels, numbers and outlines are drawn; the map itself is in heat_map.py."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QLineF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPen

from app.panes.inspector.color_maps import U32, Inks

LABEL_HEIGHT_PX = 16
MAX_CELL_HEIGHT_PX = 30
MIN_GAP_CELL_PX = 5
MIN_OUTLINE_PX = 7
NUMBER_HEIGHT_PX = 12
ROW_LABEL_PX = 14
_STEPS = (1, 2, 4, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatColors:
    """Colours of what is drawn around and on the cells; numbers are drawn in one of the two inks.

    `mark` outlines the selected token's experts and is no colour of the map; `chosen` outlines the one chosen cell.
    """

    label: QColor
    mark: QColor
    chosen: QColor
    gap: QColor
    light_ink: QColor
    dark_ink: QColor


class Places(Protocol):
    """What knows where cells are: the heat map."""

    def place_rect(self, row: int, column: int) -> QRectF:
        """Where the cell at a row and column is drawn."""

    def expert_at(self, row: int, column: int) -> int:
        """Which expert stands there."""


def label_width(metrics: QFontMetrics, layers: Sequence[int]) -> int:
    """Room for the layers' numbers at the left."""
    return max((metrics.horizontalAdvance(str(layer)) for layer in layers[-1:]), default=0) + 12


def label_step(cell_px: float, wanted_px: float) -> int:
    """Every how many cells a label has room."""
    return next((step for step in _STEPS if step * cell_px >= wanted_px), _STEPS[-1])


class HeatPainter:
    """Draws in one theme's colours. `window` is always what is seen of the map, in cells."""

    def __init__(self, colors: HeatColors) -> None:
        self._colors = colors
        self._inks = Inks(colors.light_ink, colors.dark_ink, colors.gap)

    def paint_gaps(self, painter: QPainter, area: QRectF, window: QRectF) -> None:
        """Draw the lines between cells where these are large enough."""
        lines = []
        width, height = area.width() / window.width(), area.height() / window.height()
        if width >= MIN_GAP_CELL_PX:
            for column in range(math.floor(window.left()) + 1, math.ceil(window.right())):
                x = round(area.left() + (column - window.left()) * width)
                lines.append(QLineF(x, area.top(), x, area.bottom()))
        if height >= MIN_GAP_CELL_PX:
            for row in range(math.floor(window.top()) + 1, math.ceil(window.bottom())):
                y = round(area.top() + (row - window.top()) * height)
                lines.append(QLineF(area.left(), y, area.right(), y))
        painter.setPen(QPen(self._colors.gap, 1))
        painter.drawLines(lines)

    def paint_labels(self, painter: QPainter, area: QRectF, window: QRectF, layers: Sequence[int]) -> None:
        """Draw layer numbers at the left and places of experts below."""
        painter.setPen(self._colors.label)
        height, width = area.height() / window.height(), area.width() / window.width()
        step = label_step(height, ROW_LABEL_PX)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for row in range(-(-math.floor(window.top()) // step) * step, math.ceil(window.bottom()), step):
            middle = area.top() + (row + 0.5 - window.top()) * height
            if area.top() <= middle <= area.bottom():
                painter.drawText(QRectF(0, max(middle - 8, -3.0), area.left() - 6, 16), right, str(layers[row]))
        step = label_step(width, painter.fontMetrics().horizontalAdvance("000") + 8)
        for column in range(-(-math.floor(window.left()) // step) * step, math.ceil(window.right()), step):
            middle = area.left() + (column + 0.5 - window.left()) * width
            if area.left() <= middle <= area.right():
                rect = QRectF(middle - 24, area.bottom() + 3, 48, LABEL_HEIGHT_PX - 3)
                painter.drawText(rect, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop, str(column))

    def paint_numbers(self, painter: QPainter, places: Places, window: QRectF, steps: npt.NDArray[np.intp],
                      lut: U32) -> None:
        """Write each expert's number into its cell, where cells have room."""
        size = places.place_rect(0, 0)
        room = painter.fontMetrics().horizontalAdvance(str(steps.shape[1])) + 4
        if size.width() < room or size.height() < NUMBER_HEIGHT_PX:
            return
        rows = range(math.floor(window.top()), min(math.ceil(window.bottom()), steps.shape[0]))
        columns = range(math.floor(window.left()), min(math.ceil(window.right()), steps.shape[1]))
        for row in rows:
            for column in columns:
                painter.setPen(self._inks.on(int(lut[steps[row, column]])))
                rect = places.place_rect(row, column)
                painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, str(places.expert_at(row, column)))

    def paint_outlines(self, painter: QPainter, rects: Sequence[QRectF], *, is_strong: bool) -> None:
        """Outline cells; those too small for a line are filled, and a strong outline stands around them."""
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for rect in rects:
            is_small = min(rect.width(), rect.height()) < MIN_OUTLINE_PX
            if is_small and not is_strong:
                painter.fillRect(rect.adjusted(-0.4, 0, 0.4, 0), self._colors.mark)
                continue
            grow = 2.0 if is_small else -1.0
            painter.setPen(QPen(self._colors.chosen, 2.6) if is_strong else QPen(self._colors.mark, 1.6))
            painter.drawRect(rect.adjusted(-grow, -grow, grow, grow))

    def paint_position(self, painter: QPainter, area: QRectF, window: QRectF, shape: tuple[int, int]) -> None:
        """Draw thin bars that say which part of the map is seen."""
        rows, columns = shape
        color = QColor(self._colors.label)
        if window.width() < columns:
            left, width = window.left() / columns * area.width(), window.width() / columns * area.width()
            painter.fillRect(QRectF(area.left() + left, area.bottom() + 1, width, 2), color)
        if window.height() < rows:
            top, height = window.top() / rows * area.height(), window.height() / rows * area.height()
            painter.fillRect(QRectF(area.right() + 1, area.top() + top, 2, height), color)
