"""How a token of the strip is drawn, once for all that look alike; where it stands is in token_strip.py."""

from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen, QPixmap

from app.panes.inspector.color_maps import Inks

MAX_PICTURES = 2048
TokenState = Literal["plain", "selected", "cursor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StripColors:
    """Colours of everything but the fills; `selection` is the band behind selected tokens."""

    text: QColor
    faint: QColor
    panel: QColor
    accent: QColor
    on_accent: QColor
    selection: QColor


class TokenPictures:
    """Draws tokens and keeps the pictures: most tokens of a program are alike, and letters take the time."""

    def __init__(self, colors: StripColors) -> None:
        self.colors = colors
        light, dark = sorted((colors.text, colors.panel), key=QColor.lightness, reverse=True)
        self._inks = Inks(light, dark, colors.panel)
        self._font = QFont()
        self._ratio = 1.0
        self._pictures: dict[tuple[str, int, TokenState, int], QPixmap] = {}

    def set_up(self, font: QFont, ratio: float) -> None:
        """Set font and device pixels per pixel; pictures of others are forgotten."""
        if (font, ratio) != (self._font, self._ratio):
            self._font, self._ratio = QFont(font), ratio
            self._pictures.clear()

    def picture(self, text: str, fill: int, state: TokenState, size: QSize) -> QPixmap:
        """A token's picture: its text on an ARGB32 fill, 0 for the outline of what isn't given."""
        key = text, fill, state, size.width()
        found = self._pictures.get(key)
        if found is None:
            if len(self._pictures) >= MAX_PICTURES:
                self._pictures.clear()
            found = QPixmap(size * self._ratio)
            found.setDevicePixelRatio(self._ratio)
            found.fill(Qt.GlobalColor.transparent)
            painter = QPainter(found)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setFont(self._font)
            self._draw(painter, QRect(QPoint(), size), text, fill, state)
            painter.end()
            self._pictures[key] = found
        return found

    def _draw(self, painter: QPainter, rect: QRect, text: str, fill: int, state: TokenState) -> None:
        ink = self._inks.on(fill) if fill else self.colors.text
        painter.setPen(Qt.PenStyle.NoPen)
        if state == "cursor":
            painter.setBrush(self.colors.accent)
            ink = self.colors.on_accent
        elif fill:
            painter.setBrush(QColor.fromRgba(fill))
        else:
            painter.setPen(QPen(self.colors.faint, 1, Qt.PenStyle.DotLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
        if state != "plain":
            painter.setPen(QPen(self.colors.accent, 1))
        painter.drawRoundedRect(QRectF(rect).adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)
        if fill and fill >> 24 < 0xFF and state == "plain":  # a tint alone is too weak to be told from its neighbours
            painter.fillRect(rect.left() + 3, rect.bottom() - 1, rect.width() - 6, 2, QColor.fromRgb(fill))
        painter.setPen(ink)
        painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, text)
