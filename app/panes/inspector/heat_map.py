"""The heat map: layers down, experts across, one image however many there are."""

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

LABEL_WIDTH_PX = 22
LABEL_HEIGHT_PX = 16
MIN_GAP_CELL_PX = 5
MAX_CELL_HEIGHT_PX = 30
LUT_SIZE = 256


def color_lut(stops: list[QColor]) -> npt.NDArray[np.uint32]:
    """Interpolate evenly spaced stops to a table of 256 ARGB32 colours, shape [256]."""
    positions = np.linspace(0.0, 1.0, len(stops))
    wanted = np.linspace(0.0, 1.0, LUT_SIZE)
    channels = [
        np.interp(wanted, positions, [getattr(stop, name)() for stop in stops]).round().astype(np.uint32)
        for name in ("red", "green", "blue")
    ]
    lut: npt.NDArray[np.uint32] = np.uint32(0xFF000000) | channels[0] << 16 | channels[1] << 8 | channels[2]
    return lut


class HeatMap(QWidget):
    """Values [L, E] as colours, 0 to `maximum`. A click or the arrow keys choose one cell.

    Signals:
        cell_chosen: (row, expert) of the chosen cell, (-1, -1) when the choice is taken back.
        cell_hovered: (row, expert) a tooltip is wanted for; answer with `set_tooltip`.
    """

    cell_chosen = Signal(int, int)
    cell_hovered = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Heat map of layers by experts")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._values: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._layers: list[int] = []
        self._image = QImage()
        self._lut: npt.NDArray[np.uint32] = np.zeros(LUT_SIZE, np.uint32)
        self._label_color = QColor()
        self._outline_color = QColor()
        self._gap_color = QColor()
        self._chosen = (-1, -1)
        self._marked: list[tuple[int, int]] = []
        self._tooltip = ""

    def set_colors(self, stops: list[QColor], *, label: QColor, outline: QColor, gap: QColor) -> None:
        """Set the sequential colour map, and the colours of labels, of the chosen cell's outline and of the gaps."""
        self._lut = color_lut(stops)
        self._label_color, self._outline_color, self._gap_color = label, outline, gap
        self._render(self._maximum if len(self._layers) else 1.0)

    def set_values(self, values: npt.NDArray[np.floating], layers: list[int], *, maximum: float) -> None:
        """Show values [L, E] for these layer numbers; `maximum` takes the strongest colour."""
        if values.shape != self._values.shape:
            self._chosen = (-1, -1)
        self._values = values.astype(np.float32)
        self._layers = layers
        self._render(maximum)

    def set_marked(self, cells: list[tuple[int, int]]) -> None:
        """Outline these (row, expert) cells: the experts of the selected token."""
        self._marked = cells
        self.update()

    def set_tooltip(self, text: str) -> None:
        """Set the text of the tooltip now asked for by `cell_hovered`."""
        self._tooltip = text

    def choose(self, row: int, expert: int) -> None:
        """Choose a cell, or none with (-1, -1); choosing the chosen one takes it back."""
        self._chosen = (-1, -1) if (row, expert) == self._chosen else (row, expert)
        self.update()
        self.cell_chosen.emit(*self._chosen)

    def cell_rect(self, row: int, expert: int) -> QRectF:
        """Return where a cell is drawn."""
        area = self._map_area()
        rows, experts = self._values.shape
        width, height = area.width() / experts, area.height() / rows
        return QRectF(area.left() + expert * width, area.top() + row * height, width, height)

    def cell_at(self, position: QPoint) -> tuple[int, int]:
        """Return (row, expert) at a position, or (-1, -1)."""
        area = self._map_area()
        rows, experts = self._values.shape
        if not rows or not area.contains(position.toPointF()):
            return -1, -1
        row = int((position.y() - area.top()) / area.height() * rows)
        expert = int((position.x() - area.left()) / area.width() * experts)
        return min(row, rows - 1), min(expert, experts - 1)

    def _map_area(self) -> QRectF:
        rows = max(1, self._values.shape[0])
        height = min(self.height() - LABEL_HEIGHT_PX, rows * MAX_CELL_HEIGHT_PX)
        return QRectF(LABEL_WIDTH_PX, 0, max(1, self.width() - LABEL_WIDTH_PX - 1), max(1, height))

    def _render(self, maximum: float) -> None:
        self._maximum = maximum
        if not self._values.size:
            self.update()
            return
        scaled = np.clip(self._values / max(maximum, 1e-9), 0.0, 1.0)
        pixels = np.ascontiguousarray(self._lut[(scaled * (LUT_SIZE - 1)).round().astype(np.intp)])
        rows, experts = pixels.shape
        # The copy gives the image its own memory: `pixels` goes away when this method ends.
        self._image = QImage(pixels.data, experts, rows, experts * 4, QImage.Format.Format_RGB32).copy()
        self.update()

    def _paint_gaps(self, painter: QPainter, area: QRectF) -> None:
        rows, experts = self._values.shape
        painter.setPen(QPen(self._gap_color, 1))
        if area.width() / experts >= MIN_GAP_CELL_PX:
            for expert in range(1, experts):
                x = round(area.left() + expert * area.width() / experts)
                painter.drawLine(x, int(area.top()), x, int(area.bottom()))
        if area.height() / rows >= MIN_GAP_CELL_PX:
            for row in range(1, rows):
                y = round(area.top() + row * area.height() / rows)
                painter.drawLine(int(area.left()), y, int(area.right()), y)

    def _paint_labels(self, painter: QPainter, area: QRectF) -> None:
        rows, experts = self._values.shape
        painter.setPen(self._label_color)
        row_step = max(1, round(14 / (area.height() / rows)))
        for row in range(0, rows, row_step):
            rect = QRectF(0, self.cell_rect(row, 0).top(), LABEL_WIDTH_PX - 6, area.height() / rows * row_step)
            align = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(rect, align, str(self._layers[row]))
        steps = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1 << 20)
        expert_step = next(step for step in steps if step * area.width() / experts >= 28)
        for expert in range(0, experts, expert_step):
            rect = QRectF(self.cell_rect(0, expert).left(), area.bottom() + 2, 40, LABEL_HEIGHT_PX - 2)
            painter.drawText(rect, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, str(expert))

    # --- Qt overrides

    def sizeHint(self) -> QSize:
        """Return a size that shows a small model comfortably."""
        return QSize(480, LABEL_HEIGHT_PX + MAX_CELL_HEIGHT_PX * max(1, self._values.shape[0]))

    def minimumSizeHint(self) -> QSize:
        """Return the least size that can still be read."""
        return QSize(160, 60)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002
        """Paint the image, its labels and the outlines."""
        if not self._values.size:
            return
        painter = QPainter(self)
        area = self._map_area()
        painter.drawImage(area, self._image)
        self._paint_gaps(painter, area)
        self._paint_labels(painter, area)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for row, expert in self._marked:
            painter.setPen(QPen(self._outline_color, 1.5))
            painter.drawRect(self.cell_rect(row, expert).adjusted(1, 1, -1, -1))
        if self._chosen[0] >= 0:
            painter.setPen(QPen(self._outline_color, 3))
            painter.drawRect(self.cell_rect(*self._chosen).adjusted(1, 1, -1, -1))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the cell under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton and self._values.size:
            self.choose(*self.cell_at(event.position().toPoint()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the chosen cell with the arrow keys; Escape takes the choice back."""
        steps = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}
        key = Qt.Key(event.key())
        if key in steps and self._values.size:
            row, expert = max(0, self._chosen[0]), max(0, self._chosen[1])
            rows, experts = self._values.shape
            moved = ((row + steps[key][0]) % rows, (expert + steps[key][1]) % experts)
            if moved != self._chosen:
                self.choose(*moved)
        elif key == Qt.Key.Key_Escape and self._chosen[0] >= 0:
            self.choose(-1, -1)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Show the tooltip of the cell under the mouse."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            row, expert = self.cell_at(event.pos())
            if row >= 0:
                self._tooltip = ""
                self.cell_hovered.emit(row, expert)
                QToolTip.showText(event.globalPos(), self._tooltip, self)
            else:
                QToolTip.hideText()
            return True
        return bool(super().event(event))
