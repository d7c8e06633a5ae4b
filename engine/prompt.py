"""How a conversation and its project become the messages a model is sent; training uses the same functions.

The last user turn carries the project's current files as fenced blocks, then the request. Earlier answers keep
their prose; each file block in them becomes `[path]`, since the current files are in the last turn.
Chat templates are not applied here (the tokenizer has them). Standard library only.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.artifacts import Prose, language_of_path, parse_answer

# Tokens a chat template puts around one message; K2's takes four to five.
MESSAGE_OVERHEAD_TOKENS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a conversation, as the person or the model wrote it."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """Messages in OpenAI's form, and how many of the oldest turns had no room."""

    messages: list[dict[str, str]]
    dropped: int


def file_fence(path: str, content: str) -> str:
    """Write one file as a fenced block whose info string carries its path; ends without a newline."""
    longest = max((len(run) for run in re.findall(r"^ {0,3}(`{3,})", content, re.MULTILINE)), default=2)
    marks = "`" * (longest + 1)
    newline = "" if content.endswith("\n") or not content else "\n"
    return f"{marks}{language_of_path(path)} {path}\n{content}{newline}{marks}"


def user_text(request: str, files: Mapping[str, str]) -> str:
    """Write a user turn as the model sees it: the project's files in path order, a blank line, the request."""
    blocks = [file_fence(path, files[path]) for path in sorted(files)]
    return "\n\n".join([*blocks, request])


def earlier_answer(text: str) -> str:
    """Shorten an answer that is not the last: its prose, with `[path]` in place of each file or edit block."""
    pieces: list[str] = []
    for segment in parse_answer(text + "\n"):
        piece = segment.text.strip("\n") if isinstance(segment, Prose) else f"[{segment.path}]"
        if piece.strip():
            pieces.append(piece)
    return "\n\n".join(pieces)


def compose(turns: Sequence[Turn], files: Mapping[str, str], *, system: str = "", max_tokens: int | None = None,
            count_tokens: Callable[[str], int]) -> Composed:
    """Make the messages for a request, leaving out the oldest turns when the whole passes `max_tokens`.

    The system text and the last user turn with its files are never left out, even when they alone pass the
    limit (the engine then refuses the prompt with the numbers).

    Raises:
        ValueError: the turns don't end with one of the person's.
    """
    if not turns or turns[-1].role != "user":
        raise ValueError("A prompt must end with a turn of the user. Add the request as the last turn.")
    texts = [turn.text if turn.role == "user" else earlier_answer(turn.text) for turn in turns[:-1]]
    texts.append(user_text(turns[-1].text, files))
    first = 0
    if max_tokens is not None:
        system_tokens = count_tokens(system) + MESSAGE_OVERHEAD_TOKENS if system else 0
        first = _first_that_fits(texts, max_tokens - system_tokens, count_tokens)
    while turns[first].role == "assistant":
        first += 1
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": turn.role, "content": text}
                 for turn, text in zip(turns[first:], texts[first:], strict=True)]
    return Composed(messages=messages, dropped=first)


def _first_that_fits(texts: Sequence[str], budget: int, count_tokens: Callable[[str], int]) -> int:
    """Count back from the newest turn; give the index of the oldest that still fits (the last always does)."""
    used = count_tokens(texts[-1]) + MESSAGE_OVERHEAD_TOKENS
    for index in range(len(texts) - 2, -1, -1):
        used += count_tokens(texts[index]) + MESSAGE_OVERHEAD_TOKENS
        if used > budget:
            return index + 1
    return 0
