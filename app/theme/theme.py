"""The live theme: one object, made by the composition root and handed to every widget that paints.

It follows the system's colour scheme or a fixed choice, sets QPalette and style sheet on the application, and
says `theme_changed` when colours are different from before. Widgets never write a colour of their own.
"""

import weakref
from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFont, QIcon, QPixmap
from PySide6.QtWidgets import QAbstractButton, QApplication

from app.theme.fonts import interface_font, mono_font
from app.theme.icons import icon_pixmap, make_icon
from app.theme.metrics import ICON_SIZE, MONO_SIZE, TEXT_SIZE
from app.theme.palette import Palette, load_palette, qt_palette, ramp
from app.theme.style_sheet import style_sheet

Mode = Literal["system", "light", "dark"]


class Theme(QObject):
    """Colours, fonts and icons by role.

    Signals:
        theme_changed(): colours or the size of code changed; ask for them again and repaint.
    """

    theme_changed = Signal()

    def __init__(self, application: QApplication, mode: Mode = "system") -> None:
        super().__init__(application)
        self._application = application
        self._mode: Mode = mode
        self._code_size_px = MONO_SIZE
        self._palettes = {name: load_palette(name) for name in ("dark", "light")}
        self._icons: dict[tuple[str, str], QIcon] = {}
        self._icon_users: weakref.WeakKeyDictionary[QAbstractButton, tuple[str, str]] = weakref.WeakKeyDictionary()
        application.setStyle("Fusion")
        application.setFont(interface_font())
        application.styleHints().colorSchemeChanged.connect(self._follow_system)
        self._palette = self._wanted_palette()
        self._apply()

    @property
    def mode(self) -> Mode:
        """What the person chose: follow the system, or one of the two."""
        return self._mode

    @property
    def is_dark(self) -> bool:
        """Whether the dark colours are in use now."""
        return self._palette.is_dark

    @property
    def palette_values(self) -> Palette:
        """The colours in use, as plain values (for a web page or a syntax theme)."""
        return self._palette

    def set_mode(self, mode: Mode) -> None:
        """Choose a theme; takes effect at once."""
        self._mode = mode
        self._switch()

    def color(self, role: str) -> QColor:
        """Colour of an interface role such as "accent" (KeyError for an unknown one)."""
        return QColor(self._palette.colors[role])

    def css(self, role: str) -> str:
        """The same as "#rrggbb", for rich text."""
        return self._palette.colors[role]

    def syntax(self, role: str) -> QColor:
        """Colour of a syntax role, as listed under [syntax] in the theme files."""
        return QColor(self._palette.syntax[role])

    def expert_color(self, index: int) -> QColor:
        """One of the eight hues that tell experts apart; wraps around."""
        return QColor(self._palette.expert_hues[index % len(self._palette.expert_hues)])

    def heat(self, value: float) -> QColor:
        """Colour of 0..1 on the sequential map of the heat map."""
        return ramp(self._palette.heat_stops, value)

    def font(self, size_px: int = TEXT_SIZE, *, bold: bool = False) -> QFont:
        """The interface font."""
        font = interface_font(size_px)
        font.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
        return font

    def mono(self, size_px: int | None = None) -> QFont:
        """The code font, in the size the person chose unless one is given."""
        return mono_font(size_px or self._code_size_px)

    def set_code_size(self, size_px: int) -> None:
        """Show code in another size, everywhere."""
        if size_px != self._code_size_px:
            self._code_size_px = size_px
            self.theme_changed.emit()

    def icon(self, name: str, role: str = "dim") -> QIcon:
        """The icon `name`; it doesn't follow a theme switch by itself, see `set_icon`."""
        if (name, role) not in self._icons:
            rest = (self.color(other) for other in ("text", "faint", "accent"))
            self._icons[name, role] = make_icon(name, self.color(role), *rest)
        return self._icons[name, role]

    def pixmap(self, name: str, role: str = "dim", size_px: int = ICON_SIZE, scale: float = 1.0) -> QPixmap:
        """One pixmap of an icon, for painting by hand."""
        return icon_pixmap(name, self.color(role), size_px=size_px, scale=scale)

    def set_icon(self, button: QAbstractButton, name: str, role: str = "dim") -> None:
        """Give a button an icon that is recoloured with every theme switch."""
        self._icon_users[button] = (name, role)
        button.setIcon(self.icon(name, role))

    def _wanted_palette(self) -> Palette:
        if self._mode == "system":
            scheme = self._application.styleHints().colorScheme()
            return self._palettes["light" if scheme is Qt.ColorScheme.Light else "dark"]
        return self._palettes[self._mode]

    def _switch(self) -> None:
        wanted = self._wanted_palette()
        if wanted is self._palette:
            return
        self._palette = wanted
        self._icons.clear()
        self._apply()
        for button, (name, role) in list(self._icon_users.items()):
            button.setIcon(self.icon(name, role))
        self.theme_changed.emit()

    def _apply(self) -> None:
        # The scheme call colours native chrome (title bar, file dialogs); the palette does our own widgets.
        hints = self._application.styleHints()
        schemes = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark, "system": Qt.ColorScheme.Unknown}
        hints.setColorScheme(schemes[self._mode])
        self._application.setPalette(qt_palette(self._palette))
        self._application.setStyleSheet(style_sheet(self._palette))

    @Slot()
    def _follow_system(self) -> None:
        if self._mode == "system":
            self._switch()
