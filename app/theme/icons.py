"""Icons: single-stroke SVG files in resources/icons, drawn in any colour at any scale.

The files say `currentColor`; the colour is put in before rendering. Plain pixmaps rather than a QIconEngine:
the engine's ownership across the binding is not worth the one feature it adds. Theme re-makes icons on a switch.
"""

from functools import cache

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from app.resources import resource_text
from app.theme.metrics import ICON_SIZE

_SCALES = (1, 2)


@cache
def _svg(name: str) -> str:
    return resource_text("icons", f"{name}.svg")


def icon_pixmap(name: str, color: QColor, *, size_px: int = ICON_SIZE, scale: float = 1.0) -> QPixmap:
    """The icon `name` in `color`; `size_px` counts device-independent pixels."""
    renderer = QSvgRenderer(QByteArray(_svg(name).replace("currentColor", color.name()).encode()))
    pixmap = QPixmap(QSize(size_px, size_px) * scale)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    renderer.render(painter, QRectF(pixmap.rect()))
    painter.end()
    pixmap.setDevicePixelRatio(scale)
    return pixmap


def make_icon(name: str, normal: QColor, active: QColor, disabled: QColor, on: QColor | None = None) -> QIcon:
    """A QIcon with pixmaps for 100% and 200% scaling; `on` colours the checked state."""
    icon = QIcon()
    modes = ((QIcon.Mode.Normal, normal), (QIcon.Mode.Active, active), (QIcon.Mode.Disabled, disabled))
    for scale in _SCALES:
        for mode, color in modes:
            icon.addPixmap(icon_pixmap(name, color, scale=scale), mode, QIcon.State.Off)
        icon.addPixmap(icon_pixmap(name, on or normal, scale=scale), QIcon.Mode.Normal, QIcon.State.On)
    return icon
