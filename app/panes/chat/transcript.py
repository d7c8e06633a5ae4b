"""The transcript: a column of messages that follows the newest line, unless the person reads back."""

from collections.abc import Callable

from PySide6.QtCore import QTimer, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.theme.controls import make_button, make_tool_button, surface
from app.theme.metrics import GAP_L, GAP_XL
from app.theme.theme import Theme

LIVE_MESSAGES = 60
MAX_WIDTH_PX = 760
_NEAR_END_PX = 24


class Transcript(QScrollArea):
    """Holds at most LIVE_MESSAGES widgets at first; earlier ones are made when asked for."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._follows = True
        self._earlier: list[Callable[[], QWidget]] = []
        self._views: list[QWidget] = []
        self._wanted: QWidget | None = None
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(self.horizontalScrollBarPolicy().ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(self.verticalScrollBarPolicy().ScrollBarAlwaysOn)
        self.setAccessibleName("Conversation")
        self._build()
        self.to_end_button = make_tool_button(theme, "arrow-down", "Go to the newest message", self.go_to_end)
        self.to_end_button.setParent(self)
        self.to_end_button.setProperty("kind", "round")
        self.to_end_button.hide()
        bar = self.verticalScrollBar()
        bar.valueChanged.connect(self._scrolled)
        bar.rangeChanged.connect(self._range_changed)

    def _build(self) -> None:
        outer = self._outer = surface("clear")
        row = QHBoxLayout(outer)
        row.setContentsMargins(GAP_XL, GAP_L, GAP_L, GAP_L)
        row.addStretch(1)
        column = QWidget()
        column.setMaximumWidth(MAX_WIDTH_PX)
        row.addWidget(column, 1000)
        row.addStretch(1)
        self._column = QVBoxLayout(column)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(GAP_L)
        self.earlier_button = make_button("Show earlier messages", self.show_earlier, "link")
        self.earlier_button.hide()
        self._column.addWidget(self.earlier_button)
        self._column.addStretch(1)
        self.setWidget(outer)

    # --- content

    def show_all(self, factories: list[Callable[[], QWidget]]) -> None:
        """Replace everything; the last LIVE_MESSAGES widgets are made now, the others on demand."""
        self.clear()
        self._earlier = factories[:-LIVE_MESSAGES]
        self.earlier_button.setVisible(bool(self._earlier))
        for make in factories[-LIVE_MESSAGES:]:
            self.append(make())
        self.go_to_end()

    def append(self, view: QWidget) -> None:
        """Add a message at the end."""
        self._views.append(view)
        self._column.insertWidget(self._column.count() - 1, view)

    def clear(self) -> None:
        """Take every message away."""
        for view in self._views:
            self._column.removeWidget(view)
            view.hide()
            view.deleteLater()
        self._views = []
        self._earlier = []
        self.earlier_button.hide()

    def views(self) -> list[QWidget]:
        """The live messages in order."""
        return list(self._views)

    @property
    def has_earlier(self) -> bool:
        """Whether messages before the live ones exist."""
        return bool(self._earlier)

    @Slot()
    def show_earlier(self) -> None:
        """Make the next LIVE_MESSAGES earlier messages; what is on screen stays where it is."""
        bar = self.verticalScrollBar()
        from_end = bar.maximum() - bar.value()
        batch, self._earlier = self._earlier[-LIVE_MESSAGES:], self._earlier[:-LIVE_MESSAGES]
        made = [make() for make in batch]
        for number, view in enumerate(made):
            self._column.insertWidget(1 + number, view)
        self._views = made + self._views
        self.earlier_button.setVisible(bool(self._earlier))
        self._outer.adjustSize()
        bar.setValue(bar.maximum() - from_end)

    def scroll_to(self, view: QWidget) -> None:
        """Bring a message into sight."""
        self._follows = False
        self._wanted = view
        QTimer.singleShot(0, self, self._show_wanted)  # its place is known when the layout has settled

    @Slot()
    def _show_wanted(self) -> None:
        if self._wanted in self._views:
            top = self._wanted.mapTo(self._outer, self._wanted.rect().topLeft()).y()
            self.verticalScrollBar().setValue(max(0, top - GAP_L))
        self._wanted = None

    # --- following

    @property
    def follows(self) -> bool:
        """Whether the newest line is kept in sight."""
        return self._follows

    @Slot()
    def go_to_end(self) -> None:
        """Go to the newest message and follow it again."""
        self._follows = True
        bar = self.verticalScrollBar()
        bar.setValue(bar.maximum())
        self.to_end_button.hide()

    @Slot(int)
    def _scrolled(self, value: int) -> None:
        bar = self.verticalScrollBar()
        self._follows = value >= bar.maximum() - _NEAR_END_PX
        self.to_end_button.setVisible(not self._follows)
        self._place_button()

    @Slot(int, int)
    def _range_changed(self, _low: int, high: int) -> None:
        if self._follows:
            self.verticalScrollBar().setValue(high)

    def _place_button(self) -> None:
        self.to_end_button.move((self.width() - self.to_end_button.width()) // 2, self.height() - 40)
        self.to_end_button.raise_()

    # --- Qt overrides

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the button in its place and the end in sight."""
        super().resizeEvent(event)
        self._place_button()
