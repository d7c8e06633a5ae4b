"""Stores how answers ended, and tries again while the disk refuses, so that nothing written is given up."""

from dataclasses import replace

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.core.open_conversation import OpenConversation
from app.core.problem import Problem
from app.core.records import AnswerOutcome, Message

RETRY_MS = 3000


class AnswerKeeper(QObject):
    """Signals: problem_reported(ProblemText), an answer cannot be stored at the moment."""

    problem_reported = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: list[tuple[OpenConversation, int, AnswerOutcome]] = []
        self._retry = QTimer(self, singleShot=True, interval=RETRY_MS)
        self._retry.timeout.connect(self._try_again)

    def store(self, opened: OpenConversation, message_id: int, outcome: AnswerOutcome) -> Message:
        """Store an end, now or as soon as it can be; gives the message as it is to be shown."""
        try:
            return opened.finish_answer(message_id, outcome)
        except Problem as problem:
            self._waiting.append((opened, message_id, outcome))
            self._retry.start()
            self.problem_reported.emit(problem.text)
        message = replace(
            opened.tree.get(message_id), text=outcome.text, state=outcome.state, applied=outcome.applied
        )
        opened.tree.put(message)
        return message

    @Slot()
    def _try_again(self) -> None:
        waiting, self._waiting = self._waiting, []
        for opened, message_id, outcome in waiting:
            try:
                opened.finish_answer(message_id, outcome)
            except Problem:
                self._waiting.append((opened, message_id, outcome))
        if self._waiting:
            self._retry.start()
