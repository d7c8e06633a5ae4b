"""The matrix of one layer: classes of tokens down, experts across, log-odds as colour, claims marked with a dot."""

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QHelpEvent, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.panes.inspector.color_maps import Inks, color_maps, lut_steps
from app.theme.metrics import TINY_SIZE
from app.theme.theme import Theme
from engine.specialisation import ClassUse, Specialisation

LABEL_PX = 74
FOOT_PX = 16
MOST_LOG_ODDS = 3.0
LEAST_GAP_PX = 5


class ClassMatrix(QWidget):
    """A cell is one expert and one class. Arrow keys and clicks choose an expert; Escape drops it.

    Signals:
        expert_chosen: number of the expert, or -1.
    """

    expert_chosen = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._table: Specialisation | None = None
        self._position = 0
        self._classes: list[int] = []
        self._cell = (-1, -1)
        self.setAccessibleName("Classes of tokens by experts, coloured by log-odds")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        theme.theme_changed.connect(self.update)

    def set_table(self, table: Specialisation | None, position: int) -> None:
        """Show one layer of a table; classes without tokens are left out."""
        self._table, self._position = table, position
        self._classes = [] if table is None else np.flatnonzero(table.class_tokens).tolist()
        self.update()

    def choose(self, expert: int) -> None:
        """Mark an expert without telling."""
        self._cell = (max(0, self._cell[0]), expert) if expert >= 0 else (-1, -1)
        self.update()

    def cell_rect(self, row: int, expert: int) -> QRectF:
        """Return where a cell is drawn."""
        area = self._area()
        width, height = area.width() / max(1, self._num_experts()), area.height() / max(1, len(self._classes))
        return QRectF(area.left() + expert * width, area.top() + row * height, width, height)

    def cell_at(self, position: QPoint) -> tuple[int, int]:
        """Return (row, expert) at a place, or (-1, -1)."""
        area = self._area()
        if not area.contains(QPointF(position)) or not self._classes:
            return -1, -1
        row = int((position.y() - area.top()) / area.height() * len(self._classes))
        expert = int((position.x() - area.left()) / area.width() * self._num_experts())
        return min(row, len(self._classes) - 1), min(expert, self._num_experts() - 1)

    # --- painting

    def _num_experts(self) -> int:
        return 0 if self._table is None else self._table.loads.shape[1]

    def _area(self) -> QRectF:
        return QRectF(LABEL_PX, 0, max(1, self.width() - LABEL_PX - 1), max(1, self.height() - FOOT_PX))

    def _use(self, row: int, expert: int) -> ClassUse:
        assert self._table is not None
        return self._table.use(self._position, expert, self._classes[row])

    def _values(self) -> npt.NDArray[np.float64]:
        assert self._table is not None
        return np.asarray(self._table.log_odds[self._position][:, self._classes].T, np.float64)

    def _paint_image(self, painter: QPainter) -> npt.NDArray[np.uint32]:
        lut = color_maps(self._theme).diverging
        pixels = np.ascontiguousarray(lut[lut_steps(self._values(), -MOST_LOG_ODDS, MOST_LOG_ODDS)])
        rows, experts = pixels.shape
        painter.drawImage(self._area(), QImage(pixels.data, experts, rows, experts * 4, QImage.Format.Format_RGB32))
        return pixels

    def _paint_gaps(self, painter: QPainter) -> None:
        area, experts = self._area(), self._num_experts()
        painter.setPen(QPen(self._theme.color("panel"), 1))
        if area.width() / experts >= LEAST_GAP_PX:
            for expert in range(experts + 1):
                x = round(area.left() + expert * area.width() / experts)
                painter.drawLine(x, 0, x, int(area.bottom()))
        for row in range(1, len(self._classes)):
            y = round(area.top() + row * area.height() / len(self._classes))
            painter.drawLine(int(area.left()), y, int(area.right()), y)

    def _paint_claims(self, painter: QPainter, pixels: npt.NDArray[np.uint32]) -> None:
        assert self._table is not None
        color = self._theme.color
        inks = Inks(color("text"), color("panel"), color("panel"))
        painter.setPen(Qt.PenStyle.NoPen)
        claimed = self._table.p[self._position][:, self._classes].T <= 0.05
        for row, expert in np.argwhere(claimed & (self._values() > 0)).tolist():
            rect = self.cell_rect(row, expert)
            radius = min(3.0, rect.width() / 3, rect.height() / 3)
            painter.setBrush(inks.on(int(pixels[row, expert])))
            painter.drawEllipse(rect.center(), radius, radius)

    def _paint_labels(self, painter: QPainter) -> None:
        assert self._table is not None
        painter.setFont(self._theme.font(TINY_SIZE))
        painter.setPen(self._theme.color("dim"))
        for row, index in enumerate(self._classes):
            place = self.cell_rect(row, 0)
            where = QRectF(0, place.top(), LABEL_PX - 8, place.height())
            painter.drawText(where, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                             self._table.classes[index])
        step = next(step for step in (1, 2, 4, 8, 16, 32, 64, 1 << 20)
                    if step * self._area().width() / self._num_experts() >= 24)
        for expert in range(0, self._num_experts(), step):
            left = self.cell_rect(0, expert).left()
            painter.drawText(QRectF(left, self._area().bottom() + 2, 40, FOOT_PX - 2), 0, str(expert))

    def _choose(self, row: int, expert: int) -> None:
        if (row, expert) != self._cell:
            self._cell = (row, expert)
            self.setAccessibleDescription(self._tip(row, expert) if expert >= 0 else "")
            self.update()
            self.expert_chosen.emit(expert)

    def _tip(self, row: int, expert: int) -> str:
        use = self._use(row, expert)
        verdict = ("too few tokens to test" if use.p is None else
                   f"p = {use.p:.3f}, over all experts and classes" + ("" if use.is_claim else ": may be chance"))
        return (f"Layer {use.layer}, expert {expert}, {use.token_class}\n"
                f"{use.count} of {use.of} tokens ({use.share:.0%}); {use.elsewhere:.0%} of the others\n"
                f"log-odds {use.log_odds:.1f} ({use.low:.1f} to {use.high:.1f}), {verdict}")

    # --- Qt overrides

    def sizeHint(self) -> QSize:
        """Return a comfortable size."""
        return QSize(480, 8 * 22 + FOOT_PX)

    def minimumSizeHint(self) -> QSize:
        """Return the least size that can be read."""
        return QSize(LABEL_PX + 120, 8 * 13 + FOOT_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint cells, claims and labels."""
        if not self._classes:
            return
        painter = QPainter(self)
        pixels = self._paint_image(painter)
        self._paint_gaps(painter)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_claims(painter, pixels)
        self._paint_labels(painter)
        if self._cell[1] >= 0:
            column = self.cell_rect(0, self._cell[1]).united(self.cell_rect(len(self._classes) - 1, self._cell[1]))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self._theme.color("accent"), 2))
            painter.drawRect(column.adjusted(0, 1, 0, -1))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the expert under the mouse."""
        cell = self.cell_at(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and cell[1] >= 0:
            self._choose(*cell)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the chosen cell with the arrow keys."""
        steps = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}
        key = Qt.Key(event.key())
        if key in steps and self._classes:
            row, expert = max(0, self._cell[0]), max(0, self._cell[1])
            if self._cell[1] >= 0:
                row, expert = row + steps[key][0], expert + steps[key][1]
            self._choose(row % len(self._classes), expert % self._num_experts())
        elif key == Qt.Key.Key_Escape and self._cell[1] >= 0:
            self._choose(-1, -1)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Show the numbers of the cell under the mouse."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            row, expert = self.cell_at(event.pos())
            QToolTip.showText(event.globalPos(), self._tip(row, expert) if row >= 0 else "", self)
            return True
        return bool(super().event(event))
