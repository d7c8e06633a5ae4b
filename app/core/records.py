"""The values that history stores and hands out. No SQL here, and nothing that changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["user", "assistant"]
AnswerState = Literal["complete", "writing", "stopped", "interrupted", "error", "length"]
"""`length`: the token limit ended it. `interrupted`: the engine or the program died while it was written."""

CONTINUABLE_STATES: frozenset[AnswerState] = frozenset({"stopped", "interrupted", "error", "length"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """One conversation. Times are seconds since 1970; `project_dir` is None for the usual folder."""

    id: int
    title: str
    created_at: float
    updated_at: float
    active_leaf: int | None = None
    system_prompt: str = ""
    draft: str = ""
    project_dir: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One node of a conversation's tree, a request or an answer with all that made it.

    `snapshot_before` and `snapshot_after` are the project states it started from and left;
    `snapshot_left` is the state when its branch was last shown, hand edits included.
    `applied` is what became of the files: {"changes": [...], "rejects": [...]}.
    """

    id: int
    conversation_id: int
    parent_id: int | None
    role: Role
    text: str
    state: AnswerState = "complete"
    created_at: float = 0.0
    error: str = ""
    model: str = ""
    fingerprint: str = ""
    seed: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)
    trace_file: str = ""
    snapshot_before: str = ""
    snapshot_after: str = ""
    snapshot_left: str = ""
    dropped_turns: int = 0
    applied: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerOrigin:
    """What an answer is made with, known when it begins."""

    model: str = ""
    fingerprint: str = ""
    seed: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    snapshot_before: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerOutcome:
    """How an answer ended; empty values leave what is stored."""

    text: str
    state: AnswerState
    error: str = ""
    model: str = ""
    fingerprint: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)
    trace_file: str = ""
    snapshot_after: str = ""
    dropped_turns: int = 0
    applied: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One place a search found; `message_id` is None when the title matched.

    `match_start` and `match_length` count code points of `snippet`.
    """

    conversation_id: int
    message_id: int | None
    title: str
    role: Role | None
    snippet: str
    match_start: int
    match_length: int
    created_at: float
