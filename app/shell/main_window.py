"""The main window: where its parts stand, how they fold when there is little room, and what a restart brings back.

Commands are in window_commands.py, what passes between panes in links.py, the engine's display in engine_view.py.
"""

from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QSize, Qt, QTimer, Slot
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QResizeEvent, QShowEvent
from PySide6.QtQuickWidgets import QQuickWidget
from PySide6.QtWidgets import QMainWindow, QMessageBox, QSplitter, QVBoxLayout, QWidget

from app.core.problem import Problem
from app.panes.chat.pane import ChatPane
from app.panes.inspector.pages import BENCH_KEY, TracePage
from app.panes.problems import ProblemsPane
from app.services.chat_session import NEW_CONVERSATION, ChatSession
from app.shell.bench_links import BenchLinks
from app.shell.chat_area import ChatArea
from app.shell.code_tint import CodeTint
from app.shell.docks import BottomPanel
from app.shell.engine_view import EngineView
from app.shell.header import HeaderBar
from app.shell.links import PaneLinks
from app.shell.parts import Parts
from app.shell.right_side import Mode, RightSide
from app.shell.sidebar import WIDTH_PX as SIDEBAR_PX
from app.shell.sidebar import Sidebar
from app.shell.status_bar import StatusBar
from app.shell.trace_exchange import TraceExchange
from app.shell.window_commands import WindowCommands
from app.shell.window_layout import PANEL_PX, WindowLayout

if TYPE_CHECKING:
    from app.panes.console import ConsolePane
    from app.panes.inspector.pane import InspectorPane

NARROW_PX = 1100
DEFAULT_SIZE = QSize(1600, 1000)
_LAYOUT = "layout.json"
_LAYOUT_DELAY_MS = 800


