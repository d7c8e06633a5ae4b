"""The row above the pages while a trace from a file is on show: what it is, what was checked, the way back."""

from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.theme.controls import ElidedLabel, Line, make_button, make_label, set_tone
from app.theme.metrics import GAP_M, GAP_S, GAP_XS
from app.theme.theme import Theme
from engine.trace_check import Finding

MARKS = {"passed": "✓", "failed": "✗", "unknown": "?"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedTrace:
    """What is said of an opened file: its name, what wrote it, what it holds, what was left out, what was checked."""

    name: str
    source: str
    sample: str
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The checks that real routing would pass."""
        return tuple(finding for finding in self.findings if finding.verdict == "failed")


class TraceNotice(QWidget):
    """Hidden until a file is shown.

    Signals:
        closed: the person wants the chat's own routing back.
    """

    closed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("surface", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._title = ElidedLabel(tone="text")
        self._verdict = make_label("", "ok")
        self._details = make_label("", "dim")
        self._details.setWordWrap(True)
        self._details.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._details.hide()
        self._more = make_button("What was checked", self._toggle, "link")
        back = make_button("Back to the chat", self._close, "link", "Show the routing of the chat's answer again")
        row = QHBoxLayout()
        row.setSpacing(GAP_S)
        row.addWidget(self._title, 1)
        for widget in (self._verdict, self._more, back):
            row.addWidget(widget)
        column = QVBoxLayout()
        column.setContentsMargins(GAP_M, GAP_XS, GAP_M, GAP_XS)
        column.setSpacing(GAP_XS)
        column.addLayout(row)
        column.addWidget(self._details)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(column)
        layout.addWidget(Line(theme))
        self.hide()

    def show_about(self, about: OpenedTrace) -> None:
        """Say this; failed checks are said in full at once."""
        self._title.set_full_text(f"{about.name} · {about.source} · {about.sample}")
        failed = about.failed
        count = "1 check failed" if len(failed) == 1 else f"{len(failed)} checks failed"
        self._verdict.setText(f"✗ {count}" if failed else "✓ Checks passed")
        set_tone(self._verdict, "error" if failed else "ok")
        lines = [f"{MARKS[finding.verdict]} {finding.text}" for finding in about.findings]
        self._details.setText("\n".join([*lines, *about.notes]))
        self._show_details(shown=bool(failed))
        self.show()

    def text(self) -> str:
        """Return all that is said."""
        return f"{self._title.full_text()}\n{self._verdict.text()}\n{self._details.text()}"

    def _show_details(self, *, shown: bool) -> None:
        self._details.setVisible(shown)
        self._more.setText("Less" if shown else "What was checked")

    @Slot()
    def _toggle(self) -> None:
        self._show_details(shown=self._details.isHidden())

    @Slot()
    def _close(self) -> None:
        self.hide()
        self.closed.emit()
