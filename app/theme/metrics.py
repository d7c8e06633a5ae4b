"""Sizes shared by every widget, in device-independent pixels. Colours live in palette.py."""

from typing import Final

STEP: Final = 4
GAP_XS: Final = 4
GAP_S: Final = 8
GAP_M: Final = 12
GAP_L: Final = 16
GAP_XL: Final = 24
RADIUS_S: Final = 6
RADIUS_M: Final = 8
RADIUS_L: Final = 12
ROW_HEIGHT: Final = 28
BAR_HEIGHT: Final = 40
ICON_SIZE: Final = 16
TEXT_SIZE: Final = 13
SMALL_SIZE: Final = 12
TINY_SIZE: Final = 11
MONO_SIZE: Final = 12