class MainWindow(QMainWindow):
    """The program's window. It can be shown before the panes below the chat exist."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.parts = parts
        theme = parts.theme
        self.header = HeaderBar(theme)
        self.sidebar = Sidebar(theme, parts.chats, parts.files)
        self.chats = ChatArea(theme, parts.make_session)
        self.editor = parts.make_editor()
        self.preview = parts.make_preview()
        self.right = RightSide(theme, self.editor.tab_bar, self.editor, self.preview)
        self.panel = BottomPanel(theme)
        self.status = StatusBar(theme)
        self.problems = ProblemsPane(parts.problems)
        self.links = PaneLinks(
            editor=self.editor, preview=self.preview, files=parts.files, problems=parts.problems,
            snapshots=parts.snapshots, parent=self,
        )  # fmt: skip
        self.bench = BenchLinks(
            session=self._active_session, selected_start=self.links.selected_start, snapshots=parts.snapshots,
            endpoint=parts.engine.endpoint, parent=self,
        )  # fmt: skip
        self.tint = CodeTint(theme, self.editor, self.links.traced, self)
        self.traces = TraceExchange(self)
        self.console: ConsolePane | None = None
        self.inspector: InspectorPane | None = None
        self.wants_restart = False
        self.asks_before_loss = True
        self._sidebar_wanted = True
        self._is_narrow = False
        self._mode_when_wide: Mode | None = None
        self._opens_panel = False
        self._panel_px = PANEL_PX
        self._chat_px = 0
        self._layout_timer = QTimer(self, singleShot=True, interval=_LAYOUT_DELAY_MS)
        self._layout_timer.timeout.connect(self.store_layout)
        self._build()
        self.commands = WindowCommands(self)
        self.engine_view = EngineView(self)
        self._connect()
        self._restore()

    # --- building

    def _build(self) -> None:
        self.setWindowTitle("Expertarium")
        self.setMinimumSize(720, 480)
        self.setAcceptDrops(True)
        self._add_panel_panes()
        self.top = QSplitter(Qt.Orientation.Horizontal)
        self.top.addWidget(self.chats)
        self.top.addWidget(self.right)
        self.top.setStretchFactor(0, 0)
        self.top.setStretchFactor(1, 1)
        self.middle = QSplitter(Qt.Orientation.Vertical)
        self.middle.addWidget(self.top)
        self.middle.addWidget(self.panel)
        self.middle.setStretchFactor(0, 1)
        self.middle.setStretchFactor(1, 0)
        self.outer = QSplitter(Qt.Orientation.Horizontal)
        self.outer.addWidget(self.sidebar)
        self.outer.addWidget(self.middle)
        self.outer.setStretchFactor(0, 0)
        self.outer.setStretchFactor(1, 1)
        for splitter in (self.top, self.middle, self.outer):
            splitter.setHandleWidth(1)
            splitter.setChildrenCollapsible(False)
            splitter.splitterMoved.connect(self._layout_timer.start)
        for splitter in (self.right.splitter, self.chats):
            splitter.splitterMoved.connect(self._layout_timer.start)
        self.top.splitterMoved.connect(self._chats_sized)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.header)
        column.addWidget(self.outer, 1)
        column.addWidget(self.status)
        self.setCentralWidget(body)
        # WORKAROUND https://github.com/GoldenCheetah/GoldenCheetah/issues/4452: the first web view shown in a window
        # makes Qt create the window anew (it blinks) unless a scene-graph widget is in it from the start.
        primer = QQuickWidget(body)
        primer.setFixedSize(1, 1)
        primer.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        primer.setClearColor(self.parts.theme.color("panel"))
        primer.lower()
        self.right.hide()
        self._set_default_sizes()

    def _add_panel_panes(self) -> None:
        self.panel.add_pane("experts", "Experts", self._make_inspector)
        for page in self.parts.inspector_pages:
            self.panel.add_pane(page.key, page.title, self._make_inspector)
        self.panel.add_pane("console", "Console", self._make_console, at_right=True)
        self.panel.add_pane("problems", "Problems", self._problems_pane, at_right=True)
        self.panel.set_folded(folded=True)

    def _make_inspector(self) -> QWidget:
        if self.inspector is None:
            self.inspector = self.parts.make_inspector()
            self.inspector.page_made.connect(self._inspector_page_made)
            self.links.set_inspector(self.inspector)
        return self.inspector

    @Slot(str, object)
    def _inspector_page_made(self, key: str, page: TracePage) -> None:
        if key == BENCH_KEY:
            self.bench.attach(page)

    def _active_session(self) -> ChatSession:
        return self.chats.active.session

    @Slot()
    def _show_experts(self) -> None:
        self.panel.show_pane("experts")

    @Slot(str)
    def _panel_pane_shown(self, key: str) -> None:
        if self.inspector is not None and self.panel.pane(key) is self.inspector:
            self.inspector.show_page(key)
        self._layout_timer.start()

    def _make_console(self) -> QWidget:
        self.console = self.parts.make_console()
        self._show_console_folder()
        return self.console

    def _show_console_folder(self) -> None:
        workspace = self.chats.active.session.workspace
        if self.console is not None:
            self.console.set_folder(workspace.root if workspace is not None else None)

    def _problems_pane(self) -> QWidget:
        return self.problems

    def _connect(self) -> None:
        self.header.sidebar_toggled.connect(self.toggle_sidebar)
        self.header.commands_requested.connect(self.commands.open_palette)
        self.chats.pane_added.connect(self._pane_added)
        self.chats.active_changed.connect(self._active_changed)
        self.links.code_wanted.connect(self.right.make_code_visible)
        self.links.project_shown.connect(self._project_shown)
        self.links.traced_changed.connect(self.tint.answer_changed)
        self.tint.tokens_picked.connect(self.links.select_tokens_of_code)
        self.tint.experts_wanted.connect(self._show_experts)
        self.problems.source_requested.connect(self.links.open_source)
        self.problems.fix_requested.connect(self.links.ask_for_fix)
        self.parts.problems.count_changed.connect(self._problems_counted)
        self.preview.run_started.connect(self._page_run)
        self.preview.screenshot_taken.connect(self._screenshot_taken)
        self.preview.webgl_restart_requested.connect(self._restart_with_webgl)
        self.right.mode_changed.connect(self._layout_timer.start)
        self.panel.fold_changed.connect(self._panel_folded)
        self.panel.pane_shown.connect(self._panel_pane_shown)

    def _set_default_sizes(self) -> None:
        self.outer.setSizes([SIDEBAR_PX, 1364])
        self.top.setSizes([484, 880])
        self.middle.setSizes([934 - self.panel.minimumHeight(), self.panel.minimumHeight()])

    # --- panes

    @Slot(object)
    def _pane_added(self, pane: ChatPane) -> None:
        session = pane.session
        settings = self.parts.settings
        session.default_system_prompt = settings.text("system_prompt")
        session.conversation_opened.connect(self._conversation_shown)
        session.conversation_changed.connect(self._conversation_changed)
        self.links.watch_pane(pane)
        self.engine_view.watch_pane(pane)

    @Slot(object)
    def _active_changed(self, pane: ChatPane) -> None:
        self.links.follow(pane)
        self._show_conversation()
        self.engine_view.show_context()

    @Slot(int)
    def _conversation_shown(self, _conversation_id: int) -> None:
        self._show_conversation()
        self._layout_timer.start()

    @Slot(int)
    def _conversation_changed(self, _conversation_id: int) -> None:
        self.parts.chats.refresh()
        self._show_conversation()

    def _title(self, pane: ChatPane) -> str:
        """The stored title: a rename in the side bar reaches history, not the session."""
        conversation = pane.session.conversation
        return self.parts.history.conversation(conversation.id).title if conversation else ""

    @Slot()
    def show_titles(self) -> None:
        """Show titles as they are now, everywhere."""
        for pane in self.chats.panes():
            self.chats.set_title(pane, self._title(pane) or "New chat")
        title = self._title(self.chats.active)
        self.header.title.set_full_text(title)
        self.setWindowTitle(f"{title} - Expertarium" if title else "Expertarium")

    def _show_conversation(self) -> None:
        self.show_titles()
        conversation = self.chats.active.session.conversation
        self.sidebar.select_conversation(conversation.id if conversation else NEW_CONVERSATION)

    @Slot(bool)
    def _project_shown(self, shown: bool) -> None:
        if shown and self.right.isHidden():
            width = max(self.top.width(), 600)
            chat_px = self._chat_px or min(max(360, round(width * 0.355)), 560) * len(self.chats.panes())
            self.right.show()
            self.top.setSizes([chat_px, max(width - chat_px, 300)])
        self.right.setVisible(shown)
        if shown and self._opens_panel:
            self._open_panel()
        self._show_console_folder()

    @Slot()
    def _chats_sized(self) -> None:
        self._chat_px = self.top.sizes()[0]

    def _open_panel(self) -> None:
        """The first answer of a fresh start brings the experts along; before, there is nothing to see of them."""
        self._opens_panel = False
        if self.panel.is_folded:
            self._panel_px = min(max(self.middle.height() * 3 // 10, 180), 300)
            self.panel.show_pane("experts")

    @Slot(int)
    def _problems_counted(self, count: int) -> None:
        self.panel.set_title("problems", f"Problems {count}" if count else "Problems")

    @Slot()
    def _page_run(self) -> None:
        self.status.show_network(allowed=self.preview.runner.network_allowed)

    @Slot(str)
    def _screenshot_taken(self, path: str) -> None:
        self.status.flash(f"Saved {path}")

    @Slot()
    def _restart_with_webgl(self) -> None:
        """Start the program anew with WebGL drawn in software; everything open comes back."""
        if self.commands.restart_with_webgl():
            self.wants_restart = self.close()

    # --- folding

    @Slot()
    def toggle_sidebar(self) -> None:
        """Show or hide the side bar."""
        self.sidebar.setVisible(self.sidebar.isHidden())
        if not self._is_narrow:
            self._sidebar_wanted = not self.sidebar.isHidden()
        self._layout_timer.start()

    @Slot()
    def toggle_panel(self) -> None:
        """Show or hide the bottom panel."""
        if self.panel.is_folded and not self.panel.current:
            self.panel.show_pane("experts")
        else:
            self.panel.set_folded(folded=not self.panel.is_folded)

    @Slot()
    def _panel_folded(self) -> None:
        """Give the room of a folded panel to what is above, and back."""
        height = sum(self.middle.sizes())
        if self.panel.is_folded:
            self._panel_px = max(self.middle.sizes()[1], 150)
        panel_px = self.panel.minimumHeight() if self.panel.is_folded else self._panel_px
        self.middle.setSizes([height - panel_px, panel_px])
        self._layout_timer.start()

    def _fold(self) -> None:
        narrow = self.width() < NARROW_PX
        if narrow == self._is_narrow:
            return
        self._is_narrow = narrow
        self.sidebar.setVisible(not narrow and self._sidebar_wanted)
        if narrow and self.right.mode == "split":
            self._mode_when_wide = "split"
            self.right.set_mode("preview")
        elif not narrow and self._mode_when_wide:
            self._mode_when_wide = None
            self.right.set_mode("split")

    # --- what a restart brings back

    @Slot()
    def store_layout(self) -> None:
        """Keep sizes, modes and open conversations."""
        self._layout_timer.stop()
        conversations = [pane.session.conversation for pane in self.chats.panes()]
        layout = WindowLayout(
            geometry=_text(self.saveGeometry()),
            splitters=tuple(_text(splitter.saveState()) for splitter in self._splitters()),
            mode=self._mode_when_wide or self.right.mode,
            sidebar=self._sidebar_wanted,
            panel=self.panel.current,
            panel_folded=self.panel.is_folded,
            panel_px=self._panel_px if self.panel.is_folded else self.middle.sizes()[1],
            chat_px=self._chat_px,
            conversations=tuple(shown.id if shown else NEW_CONVERSATION for shown in conversations),
        )
        try:
            self.parts.window_state.store_json(_LAYOUT, layout.to_json())
        except Problem as problem:
            self.links.add_problem(problem)

    def _restore(self) -> None:
        stored = WindowLayout.from_json(self.parts.window_state.load_json(_LAYOUT, {}))
        layout = stored or WindowLayout()
        self._opens_panel = stored is None
        self._panel_px = layout.panel_px
        self._chat_px = layout.chat_px
        self.resize(DEFAULT_SIZE)
        self.restoreGeometry(_bytes(layout.geometry))
        self._sidebar_wanted = layout.sidebar
        self.sidebar.setVisible(self._sidebar_wanted)
        self.right.set_mode(layout.mode)
        self._restore_conversations(layout.conversations)
        for splitter, state in zip(self._splitters(), layout.splitters, strict=False):
            splitter.restoreState(_bytes(state))
        self._panel_wanted = "" if layout.panel_folded else layout.panel

    def _restore_conversations(self, ids: tuple[int, ...]) -> None:
        known = {conversation.id for conversation in self.parts.history.conversations()}
        for conversation_id in ids or (NEW_CONVERSATION,):
            pane = self.chats.add_pane()
            if conversation_id in known:
                self.commands.open_in(pane, conversation_id)

    def _splitters(self) -> tuple[QSplitter, ...]:
        return self.outer, self.middle, self.top, self.right.splitter, self.chats

    @Slot()
    def _finish_start(self) -> None:
        """What can wait until the window is on screen: panes with large imports, and the engine."""
        known = self.panel.tabs.keys()  # a tab of the last time may be gone
        if self._panel_wanted in known:
            self.panel.show_pane(self._panel_wanted)
        self.parts.engine.start()

    # --- Qt overrides

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take routing traces."""
        if TraceExchange.files_of(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open the routing trace that was dropped."""
        files = TraceExchange.files_of(event.mimeData())
        if files:
            event.acceptProposedAction()
            self.traces.open_file(files[0])

    def showEvent(self, event: QShowEvent) -> None:
        """Finish the start after the first paint."""
        super().showEvent(event)
        if not event.spontaneous() and not self.engine_view.is_started:
            self.engine_view.is_started = True
            QTimer.singleShot(0, self, self._finish_start)
            self.chats.active.focus_composer()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fold where there is little room."""
        super().resizeEvent(event)
        self._fold()
        self._layout_timer.start()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Keep everything, end everything that runs."""
        self.store_layout()
        drafts_kept, code_kept = self.chats.store_drafts(), self.editor.keep_drafts()
        if self.asks_before_loss and not (drafts_kept and code_kept) and not self._may_lose_text():
            event.ignore()
            return
        for pane in self.chats.panes():
            pane.session.shut_down()
        self.engine_view.stop()
        self.bench.shut_down()
        self.preview.shut_down()
        if self.console is not None:
            self.console.stop()
        self.parts.engine.stop()
        super().closeEvent(event)

    def _may_lose_text(self) -> bool:
        buttons = QMessageBox.StandardButton
        question = (
            "What you typed and did not send or save can't be kept: the data folder can't be written, most likely "
            "because the disk is full. Free some space and try again, or quit and lose that text."
        )
        answer = QMessageBox.question(self, "Quit?", question, buttons.Discard | buttons.Cancel, buttons.Cancel)
        return bool(answer == buttons.Discard)


def _text(data: QByteArray) -> str:
    return bytes(data.toBase64().data()).decode("ascii")


def _bytes(text: str) -> QByteArray:
    return QByteArray.fromBase64(text.encode("ascii"))
