"""What happens between panes: an answer's files reach editor and preview, its tokens the inspector, and back.

The panes don't know each other; everything that crosses from one to another is here.
"""

import logging
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot

from app.core.problem import Problem, ProblemText
from app.core.records import Message
from app.core.run_report import BlockedRequest, PageError
from app.core.snapshots import SnapshotStore
from app.core.stream import blocks_of
from app.models.files import ProjectFilesModel
from app.models.problems import ProblemEntry, ProblemsModel
from app.panes.chat.pane import ChatPane
from app.panes.editor.pane import EditorPane
from app.panes.preview.pane import PreviewPane, RunJudgement
from app.services.chat_session import ChatSession
from app.shell.token_links import range_of_tokens, tokens_of_range
from engine.trace import RoutingTrace

if TYPE_CHECKING:
    from app.panes.inspector.pane import InspectorPane

logger = logging.getLogger(__name__)


class PaneLinks(QObject):
    """Follows the active chat pane.

    Signals:
        code_wanted: the code should be in sight.
        project_shown: whether the active conversation has something to show at the right.
        traced_changed: another answer's routing is on show, or an answer is complete.
    """

    code_wanted = Signal()
    project_shown = Signal(bool)
    traced_changed = Signal()

    def __init__(
        self, *, editor: EditorPane, preview: PreviewPane, files: ProjectFilesModel, problems: ProblemsModel,
        snapshots: SnapshotStore, parent: QObject,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._editor, self._preview = editor, preview
        self._files, self._problems, self._snapshots = files, problems, snapshots
        self._inspector: InspectorPane | None = None
        self._pane: ChatPane | None = None
        self._root: str | None = None
        self._traced_id: int | None = None
        self._is_from_code = False
        self._loaded: tuple[int, RoutingTrace] | None = None
        self._judged_id: int | None = None
        self._connect_panes()

    # --- what the window calls

    def set_inspector(self, inspector: "InspectorPane") -> None:
        """The inspector exists from now on."""
        self._inspector = inspector
        inspector.tokens_selected.connect(self._tokens_selected)
        inspector.notice.closed.connect(self._show_trace)
        self._show_trace()

    def watch_pane(self, pane: ChatPane) -> None:
        """Connect a chat pane that is new."""
        session = pane.session
        session.conversation_opened.connect(self._conversation_opened)
        session.path_changed.connect(self._path_changed)
        session.message_added.connect(self._message_added)
        session.files_changed.connect(self._files_changed)
        session.routing_grew.connect(self._routing_grew)
        session.answer_finished.connect(self._answer_finished)
        session.edits_rejected.connect(self._edits_rejected)
        session.files_needed.connect(self._save_unsaved)
        pane.open_requested.connect(self.open_file)
        pane.diff_requested.connect(self._show_diff)
        pane.range_picked.connect(self._range_picked)

    def follow(self, pane: ChatPane) -> None:
        """Show this pane's project and routing from now on."""
        self._pane = pane
        self._show_project()
        self._path_changed_here()

    @Slot(str)
    def open_file(self, path: str) -> None:
        """Open a project file in the editor."""
        self.code_wanted.emit()
        self._editor.open_file(path)

    @Slot(str, int)
    def open_source(self, path: str, line: int) -> None:
        """Open a project file at a line."""
        self.code_wanted.emit()
        self._editor.open_file(path, line)

    @Slot(str)
    def ask_for_fix(self, request: str) -> None:
        """Send a request to repair something."""
        if self._pane is not None:
            self._pane.ask(request)

    def add_problem(self, problem: Problem | ProblemText) -> None:
        """List a fault of the program's own panes."""
        self._problems.add(ProblemEntry(severity="error", source="program", text=str(problem)))

    def selected_start(self) -> int | None:
        """Where in its answer's text the selected token begins; None without one."""
        trace = self._inspector.trace() if self._inspector is not None else None
        if self._inspector is None or trace is None:
            return None
        first, last = self._inspector.selection()
        span = range_of_tokens(trace.tokens, first, last) if first >= 0 else None
        return None if span is None else span[0]

    def traced(self) -> tuple[Message, RoutingTrace] | None:
        """The complete answer whose routing is on show, with its routing; None while it is written, or without any."""
        session, message_id = self._session(), self._traced_id
        if session is None or message_id is None or message_id not in session.tree:
            return None
        trace = self._trace_of(message_id) if session.writing_id != message_id else None
        return (session.tree.get(message_id), trace) if trace is not None else None

    @Slot(int, int)
    def select_tokens_of_code(self, first: int, last: int) -> None:
        """Show tokens that were pointed at in the code, where the person's own selection stays as it is."""
        if self._inspector is None:
            return
        self._show_trace()
        self._is_from_code = True
        self._inspector.select_tokens(first, last)
        self._is_from_code = False

    # --- building

    def _connect_panes(self) -> None:
        self._editor.problem_reported.connect(self._problem_reported)
        self._preview.source_requested.connect(self.open_source)
        self._preview.fix_requested.connect(self.ask_for_fix)
        self._preview.error_raised.connect(self._page_error_raised)
        self._preview.request_blocked.connect(self._request_blocked)
        self._preview.run_started.connect(self._run_started)
        self._preview.run_judged.connect(self._run_judged)

    def _is_active(self) -> bool:
        """Whether the signal being handled comes from the active pane, its session included."""
        return self._pane is not None and self.sender() in (self._pane, self._pane.session)

    def _session(self) -> ChatSession | None:
        return self._pane.session if self._pane is not None else None

    # --- projects and files

    def _show_project(self) -> None:
        session = self._session()
        workspace = session.workspace if session is not None else None
        root = str(workspace.root) if workspace is not None else None
        if root != self._root:
            self._root = root
            self._problems.clear()
            self._files.set_workspace(workspace)
            self._editor.open_project(workspace)
            self._preview.open_project(workspace.root if workspace is not None else None)
            self._open_entry()
        path = session.tree.path() if session is not None else []
        self.project_shown.emit(bool(path))
        self._judged_id = next((message.id for message in reversed(path) if message.applied.get("changes")), None)

    def _open_entry(self) -> None:
        """A project whose files nobody opened yet shows its first page."""
        session = self._session()
        if session is None or session.workspace is None or self._editor.open_paths():
            return
        try:
            paths = [file.path for file in session.workspace.list_files()]
        except Problem:  # the list of files has told it
            return
        pages = [path for path in paths if PurePosixPath(path).suffix in (".html", ".py")]
        if "index.html" in paths or pages:
            self._editor.open_file("index.html" if "index.html" in paths else pages[0])

    @Slot(list)
    def _files_changed(self, paths: list[str]) -> None:
        if not self._is_active():
            return
        self._show_project()
        self._files.refresh()
        self._editor.refresh_from_disk(by_program=True)
        session = self._session()
        existing = [path for path in paths if session and session.workspace and self._is_file(path)]
        if existing and self._editor.current_path() not in existing:
            self._editor.open_file(existing[0])
        self._preview.project_changed()

    @Slot()
    def _save_unsaved(self) -> None:
        """The model is to see the code as the person sees it."""
        if self._is_active():
            self._editor.save_all()

    def _is_file(self, path: str) -> bool:
        session = self._session()
        assert session is not None
        assert session.workspace is not None
        try:
            return session.workspace.resolve(path).is_file()
        except (Problem, OSError):
            return False

    @Slot(int, str)
    def _show_diff(self, message_id: int, path: str) -> None:
        session = self._session()
        if session is None:
            return
        message = session.tree.get(message_id)
        try:
            before = self._read(message.snapshot_before, path)
            after = self._read(message.snapshot_after or message.snapshot_before, path)
        except Problem as problem:
            self.add_problem(problem)
            return
        self.code_wanted.emit()
        self._editor.show_diff(path, before, after)

    def _read(self, state: str, path: str) -> str:
        if not state or path not in self._snapshots.files(state):
            return ""
        return self._snapshots.read(state, path).decode("utf-8", "replace")

    # --- the conversation

    @Slot(int)
    def _conversation_opened(self, _conversation_id: int) -> None:
        if self._is_active():
            self._show_project()
            self._path_changed_here()

    @Slot()
    def _path_changed(self) -> None:
        if self._is_active():
            self._path_changed_here()

    def _path_changed_here(self) -> None:
        session = self._session()
        path = session.tree.path() if session is not None else []
        last = next((message for message in reversed(path) if message.role == "assistant"), None)
        self._traced_id = last.id if last is not None else None
        self._show_trace()
        self.traced_changed.emit()

    @Slot(object)
    def _message_added(self, message: Message) -> None:
        if not self._is_active():
            return
        self._show_project()
        if message.role == "assistant":
            self._traced_id = message.id

    @Slot(object)
    def _answer_finished(self, message: Message) -> None:
        if self._is_active():
            self._traced_id = message.id
            self._loaded = None
            self._show_trace()
            self.traced_changed.emit()
            if message.applied.get("changes"):
                self._judged_id = message.id

    @Slot(int, list)
    def _edits_rejected(self, _message_id: int, rejects: list[dict[str, str]]) -> None:
        for reject in rejects:
            text = f"Not applied: {reject['reason']}"
            self._problems.add(ProblemEntry(severity="error", source="edit", text=text, path=reject["path"]))

    # --- the running page

    @Slot()
    def _run_started(self) -> None:
        self._problems.clear("page")
        self._problems.clear("network")

    @Slot(object)
    def _page_error_raised(self, error: PageError) -> None:
        self._problems.add(
            ProblemEntry(severity="error", source="page", text=error.message, path=error.path, line=error.line)
        )

    @Slot(object)
    def _request_blocked(self, request: BlockedRequest) -> None:
        self._problems.add(ProblemEntry(severity="warning", source="network", text=f"Blocked: {request}"))

    @Slot(object)
    def _run_judged(self, judgement: RunJudgement) -> None:
        if self._pane is not None and self._judged_id is not None:
            self._pane.show_run(self._judged_id, str(judgement), clean=judgement.errors == 0)

    @Slot(object)
    def _problem_reported(self, problem: Problem) -> None:
        self.add_problem(problem)

    # --- tokens

    @Slot(int)
    def _routing_grew(self, message_id: int) -> None:
        session = self._session()
        if self._inspector is None or session is None or not self._is_active():
            return
        if self._inspector.trace() is not session.trace:
            self._traced_id = message_id
            self._inspector.set_trace(session.trace)
        self._inspector.trace_grew()

    @Slot()
    def _show_trace(self) -> None:
        if self._inspector is None:
            return
        trace = self._trace_of(self._traced_id)
        if trace is not self._inspector.trace():
            self._inspector.set_trace(trace)

    def _trace_of(self, message_id: int | None) -> RoutingTrace | None:
        session = self._session()
        if session is None or message_id is None or message_id not in session.tree:
            return None
        is_last = session.writing_id in (None, message_id) and session.trace is not None
        leaf = session.tree.leaf
        if is_last and leaf is not None and leaf.id == message_id:
            return session.trace
        if self._loaded is None or self._loaded[0] != message_id:
            trace = session.load_trace(message_id)
            self._loaded = (message_id, trace) if trace is not None else None
        return self._loaded[1] if self._loaded is not None else None

    @Slot(int, int, int)
    def _range_picked(self, message_id: int, start: int, end: int) -> None:
        if self._inspector is None:
            return
        if message_id != self._traced_id:
            self._traced_id = message_id
            self.traced_changed.emit()
        self._show_trace()
        trace = self._inspector.trace()
        found = tokens_of_range(trace.tokens, start, end) if trace is not None else None
        if found is not None:
            self._inspector.select_tokens(*found)

    @Slot(int, int)
    def _tokens_selected(self, first: int, last: int) -> None:
        session, trace = self._session(), self._inspector.trace() if self._inspector else None
        if self._pane is None or session is None or self._traced_id is None:
            return
        is_own = self._inspector is not None and not self._inspector.shows_file and first >= 0
        span = range_of_tokens(trace.tokens, first, last) if trace is not None and is_own else None
        if span is None:
            self._pane.mark_range(-1, 0, 0)
            return
        self._pane.mark_range(self._traced_id, *span)
        if session.writing_id == self._traced_id or self._is_from_code:
            return
        if not self._editor.marks.select_tokens(self._editor.current_path(), first, last):
            self._select_in_editor(session.tree.get(self._traced_id), *span)

    def _select_in_editor(self, message: Message, start: int, end: int) -> None:
        """Select the tokens' characters in the file they wrote, when it is open and still says the same there."""
        for block in blocks_of(message.text):
            if block.kind != "file" or not block.content_start <= start < block.end:
                continue
            first, last = start - block.content_start, min(end - block.content_start, len(block.text))
            is_open = block.path in self._editor.open_paths() and self._editor.current_path() == block.path
            if is_open and self._editor.text(block.path)[first:last] == block.text[first:last]:
                self._editor.select_code(block.path, first, last)
