"""The chat panes side by side. One of them is the active one: the rest of the window shows its project."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QMenu, QSplitter, QVBoxLayout, QWidget

from app.panes.chat.pane import ChatPane
from app.services.chat_session import ChatSession
from app.services.engine_process import EngineState
from app.theme.controls import ElidedLabel, Line, make_tool_button
from app.theme.theme import Theme

MIN_PANE_PX = 300


class PaneFrame(QWidget):
    """A chat pane; with a title row while there are several.

    Signals:
        close_requested: this frame's pane is to be closed.
    """

    close_requested = Signal(object)

    def __init__(self, theme: Theme, pane: ChatPane) -> None:
        super().__init__()
        self.pane = pane
        self.setMinimumWidth(MIN_PANE_PX)
        self.title = ElidedLabel("New chat")
        self._head = QWidget()
        self._head.setProperty("surface", "panel")
        self._head.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        row = QHBoxLayout()
        row.setContentsMargins(12, 2, 6, 2)
        row.addWidget(self.title, 1)
        row.addWidget(make_tool_button(theme, "close", "Close this pane (Ctrl+Shift+W)", self._close, "faint"))
        box = QVBoxLayout(self._head)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addLayout(row)
        box.addWidget(Line(theme))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._head)
        column.addWidget(pane, 1)

    def show_head(self, *, shown: bool, active: bool) -> None:
        """Show the title row; the active pane's title is brighter."""
        self._head.setVisible(shown)
        font = self.title.font()
        font.setBold(active)
        self.title.setFont(font)

    @Slot()
    def _close(self) -> None:
        self.close_requested.emit(self)


class ChatArea(QSplitter):
    """All chat panes.

    Signals:
        active_changed: the ChatPane the rest of the window follows.
        pane_added: a ChatPane that is new; connect to it here.
    """

    active_changed = Signal(object)
    pane_added = Signal(object)

    def __init__(self, theme: Theme, make_session: Callable[[], ChatSession]) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._theme = theme
        self._make_session = make_session
        self._frames: list[PaneFrame] = []
        self._active: ChatPane | None = None
        self._engine_state = EngineState()
        self._ways_out: Sequence[QAction] = ()
        self._model: tuple[str, QMenu | None] = ("Model", None)
        self.setHandleWidth(1)
        self.setChildrenCollapsible(False)

    @property
    def active(self) -> ChatPane:
        """The pane one works in."""
        assert self._active is not None
        return self._active

    def panes(self) -> list[ChatPane]:
        """Every pane from the left."""
        return [frame.pane for frame in self._frames]

    def pane_of(self, conversation_id: int) -> ChatPane | None:
        """The pane that shows a conversation: two would write over each other's project."""
        for pane in self.panes():
            conversation = pane.session.conversation
            if conversation is not None and conversation.id == conversation_id:
                return pane
        return None

    @Slot()
    def add_pane(self) -> ChatPane:
        """Open one more pane with a session of its own, and make it active."""
        pane = ChatPane(self._theme, self._make_session())
        pane.activated.connect(self._pane_activated)
        pane.set_model(*self._model)
        pane.set_ways_out(self._ways_out)
        pane.show_engine_state(self._engine_state)
        frame = PaneFrame(self._theme, pane)
        frame.close_requested.connect(self._close_frame)
        self._frames.append(frame)
        self.addWidget(frame)
        self.setSizes([1000] * len(self._frames))
        self.pane_added.emit(pane)
        self.set_active(pane)
        return pane

    def close_pane(self, pane: ChatPane) -> None:
        """Close a pane; the last one stays. An answer being written there is stopped and kept."""
        if len(self._frames) > 1:
            self._close_frame(next(frame for frame in self._frames if frame.pane is pane))

    def set_active(self, pane: ChatPane) -> None:
        """Make a pane the active one."""
        changed = pane is not self._active
        self._active = pane
        self._show_heads()
        if changed:
            self.active_changed.emit(pane)

    def set_title(self, pane: ChatPane, title: str) -> None:
        """Name a pane's conversation in its title row."""
        for frame in self._frames:
            if frame.pane is pane:
                frame.title.set_full_text(title)

    @Slot(object)
    def show_engine_state(self, state: EngineState) -> None:
        """Tell every pane what the engine does."""
        self._engine_state = state
        for pane in self.panes():
            pane.show_engine_state(state)

    def set_ways_out(self, actions: Sequence[QAction]) -> None:
        """What the person can do when the engine fails."""
        self._ways_out = actions
        for pane in self.panes():
            pane.set_ways_out(actions)

    def set_model(self, name: str, menu: QMenu) -> None:
        """Tell every pane which model answers."""
        self._model = (name, menu)
        for pane in self.panes():
            pane.set_model(name, menu)

    def store_drafts(self) -> bool:
        """Keep what is typed in every pane; say whether all of it is kept."""
        kept = [pane.store_draft() for pane in self.panes()]
        return all(kept)

    def _show_heads(self) -> None:
        for frame in self._frames:
            frame.show_head(shown=len(self._frames) > 1, active=frame.pane is self._active)

    @Slot()
    def _pane_activated(self) -> None:
        pane = self.sender()
        if isinstance(pane, ChatPane):
            self.set_active(pane)

    @Slot(object)
    def _close_frame(self, frame: PaneFrame) -> None:
        if len(self._frames) < 2:
            return
        frame.pane.store_draft()
        frame.pane.session.shut_down()
        self._frames.remove(frame)
        frame.hide()
        if frame.pane is self._active:
            self.set_active(self._frames[-1].pane)
        self._show_heads()
        frame.pane.session.deleteLater()
        frame.deleteLater()
