"""Where the tokens of an answer stand in a file it wrote, also after the file was edited; and blocks of code."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Protocol

from app.core.stream import Block, blocks_of
from engine.artifacts import EditBlock, parse_answer


class AnswerToken(Protocol):
    """What is needed of a trace's token: its phase and its code points in the answer (None for template tokens)."""

    @property
    def phase(self) -> str:
        """ "prefill" or "decode"."""

    @property
    def start(self) -> int | None:
        """First code point."""

    @property
    def end(self) -> int | None:
        """One past the last code point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPlace:
    """A token's code points in a file; `token` is its number in the trace."""

    token: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """`length` code points from `answer` on in the answer stand from `file` on in the file."""

    answer: int
    file: int
    length: int


def place_tokens(answer: str, tokens: Sequence[AnswerToken], path: str, file_text: str) -> list[TokenPlace]:
    """Find the answer's tokens in a file, in the file's order. Lines that were changed since have none."""
    runs = sorted((run for block in blocks_of(answer) if block.path == path for run in _runs(block, answer, file_text)),
                  key=lambda run: run.answer)
    starts = [run.answer for run in runs]
    places = []
    for number, token in enumerate(tokens):
        if token.phase != "decode" or token.start is None or token.end is None or token.start == token.end:
            continue
        first = max(0, bisect_right(starts, token.start) - 1)
        for run in runs[first:]:
            if run.answer >= token.end:
                break
            begin, end = max(token.start, run.answer), min(token.end, run.answer + run.length)
            if begin < end:
                shift = run.file - run.answer
                places.append(TokenPlace(token=number, start=begin + shift, end=end + shift))
                break
    return sorted(places, key=lambda place: (place.start, place.token))


def _runs(block: Block, answer: str, file_text: str) -> list[_Run]:
    if block.kind == "file":
        return _align(block.text, block.content_start, file_text)
    runs = []
    for segment in parse_answer(answer[block.start:block.end]):
        for part in segment.parts if isinstance(segment, EditBlock) else ():
            at = answer.find(part.replace, block.content_start, block.end) if part.replace else -1
            found = file_text.find(part.replace) if part.replace else -1
            if at >= 0 and found >= 0:
                runs.append(_Run(answer=at, file=found, length=len(part.replace)))
    return runs


def _align(written: str, at: int, file_text: str) -> list[_Run]:
    """Match what was written with what the file says now, line by line."""
    if written == file_text:
        return [_Run(answer=at, file=0, length=len(written))]
    old, new = written.splitlines(keepends=True), file_text.splitlines(keepends=True)
    old_starts, new_starts = _starts(old), _starts(new)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return [_Run(answer=at + old_starts[block.a], file=new_starts[block.b],
                 length=old_starts[block.a + block.size] - old_starts[block.a])
            for block in matcher.get_matching_blocks() if block.size]


def _starts(lines: Sequence[str]) -> list[int]:
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    return starts


def block_around(text: str, offset: int) -> tuple[int, int]:
    """Give the function or block of code around a place, found by its indentation: its head to its closing line.

    The head is the nearest line above that is indented less than the place's own; at the margin, the line itself.
    """
    lines = text.splitlines(keepends=True)
    starts = _starts(lines)
    here = min(max(0, bisect_right(starts, offset) - 1), max(0, len(lines) - 1))
    if not lines:
        return 0, 0
    head = here
    while head > 0 and (not lines[head].strip() or _indent(lines[head]) >= _indent(lines[here]) > 0):
        head -= 1
    if not lines[head].rstrip().endswith(("{", "(", "[", ":", ">")):
        head = here
    end = head + 1
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > _indent(lines[head])):
        end += 1
    closes = end < len(lines) and end > head + 1 and lines[end].lstrip()[:1] in ("}", ")", "]", "<")
    return starts[head], starts[end + 1 if closes else end] - (1 if lines[end - (not closes)].endswith("\n") else 0)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
