"""A conversation that is open: its tree, its project folder, and the rules that tie the two together.

Every request and answer starts from a stored project state. Going back to one stores what is there first,
so nothing anybody wrote is ever overwritten for good. No network and no Qt.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from app.core.conversation import ConversationTree
from app.core.history import History
from app.core.problem import Problem
from app.core.records import AnswerOrigin, AnswerOutcome, Conversation, Message
from app.core.snapshots import SnapshotStore
from app.core.workspace import MAX_TEXT_BYTES, Workspace
from engine.artifacts import FileBlock, Understood, apply_answer, parse_answer, understood, with_understood


@dataclass(frozen=True, kw_only=True, slots=True)
class AppliedAnswer:
    """What became of an answer's files. `record` is stored with the message."""

    record: Mapping[str, Any]
    changed_paths: tuple[str, ...]
    snapshot_after: str
    problem: Problem | None = None


class OpenConversation:
    """One conversation with its messages and its files."""

    def __init__(
        self, history: History, snapshots: SnapshotStore, conversation: Conversation, workspace: Workspace
    ) -> None:
        self._history = history
        self._snapshots = snapshots
        self.conversation = conversation
        self.workspace = workspace
        self.tree = ConversationTree(history.messages(conversation.id), conversation.active_leaf)

    @property
    def id(self) -> int:
        """The conversation's id."""
        return self.conversation.id

    def reload(self) -> None:
        """Read title, draft and system prompt again."""
        self.conversation = self._history.conversation(self.id)

    def add_request(self, parent_id: int | None, text: str) -> Message:
        """Add a request below `parent_id`, starting from the project as it is. Raises Problem."""
        state = self._snapshots.take(self.workspace.root)
        request = self._history.add_request(self.id, parent_id, text, snapshot_before=state)
        return self._show(request)

    def begin_answer(self, request_id: int, origin: AnswerOrigin, *, text: str = "") -> Message:
        """Add an answer to a request, starting from the project as it is. Raises Problem."""
        state = self._snapshots.take(self.workspace.root)
        origin = AnswerOrigin(
            model=origin.model,
            fingerprint=origin.fingerprint,
            seed=origin.seed,
            sampling=origin.sampling,
            snapshot_before=state,
        )
        return self._show(self._history.begin_answer(self.id, request_id, origin, text=text))

    def reopen_answer(self, message_id: int) -> tuple[Message, list[str]]:
        """Make an answer writable again, and give the paths of files that went back for it. Raises Problem.

        If some of its files were already written, the project goes back to where the answer started, since all
        of it is applied again at its end.
        """
        message = self.tree.get(message_id)
        changed = self.go_to_state(message.snapshot_before) if message.applied.get("changes") else []
        return self._show(self._history.reopen_answer(message_id)), changed

    def go_to_start_of(self, message_id: int) -> list[str]:
        """Bring the project to the state a message started from; gives the paths that changed. Raises Problem."""
        return self.go_to_state(self.tree.starting_state(message_id))

    def go_to_state(self, state: str) -> list[str]:
        """Bring the project to a state; what is there is stored, and found again with the branch shown now."""
        if not state:
            return []
        before = self._snapshots.restore(state, self.workspace.root)
        leaf = self.tree.leaf
        if leaf is not None and before != self.tree.resting_state(leaf.id):
            self._history.set_snapshot_left(leaf.id, before)
            self.tree.put(self._history.message(leaf.id))
        return list(self._snapshots.diff(before, state).paths)

    def show_branch_of(self, message_id: int) -> list[str]:
        """Show the newest branch through a message, with the project as that branch was left. Raises Problem."""
        leaf = self.tree.leaf_below(message_id)
        changed = self.go_to_state(self.tree.resting_state(leaf.id))
        self.tree.activate(message_id)
        self._history.set_active_leaf(self.id, leaf.id)
        return changed

    def show_up_to(self, message_id: int | None) -> None:
        """Show the branch that ends here, before a sibling is added below it."""
        self.tree.show_up_to(message_id)

    def apply(self, answer: Message, text: str) -> AppliedAnswer:
        """Write the files of an answer into the project as it is now. Never raises: faults are in the result."""
        try:
            before = self._snapshots.take(self.workspace.root)
            if answer.parent_id is not None and before != answer.snapshot_before:
                # Edited by hand while the answer was written: kept with the request.
                self._history.set_snapshot_left(answer.parent_id, before)
            files = self.workspace.text_files(max_bytes=MAX_TEXT_BYTES)
        except Problem as problem:
            return AppliedAnswer(record={}, changed_paths=(), snapshot_after="", problem=problem)
        applied = apply_answer(files, text)
        record: dict[str, Any] = {
            "changes": [asdict(change) for change in applied.changes],
            "rejects": [asdict(reject) for reject in applied.rejects],
        }
        changed = {path: content for path, content in applied.files.items() if files.get(path) != content}
        try:
            if changed:
                self.workspace.write_many(changed)
            after = self._snapshots.take(self.workspace.root)
        except Problem as problem:
            record = {"changes": [], "rejects": record["rejects"] + _refused(changed, problem)}
            return AppliedAnswer(record=record, changed_paths=(), snapshot_after=before, problem=problem)
        return AppliedAnswer(record=record, changed_paths=tuple(sorted(changed)), snapshot_after=after)

    def finish_answer(self, message_id: int, outcome: AnswerOutcome) -> Message:
        """Store how an answer ended. Raises Problem."""
        message = self._history.finish_answer(message_id, outcome)
        self.tree.put(message)
        self.reload()
        return message

    def text_with_understood(self, message_id: int, line: Understood) -> str:
        """An answer up to and with its changed "understood" line, to be written on from there. Raises Problem."""
        text = self.tree.get(message_id).text
        for segment in parse_answer(text + "\n"):
            if isinstance(segment, FileBlock) and understood(segment.content) is not None:
                try:
                    program = with_understood(segment.content, line)
                except ValueError as error:
                    raise Problem("The program was not changed.", str(error), "") from error
                return text[: segment.content_start] + program.split("\n", 1)[0] + "\n"
        raise Problem(
            "The program was not changed.",
            "This answer has no line that says what was understood.",
            "Ask for the change in words.",
        )

    def _show(self, message: Message) -> Message:
        self.tree.put(message)
        self.tree.show_up_to(message.id)
        self.reload()
        return message


def _refused(texts: Mapping[str, str], problem: Problem) -> list[dict[str, str]]:
    return [{"path": path, "reason": str(problem), "block": text} for path, text in texts.items()]
