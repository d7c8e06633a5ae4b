"""One conversation's tree of messages: the shown branch, siblings, and the project state each message needs.

Plain values in memory; what is stored is app.core.history's business.
"""

from collections.abc import Iterable

from app.core.records import Message


class ConversationTree:
    """Messages by parent. The shown branch runs from the root to `leaf`."""

    def __init__(self, messages: Iterable[Message] = (), active_leaf: int | None = None) -> None:
        self._messages: dict[int, Message] = {}
        self._children: dict[int | None, list[int]] = {}
        self._leaf: int | None = None
        for message in messages:
            self.put(message)
        if active_leaf in self._messages:
            self._leaf = active_leaf
        elif self._messages:
            self._leaf = max(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._messages

    def get(self, message_id: int) -> Message:
        """The message as it is now. Raises KeyError."""
        return self._messages[message_id]

    @property
    def leaf(self) -> Message | None:
        """The last message of the shown branch; None in an empty conversation."""
        return None if self._leaf is None else self._messages[self._leaf]

    def put(self, message: Message) -> None:
        """Add a message, or replace the one with its id."""
        if message.id not in self._messages:
            self._children.setdefault(message.parent_id, []).append(message.id)
        self._messages[message.id] = message

    def path(self) -> list[Message]:
        """The shown branch, the first request first."""
        return [] if self._leaf is None else self.path_to(self._leaf)

    def path_to(self, message_id: int) -> list[Message]:
        """The branch that ends in a message."""
        branch: list[Message] = []
        step: int | None = message_id
        while step is not None:
            message = self._messages[step]
            branch.append(message)
            step = message.parent_id
        branch.reverse()
        return branch

    def siblings(self, message_id: int) -> list[int]:
        """The other versions of a message and itself, oldest first."""
        return list(self._children[self._messages[message_id].parent_id])

    def step(self, message_id: int, delta: int) -> int | None:
        """The sibling `delta` places on, None past the ends."""
        ids = self.siblings(message_id)
        position = ids.index(message_id) + delta
        return ids[position] if 0 <= position < len(ids) else None

    def leaf_below(self, message_id: int) -> Message:
        """The end of the newest branch through a message."""
        step = message_id
        while children := self._children.get(step):
            step = children[-1]
        return self._messages[step]

    def activate(self, message_id: int) -> Message:
        """Show the newest branch through a message and return its leaf."""
        leaf = self.leaf_below(message_id)
        self._leaf = leaf.id
        return leaf

    def show_up_to(self, message_id: int | None) -> None:
        """Show the branch that ends exactly here (None: nothing yet), as before a new message is added."""
        assert message_id is None or message_id in self._messages
        self._leaf = message_id

    def starting_state(self, message_id: int) -> str:
        """The project state a message started from; empty when none was recorded."""
        return self._messages[message_id].snapshot_before

    def resting_state(self, message_id: int) -> str:
        """The project state that belongs to a branch ending here: as it was last left, hand edits included.

        An answer that changed nothing yet, or a request alone, rests where it started.
        """
        message = self._messages[message_id]
        return message.snapshot_left or message.snapshot_after or message.snapshot_before
