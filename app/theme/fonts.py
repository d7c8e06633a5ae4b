"""Which typefaces the window uses: the desktop's own, or good free ones where it has none."""

from collections.abc import Sequence

from PySide6.QtGui import QFont, QFontDatabase

from app.theme.metrics import MONO_SIZE, TEXT_SIZE

_MONO_FAMILIES = ("JetBrains Mono", "Cascadia Mono", "SF Mono", "Menlo", "Consolas", "DejaVu Sans Mono")
_TEXT_FAMILIES = ("Inter", "Noto Sans", "Cantarell", "DejaVu Sans")
# What Qt reports when no desktop has set an interface font.
_NO_CHOICE = {"", "sans", "sans serif", "sans-serif", "dejavu sans", "bitstream vera sans", "helvetica"}


def _first_installed(families: Sequence[str]) -> str | None:
    installed = set(QFontDatabase.families())
    return next((family for family in families if family in installed), None)


def interface_font(size_px: int = TEXT_SIZE) -> QFont:
    """The system's interface font at `size_px`."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
    if font.family().lower() in _NO_CHOICE:
        font = QFont(_first_installed(_TEXT_FAMILIES) or font.family())
    font.setPixelSize(size_px)
    font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    return font


def mono_font(size_px: int = MONO_SIZE) -> QFont:
    """JetBrains Mono at `size_px`, else the system's monospaced font; ligatures off, as in the editor."""
    family = _first_installed(_MONO_FAMILIES)
    font = QFont(family) if family else QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    font.setPixelSize(size_px)
    font.setStyleHint(QFont.StyleHint.Monospace)
    font.setFixedPitch(True)
    font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    font.setFeature(QFont.Tag("calt"), 0)
    return font
