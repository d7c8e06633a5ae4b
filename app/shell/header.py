"""The header row: the program's name, the conversation's title, the model and its device, the way to every command."""

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from app.theme.controls import Dot, ElidedLabel, Line, make_button, make_label, make_tool_button
from app.theme.metrics import BAR_HEIGHT, GAP_M, GAP_S
from app.theme.theme import Theme


class ModelChip(QPushButton):
    """A state dot and the model's name; a menu opens from it."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("kind", "header")
        self.setFixedHeight(28)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.dot = Dot(theme)
        self.name = ElidedLabel("", "text")
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 0, 12, 0)
        row.setSpacing(GAP_S)
        row.addWidget(self.dot)
        row.addWidget(self.name)

    def show_model(self, text: str, role: str, tip: str) -> None:
        """Name the model; `role` is the colour of its state, which `tip` says in words."""
        self.name.set_full_text(text)
        self.dot.set_role(role)
        self.setToolTip(tip)
        self.setAccessibleName(f"{text}: {tip}")
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        """Room for dot and name."""
        return QSize(self.name.sizeHint().width() + 44, 28)

    def minimumSizeHint(self) -> QSize:
        """The name may be cut."""
        return QSize(90, 28)


class HeaderBar(QWidget):
    """The top row of the window.

    Signals:
        sidebar_toggled, commands_requested.
    """

    sidebar_toggled = Signal()
    commands_requested = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("surface", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(BAR_HEIGHT + 1)
        self.sidebar_button = make_tool_button(
            theme, "sidebar", "Show or hide the side bar (Ctrl+B)", self.sidebar_toggled.emit, "faint"
        )
        self.title = ElidedLabel("", "dim")
        self.chip = ModelChip(theme)
        self.device = self._device_label()
        keys = QKeySequence("Ctrl+Shift+P").toString(QKeySequence.SequenceFormat.NativeText).replace("+", " ")
        self.commands_button = make_button(keys, self.commands_requested.emit, "keys", "Show all commands")
        self.commands_button.setAccessibleName("Show all commands")
        inner = QWidget()
        row = QHBoxLayout(inner)
        row.setContentsMargins(GAP_S, 0, GAP_M, 0)
        row.setSpacing(GAP_S)
        row.addWidget(self.sidebar_button)
        row.addWidget(make_label("Expertarium", bold=True))
        row.addSpacing(4)
        row.addWidget(self.title, 1)
        for widget in (self.chip, self.device, self.commands_button):
            row.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(inner, 1)
        column.addWidget(Line(theme))
        self._menu: QMenu | None = None
        self.chip.clicked.connect(self._open_menu)

    def _device_label(self) -> QLabel:
        label = make_label("")
        label.setProperty("kind", "device")
        label.setToolTip("What the model runs on")
        label.hide()
        return label

    def set_menu(self, menu: QMenu) -> None:
        """The menu of the model chip."""
        self._menu = menu

    def show_device(self, device: str) -> None:
        """Name the device; "" hides the chip."""
        self.device.setText(device)
        self.device.setVisible(bool(device))

    @Slot()
    def _open_menu(self) -> None:
        if self._menu is not None:
            corner = self.chip.mapToGlobal(self.chip.rect().bottomRight())
            corner.setX(corner.x() - self._menu.sizeHint().width())
            corner.setY(corner.y() + 4)
            self._menu.popup(corner)
