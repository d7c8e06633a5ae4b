"""One answer on its way: asked for, streamed, committed at least twice a second, its routing recorded.

What is done with it afterwards (files, states) is the chat session's. Runs of several panes do not know each other.
"""

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QElapsedTimer, QObject, QTimer, Signal, Slot

from app.core.answer_plan import AnswerPlan
from app.core.history import History
from app.core.problem import Problem, ProblemText
from app.core.stream import AnswerStream, StreamUpdate
from app.core.wire import ChatRequest, Completion, EndpointError, StreamChunk
from app.services.endpoint import ChatReply, Endpoint
from app.services.engine_process import EngineProcess, EngineState

if TYPE_CHECKING:
    from engine.trace import RoutingTrace, TraceToken

logger = logging.getLogger(__name__)

FRAME_MS = 33
COMMIT_MS = 300
SPEED_MS = 500
UNNOTICED_MS = 5000  # a dead engine's process is known to be gone long before

EndState = Literal["complete", "length", "stopped", "interrupted", "error"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerEnd:
    """How a run ended. `completion` is there when the server said that the answer is whole."""

    state: EndState
    error: str = ""
    completion: Completion | None = None


class AnswerRun(QObject):
    """Writes one answer.

    Signals, each with the run first:
        grew(AnswerRun, StreamUpdate): text came; at most 30 times a second.
        routing_grew(AnswerRun): `trace` has more tokens; at most 30 times a second.
        turns_dropped(AnswerRun, int): so many of the oldest turns had no room in the prompt.
        speed_measured(AnswerRun, float): decoded tokens per second, about twice a second.
        problem_reported(AnswerRun, ProblemText): the text cannot be saved at the moment; the run goes on.
        ended(AnswerRun, AnswerEnd): the last signal.
    """

    grew = Signal(object, object)
    routing_grew = Signal(object)
    turns_dropped = Signal(object, int)
    speed_measured = Signal(object, float)
    problem_reported = Signal(object, object)
    ended = Signal(object, object)

    def __init__(
        self,
        plan: AnswerPlan,
        *,
        history: History,
        endpoint: Endpoint,
        engine: EngineProcess | None = None,
        trace: "RoutingTrace | None" = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        message = plan.answer
        self.plan = plan
        self.message_id = message.id
        self.dropped_turns = 0
        self.trace = trace
        self.request: ChatRequest | None = None
        self._history = history
        self._endpoint = endpoint
        self._engine = engine
        self._base_length = len(message.text)
        self._pieces = [message.text] if message.text else []
        self._pending: list[str] = []
        self._routing_is_new = False
        self._is_dirty = False
        self._is_over = False
        self._is_waiting = False
        self._unreached: EndpointError | None = None
        self._reply: ChatReply | None = None
        self._num_decoded = 0
        self._offset_shift: int | None = None
        self._told: ProblemText | None = None
        self.stream = AnswerStream(message.text)
        self._since_commit = QElapsedTimer()
        self._since_first_token = QElapsedTimer()
        self._since_speed = QElapsedTimer()
        self._frame = QTimer(self, singleShot=True, interval=FRAME_MS)
        self._frame.timeout.connect(self._show_frame)
        self._commit_timer = QTimer(self, interval=COMMIT_MS)
        self._commit_timer.timeout.connect(self._commit)

    @property
    def text(self) -> str:
        """The whole answer so far, what it began with included."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def start(self) -> None:
        """Ask for the answer, as soon as the engine is ready."""
        self._since_commit.start()
        if self._engine is not None and self._engine.state.phase != "ready":
            self._wait_for_engine()
            self._take_engine_state(self._engine.state)
            return
        self._send()

    def stop(self) -> None:
        """End it now and keep what came; `ended` follows before this returns."""
        self._end(AnswerEnd(state="stopped"))

    def interrupt(self, reason: str) -> None:
        """As `stop`, for another reason than the person's wish."""
        self._end(AnswerEnd(state="interrupted", error=reason))

    # Asking

    def _wait_for_engine(self) -> None:
        assert self._engine is not None
        self._is_waiting = True
        self._engine.state_changed.connect(self._take_engine_state)

    @Slot(object)
    def _take_engine_state(self, state: EngineState) -> None:
        if self._is_over:
            return
        if state.phase == "ready":
            self._leave_engine()
            self._send()
        elif state.phase in ("failed", "stopped"):
            self._end(AnswerEnd(state="error", error=state.message or "The engine does not run."))

    def _leave_engine(self) -> None:
        if self._is_waiting and self._engine is not None:
            self._engine.state_changed.disconnect(self._take_engine_state)
        self._is_waiting = False

    def _wait_for_restart(self, error: EndpointError) -> bool:
        """Asked of an engine whose death is not known yet: ask again when it is back, once."""
        if self._engine is None or self._unreached is not None:
            return False
        self._unreached = error
        self._wait_for_engine()
        QTimer.singleShot(UNNOTICED_MS, self, self._give_up_waiting)
        return True

    @Slot()
    def _give_up_waiting(self) -> None:
        """The engine's process lives, yet nobody reaches it: no restart will come."""
        if self._is_waiting and self._engine is not None and self._engine.state.phase == "ready":
            self._end(AnswerEnd(state="error", error=str(self._unreached)))

    def _send(self) -> None:
        if self.trace is None:
            self.trace = self.plan.new_trace()
        self._ask(at_least_dropped=0)

    def _ask(self, *, at_least_dropped: int) -> bool:
        """Send the request; False when no more turns can be left out of it."""
        try:
            made = self.plan.make_request(at_least_dropped)
        except Problem as problem:
            self._end(AnswerEnd(state="error", error=str(problem)))
            return True
        if made is None:
            return False
        request, dropped = made
        if dropped != self.dropped_turns:
            self.dropped_turns = dropped
            self.turns_dropped.emit(self, dropped)
        self.request = request
        self._reply = self._endpoint.chat(request)
        self._reply.tokens_received.connect(self._take_chunk)
        self._reply.finished.connect(self._take_completion)
        self._reply.failed.connect(self._take_error)
        self._commit_timer.start()
        return True

    # Receiving

    @Slot(object)
    def _take_chunk(self, chunk: StreamChunk) -> None:
        if chunk.text:
            self._pieces.append(chunk.text)
            self._pending.append(chunk.text)
            self._is_dirty = True
        if chunk.routing is not None:
            self._take_routing(chunk)
        if not self._frame.isActive():
            self._frame.start()
        # A busy event loop can hold the timer back, so the clock is asked as well.
        if self._since_commit.elapsed() >= COMMIT_MS:
            self._commit()

    def _take_routing(self, chunk: StreamChunk) -> None:
        assert chunk.routing is not None
        if chunk.routing.get("phase") == "decode":
            if not self._since_first_token.isValid():
                self._since_first_token.start()
                self._since_speed.start()
            else:
                self._num_decoded += len(chunk.routing.get("tokens", ()))
        if self.trace is None:
            return
        try:
            self._routing_is_new = self._append_routing(self.trace, chunk) or self._routing_is_new
        except ValueError as error:
            logger.warning("The routing of answer %d is not recorded any further: %s", self.message_id, error)
            self.trace = None

    def _append_routing(self, trace: "RoutingTrace", chunk: StreamChunk) -> bool:
        assert chunk.routing is not None
        from engine.trace import from_wire

        tokens, block = from_wire(chunk.routing)
        if block is None:
            return False
        continues = bool(self._base_length and len(trace) and trace.tokens[-1].phase == "decode")
        if continues and chunk.routing.get("phase") == "prefill":
            # A continued answer: its first part is in the trace from when it was written.
            return False
        if self._base_length and chunk.routing.get("phase") == "decode":
            tokens = self._placed(tokens)
        trace.append(tokens, block)
        return True

    def _placed(self, tokens: "list[TraceToken]") -> "list[TraceToken]":
        """Offsets count in the whole answer, also from a server that counts from where it went on."""
        if self._offset_shift is None:
            first = next((token.start for token in tokens if token.start is not None), None)
            if first is None:
                return tokens
            self._offset_shift = 0 if first >= self._base_length else self._base_length
        shift = self._offset_shift
        return [
            replace(token, start=token.start + shift, end=token.end + shift)
            if token.start is not None and token.end is not None
            else token
            for token in tokens
        ]

    @Slot()
    def _show_frame(self) -> None:
        if self._pending:
            piece = "".join(self._pending)
            self._pending.clear()
            self.grew.emit(self, self.stream.feed(piece))
        if self._routing_is_new:
            self._routing_is_new = False
            self.routing_grew.emit(self)
        if self._since_speed.isValid() and self._since_speed.elapsed() >= SPEED_MS and self._num_decoded:
            self._since_speed.restart()
            self.speed_measured.emit(self, 1000.0 * self._num_decoded / max(self._since_first_token.elapsed(), 1))

    @Slot()
    def _commit(self) -> None:
        self._since_commit.restart()
        if not self._is_dirty:
            return
        try:
            self._history.update_answer(self.message_id, self.text)
        except Problem as problem:
            self._tell(problem.text)
            return
        self._is_dirty = False
        self._told = None

    def _tell(self, text: ProblemText) -> None:
        if text != self._told:
            self._told = text
            self.problem_reported.emit(self, text)

    # Ending

    @Slot(object)
    def _take_completion(self, completion: Completion) -> None:
        state: EndState = "length" if completion.finish_reason == "length" else "complete"
        self._end(AnswerEnd(state=state, completion=completion))

    @Slot(object)
    def _take_error(self, error: EndpointError) -> None:
        nothing_came = len(self.text) == self._base_length
        too_long = error.kind == "context_length" and nothing_came
        if too_long and self._ask(at_least_dropped=self.dropped_turns + 1):
            return
        if error.kind == "unreachable" and nothing_came and self._wait_for_restart(error):
            return
        lost = error.kind in ("lost", "unreachable") and (not nothing_came or error.kind == "lost")
        self._end(AnswerEnd(state="interrupted" if lost else "error", error=str(error)))

    def _end(self, end: AnswerEnd) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._leave_engine()
        if self._reply is not None:
            self._reply.cancel()
        self._frame.stop()
        self._commit_timer.stop()
        self._show_frame()
        last: StreamUpdate = self.stream.finish()
        self.grew.emit(self, last)
        self.ended.emit(self, end)

