"""What one chat pane does with conversations: ask, edit, regenerate, continue, stop, go to another branch.

One session per pane; several can write at once. No widgets: panes show what the signals say. An answer
goes on in the background when its pane shows another conversation, and is found again when it comes back.
"""

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal, Slot

from app.core.answer_plan import AnswerPlan, EndOfAnswer, conclude, load_trace
from app.core.conversation import ConversationTree
from app.core.history import History
from app.core.open_conversation import OpenConversation
from app.core.problem import Problem, ProblemText
from app.core.records import AnswerOrigin, Conversation, Message
from app.core.snapshots import SnapshotStore
from app.core.stream import AnswerStream, StreamUpdate
from app.core.turns import TokenEstimate, turns_of
from app.core.wire import ChatRequest, ModelInfo, Sampling
from app.core.workspace import Workspace
from app.paths import DataPaths
from app.services.answer_keeper import AnswerKeeper
from app.services.answer_run import AnswerEnd, AnswerRun
from app.services.endpoint import Endpoint
from app.services.engine_process import EngineProcess
from app.settings import WindowState
from engine.artifacts import Understood

if TYPE_CHECKING:
    from engine.trace import RoutingTrace

NEW_CONVERSATION = -1
_NEW_DRAFT = "draft-of-new-conversation.json"


