"""The strips under the page: errors with a way to the code, what the network guard refused, a short notice."""

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from app.core.run_report import BlockedRequest, PageError
from app.theme.controls import ElidedLabel, Line, make_button, make_label, surface
from app.theme.metrics import GAP_M, GAP_S, ROW_HEIGHT
from app.theme.theme import Theme

MAX_SHOWN = 50
LIST_HEIGHT = 4 * ROW_HEIGHT
NOTICE_MS = 6000


class ErrorRow(QWidget):
    """One error: where, what, and a click leads to the line.

    Signals:
        source_requested: (path, line).
    """

    source_requested = Signal(str, int)

    def __init__(self, error: PageError) -> None:
        super().__init__()
        self._error = error
        row = QHBoxLayout(self)
        row.setContentsMargins(GAP_M, 0, GAP_M, 0)
        row.setSpacing(GAP_S)
        if error.path:
            place = f"{error.path}:{error.line}" if error.line else error.path
            self.place = make_button(place, self._go, "link", "Show this place in the editor")
            self.place.setAccessibleName(f"Show {place} in the editor")
            row.addWidget(self.place)
        message = ElidedLabel(error.message, "text")
        message.setToolTip(error.stack or error.message)
        row.addWidget(message, 1)
        self.setFixedHeight(ROW_HEIGHT)

    @Slot()
    def _go(self) -> None:
        self.source_requested.emit(self._error.path, max(1, self._error.line))


class ListStrip(QWidget):
    """A strip with a headline that unfolds into a list.

    Signals:
        fold_changed: (open).
    """

    fold_changed = Signal(bool)

    def __init__(self, theme: Theme, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self._rows = QVBoxLayout()
        self._rows.setContentsMargins(0, 0, 0, GAP_S)
        self._rows.setSpacing(0)
        self.headline = ElidedLabel("", "text")
        self.buttons = QHBoxLayout()
        self.buttons.setSpacing(GAP_S)
        self.fold_button = make_button("Show", self._toggle, "link", f"Show or hide the list of {name.lower()}")
        self.fold_button.setCheckable(True)
        head = QHBoxLayout()
        head.setContentsMargins(GAP_M, 0, GAP_S, 0)
        head.setSpacing(GAP_S)
        self._head = head
        head.addWidget(self.headline, 1)
        head.addLayout(self.buttons)
        head.addWidget(self.fold_button)
        bar = surface("panel")
        bar.setLayout(head)
        bar.setFixedHeight(ROW_HEIGHT + GAP_S)
        content = surface("panel")
        content.setLayout(self._rows)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setWidget(content)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._area.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(Line(theme))
        column.addWidget(bar)
        column.addWidget(self._area)
        self.hide()

    def clear(self) -> None:
        """Take every row away and fold."""
        while (item := self._rows.takeAt(0)) is not None:
            if widget := item.widget():
                widget.deleteLater()
        self._set_open(opened=False)
        self.hide()

    def count(self) -> int:
        """Number of rows."""
        return self._rows.count()

    def row(self, index: int) -> QWidget:
        """One row."""
        item = self._rows.itemAt(index)
        assert item is not None, index
        widget = item.widget()
        assert widget is not None, index
        return widget

    def add_row(self, row: QWidget) -> None:
        """Add a row while there is room, and show the strip."""
        if self._rows.count() < MAX_SHOWN:
            self._rows.addWidget(row)
            self._area.setFixedHeight(min(LIST_HEIGHT, self._rows.count() * ROW_HEIGHT + GAP_S))
        self.show()

    def put_before_headline(self, widget: QWidget) -> None:
        """Place a mark to the left of the headline."""
        self._head.insertWidget(0, widget)

    def _set_open(self, *, opened: bool) -> None:
        self._area.setVisible(opened)
        self.fold_button.setChecked(opened)
        self.fold_button.setText("Hide" if opened else "Show")
        self.fold_changed.emit(opened)

    @Slot(bool)
    def _toggle(self, opened: bool) -> None:
        self._set_open(opened=opened)


class ErrorStrip(ListStrip):
    """The errors of the run.

    Signals:
        source_requested: (path, line).
        fix_requested: the person wants the model to repair the page.
    """

    source_requested = Signal(str, int)
    fix_requested = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, "Errors")
        self._total = 0
        self._first = ""
        self._mark = make_label("Error", "error", "small", bold=True)
        self.put_before_headline(self._mark)
        self.fix_button = make_button("Fix it", self.fix_requested, "chip", "Send these errors to the model")
        self.buttons.addWidget(self.fix_button)

    def clear(self) -> None:
        """Forget the errors."""
        self._total = 0
        super().clear()

    def add(self, error: PageError) -> None:
        """Show another error."""
        self._total += 1
        if self._total == 1:
            self._first = str(error)
        self._mark.setText("1 error" if self._total == 1 else f"{self._total} errors")
        self.headline.set_full_text(self._first)
        row = ErrorRow(error)
        row.source_requested.connect(self.source_requested)
        self.add_row(row)


class BlockedStrip(ListStrip):
    """What the page wanted from the network and did not get."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, "Blocked requests")
        self._total = 0
        self._mark = make_label("Network off", "warning", "small", bold=True)
        self.put_before_headline(self._mark)

    def clear(self) -> None:
        """Forget the requests."""
        self._total = 0
        super().clear()

    def total(self) -> int:
        """Number of different requests refused."""
        return self._total

    def add(self, request: BlockedRequest) -> None:
        """Show another refused request."""
        self._total += 1
        self.headline.set_full_text(
            f"1 request was blocked: {request.address}" if self._total == 1
            else f"{self._total} requests were blocked"
        )  # fmt: skip
        row = ElidedLabel(f"{request.address}   {request.kind}", "dim")
        row.setContentsMargins(GAP_M, 0, GAP_M, 0)
        row.setFixedHeight(ROW_HEIGHT)
        self.add_row(row)


class AskStrip(QWidget):
    """A question under the page with an answer button, or a notice that goes by itself.

    Signals:
        answered: the person pressed the answer button.
    """

    answered = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._label = ElidedLabel("", "text")
        self._answer = make_button("", self._accept, "chip")
        self._dismiss = make_button("Dismiss", self.hide, "link")
        self._timer = QTimer(self, interval=NOTICE_MS, singleShot=True)
        self._timer.timeout.connect(self.hide)
        row = QHBoxLayout()
        row.setContentsMargins(GAP_M, 0, GAP_S, 0)
        row.setSpacing(GAP_S)
        row.addWidget(self._label, 1)
        row.addWidget(self._answer)
        row.addWidget(self._dismiss)
        bar = surface("panel")
        bar.setLayout(row)
        bar.setFixedHeight(ROW_HEIGHT + GAP_S)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(Line(theme))
        column.addWidget(bar)
        self.hide()

    @property
    def answer_button(self) -> QPushButton:
        """The button that says yes."""
        return self._answer

    def text(self) -> str:
        """What it says."""
        return self._label.full_text()

    def ask(self, question: str, answer: str) -> None:
        """Ask, and wait for the person."""
        self._timer.stop()
        self._label.set_full_text(question)
        self._answer.setText(answer)
        self._answer.show()
        self.show()

    def tell(self, notice: str) -> None:
        """Say something that needs no answer."""
        self._label.set_full_text(notice)
        self._answer.hide()
        self.show()
        self._timer.start()

    @Slot()
    def _accept(self) -> None:
        self.hide()
        self.answered.emit()
