"""Colours of values: tables of 256 steps, the hues that tell experts apart, and the ink that is readable on them.

All come from the theme's files; tests check that colour-blind readers can tell them apart and that the sequential
map runs evenly from dark to light.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QColor

from app.theme.palette import mix
from app.theme.theme import Theme

U32 = npt.NDArray[np.uint32]
LUT_SIZE = 256
TINT_ALPHA = 0x5E
_LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear sRGB, WCAG 2.2


def color_lut(stops: list[QColor]) -> U32:
    """Interpolate evenly spaced stops to a table of 256 ARGB32 colours, shape [256]."""
    positions = np.linspace(0.0, 1.0, len(stops))
    wanted = np.linspace(0.0, 1.0, LUT_SIZE)
    red, green, blue = (
        np.interp(wanted, positions, [channel(stop) for stop in stops]).round().astype(np.uint32)
        for channel in (QColor.red, QColor.green, QColor.blue)
    )
    return np.asarray(np.uint32(0xFF000000) | red << 16 | green << 8 | blue, np.uint32)


def lut_steps(values: npt.NDArray[np.floating], low: float, high: float) -> npt.NDArray[np.intp]:
    """Give each value's step of a table, 0 at `low` and 255 at `high`, clamped."""
    span = max(high - low, 1e-12)
    scaled = np.clip((np.asarray(values, np.float32) - np.float32(low)) / np.float32(span), 0.0, 1.0)
    return np.asarray((scaled * (LUT_SIZE - 1)).round(), np.intp)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorMaps:
    """The theme's maps as ARGB32: `sequential` and `diverging` [256], `hues` [7], `other` for all further experts."""

    sequential: U32
    diverging: U32
    hues: U32
    other: int


def color_maps(theme: Theme) -> ColorMaps:
    """Read the maps of the theme in use. Its last hue, a grey, stands for what has no hue of its own."""
    palette = theme.palette_values
    hues = [QColor(hue).rgba() for hue in palette.expert_hues]
    return ColorMaps(
        sequential=color_lut([QColor(stop) for stop in palette.heat_stops]),
        diverging=color_lut([QColor(stop) for stop in palette.diverging_stops]),
        hues=np.array(hues[:-1], np.uint32),
        other=hues[-1],
    )


def tinted(argb: U32) -> U32:
    """Make colours translucent enough for text in the theme's own ink to be read on them."""
    return np.asarray((argb & np.uint32(0x00FFFFFF)) | np.uint32(TINT_ALPHA << 24), np.uint32)


def luminance(color: QColor) -> float:
    """Relative luminance of a colour, 0 to 1."""
    linear = [
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in (color.redF(), color.greenF(), color.blueF())
    ]
    return sum(share * channel for share, channel in zip(_LUMINANCE, linear, strict=True))


def contrast(first: QColor, second: QColor) -> float:
    """Contrast ratio of two opaque colours, 1 to 21."""
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


class Inks:
    """Chooses the ink for text on a fill, and remembers it."""

    def __init__(self, light: QColor, dark: QColor, ground: QColor) -> None:
        self._inks = (light, dark)
        self._ground = ground
        self._known: dict[int, QColor] = {}

    def on(self, argb: int) -> QColor:
        """The ink of more contrast on a fill over the ground."""
        ink = self._known.get(argb)
        if ink is None:
            fill = QColor.fromRgba(argb)
            seen = mix(self._ground, QColor(fill.rgb()), fill.alphaF())
            ink = max(self._inks, key=lambda each: contrast(each, seen))
            self._known[argb] = ink
        return ink
