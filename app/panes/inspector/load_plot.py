"""The plot of one layer's load: a bar an expert, the line of chance and its 95% band."""

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, Signal, Slot
from PySide6.QtGui import QColor, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QWidget

from app.theme.metrics import TINY_SIZE
from app.theme.theme import Theme
from engine.routing_usage import LayerUsage

BAND_ALPHA = 60
BAR_WIDTH = 0.78
TICK_PX = 17


class LoadPlot(pg.PlotWidget):  # type: ignore[misc]  # pyqtgraph has no types
    """Bars can be hovered, clicked and walked with the arrow keys; the wheel zooms along the experts.

    Signals:
        expert_pointed: number of the expert under the mouse or the keys.
    """

    expert_pointed = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._usage: LayerUsage | None = None
        self._order: npt.NDArray[np.intp] = np.zeros(0, np.intp)
        self._by_load = True
        self._place = -1
        self.setAccessibleName("Load of every expert beside chance")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setMouseEnabled(x=True, y=False)
        self._bars = pg.BarGraphItem(x=[], height=[], width=BAR_WIDTH)
        self._band = pg.LinearRegionItem(orientation="horizontal", movable=False)
        self._chance = pg.InfiniteLine(angle=0)
        for item in (self._band, self._bars, self._chance):
            self.addItem(item)
        self.scene().sigMouseMoved.connect(self._mouse_moved)
        theme.theme_changed.connect(self._apply_theme)
        self._apply_theme()

    def set_usage(self, usage: LayerUsage, *, by_load: bool) -> None:
        """Show a layer, its experts sorted by load or by number."""
        same = self._usage is not None and len(self._usage.load) == len(usage.load)
        self._usage, self._by_load = usage, by_load
        self._order = np.argsort(-usage.load, kind="stable") if by_load else np.arange(len(usage.load))
        self._draw()
        if not same:
            self.getViewBox().setLimits(xMin=-1, xMax=len(usage.load), minXRange=4)
            self.setXRange(-0.8, len(usage.load) - 0.2, padding=0)
        top = max(float(usage.load.max(initial=0)), usage.band_high, 1.0)
        self.setYRange(0, top * 1.06, padding=0)

    def order(self) -> list[int]:
        """Return the experts from left to right."""
        return [int(expert) for expert in self._order]

    def bar_colors(self) -> list[QColor]:
        """Return the bars' colours from left to right."""
        return list(self._bars.opts["brushes"])

    @Slot()
    def _apply_theme(self) -> None:
        color = self._theme.color
        self.setBackground(color("panel"))
        for side in ("left", "bottom"):
            axis = self.getAxis(side)
            axis.setPen(color("line"))
            axis.setTextPen(color("dim"))
            axis.setStyle(tickFont=self._theme.font(TINY_SIZE), tickLength=-4)
        self.setLabel("left", "tokens", color=color("dim").name())
        band = color("dim")
        band.setAlpha(BAND_ALPHA)
        self._band.setBrush(band)
        self._band.setHoverBrush(band)
        for line in self._band.lines:
            line.setPen(pg.mkPen(None))
        self._chance.setPen(pg.mkPen(color("text"), width=1, style=Qt.PenStyle.DashLine))
        self._draw()

    def _draw(self) -> None:
        usage = self._usage
        if usage is None:
            return
        calm, far, pointed = (self._theme.color(role) for role in ("accent", "warning", "text"))
        brushes = [far if usage.far_out[expert] else calm for expert in self._order]
        if 0 <= self._place < len(brushes):
            brushes[self._place] = pointed
        places = np.arange(len(self._order))
        self._bars.setOpts(x=places, height=usage.load[self._order], width=BAR_WIDTH, brushes=brushes,
                           pens=[pg.mkPen(None)] * len(places))
        self._band.setRegion((usage.band_low, usage.band_high))
        self._chance.setValue(usage.load_by_chance)
        step = max(1, -(-len(places) * TICK_PX // max(1, self.width() - 60)))
        self.getAxis("bottom").setTicks([[(int(place), str(self._order[place])) for place in places[::step]]])

    def _point_at(self, place: int) -> None:
        if not 0 <= place < len(self._order) or place == self._place:
            return
        self._place = place
        self._draw()
        self.expert_pointed.emit(int(self._order[place]))

    @Slot(object)
    def _mouse_moved(self, position: QPointF) -> None:
        if self.sceneBoundingRect().contains(position):
            self._point_at(round(self.getViewBox().mapSceneToView(position).x()))

    # --- Qt overrides

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Name as many experts as there is room for."""
        super().resizeEvent(event)
        if hasattr(self, "_bars"):  # pyqtgraph resizes while it is being made
            self._draw()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Walk along the bars with the arrow keys, Home and End."""
        last = len(self._order) - 1
        places = {Qt.Key.Key_Left: self._place - 1, Qt.Key.Key_Right: self._place + 1, Qt.Key.Key_Home: 0,
                  Qt.Key.Key_End: last}
        place = places.get(Qt.Key(event.key()))
        if place is None:
            super().keyPressEvent(event)
        else:
            self._point_at(min(max(place, 0), last))
