"""Does a program's source do what was asked: one probe per attribute of a kind, derived from the kind's template.

The kind is rendered with the settings asked, and again with other settings of one attribute at a time; what changes is
that attribute's share of the program. A probe asks for this share alone: where other attributes decide what a line
says, anything may stand. The first line, which only states what was understood, does not count.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache

from engine.train.kinds import Attribute, Kind, Setting

MOST_VARIANTS = 12  # other settings of an attribute that are looked at
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
_Frozen = tuple[tuple[str, Setting], ...]


@dataclass(slots=True)
class _Line:
    """A line of a program in tokens. `owners` are the attributes without which it would not be there or be another.

    `free` has, by attribute, the tokens that it decides, and `gaps` the places before which it may put something.
    """

    tokens: list[str]
    owners: set[str] = field(default_factory=set)
    free: dict[str, set[int]] = field(default_factory=dict)
    gaps: dict[str, set[int]] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether it says anything: brackets alone are no evidence."""
        return any(token.isalnum() for token in self.tokens)

    def touched_by(self, name: str) -> bool:
        """Whether the attribute has a share in this line."""
        return name in self.owners or bool(self.free.get(name)) or bool(self.gaps.get(name))

    def pattern(self, name: str, *, free_too: bool = False) -> list[str]:
        """The line as pieces with anything between them: what other attributes decide is left open.

        With `free_too`, what this attribute decides is left open as well.
        """
        own = self.free.get(name, set())
        free = set().union(*(tokens for other, tokens in self.free.items() if other != name)) - own
        gaps = set().union(*(places for other, places in self.gaps.items() if other != name))
        if free_too:
            free, gaps = free | own, gaps | self.gaps.get(name, set())
        pieces = [""]
        for index, token in enumerate([*self.tokens, ""]):
            if index in gaps or index in free:
                pieces.append("")
            if index not in free:
                pieces[-1] += token
        return pieces


class SourceProbes:
    """The probes of one kind."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._lines_of = lru_cache(maxsize=4096)(self._lines)
        self._map_of = lru_cache(maxsize=64)(self._map)

    def is_right(self, name: str, settings: Mapping[str, Setting], program: str) -> bool:
        """Whether a program has what `settings` ask of this attribute, whatever it does about the others."""
        here = tuple(settings.items())
        written = [line.strip() for line in program.split("\n")[1:]]
        for line in self._map_of(here):
            if not line.counts or not line.touched_by(name) or _found(line.pattern(name), written):
                continue
            if line.owners <= {name} or _found(line.pattern(name, free_too=True), written):
                return False
        return not any(_found(line.pattern(name), written) for line in self._unwanted(name, here))

    def variants(self, name: str, setting: Setting) -> list[Setting]:
        """Other settings of an attribute."""
        return variants(self.kind.attributes[name], setting)

    def _unwanted(self, name: str, here: _Frozen) -> Iterator[_Line]:
        """Lines that only other settings of this attribute bring in, and that nothing in the right program is like."""
        base = self._lines_of(here)
        for other in self.variants(name, dict(here)[name]):
            there = _with(here, name, other)
            lines = self._lines_of(there)
            for _tag, old_start, old_stop, start, stop in _compare(base, lines):
                if stop - start == old_stop - old_start:
                    continue  # these lines take the place of ones that are asked for
                for line in self._map_of(there)[start:stop]:
                    if line.counts and not _found(line.pattern(name), base):
                        yield line

    def _map(self, here: _Frozen) -> list[_Line]:
        """The program's lines with what each attribute has to do with them."""
        base = self._lines_of(here)
        lines = [_Line(tokens=_TOKEN.findall(text)) for text in base]
        for name, setting in here:
            for other in self.variants(name, setting):
                changed = self._lines_of(_with(here, name, other))
                for tag, start, stop, new_start, new_stop in _compare(base, changed):
                    if tag == "replace" and stop - start == new_stop - new_start:
                        for line, text in zip(lines[start:stop], changed[new_start:new_stop], strict=True):
                            _mark(line, name, text)
                    elif tag in {"replace", "delete"}:
                        for line in lines[start:stop]:
                            line.owners.add(name)
        return lines

    def _lines(self, here: _Frozen) -> list[str]:
        return [line.strip() for line in self.kind.render(dict(here)).text.split("\n")[1:]]


def variants(attribute: Attribute, setting: Setting) -> list[Setting]:
    """Up to MOST_VARIANTS settings of an attribute other than this one; of numbers a few, none of them if possible."""
    others: Sequence[Setting]
    if attribute.type == "flag":
        others = [not setting]
    elif attribute.type == "choice":
        others = [value for value in attribute.values if value != setting]
    else:
        picked = random.Random(attribute.name).sample(attribute.numbers, min(4, len(attribute.numbers)))  # noqa: S311
        wanted = {*picked, *(int(key) for key in attribute.values if key == "0"), attribute.most}
        others = sorted(number for number in wanted if number != setting)
    return list(others)[:MOST_VARIANTS]


def _with(here: _Frozen, name: str, setting: Setting) -> _Frozen:
    return tuple((key, setting if key == name else value) for key, value in here)


def _compare(old: Sequence[str], new: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    """Where two lists of lines differ, as opcodes."""
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return [code for code in matcher.get_opcodes() if code[0] != "equal"]


def _mark(line: _Line, name: str, text: str) -> None:
    """Note which tokens of a line an attribute decides, from another version of the line."""
    other = _TOKEN.findall(text)
    for tag, start, stop, _new_start, _new_stop in _compare(line.tokens, other):
        if tag == "insert":
            line.gaps.setdefault(name, set()).add(start)
        else:
            line.free.setdefault(name, set()).update(range(start, stop))


def _found(pieces: Sequence[str], lines: Sequence[str]) -> bool:
    return any(_matches(pieces, line) for line in lines)


def _matches(pieces: Sequence[str], line: str) -> bool:
    """Whether a line is these pieces in order, the first at its start and the last at its end."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return line == first
    at, stop = len(first), len(line) - len(last)
    if at > stop or not line.startswith(first) or not line.endswith(last):
        return False
    for piece in pieces[1:-1]:
        at = line.find(piece, at, stop)
        if at < 0:
            return False
        at += len(piece)
    return True
