"""The application's one style sheet: resources/themes/window.qss with {role} filled in from the palette."""

import re

from app.resources import resource_path, resource_text
from app.theme.metrics import RADIUS_L, RADIUS_M, RADIUS_S, SMALL_SIZE, TINY_SIZE
from app.theme.palette import Palette

_SIZES = {
    "radius_s": f"{RADIUS_S}px",
    "radius_m": f"{RADIUS_M}px",
    "radius_l": f"{RADIUS_L}px",
    "small": f"{SMALL_SIZE}px",
    "tiny": f"{TINY_SIZE}px",
}
_PLACE = re.compile(r"@([a-z_]+)")


def style_sheet(palette: Palette) -> str:
    """The sheet for one theme; KeyError when it names a role that no palette has."""
    # Style sheets take arrows from files only, in the colours these have.
    arrows = {f"arrow_{way}": resource_path("themes", f"{palette.name}-{way}.svg").as_posix() for way in ("up", "down")}
    values = {**palette.colors, **_SIZES, **arrows}
    return _PLACE.sub(lambda match: values[match.group(1)], resource_text("themes", "window.qss"))
