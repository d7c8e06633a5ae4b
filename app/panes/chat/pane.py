"""The chat pane: one conversation, its transcript and composer, over one ChatSession.

What an answer is, and what becomes of it, is the session's business; here it is shown, and what the person
does is passed on.
"""

from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QAction, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from app.core.model_names import model_name
from app.core.problem import ProblemText
from app.core.records import Message
from app.core.stream import StreamUpdate
from app.core.wire import Sampling
from app.panes.chat.answer_settings import AnswerSettings
from app.panes.chat.answer_view import AnswerView
from app.panes.chat.composer import Composer
from app.panes.chat.problem_bar import ProblemBar
from app.panes.chat.request_view import MessageView, RequestView
from app.panes.chat.transcript import MAX_WIDTH_PX, Transcript
from app.panes.chat.welcome import Welcome
from app.services.chat_session import ChatSession
from app.services.engine_process import EngineState
from app.theme.metrics import GAP_L, GAP_XS
from app.theme.theme import Theme
from engine.artifacts import Understood

_DRAFT_DELAY_MS = 400
_WAITS = {
    "starting": "the engine is starting…",
    "loading": "the model is loading…",
    "restarting": "the engine is restarting…",
}


class ChatPane(QWidget):
    """One chat.

    Signals:
        activated: the person works in this pane.
        open_requested: path of a file to open in the editor.
        diff_requested: (message id, path) of an edit to show as a diff.
        range_picked: (message id, start, end) in code points of an answer's text; equal for a click.
    """

    activated = Signal()
    open_requested = Signal(str)
    diff_requested = Signal(int, str)
    range_picked = Signal(int, int, int)

    def __init__(self, theme: Theme, session: ChatSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.session = session
        self._model_name = "Model"
        self._engine = EngineState()
        self._ways_out: Sequence[QAction] = ()
        self._waiting_text = ""
        self._answers: dict[int, AnswerView] = {}
        self.welcome = Welcome(theme)
        self.transcript = Transcript(theme)
        self.composer = Composer(theme)
        self.problem_bar = ProblemBar(theme)
        self._draft_timer = QTimer(self)
        self._draft_timer.setSingleShot(True)
        self._draft_timer.setInterval(_DRAFT_DELAY_MS)
        self._draft_timer.timeout.connect(self.store_draft)
        self._build()
        self._connect_session()
        self._show_conversation()

    # --- what the shell calls

    @Slot(str)
    def ask(self, text: str) -> None:
        """Send a request; while the model still loads it waits, and can be seen waiting."""
        typed = self.composer.draft().strip()
        is_other = typed not in ("", text.strip())
        is_ready = self._engine.phase == "ready"
        if self.session.is_busy or not is_ready:
            if is_other:
                self.problem_bar.show_text("What you typed has not been sent. Send it first, or clear it.")
                return
            self.composer.set_draft(text)
            self._waiting_text = text if not is_ready else ""
            self._show_engine_wait()
            return
        self._waiting_text = ""
        if not is_other:
            self.composer.set_draft("")
        self.problem_bar.hide()
        self.transcript.go_to_end()
        if not self.session.send(text) and not is_other:
            self.composer.set_draft(text)
        self.store_draft()

    @Slot(EngineState)
    def show_engine_state(self, state: EngineState) -> None:
        """Say what the engine does; a request that waited for it is sent when it is ready."""
        before, self._engine = self._engine, state
        loading = state.phase in ("starting", "loading", "restarting")
        texts = {
            "starting": "Starting the engine",
            "loading": f"Loading {model_name(state.model) if state.model else 'the model'} · {state.progress:.0%}",
            "restarting": "The engine ended and is being started again",
            "failed": "No model is loaded",
            "stopped": "The engine is stopped",
        }
        text = texts.get(state.phase, "")
        self.welcome.show_state(text, progress=state.progress if loading else None, failed=state.phase == "failed")
        if state != before:
            self._show_engine_problem(was_shown=before.phase == "failed")
        if state.phase == "ready" and self._waiting_text and self._waiting_text == self.composer.draft():
            self.ask(self._waiting_text)
        self._show_engine_wait()
        self._show_answer_wait()

    def set_ways_out(self, actions: Sequence[QAction]) -> None:
        """What the person can do when the engine fails; call it before the state is shown."""
        self._ways_out = actions

    def _show_engine_problem(self, *, was_shown: bool) -> None:
        if self._engine.phase == "failed":
            self.problem_bar.show_text(self._engine.message, self._ways_out)
        elif was_shown:
            self.problem_bar.hide()

    def set_model(self, name: str, menu: QMenu | None = None) -> None:
        """Name the model that answers; `menu` opens from its name in the composer."""
        self._model_name = name
        self.composer.set_model(name, menu)

    def show_run(self, message_id: int, text: str, *, clean: bool) -> None:
        """Show under an answer how its program ran."""
        if message_id in self._answers:
            self._answers[message_id].show_run(text, clean=clean)

    def mark_range(self, message_id: int, start: int, end: int) -> None:
        """Mark code points of an answer, as the inspector's selection does."""
        for answer_id, view in self._answers.items():
            view.mark_range(start if answer_id == message_id else None, end)

    def show_message(self, message_id: int) -> None:
        """Bring a message into sight, on whichever branch it is."""
        tree = self.session.tree
        if message_id in tree and message_id not in [message.id for message in tree.path()]:
            self.session.show_sibling(message_id)
        view = self._view_of(message_id)
        while view is None and self.transcript.has_earlier:
            self.transcript.show_earlier()
            view = self._view_of(message_id)
        if view is not None:
            self.transcript.scroll_to(view)

    def _view_of(self, message_id: int) -> QWidget | None:
        for view in self.transcript.views():
            if isinstance(view, MessageView) and view.message.id == message_id:
                return view
        return None

    @Slot()
    def store_draft(self) -> bool:
        """Keep what is typed, and say whether it is kept; called soon after every key, and on quit."""
        self._draft_timer.stop()
        return self.session.set_draft(self.composer.draft())

    def focus_composer(self) -> None:
        """Put the cursor where one writes."""
        self.composer.text.setFocus()

    # --- building

    def _build(self) -> None:
        self.setProperty("surface", "background")
        self._pages = QStackedWidget()
        self._welcome_page = QScrollArea()  # a small pane scrolls it instead of pushing the others away
        self._welcome_page.setWidgetResizable(True)
        self._welcome_page.setFrameShape(QScrollArea.Shape.NoFrame)
        self._welcome_page.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.welcome.setProperty("surface", "clear")
        self._welcome_page.setWidget(self.welcome)
        self._pages.addWidget(self._welcome_page)
        self._pages.addWidget(self.transcript)
        foot = QHBoxLayout()
        foot.setContentsMargins(GAP_L, GAP_XS, GAP_L, GAP_L)
        inner = QVBoxLayout()
        inner.setSpacing(8)
        inner.addWidget(self.problem_bar)
        inner.addWidget(self.composer)
        box = QWidget()
        box.setLayout(inner)
        inner.setContentsMargins(0, 0, 0, 0)
        box.setMaximumWidth(MAX_WIDTH_PX + 16)
        foot.addStretch(1)
        foot.addWidget(box, 1000)
        foot.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._pages, 1)
        column.addLayout(foot)
        self.welcome.prompt_chosen.connect(self.ask)
        self.composer.sent.connect(self.ask)
        self.composer.stop_requested.connect(self.session.stop)
        self.composer.settings_requested.connect(self._open_settings)
        self.composer.text_changed.connect(self._draft_changed)
        self.composer.text.installEventFilter(self)

    def _connect_session(self) -> None:
        session = self.session
        session.conversation_opened.connect(self._conversation_opened)
        session.path_changed.connect(self._show_path)
        session.message_added.connect(self._message_added)
        session.answer_grew.connect(self._answer_grew)
        session.answer_finished.connect(self._answer_finished)
        session.busy_changed.connect(self._busy_changed)
        session.problem_reported.connect(self._problem_reported)

    # --- the transcript

    @Slot(int)
    def _conversation_opened(self, _conversation_id: int) -> None:
        self._show_conversation()

    def _show_conversation(self) -> None:
        self._waiting_text = ""
        self.problem_bar.hide()
        self._show_engine_problem(was_shown=False)
        self.composer.set_draft(self.session.draft)
        self._busy_changed(self.session.is_busy)
        self._show_path()

    @Slot()
    def _show_path(self) -> None:
        self._answers.clear()
        path = self.session.tree.path()
        self.transcript.show_all([_Factory(self._make_view, message) for message in path])
        stream = self.session.stream
        writing = self._writing_view()
        if stream is not None and writing is not None:
            writing.grow(StreamUpdate(closed=tuple(stream.blocks), open=None))
            self._show_answer_wait()
        self.composer.set_first(first=not path)
        self._pages.setCurrentWidget(self.transcript if path else self._welcome_page)
        self._show_context()

    def _make_view(self, message: Message) -> QWidget:
        view = self._make_request(message) if message.role == "user" else self._make_answer(message)
        siblings = self.session.tree.siblings(message.id)
        view.arrows.show_place(siblings.index(message.id), len(siblings))
        view.sibling_stepped.connect(self._sibling_stepped)
        return view

    def _make_request(self, message: Message) -> MessageView:
        view = RequestView(self._theme, message)
        view.edited.connect(self._request_edited)
        return view

    def _make_answer(self, message: Message) -> MessageView:
        view = AnswerView(self._theme, message, model_name(message.model) if message.model else self._model_name)
        view.understood_changed.connect(self._understood_changed)
        view.open_requested.connect(self.open_requested)
        view.diff_requested.connect(self.diff_requested)
        view.range_picked.connect(self.range_picked)
        view.continue_requested.connect(self.session.continue_answer)
        view.again_requested.connect(self._regenerate)
        view.ask_requested.connect(self.ask)
        self._answers[message.id] = view
        return view

    # --- the session speaks

    @Slot(Message)
    def _message_added(self, message: Message) -> None:
        known = self._answers.get(message.id)
        if known is not None:
            known.reopen(message)
            return
        self.transcript.append(self._make_view(message))
        self._pages.setCurrentWidget(self.transcript)
        self.composer.set_first(first=False)

    @Slot(int, object)
    def _answer_grew(self, message_id: int, update: StreamUpdate) -> None:
        if message_id in self._answers:
            self._answers[message_id].grow(update)

    @Slot(Message)
    def _answer_finished(self, message: Message) -> None:
        if message.id in self._answers:
            self._answers[message.id].finish(message)
        self._show_context()

    @Slot(bool)
    def _busy_changed(self, busy: bool) -> None:
        self.composer.set_busy(busy=busy)
        self._show_answer_wait()

    @Slot(object)
    def _problem_reported(self, problem: ProblemText) -> None:
        self.problem_bar.show_text(str(problem))

    # --- the person acts

    @Slot(int, int)
    def _sibling_stepped(self, message_id: int, delta: int) -> None:
        other = self.session.tree.step(message_id, delta)
        if other is not None and not self.session.is_busy:
            self.session.show_sibling(other)

    @Slot(int, str)
    def _request_edited(self, message_id: int, text: str) -> None:
        self.session.edit_request(message_id, text)

    @Slot(int, object)
    def _understood_changed(self, message_id: int, meaning: Understood) -> None:
        self.session.rewrite_understood(message_id, meaning)

    @Slot(int)
    def _regenerate(self, message_id: int) -> None:
        self.session.regenerate(message_id)

    @Slot(str)
    def _draft_changed(self, _text: str) -> None:
        self._draft_timer.start()

    @Slot()
    def _open_settings(self) -> None:
        conversation = self.session.conversation
        popover = AnswerSettings(
            self._theme, self.session.sampling, conversation.system_prompt if conversation else "", self
        )
        popover.sampling_changed.connect(self._sampling_changed)
        popover.system_prompt_changed.connect(self.session.set_system_prompt)
        popover.adjustSize()
        popover.move(self.composer.mapToGlobal(QPoint(0, -popover.height() - 6)))
        popover.show()

    @Slot(object)
    def _sampling_changed(self, sampling: Sampling) -> None:
        self.session.sampling = sampling

    # --- showing

    def _show_engine_wait(self) -> None:
        waits = bool(self._waiting_text) and self._engine.phase != "ready"
        self.composer.show_hint("Sent as soon as a model is loaded" if waits else "")

    def _writing_view(self) -> AnswerView | None:
        return self._answers.get(self.session.writing_id or -1)

    def _show_answer_wait(self) -> None:
        """Say at the answer to be written what it waits for."""
        view = self._writing_view()
        if view is not None:
            view.show_wait(_WAITS.get(self._engine.phase, ""))

    @Slot()
    def refresh_context(self) -> None:
        """Say again how full the context is: the model, or the project, is another."""
        self._show_context()

    def _show_context(self) -> None:
        self.composer.set_context(self.session.context_used_tokens(), self.session.context_tokens)

    # --- Qt overrides

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The pane one types in is the active one."""
        if event.type() == QEvent.Type.FocusIn:
            self.activated.emit()
        return super().eventFilter(watched, event)

    def showEvent(self, event: QShowEvent) -> None:
        """The context is known when the engine has described its model."""
        super().showEvent(event)
        self._show_context()


class _Factory:
    """Makes one message's widget when it is needed."""

    def __init__(self, make: Callable[[Message], QWidget], message: Message) -> None:
        self._make = make
        self._message = message

    def __call__(self) -> QWidget:
        return self._make(self._message)
