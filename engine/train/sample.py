"""One conversation of the corpus, ending with the model's answer, and the turns it is made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.prompt import user_text
from engine.train.kinds import Setting, Span
from engine.train.projects import files_of

Message = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One conversation that ends with the model's answer.

    `messages` are the turns before the answer; `spans` are character ranges of `answer` that depend on what was asked;
    `ends` says whether the end token follows; `asked` are the settings this request names; `program` is the
    whole program after the answer ("" where there is none) and `before` the one it started from, both as
    engine/train/projects.py writes several files; `before_spans` are the ranges of that one which follow from its first
    line.
    """

    type: str
    kind: str
    messages: tuple[Message, ...]
    answer: str
    spans: tuple[Span, ...]
    ends: bool
    asked: Mapping[str, Setting]
    settings: Mapping[str, Setting]
    templates: tuple[str, ...]
    program: str = ""
    before: str = ""
    before_spans: tuple[Span, ...] = ()


def in_context(program: str, request: str) -> str:
    """The user's turn when there is a program: its files, then the request."""
    return user_text(request, files_of(program))


def user_turn(text: str) -> Message:
    """What the person says."""
    return {"role": "user", "content": text}


def assistant_turn(text: str) -> Message:
    """What the model says."""
    return {"role": "assistant", "content": text}
