"""What is said under an answer: how it ended, what was not applied, and the facts of it as chips."""

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.core.model_names import model_name
from app.core.records import CONTINUABLE_STATES, Message
from app.panes.chat.text_views import CodeView
from app.theme.controls import Card, FlowLayout, make_button, make_label
from app.theme.metrics import GAP_S, GAP_XS
from app.theme.theme import Theme

_ENDINGS = {
    "stopped": "Stopped. What came is kept.",
    "interrupted": "Interrupted: the engine ended while this was written. What came is kept.",
    "length": "The token limit ended this answer.",
    "error": "This answer ended with an error.",
}


class EndNotice(Card):
    """How an answer ended, when it didn't simply finish, with the way on.

    Signals:
        continue_requested, again_requested.
    """

    continue_requested = Signal()
    again_requested = Signal()

    def __init__(self, theme: Theme, message: Message) -> None:
        tone = "error" if message.state == "error" else "warning"
        super().__init__(theme, fill=f"{tone}_background", border=f"{tone}_background")
        row = QHBoxLayout()
        row.setContentsMargins(12, 6, 6, 6)
        row.setSpacing(GAP_S)
        text = make_label(_ENDINGS[message.state], "text", "small")
        if message.error:
            text.setText(message.error)
        text.setWordWrap(True)
        row.addWidget(text, 1)
        if message.state in CONTINUABLE_STATES and message.text:
            row.addWidget(make_button("Continue", self.continue_requested.emit, "link", "Go on where it stopped"))
        row.addWidget(make_button("Try again", self.again_requested.emit, "link", "Write another answer"))
        self.column.addLayout(row)


class RejectNotice(Card):
    """A block that was not applied: why, its text on demand, and a way to ask again.

    Signals:
        ask_again_requested: the request to send.
    """

    ask_again_requested = Signal(str)

    def __init__(self, theme: Theme, reject: Mapping[str, Any]) -> None:
        super().__init__(theme, fill="warning_background", border="warning_background")
        self._path, self._reason = str(reject["path"]), str(reject["reason"])
        self.block = CodeView(theme)
        self.block.set_code(str(reject["block"]).rstrip("\n"))
        self.block.hide()
        row = QHBoxLayout()
        row.setContentsMargins(12, 8, 6, 4)
        row.setSpacing(GAP_XS)
        icon = QLabel()
        icon.setPixmap(theme.pixmap("warning", "warning", scale=2))
        row.addWidget(icon)
        row.addSpacing(GAP_XS)
        row.addWidget(make_label(f"Not applied to {self._path}", bold=True), 1)
        self.show_button = make_button("Show the block", self._toggle, "link")
        row.addWidget(self.show_button)
        row.addWidget(make_button("Ask again", self._ask, "link", "Ask the model for this change once more"))
        reason = make_label(self._reason, "dim", "small")
        reason.setWordWrap(True)
        reason.setContentsMargins(12, 0, 12, 8)
        self.column.addLayout(row)
        self.column.addWidget(reason)
        self.column.addWidget(self.block)

    @Slot()
    def _toggle(self) -> None:
        shown = self.block.isHidden()
        self.block.setVisible(shown)
        self.show_button.setText("Hide the block" if shown else "Show the block")

    @Slot()
    def _ask(self) -> None:
        self.ask_again_requested.emit(
            f"Your change of {self._path} could not be applied: {self._reason} "
            f"Please make it again, against the file as it is now."
        )


class FactChips(QWidget):
    """What an answer did, in small: files with their lines, the run's result, tokens and seconds."""

    def __init__(self, theme: Theme, message: Message) -> None:
        super().__init__()
        self._theme = theme
        self._flow = FlowLayout(self, 6)
        self._run: Card | None = None
        for change in message.applied.get("changes", ()):
            self._flow.addWidget(self._change_chip(change))
        self._cost = self._chip([(cost_text(message), "dim")])
        self._cost.setToolTip(_origin_text(message))
        self._cost.setVisible(bool(cost_text(message)))
        self._flow.addWidget(self._cost)

    def show_run(self, text: str, *, clean: bool) -> None:
        """Show how the program ran, before the cost."""
        chip = self._chip([(text, "ok" if clean else "error")])
        if self._run is not None:
            self._run.hide()
            self._run.deleteLater()
            self._flow.removeWidget(self._run)
        self._run = chip
        self._flow.removeWidget(self._cost)
        self._flow.addWidget(chip)
        self._flow.addWidget(self._cost)
        chip.show()
        self.updateGeometry()

    def _change_chip(self, change: Mapping[str, Any]) -> Card:
        parts = [(str(change["path"]), "dim")]
        if change["added"]:
            parts.append((f"+{change['added']}", "ok"))
        if change["removed"]:
            parts.append((f"−{change['removed']}", "error"))
        chip = self._chip(parts)
        chip.setToolTip(f"{change['path']}: {change['kind']}")
        return chip

    def _chip(self, parts: list[tuple[str, str]]) -> Card:
        chip = Card(self._theme, fill="raised", radius_px=6)
        row = QHBoxLayout()
        row.setContentsMargins(8, 3, 8, 3)
        row.setSpacing(GAP_XS)
        for number, (text, tone) in enumerate(parts):
            row.addWidget(make_label(text, tone, "small", bold=number > 0))  # type: ignore[arg-type]
        chip.column.addLayout(row)
        return chip


def cost_text(message: Message) -> str:
    """Tokens and seconds of an answer, "" when unknown."""
    tokens = message.usage.get("completion_tokens")
    if not tokens:
        return ""
    total_ms = message.timings.get("total_ms")
    return f"{tokens} tokens · {total_ms / 1000:.1f} s" if total_ms else f"{tokens} tokens"


def _origin_text(message: Message) -> str:
    facts = [f"model {model_name(message.model)}" if message.model else ""]
    facts.append(f"seed {message.seed}" if message.seed is not None else "")
    facts += [f"{name.replace('_', ' ')} {value}" for name, value in message.sampling.items() if value is not None]
    facts.append(f"weights {message.fingerprint[:12]}" if message.fingerprint else "")
    return "\n".join(fact for fact in facts if fact)


def spaced(column: QVBoxLayout, gap_px: int = GAP_S) -> QVBoxLayout:
    """A column without margins."""
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(gap_px)
    return column
