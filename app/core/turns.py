"""From the shown branch to what a model is sent: turns, and how many of the oldest have to go.

The form of the prompt is engine.prompt's. A model's tokenizer is not at hand here, so lengths are estimates that
learn from what the server counted; the server's own "too long" has the last word.
"""

from collections.abc import Mapping, Sequence

from app.core.records import Message
from engine.prompt import Composed, Turn, compose

_FIRST_GUESS_CHARS_PER_TOKEN = 2.6
_MIN_LEARNING_TOKENS = 40
_ANSWER_SHARE = 3 / 8
"""At least this share of the context is kept free for the answer, unless the person set its length."""


class TokenEstimate:
    """Characters per token, learnt from the prompts a server counted."""

    def __init__(self) -> None:
        self.chars_per_token = _FIRST_GUESS_CHARS_PER_TOKEN

    def count(self, text: str) -> int:
        """About how many tokens a text has, rounded up."""
        return int(len(text) / self.chars_per_token) + 1

    def learn(self, messages: Sequence[Mapping[str, str]], prompt_tokens: int) -> None:
        """Take in that these messages had so many tokens."""
        chars = sum(len(message["content"]) for message in messages)
        if prompt_tokens >= _MIN_LEARNING_TOKENS and chars:
            self.chars_per_token = min(max(chars / prompt_tokens, 0.5), 8.0)


def turns_of(path: Sequence[Message]) -> list[Turn]:
    """The turns of a branch, roles alternating: empty answers go, requests that got none are joined."""
    turns: list[Turn] = []
    for message in path:
        if message.role == "assistant" and not message.text.strip():
            continue
        if turns and turns[-1].role == message.role:
            turns[-1] = Turn(role=message.role, text=f"{turns[-1].text}\n\n{message.text}")
        else:
            turns.append(Turn(role=message.role, text=message.text))
    return turns


def prompt_budget(context_tokens: int | None, max_tokens: int | None) -> int | None:
    """How many tokens a prompt may have so that the answer has room; None when the context is not known."""
    if context_tokens is None:
        return None
    reserve = int(context_tokens * _ANSWER_SHARE) if max_tokens is None else max_tokens
    return max(context_tokens - min(reserve, context_tokens // 2), 1)


def compose_prompt(
    turns: Sequence[Turn],
    files: Mapping[str, str],
    *,
    system: str,
    budget_tokens: int | None,
    estimate: TokenEstimate,
    already_dropped: int = 0,
) -> Composed | None:
    """Make the messages, without the first `already_dropped` turns; None when no turn is left to drop.

    `dropped` of the result counts all that were left out.
    """
    rest = turns[already_dropped:]
    if not rest or rest[-1].role != "user":
        return None
    composed = compose(rest, files, system=system, max_tokens=budget_tokens, count_tokens=estimate.count)
    return Composed(messages=composed.messages, dropped=composed.dropped + already_dropped)
