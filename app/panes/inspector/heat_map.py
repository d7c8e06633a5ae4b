"""The heat map: layers down, experts across, one image however many there are, and a window on it that zooms."""

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QHelpEvent, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.panes.inspector.color_maps import LUT_SIZE, U32, lut_steps
from app.panes.inspector.heat_paint import LABEL_HEIGHT_PX, MAX_CELL_HEIGHT_PX, HeatColors, HeatPainter, label_width

MAX_CELL_WIDTH_PX = 64
MIN_CELL_HEIGHT_PX = 30  # when zoomed all the way in
ZOOM_STEP = 1.5
DRAG_PX = 4


class HeatMap(QWidget):
    """Values [L, E] as colours. A click or the arrow keys choose one cell; wheel, + and - zoom, 0 shows all.

    Cells are named by (row, expert) whatever order the experts stand in.

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
        self._steps: npt.NDArray[np.intp] = np.zeros((0, 0), np.intp)
        self._order: npt.NDArray[np.intp] | None = None
        self._columns: npt.NDArray[np.intp] | None = None  # the order's inverse: where each expert stands
        self._layers: list[int] = []
        self._lut: U32 = np.zeros(LUT_SIZE, np.uint32)
        self._is_diverging = False
        self._window = QRectF()  # what is seen, in cells
        self._chosen = (-1, -1)
        self._marked: list[tuple[int, int]] = []
        self._tooltip = ""
        self._pressed: QPointF | None = None
        self._is_panning = False
        self._painter: HeatPainter | None = None
        self._is_framed = False  # reached with the keyboard: where the arrow keys go is to be seen

    # --- content

    def set_colors(self, colors: HeatColors) -> None:
        """Set the colours of everything but the cells."""
        self._painter = HeatPainter(colors)
        self.update()

    def set_values(self, values: npt.NDArray[np.floating], layers: list[int], *, low: float, high: float, lut: U32,
                   order: npt.NDArray[np.intp] | None = None) -> None:
        """Show values [L, E] for these layer numbers, `low` in the first colour of `lut` and `high` in the last.

        `order` [L, E] says which expert stands in each column of a layer. A scale around 0 keeps the colours of what
        is farthest from 0 where cells are smaller than a pixel, any other those of the highest.
        """
        if values.shape != self._steps.shape:
            self._chosen = (-1, -1)
            self._window = QRectF(0, 0, values.shape[1], values.shape[0])
        steps = lut_steps(values, low, high)
        self._steps = steps if order is None else np.take_along_axis(steps, order, axis=1)
        self._order = order
        self._columns = None if order is None else np.argsort(order, axis=1)
        self._layers, self._lut, self._is_diverging = layers, lut, low < 0
        self.update()

    def set_marked(self, cells: list[tuple[int, int]]) -> None:
        """Outline these (row, expert) cells: the experts of the selected token."""
        self._marked = cells
        self.update()

    def set_tooltip(self, text: str) -> None:
        """Set the text of the tooltip now asked for by `cell_hovered`."""
        self._tooltip = text

    def chosen(self) -> tuple[int, int]:
        """Return the chosen (row, expert), or (-1, -1)."""
        return self._chosen

    def choose(self, row: int, expert: int) -> None:
        """Choose a cell, or none with (-1, -1); choosing the chosen one takes it back."""
        self._chosen = (-1, -1) if (row, expert) == self._chosen else (row, expert)
        if self._chosen[0] >= 0:
            self._show_cell(row, self.column_of(row, expert))
        self.update()
        self.cell_chosen.emit(*self._chosen)

    # --- geometry

    def map_area(self) -> QRectF:
        """Where the cells are drawn."""
        left = label_width(self.fontMetrics(), self._layers)
        rows = max(1.0, self._window.height())
        height = min(float(self.height() - LABEL_HEIGHT_PX), rows * MAX_CELL_HEIGHT_PX)
        return QRectF(left, 0, max(1, self.width() - left - 4), max(1.0, height))

    def column_of(self, row: int, expert: int) -> int:
        """Where an expert stands in its layer."""
        return expert if self._columns is None else int(self._columns[row, expert])

    def expert_at(self, row: int, column: int) -> int:
        """Which expert stands there."""
        return column if self._order is None else int(self._order[row, column])

    def cell_rect(self, row: int, expert: int) -> QRectF:
        """Return where a cell is drawn, possibly outside of what is seen."""
        return self.place_rect(row, self.column_of(row, expert))

    def place_rect(self, row: int, column: int) -> QRectF:
        """Return where the cell at a row and column is drawn."""
        area, window = self.map_area(), self._window
        width, height = area.width() / window.width(), area.height() / window.height()
        x, y = area.left() + (column - window.left()) * width, area.top() + (row - window.top()) * height
        return QRectF(x, y, width, height)

    def cell_at(self, position: QPoint) -> tuple[int, int]:
        """Return (row, expert) at a position, or (-1, -1)."""
        area, window = self.map_area(), self._window
        if not self._steps.size or not area.contains(position.toPointF()):
            return -1, -1
        rows, columns = self._steps.shape
        row = int(window.top() + (position.y() - area.top()) / area.height() * window.height())
        column = int(window.left() + (position.x() - area.left()) / area.width() * window.width())
        row, column = min(row, rows - 1), min(column, columns - 1)
        return row, self.expert_at(row, column)

    # --- zoom

    def is_zoomed(self) -> bool:
        """Whether a part of the map is shown."""
        rows, columns = self._steps.shape
        return bool(self._window.width() < columns or self._window.height() < rows)

    def zoom(self, factor: float, anchor: QPointF | None = None) -> None:
        """Show cells larger (factor above 1) or smaller, around a position of the widget (its middle without one)."""
        if not self._steps.size:
            return
        rows, columns = self._steps.shape
        area, window = self.map_area(), self._window
        at = anchor if anchor is not None else area.center()
        part = (min(max((at.x() - area.left()) / area.width(), 0.0), 1.0),
                min(max((at.y() - area.top()) / area.height(), 0.0), 1.0))
        least = min(columns, area.width() / MAX_CELL_WIDTH_PX), min(rows, area.height() / MIN_CELL_HEIGHT_PX)
        width = min(max(window.width() / factor, least[0]), columns)
        height = min(max(window.height() / factor, least[1]), rows)
        x = window.left() + part[0] * (window.width() - width)
        y = window.top() + part[1] * (window.height() - height)
        self._see(QRectF(x, y, width, height))

    def fit(self) -> None:
        """Show the whole map."""
        self._see(QRectF(0, 0, self._steps.shape[1], self._steps.shape[0]))

    def _see(self, window: QRectF) -> None:
        rows, columns = self._steps.shape
        x = min(max(window.left(), 0.0), columns - window.width())
        y = min(max(window.top(), 0.0), rows - window.height())
        self._window = QRectF(x, y, window.width(), window.height())
        self.update()

    def _show_cell(self, row: int, column: int) -> None:
        window = QRectF(self._window)
        window.moveLeft(min(max(window.left(), column + 1 - window.width()), column))
        window.moveTop(min(max(window.top(), row + 1 - window.height()), row))
        self._see(window)

    # --- painting

    def _visible_image(self, width_px: int) -> tuple[QImage, QRectF]:
        """The image of the columns in sight, and which part of it is seen; columns share pixels by their extremes."""
        first, end = int(self._window.left()), int(np.ceil(self._window.right()))
        steps = self._steps[:, first:end]
        scale = 1.0
        if end - first > width_px:
            edges = np.linspace(0, end - first, width_px, endpoint=False).astype(np.intp)
            scale = width_px / (end - first)
            high = np.maximum.reduceat(steps, edges, axis=1)
            if self._is_diverging:
                low = np.minimum.reduceat(steps, edges, axis=1)
                middle = (LUT_SIZE - 1) / 2
                high = np.where(middle - low > high - middle, low, high)
            steps = high
        pixels = np.ascontiguousarray(self._lut[steps])
        rows, columns = pixels.shape
        # The copy gives the image its own memory: `pixels` goes away when this method ends.
        image = QImage(pixels.data, columns, rows, columns * 4, QImage.Format.Format_RGB32).copy()
        seen = QRectF((self._window.left() - first) * scale, self._window.top(), self._window.width() * scale,
                      self._window.height())
        return image, seen

    # --- Qt overrides

    def sizeHint(self) -> QSize:
        """Return a size that shows a small model comfortably."""
        return QSize(480, LABEL_HEIGHT_PX + MAX_CELL_HEIGHT_PX * max(1, self._steps.shape[0]))

    def minimumSizeHint(self) -> QSize:
        """Return the least size that can still be read."""
        return QSize(160, 60)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the image, its labels and the outlines."""
        if not self._steps.size or self._painter is None:
            return
        painter = QPainter(self)
        area = self.map_area()
        image, seen = self._visible_image(int(area.width() * self.devicePixelRatioF()))
        painter.drawImage(area, image, seen)
        heat = self._painter
        heat.paint_gaps(painter, area, self._window)
        heat.paint_labels(painter, area, self._window, self._layers)
        painter.setClipRect(area)
        heat.paint_numbers(painter, self, self._window, self._steps, self._lut)
        painter.setClipRect(area.adjusted(-3, -3, 3, 3))
        heat.paint_outlines(painter, [self.cell_rect(*cell) for cell in self._marked], is_strong=False)
        if self._is_framed and self._chosen[0] < 0:
            heat.paint_outlines(painter, [area], is_strong=False)
        if self._chosen[0] >= 0:
            heat.paint_outlines(painter, [self.cell_rect(*self._chosen)], is_strong=True)
        if self.is_zoomed():
            heat.paint_position(painter, area, self._window, self._steps.shape)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Draw a frame for who came with the keyboard."""
        super().focusInEvent(event)
        self._is_framed = event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Take the frame away."""
        super().focusOutEvent(event)
        self._is_framed = False

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click or, on a part of the map, a drag."""
        if event.button() == Qt.MouseButton.LeftButton and self._steps.size:
            self._pressed, self._is_panning = event.position(), False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the part of the map that is seen."""
        if self._pressed is None:
            return
        moved = event.position() - self._pressed
        if self._is_panning or (self.is_zoomed() and moved.manhattanLength() > DRAG_PX):
            area, window = self.map_area(), self._window
            self._is_panning = True
            self._pressed = event.position()
            self._see(window.translated(-moved.x() / area.width() * window.width(),
                                        -moved.y() / area.height() * window.height()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Choose the cell under the mouse, unless the map was dragged."""
        if event.button() == Qt.MouseButton.LeftButton and self._pressed is not None:
            self._pressed = None
            if not self._is_panning:
                self.choose(*self.cell_at(event.position().toPoint()))

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom around the mouse."""
        self.zoom(ZOOM_STEP ** (event.angleDelta().y() / 120), event.position())
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the chosen cell with the arrow keys; + and - zoom, 0 shows all; Escape takes the choice back."""
        steps = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}
        key = Qt.Key(event.key())
        if key in steps and self._steps.size:
            self._move(*steps[key])
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            anchor = self.cell_rect(*self._chosen).center() if self._chosen[0] >= 0 else None
            self.zoom(1 / ZOOM_STEP if key == Qt.Key.Key_Minus else ZOOM_STEP, anchor)
        elif key == Qt.Key.Key_0:
            self.fit()
        elif key == Qt.Key.Key_Escape and self._chosen[0] >= 0:
            self.choose(-1, -1)
        else:
            super().keyPressEvent(event)

    def _move(self, down: int, right: int) -> None:
        rows, columns = self._steps.shape
        if self._chosen[0] < 0:
            self.choose(0, self.expert_at(0, 0))
            return
        row = (self._chosen[0] + down) % rows
        column = (self.column_of(*self._chosen) + right) % columns
        moved = row, self.expert_at(row, column)
        if moved != self._chosen:
            self.choose(*moved)

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
