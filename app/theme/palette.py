"""Colours as data: one TOML file per theme, read into a frozen Palette and turned into a QPalette.

No widget and no style sheet here; see theme.py for the live object everybody is handed.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from PySide6.QtGui import QColor, QPalette

from app.resources import resource_text

_ROLE = QPalette.ColorRole
_ROLES: Mapping[QPalette.ColorRole, str] = {
    _ROLE.Window: "background",
    _ROLE.WindowText: "text",
    _ROLE.Base: "panel",
    _ROLE.AlternateBase: "raised",
    _ROLE.Text: "text",
    _ROLE.Button: "raised",
    _ROLE.ButtonText: "text",
    _ROLE.BrightText: "error",
    _ROLE.ToolTipBase: "raised",
    _ROLE.ToolTipText: "text",
    _ROLE.PlaceholderText: "faint",
    _ROLE.Highlight: "accent_background",
    _ROLE.HighlightedText: "text",
    _ROLE.Link: "accent",
    _ROLE.LinkVisited: "accent",
    _ROLE.Accent: "accent",
    _ROLE.Light: "hover",
    _ROLE.Midlight: "raised",
    _ROLE.Mid: "line",
    _ROLE.Dark: "line",
    _ROLE.Shadow: "shadow",
}
_DISABLED = (_ROLE.WindowText, _ROLE.Text, _ROLE.ButtonText)


@dataclass(frozen=True, kw_only=True, slots=True)
class Palette:
    """The values of one theme. `colors` and `syntax` map a role to "#rrggbb"."""

    name: str
    is_dark: bool
    colors: Mapping[str, str]
    syntax: Mapping[str, str]
    expert_hues: tuple[str, ...]
    heat_stops: tuple[str, ...]
    diverging_stops: tuple[str, ...]


def load_palette(name: str) -> Palette:
    """Read resources/themes/<name>.toml. A malformed file is our own fault and raises as such."""
    data = tomllib.loads(resource_text("themes", f"{name}.toml"))
    return Palette(
        name=name,
        is_dark=data["scheme"] == "dark",
        colors=data["colors"],
        syntax=data["syntax"],
        expert_hues=tuple(data["experts"]["hues"]),
        heat_stops=tuple(data["experts"]["heat"]),
        diverging_stops=tuple(data["experts"]["diverging"]),
    )


def qt_palette(palette: Palette) -> QPalette:
    """The QPalette that Fusion paints with."""
    result = QPalette()
    for role, name in _ROLES.items():
        result.setColor(role, QColor(palette.colors[name]))
    for role in _DISABLED:
        result.setColor(QPalette.ColorGroup.Disabled, role, QColor(palette.colors["faint"]))
    return result


def mix(first: QColor, second: QColor, share: float) -> QColor:
    """The colour `share` of the way (0..1) from `first` to `second`, in sRGB."""
    return QColor(
        round(first.red() + (second.red() - first.red()) * share),
        round(first.green() + (second.green() - first.green()) * share),
        round(first.blue() + (second.blue() - first.blue()) * share),
    )


def ramp(stops: tuple[str, ...], value: float) -> QColor:
    """Colour of `value` (clamped to 0..1) on evenly spaced stops."""
    position = min(max(value, 0.0), 1.0) * (len(stops) - 1)
    index = min(int(position), len(stops) - 2)
    return mix(QColor(stops[index]), QColor(stops[index + 1]), position - index)
