"""Legends: what a colouring's colours mean, as a row of swatches or as a bar from less to more."""

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.panes.inspector.color_maps import LUT_SIZE, U32
from app.theme.metrics import TINY_SIZE
from app.theme.theme import Theme

HEIGHT_PX = 16
SWATCH_PX = 9
BAR_PX = 96
BAR_HEIGHT_PX = 8
GAP_PX = 5
ITEM_GAP_PX = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendItem:
    """A colour (ARGB32, 0 for the outline of what isn't given) and what it stands for."""

    argb: int
    text: str
    short: str = ""  # said instead where there is little room


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """What is painted: a gradient with its ends, then items. `mark` (0 to 1) ticks a place of the gradient."""

    text: str = ""
    gradient: U32 | None = None
    low: str = ""
    high: str = ""
    mark: float | None = None
    mark_text: str = ""
    items: tuple[LegendItem, ...] = ()

    def as_text(self) -> str:
        """The legend in words."""
        parts = [self.text]
        if self.gradient is not None:
            parts.append(f"from {self.low} to {self.high}")
        if self.mark is not None:
            parts.append(self.mark_text)
        parts += [item.text for item in self.items]
        return "; ".join(part for part in parts if part)


class LegendBar(QWidget):
    """Paints a legend in one line; what doesn't fit is counted at its end and said in its tooltip."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._legend = Legend()
        self._font = theme.font(TINY_SIZE)
        self.setAccessibleName("Legend")
        self.setFixedHeight(HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_legend(self, legend: Legend) -> None:
        """Show another legend."""
        text = legend.as_text()
        if text != self._legend.as_text():
            self.setAccessibleDescription(text)
            self.setToolTip(text)
            self.updateGeometry()
        self._legend = legend
        self.update()

    def legend(self) -> Legend:
        """Return the legend on show."""
        return self._legend

    # --- painting

    def _metrics(self) -> QFontMetrics:
        return QFontMetrics(self._font)

    def _draw_text(self, painter: QPainter, x: float, text: str, role: str = "dim") -> float:
        width = self._metrics().horizontalAdvance(text)
        painter.setPen(self._theme.color(role))
        painter.drawText(QRectF(x, 0, width + 2, HEIGHT_PX), Qt.AlignmentFlag.AlignVCenter, text)
        return x + width

    def _draw_gradient(self, painter: QPainter, x: float, gradient: U32) -> float:
        legend = self._legend
        x = self._draw_text(painter, x, legend.low) + GAP_PX
        row = gradient.copy()
        bar = QRectF(x, (HEIGHT_PX - BAR_HEIGHT_PX) / 2, BAR_PX, BAR_HEIGHT_PX)
        image = QImage(row.data, LUT_SIZE, 1, LUT_SIZE * 4, QImage.Format.Format_RGB32)
        painter.drawImage(bar, image)
        painter.setPen(QPen(self._theme.color("line"), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(bar.adjusted(-0.5, -0.5, 0.5, 0.5))
        if legend.mark is not None:
            at = bar.left() + legend.mark * bar.width()
            painter.fillRect(QRectF(at - 1, bar.top() - 3, 2, bar.height() + 6), self._theme.color("text"))
        return self._draw_text(painter, bar.right() + GAP_PX, legend.high) + ITEM_GAP_PX

    def _draw_item(self, painter: QPainter, x: float, item: LegendItem, text: str) -> float:
        swatch = QRectF(x + 0.5, (HEIGHT_PX - SWATCH_PX) / 2, SWATCH_PX, SWATCH_PX)
        is_absent = item.argb == 0
        painter.setPen(QPen(self._theme.color("faint"), 1, Qt.PenStyle.DotLine) if is_absent else Qt.PenStyle.NoPen)
        painter.setBrush(Qt.BrushStyle.NoBrush if is_absent else QColor.fromRgba(item.argb))
        painter.drawRoundedRect(swatch, 2, 2)
        return self._draw_text(painter, swatch.right() + 4, text) + ITEM_GAP_PX

    def _item_width(self, text: str) -> float:
        return SWATCH_PX + 4.5 + self._metrics().horizontalAdvance(text)

    def _item_texts(self, room: float) -> list[str]:
        texts = [item.text for item in self._legend.items]
        fits = sum(self._item_width(text) + ITEM_GAP_PX for text in texts) - ITEM_GAP_PX <= room
        return texts if fits else [item.short or item.text for item in self._legend.items]

    # --- Qt overrides

    def sizeHint(self) -> QSize:
        """Return the width of the whole line."""
        metrics, legend = self._metrics(), self._legend
        width = metrics.horizontalAdvance(legend.text) + GAP_PX if legend.text else 0
        if legend.gradient is not None:
            width += BAR_PX + 2 * GAP_PX + ITEM_GAP_PX + metrics.horizontalAdvance(legend.low + legend.high)
        width += int(sum(self._item_width(item.text) + ITEM_GAP_PX for item in legend.items))
        return QSize(width, HEIGHT_PX)

    def minimumSizeHint(self) -> QSize:
        """It may be cut."""
        return QSize(60, HEIGHT_PX)

    def changeEvent(self, event: QEvent) -> None:
        """Paint again in the colours of another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint what fits."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self._font)
        legend, x = self._legend, 0.0
        if legend.text:
            x = self._draw_text(painter, x, legend.text, "faint") + ITEM_GAP_PX
        if legend.gradient is not None:
            x = self._draw_gradient(painter, x, legend.gradient)
        texts = self._item_texts(self.width() - x)
        for place, (item, text) in enumerate(zip(legend.items, texts, strict=True)):
            rest = len(texts) - place
            room = 0 if rest == 1 else self._metrics().horizontalAdvance("+9") + ITEM_GAP_PX
            if x + self._item_width(text) + room > self.width() and x > 0:
                self._draw_text(painter, x, f"+{rest}", "faint")
                break
            x = self._draw_item(painter, x, item, text)
