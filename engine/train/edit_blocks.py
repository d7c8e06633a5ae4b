"""From two versions of a program to the answer that leads from one to the other, in SEARCH/REPLACE parts."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from engine.train.kinds import Span
from engine.train.projects import files_of

NEAR_LINES = 4  # at most, on either side of a change


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Whole lines to find, once in the text at that time, and the lines that take their place."""

    search: tuple[str, ...]
    replace: tuple[str, ...]


def edit_answer(head: str, before: str, after: str) -> tuple[str, tuple[Span, ...]]:
    """The answer with an edit block for each file that changes.

    Marked are the first line, the file named, what the blocks search for and put there, and the first character behind
    these and behind the block: where a part ends and whether another comes depends on the request as much.
    """
    text, spans = head, [(0, head.index("\n"))]
    there = files_of(before)
    for path, new in files_of(after).items():
        if there[path] == new:
            continue
        text += ("```\n\n" if text != head else "") + "```edit "
        spans.append((len(text), len(text) + len(path)))
        text += f"{path}\n"
        for part in diff_parts(there[path], new):
            for marker, lines in (("<<<<<<< SEARCH\n", part.search), ("=======\n", part.replace)):
                text += marker
                body = "".join(f"{line}\n" for line in lines)
                spans.append((len(text), len(text) + len(body) + 1))
                text += body
            text += ">>>>>>> REPLACE\n"
            spans.append((len(text), len(text) + 1))
    return text + "```", tuple(spans)


def diff_parts(old: str, new: str) -> list[Part]:
    """Parts in the order of the text; applied one after another to `old` they give `new`.

    Every SEARCH is as short as is unique, counted in whole lines, in the text as the parts before leave it.
    """
    before, after = old.split("\n"), new.split("\n")
    changes = [
        code[1:] for code in SequenceMatcher(None, before, after, autojunk=False).get_opcodes() if code[0] != "equal"
    ]
    parts: list[Part] = []
    while changes:
        start, stop, new_start, new_stop = changes.pop(0)
        current = after[:new_start] + before[start:]  # the parts before this one have been applied
        shift = new_start - start
        first, last = _grow(current, start + shift, stop + shift)
        while changes and changes[0][0] + shift < last:  # an anchor reached into the next change: take it in
            _, stop, _, new_stop = changes.pop(0)
            first, last = _grow(current, start + shift, stop + shift)
        lead, tail = current[first : start + shift], current[stop + shift : last]
        parts.append(Part(search=tuple(current[first:last]), replace=(*lead, *after[new_start:new_stop], *tail)))
    return parts


def near_changes(old: str, new: str, rng: random.Random) -> tuple[str, str]:
    """Two versions of a program cut down to their first line, the lines that differ, and some lines near those."""
    before, after = old.split("\n"), new.split("\n")
    old_lines, new_lines = [], []
    for tag, start, stop, new_start, new_stop in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            old_lines += before[start:stop]
            new_lines += after[new_start:new_stop]
            continue
        ahead, behind = rng.randint(0, NEAR_LINES), rng.randint(0, NEAR_LINES)
        same = before[start:stop]
        if start == 0:
            same = same[:1] + same[1:][max(0, stop - 1 - behind) :]
        elif ahead + behind < len(same):
            same = same[:ahead] + same[len(same) - behind :]
        old_lines += same
        new_lines += same
    return "\n".join(old_lines), "\n".join(new_lines)


def _grow(lines: Sequence[str], start: int, stop: int) -> tuple[int, int]:
    """The shortest stretch of lines around [start, stop) that is not empty and occurs once; upwards first."""
    first, last = start, stop
    if first == last:
        first, last = (first - 1, last) if first > 0 else (first, last + 1)
    while not _unique(lines, lines[first:last]):
        if first > 0 and (start - first <= last - stop or last == len(lines)):
            first -= 1
        elif last < len(lines):
            last += 1
        else:
            break
    return first, last


def _unique(lines: Sequence[str], wanted: Sequence[str]) -> bool:
    if not any(line.strip() for line in wanted):
        return False
    text, part = "\n".join(lines), "\n".join(wanted)
    stripped, bare = [line.strip() for line in lines], [line.strip() for line in wanted]
    same = sum(stripped[i : i + len(bare)] == bare for i in range(len(stripped) - len(bare) + 1))
    return text.count(part) == 1 and same == 1
