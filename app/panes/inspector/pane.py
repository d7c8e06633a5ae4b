"""The inspector pane: its pages over one RoutingTrace, live or from history.

The first page is the built-in one, "experts" (tokens_page.py: token strip, heat map, token detail); the others are
passed in as `InspectorPage`s (pages.py says how to add one). The pane holds trace and selection and hands both to the
page on show; which page that is, the tabs of the bottom panel choose by `show_page`.
"""

from collections.abc import Sequence

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from app.panes.inspector.pages import NO_SELECTION, InspectorPage, Selection, TracePage
from app.panes.inspector.tokens_page import TokensPage
from app.panes.inspector.trace_notice import OpenedTrace, TraceNotice
from app.theme.theme import Theme
from engine.trace import RoutingTrace

REFRESH_MS = 66
EXPERTS_KEY = "experts"


class InspectorPane(QWidget):
    """Shows which experts fired. A trace is borrowed: whoever streams into it calls `trace_grew`.

    Signals:
        tokens_selected: (first, last) token index of the trace, or (-1, -1).
        page_made: (key, TracePage) a page was shown for the first time.
    """

    tokens_selected = Signal(int, int)
    page_made = Signal(str, object)

    def __init__(self, theme: Theme, pages: Sequence[InspectorPage] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._trace: RoutingTrace | None = None
        self._selection: Selection = NO_SELECTION
        self._makers = {page.key: page.make for page in pages}
        self.tokens = TokensPage(theme)
        self.tokens.selection_changed.connect(self._tokens_selected)
        self._made: dict[str, TracePage] = {EXPERTS_KEY: self.tokens}
        self._stack = QStackedWidget(self)
        self._stack.addWidget(self.tokens)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self.notice = TraceNotice(theme)
        layout.addWidget(self.notice)
        layout.addWidget(self._stack, 1)
        self._refresh = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._refresh.timeout.connect(self._show)
        self._show()

    # --- content

    def set_trace(self, trace: RoutingTrace | None) -> None:
        """Show another trace, or none. The selection is dropped, and so is what was said of a file."""
        self.notice.hide()
        self._refresh.stop()
        self._trace = trace
        had_selection = self._selection != NO_SELECTION
        self._selection = NO_SELECTION
        self._show()
        if had_selection:
            self.tokens_selected.emit(*NO_SELECTION)

    def trace_grew(self) -> None:
        """Show what came in since; calls in quick succession are drawn once."""
        if not self._refresh.isActive():
            self._refresh.start()

    def show_opened(self, trace: RoutingTrace, about: OpenedTrace) -> None:
        """Show a trace that comes from a file, and say so above it."""
        self.set_trace(trace)
        self.notice.show_about(about)

    @property
    def shows_file(self) -> bool:
        """Whether the trace on show comes from a file, not from the chat."""
        return not self.notice.isHidden()

    def trace(self) -> RoutingTrace | None:
        """Return the trace on show."""
        return self._trace

    def selection(self) -> Selection:
        """Return the first and last selected token of the trace, or NO_SELECTION."""
        return self._selection

    @Slot(int, int)
    def select_tokens(self, first: int, last: int) -> None:
        """Select a range of the trace's tokens, as a click on it would; (-1, -1) drops the selection."""
        if (first, last) != self._selection:
            self._selection = (first, last)
            self._show()
            self.tokens_selected.emit(first, last)

    # --- pages

    def page(self, key: str) -> TracePage:
        """Return a page, making it if need be (KeyError for one that isn't registered)."""
        if key not in self._made:
            made = self._makers[key]()
            made.tokens_wanted.connect(self.select_tokens)
            self._made[key] = made
            self._stack.addWidget(made)
            self.page_made.emit(key, made)
        return self._made[key]

    def show_page(self, key: str) -> TracePage:
        """Show a page, making it if need be, and return it."""
        page = self.page(key)
        self._stack.setCurrentWidget(page)
        self._show()
        return page

    # --- receivers

    @Slot()
    def _show(self) -> None:
        page = self._stack.currentWidget()
        assert isinstance(page, TracePage)
        page.show_trace(self._trace, self._selection)

    @Slot(int, int)
    def _tokens_selected(self, first: int, last: int) -> None:
        self.select_tokens(first, last)
