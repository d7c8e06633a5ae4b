"""What the expert bench shows: two running programs side by side, what differs between them, and the tally."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, QTimer, Slot
from PySide6.QtGui import QTextCharFormat, QTextCursor
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPlainTextEdit,
    QStackedWidget,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.core.bench_comparison import Comparison
from app.core.expert_changes import all_in_words, difference
from app.services.bench_tally import TallyRow
from app.services.runner import PageRunner
from app.theme.controls import ElidedLabel, make_label, set_tone
from app.theme.metrics import GAP_S
from app.theme.theme import Theme

JUDGE_MS = 2000
TEXT_VIEW, ROUTING_VIEW, TALLY_VIEW = range(3)
EMPTY = "The answer as it was and the one with changes will run here, side by side."


class RunningAnswer(QWidget):
    """One program, running, and whether it runs clean."""

    def __init__(self, title: str, make_runner: Callable[[], PageRunner]) -> None:
        super().__init__()
        self._make_runner = make_runner
        self._runner: PageRunner | None = None
        self._title = make_label(title, "dim", "small", bold=True)
        self.state = ElidedLabel("", "faint")
        self.state.setProperty("scale", "small")
        self._judge = QTimer(self, singleShot=True, interval=JUDGE_MS)
        self._judge.timeout.connect(self._show_judgement)
        head = QHBoxLayout()
        head.addWidget(self._title)
        head.addStretch(1)
        head.addWidget(self.state)
        self._pages = QStackedWidget()
        self._empty = make_label("no program", "faint")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._pages.addWidget(self._empty)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(head)
        column.addWidget(self._pages, 1)

    def show_program(self, folder: Path | None) -> None:
        """Run the program of a folder; None shows that there is none."""
        self.state.set_full_text("")
        if folder is None:
            self._pages.setCurrentIndex(0)
            return
        if self._runner is None:
            self._runner = self._make_runner()
            self._runner.error_raised.connect(self._show_judgement)
            self._runner.page_stopped.connect(self._show_stop)
            self._pages.addWidget(self._runner.view)
        if not self._runner.open_project(folder):
            self._pages.setCurrentIndex(0)
            return
        self._pages.setCurrentWidget(self._runner.view)
        self._runner.run()
        self._judge.start()

    def shut_down(self) -> None:
        """Let the page go."""
        self._judge.stop()
        if self._runner is not None:
            self._runner.shut_down()
            self._runner = None

    @Slot()
    def _show_judgement(self) -> None:
        assert self._runner is not None
        errors = self._runner.errors
        self.state.set_full_text(str(errors[0]) if errors else "runs clean")
        set_tone(self.state, "error" if errors else "ok")

    @Slot(str)
    def _show_stop(self, reason: str) -> None:
        self.state.set_full_text(reason)
        set_tone(self.state, "error")


class BenchResults(QWidget):
    """Two running answers, and beside them what differs."""

    def __init__(self, theme: Theme, make_runner: Callable[[], PageRunner]) -> None:
        super().__init__()
        self._theme = theme
        self._diff = ""
        self.before = RunningAnswer("As it was", make_runner)
        self.after = RunningAnswer("With the changes", make_runner)
        self._pages = QStackedWidget()
        empty = make_label(EMPTY, "dim")
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        empty.setWordWrap(True)
        self._pages.addWidget(empty)
        self._pages.addWidget(self._full_page())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.addWidget(self._pages)
        theme.theme_changed.connect(self._paint_diff)

    def show_comparison(self, comparison: Comparison) -> None:
        """Run both programs and show what differs."""
        self._pages.setCurrentIndex(1)
        self.before.show_program(comparison.before_folder)
        self.after.show_program(comparison.after_folder)
        self._diff = difference(comparison.before_text, comparison.after_text)
        self._paint_diff()
        before, after = comparison.tokens
        self._routing_caption.setText(f"Share of the answer's tokens that used an expert: {before} tokens before, "
                                      f"{after} after")
        _fill(self.routing, [
            [str(shift.layer), str(shift.expert), f"{shift.before:.1%}", f"{shift.after:.1%}",
             f"{100 * (shift.after - shift.before):+.1f}"]
            for shift in comparison.shifts
        ])  # fmt: skip
        self.view.setCurrentIndex(TEXT_VIEW)

    def show_tally(self, rows: Sequence[TallyRow]) -> None:
        """Show how many runs of each variant stayed clean."""
        self._pages.setCurrentIndex(1)
        _fill(self.tally, [
            [row.variant.name, f"{row.clean} of {row.runs}", all_in_words(row.variant.changes) or "none",
             "; ".join(dict.fromkeys(row.faults))]
            for row in rows
        ])  # fmt: skip
        self.view.setCurrentIndex(TALLY_VIEW)

    def shut_down(self) -> None:
        """Let both pages go."""
        self.before.shut_down()
        self.after.shut_down()

    def _full_page(self) -> QWidget:
        self.view = QComboBox()
        self.view.setAccessibleName("What to compare")
        self.view.addItems(["Difference of the text", "Difference of the routing", "Tally over seeds"])
        self.diff = QPlainTextEdit()
        self.diff.setReadOnly(True)
        self.diff.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.diff.setFrameShape(QPlainTextEdit.Shape.NoFrame)
        self.diff.setAccessibleName("Difference of the two answers")
        self.routing = _table(["layer", "expert", "before", "after", "points"], "Routing before and after")
        self.tally = _table(["variant", "clean", "changes", "faults"], "Runs that stayed clean")
        self._routing_caption = make_label("", "dim", "small")
        self._routing_caption.setWordWrap(True)
        views = QStackedWidget()
        for widget in (self.diff, _captioned(self._routing_caption, self.routing), self.tally):
            views.addWidget(widget)
        self.view.currentIndexChanged.connect(views.setCurrentIndex)
        right = QVBoxLayout()
        right.setSpacing(4)
        right.addWidget(self.view)
        right.addWidget(views, 1)
        page = QWidget()
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GAP_S * 2)
        row.addWidget(self.before, 3)
        row.addWidget(self.after, 3)
        row.addLayout(right, 4)
        return page

    @Slot()
    def _paint_diff(self) -> None:
        """Write the difference, added and removed lines in the colours of the theme."""
        self.diff.setFont(self._theme.mono())
        wrap = QPlainTextEdit.LineWrapMode
        self.diff.setLineWrapMode(wrap.NoWrap if self._diff else wrap.WidgetWidth)
        self.diff.setPlainText(self._diff or "The two answers are the same, character by character.")
        roles = {"+": "ok", "-": "error", "@": "accent"}
        block = self.diff.document().begin()
        while block.isValid():
            role = roles.get(block.text()[:1])
            if role is not None and self._diff:
                style = QTextCharFormat()
                style.setForeground(self._theme.color(role))
                cursor = QTextCursor(block)
                cursor.select(QTextCursor.SelectionType.LineUnderCursor)
                cursor.mergeCharFormat(style)
            block = block.next()

    # --- Qt overrides

    def sizeHint(self) -> QSize:
        """Room for two small pages and a text."""
        return QSize(1000, 280)


def _captioned(caption: QLabel, body: QWidget) -> QWidget:
    widget = QWidget()
    column = QVBoxLayout(widget)
    column.setContentsMargins(0, 0, 0, 0)
    column.addWidget(caption)
    column.addWidget(body, 1)
    return widget


def _table(columns: list[str], name: str) -> QTableWidget:
    table = QTableWidget(0, len(columns))
    table.setAccessibleName(name)
    table.setHorizontalHeaderLabels(columns)
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
    table.setShowGrid(False)
    table.setFrameShape(QTableWidget.Shape.NoFrame)
    table.setWordWrap(False)
    table.verticalHeader().hide()
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    table.horizontalHeader().setStretchLastSection(True)
    return table


def _fill(table: QTableWidget, rows: list[list[str]]) -> None:
    table.setRowCount(len(rows))
    for number, texts in enumerate(rows):
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            table.setItem(number, column, item)
