"""The row of tools over the page. It knows no page: it says what was pressed and shows what it is told."""

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QToolButton, QWidget

from app.theme.controls import make_button, make_label, make_tool_button, set_tone, surface
from app.theme.metrics import BAR_HEIGHT, GAP_S, GAP_XS
from app.theme.theme import Theme

GOOD_FPS = 30.0


class ToolRow(QWidget):
    """Run, pause, screenshot, frame rate, network, and a menu with the rest; icons lose their words where it is narrow.

    Signals:
        run_pressed, screenshot_pressed, window_pressed, fullscreen_pressed, browser_pressed, html_pressed,
        zip_pressed: what they say.
        pause_pressed: (wanted) pause or go on.
        network_pressed: (wanted) on or off; nothing changes until `show_network` says so.
    """

    run_pressed = Signal()
    pause_pressed = Signal(bool)
    screenshot_pressed = Signal()
    window_pressed = Signal()
    fullscreen_pressed = Signal()
    browser_pressed = Signal()
    html_pressed = Signal()
    zip_pressed = Signal()
    network_pressed = Signal(bool)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._network_on = False
        self._paused = False
        self.run_button = make_button("Run", self.run_pressed, "link", "Load the page again from its files (F5)")
        theme.set_icon(self.run_button, "play", "dim")
        self.pause_button = make_tool_button(theme, "pause", "Pause", self._pause)
        self.screenshot_button = make_button(
            "Screenshot", self.screenshot_pressed, "link", "Save a picture of the page and copy it"
        )
        theme.set_icon(self.screenshot_button, "camera", "dim")
        self.fps_label = make_label("", "dim", "small")
        self.fps_label.setAccessibleName("Frames per second")
        self.network_button = make_button("Network off", self._network, "link")
        self.menu_button = make_tool_button(theme, "more", "More about this page")
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu_button.setMenu(self._make_menu())
        self._words = {self.screenshot_button: "Screenshot", self.run_button: "Run"}  # in the order they can go
        for button, word in self._words.items():
            button.setAccessibleName(word)
        self._lay_out()
        self.show_network(on=False, blocked=0)

    def _make_menu(self) -> QMenu:
        menu = QMenu(self)
        self.actions_by_name: dict[str, QAction] = {}
        for name, signal in (
            ("Open in its own window", self.window_pressed),
            ("Full screen", self.fullscreen_pressed),
            ("", None),
            ("Open in the browser", self.browser_pressed),
            ("Export as one HTML file…", self.html_pressed),
            ("Export as a zip…", self.zip_pressed),
        ):
            if signal is None:
                menu.addSeparator()
                continue
            action = menu.addAction(name)
            action.triggered.connect(signal)
            self.actions_by_name[name] = action
        return menu

    def _lay_out(self) -> None:
        self._row = inner = QHBoxLayout()
        inner.setContentsMargins(GAP_S, 0, GAP_XS, 0)
        inner.setSpacing(GAP_XS)
        inner.addWidget(self.run_button)
        inner.addWidget(self.pause_button)
        inner.addWidget(self.screenshot_button)
        inner.addStretch(1)
        inner.addWidget(self.fps_label)
        inner.addSpacing(GAP_S)
        inner.addWidget(self.network_button)
        inner.addWidget(self.menu_button)
        panel = surface("panel")
        panel.setLayout(inner)
        outer = QHBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(panel)
        self.setFixedHeight(BAR_HEIGHT - GAP_XS)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show as many words as there is room for."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        for button, word in self._words.items():
            button.setText(word)
        for button in self._words:
            if self._row.sizeHint().width() <= self.width():
                return
            button.setText("")

    def set_page_there(self, *, there: bool) -> None:
        """Switch off what needs a page."""
        for widget in (self.run_button, self.pause_button, self.screenshot_button, self.network_button,
                       self.menu_button):  # fmt: skip
            widget.setEnabled(there)

    def show_paused(self, *, paused: bool) -> None:
        """Show whether the page is paused."""
        self._paused = paused
        tip = "Go on" if paused else "Pause"
        self._theme.set_icon(self.pause_button, "play" if paused else "pause", "accent" if paused else "dim")
        self.pause_button.setToolTip(tip)
        self.pause_button.setAccessibleName(tip)

    def show_fps(self, fps: float | None) -> None:
        """Show the frame rate; a page that draws no frames has none."""
        self.fps_label.setText("" if not fps else f"{fps:.0f} fps")
        set_tone(self.fps_label, "ok" if fps and fps >= GOOD_FPS else "warning")
        self._fit()

    def show_network(self, *, on: bool, blocked: int) -> None:
        """Show the switch, and how many requests were refused."""
        self._network_on = on
        count = f" · {blocked} blocked" if blocked and not on else ""
        self.network_button.setText(("Network on" if on else "Network off") + count)
        self.network_button.setToolTip(
            "Pages of this project may use the network. Press to switch it off." if on
            else "Pages of this project reach nothing outside it; libraries are served from here. Press to change."
        )  # fmt: skip
        self._fit()

    @Slot()
    def _pause(self) -> None:
        self.pause_pressed.emit(not self._paused)

    @Slot()
    def _network(self) -> None:
        self.network_pressed.emit(not self._network_on)
