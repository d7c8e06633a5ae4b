"""A conversation as one Markdown text."""

import datetime as dt
from collections.abc import Sequence

from app.core.model_names import model_name
from app.core.records import Conversation, Message

_STATES = {
    "writing": "still being written",
    "stopped": "stopped by hand",
    "interrupted": "interrupted",
    "error": "ended by an error",
    "length": "ended by the token limit",
}


def export_markdown(conversation: Conversation, path: Sequence[Message]) -> str:
    """The shown branch: who said what when, and with which model. Code blocks stay as they were written."""
    parts = [f"# {conversation.title or 'Conversation'}\n", f"{_time(conversation.created_at)}\n"]
    if conversation.system_prompt:
        parts.append(f"**System prompt**\n\n{conversation.system_prompt}\n")
    for message in path:
        parts.append(f"## {_heading(message)}\n")
        parts.append(message.text.rstrip() + "\n")
        if message.state in _STATES:
            reason = f": {message.error}" if message.error else ""
            parts.append(f"*({_STATES[message.state]}{reason})*\n")
    return "\n".join(parts)


def _heading(message: Message) -> str:
    who = "You" if message.role == "user" else (model_name(message.model) if message.model else "Answer")
    return f"{who}, {_time(message.created_at)}"


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
