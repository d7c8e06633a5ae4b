"""The status row: what the engine does, how fast, how full the context is, what it takes, what goes out."""

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.theme.controls import Dot, Line, Meter, Tone, make_label, set_tone
from app.theme.metrics import GAP_L, GAP_M, GAP_S
from app.theme.theme import Theme

_FLASH_MS = 4000


class StatusBar(QWidget):
    """Facts, each said with what it counts; unknown ones are left out."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("surface", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(27)
        self.dot = Dot(theme)
        self.state = make_label("", "dim", "small")
        self.speed = self._fact("How fast the last answer was written")
        self.first_token = self._fact("From sending the request to the first token")
        self.context_name = make_label("context", "dim", "small")
        self.context = Meter(theme, "Context in use")
        self.context_share = make_label("", "dim", "small")
        self.flashed = self._fact("")
        self._flash_timer = QTimer(self, singleShot=True, interval=_FLASH_MS)
        self._flash_timer.timeout.connect(self._end_flash)
        self.notice = self._fact("")
        self.memory = self._fact("Memory of the engine process, the model included")
        self.network = self._fact("")
        row = QHBoxLayout()
        row.setContentsMargins(GAP_M, 0, GAP_M, 0)
        row.setSpacing(GAP_L)
        state = QHBoxLayout()
        state.setSpacing(GAP_S - 2)
        state.addWidget(self.dot)
        state.addWidget(self.state)
        context = QHBoxLayout()
        context.setSpacing(GAP_S - 2)
        for widget in (self.context_name, self.context, self.context_share):
            context.addWidget(widget)
        row.addLayout(state)
        row.addWidget(self.speed)
        row.addWidget(self.first_token)
        row.addLayout(context)
        row.addStretch(1)
        for fact in (self.flashed, self.notice, self.memory, self.network):
            row.addWidget(fact)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(Line(theme))
        column.addLayout(row, 1)
        self.show_context(0, None)

    def _fact(self, tip: str) -> QLabel:
        label = make_label("", "dim", "small")
        label.setToolTip(tip)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
        label.hide()
        return label

    def show_state(self, text: str, tone: Tone, tip: str = "") -> None:
        """Say what the engine does."""
        self.dot.set_role(tone)
        self.state.setText(text)
        self.state.setToolTip(tip)
        set_tone(self.state, tone if tone in ("ok", "error", "warning") else "dim")

    def flash(self, text: str) -> None:
        """Say something that was done, for a few seconds."""
        self._show(self.flashed, text)
        self._flash_timer.start()

    @Slot()
    def _end_flash(self) -> None:
        self._show(self.flashed, "")

    def show_speed(self, tokens_per_second: float) -> None:
        """Say how fast tokens come."""
        self._show(self.speed, f"{tokens_per_second:.0f} tok/s")

    def show_first_token(self, delay_ms: float) -> None:
        """Say how long the first token took."""
        self._show(self.first_token, f"first token {delay_ms:.0f} ms")

    def show_context(self, used: int, limit: int | None) -> None:
        """Show how full the context is; hidden while the limit is unknown."""
        for widget in (self.context_name, self.context, self.context_share):
            widget.setVisible(bool(limit))
        if limit:
            self.context.set_share(used / limit)
            self.context_share.setText(f"{used / limit:.0%}")
            self.context.setToolTip(f"The next request takes about {used} of {limit} tokens")

    def show_memory(self, size_bytes: int) -> None:
        """Say what the engine process takes; 0 hides it."""
        self._show(self.memory, f"engine {size_bytes / 2**20:.0f} MB" if size_bytes else "")

    def show_network(self, *, allowed: bool) -> None:
        """Say whether anything may go out."""
        self._show(self.network, "previews online" if allowed else "offline")
        set_tone(self.network, "warning" if allowed else "dim")
        self.network.setToolTip(
            "The preview may use the network; the model runs on this computer" if allowed
            else "The model runs on this computer, and previews may not use the network"
        )

    def show_notice(self, text: str, tip: str) -> None:
        """Say something that holds for the whole run."""
        self._show(self.notice, text)
        set_tone(self.notice, "warning")
        self.notice.setToolTip(tip)

    def _show(self, label: QLabel, text: str) -> None:
        label.setText(text)
        label.setVisible(bool(text))