class ChatSession(QObject):
    """Controls one pane's conversation.

    Signals:
        conversation_opened(int): show `tree.path()` from scratch; NEW_CONVERSATION for an empty new one.
        path_changed: another branch is shown; show `tree.path()` again.
        message_added(Message): at the end of the path: a request, an answer that begins, or one that goes on.
        answer_grew(int, StreamUpdate): text came for this answer; at most 30 times a second.
        routing_grew(int): `trace` has more tokens; at most 30 times a second.
        answer_finished(Message): its state says how; `applied` what became of its files.
        files_changed(list): paths of project files that were written or restored; empty: any of them.
        edits_rejected(int, list): parts of this answer that were not applied: {path, reason, block}.
        turns_dropped(int): so many of the oldest turns had no room in the prompt.
        busy_changed(bool): whether the shown conversation's answer is being written.
        conversation_changed(int): title, time or draft; lists read it again.
        problem_reported(ProblemText): something went wrong that the person should know.
        speed_measured(float): decoded tokens per second.
        files_needed: the project's files are about to be read: who holds unsaved text writes it now.
    """

    conversation_opened = Signal(int)
    path_changed = Signal()
    message_added = Signal(object)
    answer_grew = Signal(int, object)
    routing_grew = Signal(int)
    answer_finished = Signal(object)
    files_changed = Signal(list)
    edits_rejected = Signal(int, list)
    turns_dropped = Signal(int)
    busy_changed = Signal(bool)
    conversation_changed = Signal(int)
    problem_reported = Signal(object)
    speed_measured = Signal(float)
    files_needed = Signal()

    def __init__(
        self,
        *,
        history: History,
        snapshots: SnapshotStore,
        paths: DataPaths,
        endpoint: Endpoint,
        engine: EngineProcess | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._history = history
        self._snapshots = snapshots
        self._paths = paths
        self._endpoint = endpoint
        self._engine = engine
        self._remote_model: ModelInfo | None = None
        self._window_state = WindowState(paths.window)
        self._opened: OpenConversation | None = None
        self._running: dict[int, AnswerRun] = {}
        self._trace: RoutingTrace | None = None
        self._estimate = TokenEstimate()
        self.sampling = Sampling()
        self.default_system_prompt = ""
        self.guide = ""
        self._keeper = AnswerKeeper(self)
        self._keeper.problem_reported.connect(self.problem_reported)

    # --- what is shown

    @property
    def conversation(self) -> Conversation | None:
        """The shown conversation; None while a new one is empty."""
        return self._opened.conversation if self._opened else None

    @property
    def tree(self) -> ConversationTree:
        """Its messages; an empty tree for a new one."""
        return self._opened.tree if self._opened else ConversationTree()

    @property
    def workspace(self) -> Workspace | None:
        """Its project folder; None while a new conversation is empty."""
        return self._opened.workspace if self._opened else None

    @property
    def is_busy(self) -> bool:
        """Whether the shown conversation's answer is being written."""
        return self._current() is not None

    @property
    def writing_id(self) -> int | None:
        """The answer being written in the shown conversation."""
        run = self._current()
        return run.message_id if run else None

    @property
    def stream(self) -> AnswerStream | None:
        """The blocks of the answer being written."""
        run = self._current()
        return run.stream if run else None

    @property
    def trace(self) -> "RoutingTrace | None":
        """The routing of the answer being written or written last in the shown conversation."""
        run = self._current()
        return run.trace if run else self._trace

    @property
    def model(self) -> ModelInfo | None:
        """The model that answers; None until it is known."""
        return self._remote_model or (self._engine.model if self._engine else None)

    @property
    def context_tokens(self) -> int | None:
        """How many tokens the model can see; None when it does not say."""
        return self.model.context_tokens if self.model else None

    @property
    def draft(self) -> str:
        """What was typed and not sent in the shown conversation."""
        if self._opened is not None:
            return self._opened.conversation.draft
        return str(self._window_state.load_json(_NEW_DRAFT, ""))

    def context_used_tokens(self) -> int:
        """About how many tokens the next prompt has before the request is typed."""
        if self._opened is None:
            return 0
        try:
            files = self._opened.workspace.text_files()
        except Problem:
            files = {}
        text = sum(self._estimate.count(turn.text) for turn in turns_of(self.tree.path()) if turn.role == "user")
        return text + sum(self._estimate.count(content) for content in files.values())

    def load_trace(self, message_id: int) -> "RoutingTrace | None":
        """The stored routing of an answer; None when there is none or it cannot be read."""
        run = self._current()
        if run is not None and run.message_id == message_id:
            return run.trace
        name = self.tree.get(message_id).trace_file
        return load_trace(self._paths.traces / name) if name else None

    def request_of(self, message_id: int) -> tuple[ChatRequest, dict[str, str]]:
        """What would be sent for an answer from its beginning, and the project's text files as they were then.

        Raises Problem when that state can't be read, or the prompt has no room.
        """
        answer = self.tree.get(message_id)
        assert self._opened is not None
        assert answer.parent_id is not None
        with tempfile.TemporaryDirectory(prefix="expertarium-state-") as folder:
            self._snapshots.restore(answer.snapshot_before, Path(folder))
            files = Workspace(Path(folder)).text_files()
        made = self._plan(self._opened, answer, _sampling_of(answer)).request_for(files, dropped=answer.dropped_turns)
        if made is None:
            raise Problem("The request can't be sent again.", "Its prompt has no room in the model's context.",
                          "Choose a shorter conversation.")
        return replace(made[0], continue_from=""), files

    # --- opening

    def open_conversation(self, conversation_id: int) -> None:
        """Show a conversation. Raises KeyError when there is none, Problem when it cannot be read."""
        run = self._running.get(conversation_id)
        if run is not None:
            opened = run.plan.opened
        else:
            conversation = self._history.conversation(conversation_id)
            opened = OpenConversation(self._history, self._snapshots, conversation, self._workspace_of(conversation))
        self._show(opened)

    def open_new(self) -> None:
        """Show an empty conversation; nothing is stored until the first request."""
        self._show(None)

    def set_endpoint(self, endpoint: Endpoint, *, engine: EngineProcess | None, model: ModelInfo | None) -> None:
        """Ask another server from now on; answers under way are not touched."""
        self._endpoint, self._engine = endpoint, engine
        self._remote_model = None if engine is not None else model

    def set_system_prompt(self, text: str) -> None:
        """The system prompt of the shown conversation (made if it is new)."""
        try:
            opened = self._opened or self._create()
            self._history.set_system_prompt(opened.id, text)
            opened.reload()
        except Problem as problem:
            self.problem_reported.emit(problem.text)

    def set_draft(self, text: str) -> bool:
        """Keep what is typed; say whether it is kept."""
        if text == self.draft:
            return True
        try:
            if self._opened is None:
                self._window_state.store_json(_NEW_DRAFT, text)
            else:
                self._history.set_draft(self._opened.id, text)
                self._opened.reload()
        except Problem as problem:
            self.problem_reported.emit(problem.text)
            return False
        return True

    # --- asking

    def send(self, text: str) -> bool:
        """Ask; the first request makes the conversation. Say whether the request is kept: else the text is not."""
        if not text.strip() or self._refuse_when_busy():
            return False
        try:
            opened = self._opened or self._create()
            leaf = opened.tree.leaf
            request = opened.add_request(leaf.id if leaf else None, text)
        except Problem as problem:
            self.problem_reported.emit(problem.text)
            return False
        self.set_draft("")
        self.message_added.emit(request)
        try:
            self._begin(opened, request.id)
        except Problem as problem:
            self.problem_reported.emit(problem.text)
        return True

    def edit_request(self, message_id: int, text: str) -> None:
        """Ask otherwise: a sibling of the request, from the project state the first one started from.

        `path_changed` says that the new request is kept.
        """
        if not text.strip() or self._opened is None or self._refuse_when_busy():
            return
        leaf = self.tree.leaf
        try:
            parent_id = self.tree.get(message_id).parent_id
            self._go_back(self._opened, message_id, parent_id)
            request = self._opened.add_request(parent_id, text)
        except Problem as problem:
            self._opened.show_up_to(leaf.id if leaf else None)
            self.problem_reported.emit(problem.text)
            return
        self.path_changed.emit()
        try:
            self._begin(self._opened, request.id)
        except Problem as problem:
            self.problem_reported.emit(problem.text)

    def regenerate(
        self,
        message_id: int,
        *,
        seed: int | None = None,
        interventions: Sequence[Mapping[str, Any]] = (),
        text: str = "",
    ) -> None:
        """Write an answer anew: a sibling, from the project state it started from.

        With `interventions` on experts, which its record keeps, and from `text` on, which it begins with.
        """
        opened = self._opened
        if opened is None or self._refuse_when_busy():
            return
        leaf = opened.tree.leaf
        parent_id = opened.tree.get(message_id).parent_id
        assert parent_id is not None
        try:
            self._go_back(opened, message_id, parent_id)
            self.path_changed.emit()
            self._begin(opened, parent_id, seed=seed, text=text, interventions=interventions)
        except Problem as problem:
            opened.show_up_to(leaf.id if leaf else None)
            self.path_changed.emit()
            self.problem_reported.emit(problem.text)

    def continue_answer(self, message_id: int) -> None:
        """Go on with an answer that was cut off, behind what it has."""
        opened = self._opened
        if opened is None or self._refuse_when_busy():
            return
        trace = self.load_trace(message_id)
        was_last = self.tree.leaf is not None and self.tree.leaf.id == message_id
        try:
            message, changed = opened.reopen_answer(message_id)
        except Problem as problem:
            self.problem_reported.emit(problem.text)
            return
        self._tell_files(changed)
        if was_last:
            self.message_added.emit(message)
        else:
            self.path_changed.emit()
        self._run(opened, message, _sampling_of(message), trace)

    def rewrite_understood(self, message_id: int, line: Understood) -> None:
        """Write an answer anew from its changed "understood" line, with the same seed."""
        if self._opened is None:
            return
        try:
            start = self._opened.text_with_understood(message_id, line)
        except Problem as problem:
            self.problem_reported.emit(problem.text)
            return
        self.regenerate(message_id, seed=self.tree.get(message_id).seed, text=start)

    def stop(self) -> None:
        """End the answer being written and keep what came."""
        run = self._current()
        if run is not None:
            run.stop()

    def show_sibling(self, message_id: int) -> None:
        """Show another version of a message, with the project as that branch was left."""
        if self._opened is None or self._refuse_when_busy():
            return
        try:
            changed = self._opened.show_branch_of(message_id)
        except Problem as problem:
            self.problem_reported.emit(problem.text)
            return
        self._trace = None
        self._tell_files(changed)
        self.path_changed.emit()

    def shut_down(self) -> None:
        """The program ends: keep every answer as far as it came."""
        for run in list(self._running.values()):
            run.interrupt("Expertarium was closed.")

    # --- inside: beginning

    def _refuse_when_busy(self) -> bool:
        if self._current() is None:
            self.files_needed.emit()
            return False
        problem = Problem("An answer is still being written.", "", "Stop it first, or wait until it is complete.")
        self.problem_reported.emit(problem.text)
        return True

    def _create(self) -> OpenConversation:
        conversation = self._history.create_conversation()
        self._opened = OpenConversation(
            self._history, self._snapshots, conversation, self._workspace_of(conversation)
        )
        self._window_state.store_json(_NEW_DRAFT, "")
        self.conversation_changed.emit(conversation.id)
        return self._opened

    def _workspace_of(self, conversation: Conversation) -> Workspace:
        if conversation.project_dir:
            return Workspace(Path(conversation.project_dir))
        return Workspace(self._paths.projects / str(conversation.id))

    def _go_back(self, opened: OpenConversation, message_id: int, parent_id: int | None) -> None:
        self._tell_files(opened.go_to_start_of(message_id))
        opened.show_up_to(parent_id)
        self._trace = None

    def _begin(
        self,
        opened: OpenConversation,
        request_id: int,
        *,
        seed: int | None = None,
        text: str = "",
        interventions: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        sampling = replace(self.sampling, interventions=tuple(interventions))
        if seed is not None or sampling.seed is None:
            # A seed is always sent, so that every answer can be written again exactly.
            sampling = replace(sampling, seed=seed if seed is not None else random.randrange(2**31))  # noqa: S311
        model = self.model
        origin = AnswerOrigin(
            model=model.id if model else "",
            fingerprint=model.fingerprint if model else "",
            seed=sampling.seed,
            sampling=sampling.as_json(),
        )
        answer = opened.begin_answer(request_id, origin, text=text)
        self.message_added.emit(answer)
        self._run(opened, answer, sampling, None)

    def _run(self, opened: OpenConversation, answer: Message, sampling: Sampling, trace: "RoutingTrace | None") -> None:
        run = AnswerRun(
            self._plan(opened, answer, sampling), history=self._history, endpoint=self._endpoint,
            engine=self._engine, trace=trace, parent=self,
        )  # fmt: skip
        self._running[opened.id] = run
        run.grew.connect(self._take_growth)
        run.routing_grew.connect(self._take_routing_growth)
        run.turns_dropped.connect(self._take_dropped)
        run.speed_measured.connect(self._take_speed)
        run.problem_reported.connect(self._take_problem)
        run.ended.connect(self._take_end)
        self.conversation_changed.emit(opened.id)
        self.busy_changed.emit(True)  # noqa: FBT003 - what the signal says
        run.start()

    def _plan(self, opened: OpenConversation, answer: Message, sampling: Sampling) -> AnswerPlan:
        return AnswerPlan(
            opened=opened,
            answer=answer,
            system=opened.conversation.system_prompt or self.default_system_prompt,
            guide=self.guide,
            sampling=sampling,
            estimate=self._estimate,
            model_of=self._current_model,
        )

    def _current_model(self) -> ModelInfo | None:
        return self.model

    def _current(self) -> AnswerRun | None:
        return self._running.get(self._opened.id) if self._opened else None

    def _show(self, opened: OpenConversation | None) -> None:
        was_busy = self.is_busy
        self._opened = opened
        self._trace = None
        self.conversation_opened.emit(opened.id if opened else NEW_CONVERSATION)
        if self.is_busy != was_busy:
            self.busy_changed.emit(self.is_busy)

    def _tell_files(self, paths: Sequence[str]) -> None:
        if paths:
            self.files_changed.emit(list(paths))

    # --- inside: what a run says

    @Slot(object, object)
    def _take_growth(self, run: AnswerRun, update: StreamUpdate) -> None:
        if run is self._current():
            self.answer_grew.emit(run.message_id, update)

    @Slot(object)
    def _take_routing_growth(self, run: AnswerRun) -> None:
        if run is self._current():
            self.routing_grew.emit(run.message_id)

    @Slot(object, int)
    def _take_dropped(self, run: AnswerRun, count: int) -> None:
        if run is self._current():
            self.turns_dropped.emit(count)

    @Slot(object, float)
    def _take_speed(self, run: AnswerRun, tokens_per_second: float) -> None:
        if run is self._current():
            self.speed_measured.emit(tokens_per_second)

    @Slot(object, object)
    def _take_problem(self, _run: AnswerRun, text: ProblemText) -> None:
        self.problem_reported.emit(text)

    @Slot(object, object)
    def _take_end(self, run: AnswerRun, end: AnswerEnd) -> None:
        opened = run.plan.opened
        is_shown = run is self._current()
        del self._running[opened.id]
        run.deleteLater()
        if run.request and end.completion:
            self._estimate.learn(run.request.messages, int(end.completion.usage.get("prompt_tokens") or 0))
        ending = EndOfAnswer(
            text=run.text,
            state=end.state,
            error=end.error,
            completion=end.completion,
            dropped_turns=run.dropped_turns,
            trace=run.trace,
        )
        outcome, applied = conclude(run.plan, ending, self._paths.traces)
        message = self._keeper.store(opened, run.message_id, outcome)
        if applied.problem is not None:
            self.problem_reported.emit(applied.problem.text)
        if is_shown:
            self._trace = run.trace
            self._tell_end(message, applied.changed_paths)
        self.conversation_changed.emit(opened.id)

    def _tell_end(self, message: Message, changed_paths: Sequence[str]) -> None:
        speed = message.timings.get("decode_tokens_per_s")
        if isinstance(speed, int | float):
            self.speed_measured.emit(float(speed))
        self._tell_files(changed_paths)
        self.answer_finished.emit(message)
        self.busy_changed.emit(False)  # noqa: FBT003 - what the signal says
        if message.applied.get("rejects"):
            self.edits_rejected.emit(message.id, list(message.applied["rejects"]))


def _sampling_of(message: Message) -> Sampling:
    """How an answer was drawn, to go on with it in the same way."""
    names = ("temperature", "top_p", "max_tokens")
    known = {name: message.sampling[name] for name in names if name in message.sampling}
    return Sampling(
        **known, seed=message.seed, interventions=tuple(message.sampling.get("interventions", ())))
