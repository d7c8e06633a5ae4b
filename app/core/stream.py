"""An arriving answer as blocks for a chat view: closed ones never change again, one is still open.

The format itself (fences, paths, edits) is engine.artifacts'; here it is read so that a long answer
costs little per piece: only the open block is ever looked at again.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from engine.artifacts import EditBlock, FileBlock, Prose, parse_answer

BlockKind = Literal["prose", "file", "edit"]
_FENCE_LINE = re.compile(r" {0,3}(`{3,}|~{3,})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A piece of an answer. `text` is Markdown (prose), a file's content, or SEARCH/REPLACE parts (edit).

    Offsets count code points of the whole answer; `content_start` is where `text` begins.
    `path` and `language` are empty for prose; `problem` says what is malformed about an edit.
    """

    index: int
    kind: BlockKind
    text: str
    start: int
    end: int
    content_start: int
    closed: bool
    path: str = ""
    language: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamUpdate:
    """What a piece of text changed: blocks that just closed, in order, and the open one (if any) as it is now."""

    closed: tuple[Block, ...]
    open: Block | None


class AnswerStream:
    """Feed it an answer piece by piece."""

    def __init__(self, text: str = "") -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._closed: list[Block] = []
        self._open: Block | None = None
        # The part of the answer that belongs to no closed block yet, and where it begins.
        self._tail = ""
        self._tail_start = 0
        # The last line of closed prose: it may name the file of the fence that follows.
        self._heading = ""
        self._fence = ""
        self._scanned = 0
        if text:
            self.feed(text)

    @property
    def text(self) -> str:
        """All that was fed."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def length(self) -> int:
        """Code points fed."""
        return self._length

    @property
    def blocks(self) -> list[Block]:
        """Closed blocks, then the open one."""
        return [*self._closed, self._open] if self._open else list(self._closed)

    def feed(self, piece: str) -> StreamUpdate:
        """Add a piece of the answer."""
        self._pieces.append(piece)
        self._length += len(piece)
        self._tail += piece
        if self._inside_open_fence():
            self._grow_open()
            return StreamUpdate(closed=(), open=self._open)
        return self._read_tail(finished=False)

    def finish(self) -> StreamUpdate:
        """The answer has ended: what is open is closed, as far as it came."""
        return self._read_tail(finished=True)

    def _inside_open_fence(self) -> bool:
        """Whether the open block is a fence of settled kind and no line that came could end it."""
        if self._open is None or self._open.kind == "prose" or not self._fence:
            return False
        if "\n" not in self._open.text.lstrip():
            return False
        # From the start of the line that was unfinished: complete lines before it did not end the fence.
        line_start = self._tail.rfind("\n", 0, self._scanned) + 1
        lines = self._tail[line_start:].split("\n")
        if any(line.lstrip(" ").startswith(self._fence[0]) for line in lines):
            return False
        self._scanned = len(self._tail)
        return True

    def _grow_open(self) -> None:
        assert self._open is not None
        text = self._tail[self._open.content_start - self._tail_start :]
        self._open = replace(self._open, text=text, end=self._length)

    def _read_tail(self, *, finished: bool) -> StreamUpdate:
        # A newline behind a finished answer makes the parser read its last line to the end.
        ending = "\n" if finished and not self._tail.endswith("\n") else ""
        source = self._heading + self._tail + ending
        segments = parse_answer(source)
        closed: list[Block] = []
        self._open, self._fence = None, ""
        for position, segment in enumerate(segments):
            if isinstance(segment, Prose):
                self._read_prose(segment, closed, final=finished or position < len(segments) - 1)
            else:
                self._read_fence(segment, source, closed, finished=finished)
        self._closed += closed
        if closed:
            self._cut_tail(closed[-1])
        self._scanned = len(self._tail)
        return StreamUpdate(closed=tuple(closed), open=self._open)

    def _cut_tail(self, last: Block) -> None:
        cut = last.end - self._tail_start
        self._tail_start, self._tail = last.end, self._tail[cut:]
        line = last.text.rstrip().rpartition("\n")[2] if last.kind == "prose" else ""
        self._heading = "" if not line or _FENCE_LINE.match(line) else line + "\n"

    def _at(self, source_offset: int) -> int:
        """Offset in the answer of an offset in what was parsed."""
        return min(self._tail_start + source_offset - len(self._heading), self._length)

    def _read_prose(self, prose: Prose, closed: list[Block], *, final: bool) -> None:
        at = max(prose.start, len(self._heading))
        pieces = split_paragraphs(prose.text[at - prose.start :])
        for position, piece in enumerate(pieces):
            start, end = self._at(at), self._at(at + len(piece))
            at += len(piece)
            is_open = not final and position == len(pieces) - 1
            block = Block(
                index=len(self._closed) + len(closed),
                kind="prose",
                text=piece[: end - start],
                start=start,
                end=end,
                content_start=start,
                closed=not is_open,
            )
            if is_open:
                self._open = block
            elif piece.strip():
                closed.append(block)

    def _read_fence(
        self, segment: FileBlock | EditBlock, source: str, closed: list[Block], *, finished: bool
    ) -> None:
        # Until its line has ended, what looks like a closing fence may become something else.
        is_over = segment.closed and (segment.end < len(source) or source.endswith("\n"))
        is_edit = isinstance(segment, EditBlock)
        end, content_start = self._at(segment.end), self._at(segment.content_start)
        text = _body(segment, source)
        block = Block(
            index=len(self._closed) + len(closed),
            kind="edit" if is_edit else "file",
            text=text if is_over else text[: end - content_start],
            start=self._at(segment.start),
            end=end,
            content_start=content_start,
            closed=is_over,
            path=segment.path,
            language="diff" if isinstance(segment, EditBlock) else segment.language,
            problem=segment.problem if isinstance(segment, EditBlock) and is_over else "",
        )
        if is_over or finished:
            closed.append(block)
            return
        self._open = block
        marks = _FENCE_LINE.match(source[segment.start :])
        self._fence = marks[1] if marks else ""


def _body(segment: FileBlock | EditBlock, source: str) -> str:
    """The lines between the fences."""
    if isinstance(segment, FileBlock):
        return segment.content
    body = source[segment.content_start : segment.end]
    return body[: body.rstrip("\n").rfind("\n") + 1] if segment.closed else body


def split_paragraphs(text: str) -> list[str]:
    """Cut Markdown at blank lines outside fences, so that every piece renders alone; joined they are `text`.

    A list or a quotation stays together: a cut comes only before a line that starts at the margin.
    """
    pieces: list[str] = []
    current: list[str] = []
    fence = ""
    blank_before = False
    for line in re.split(r"(?<=\n)", text):
        marks = _FENCE_LINE.match(line)
        if blank_before and not fence and current and _starts_paragraph(line):
            pieces.append("".join(current))
            current = []
        if marks and not fence:
            fence = marks[1]
        elif marks and fence and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
        current.append(line)
        blank_before = not line.strip()
    if current:
        pieces.append("".join(current))
    return pieces


def _starts_paragraph(line: str) -> bool:
    return bool(line.strip()) and not re.match(r"[ \t]|[-*+>|] |\d+[.)] |[-*+]$", line)


def blocks_of(text: str) -> list[Block]:
    """The blocks of a finished answer."""
    stream = AnswerStream()
    stream.feed(text)
    stream.finish()
    return stream.blocks
