"""Misspelt programs, the errors Chromium reports for them, and the report a person sends with "Fix it"."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.train.projects import ENTRY, files_of

# Statements that run as soon as the page loads: those that begin in the first column.
_STATEMENTS = (
    re.compile(r"^(?P<object>[a-z]\w{3,})(?:\.\w+)*\.\w+\("),
    re.compile(r"^(?P<object>(?!while|switch|function)[a-zA-Z]\w{4,})\("),
    re.compile(r"^(?P<path>[a-z]\w+(?:\.\w+)*)\.(?P<method>[a-z]\w{3,})\("),
    re.compile(r"^(?:const \w+ = |scene\.add\()new THREE\.(?P<name>[A-Z]\w{3,})\("),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A program with one misspelt name, and the error that comes of it."""

    program: str
    line: int  # from 1
    wrong: str
    right: str
    message: str

    def report(self) -> str:
        """The message of "Fix it" in the preview (app.core.run_report.fix_request)."""
        return report_errors([{"message": self.message, "line": self.line}], self.program)


def report_errors(errors: Sequence[Mapping[str, Any]], program: str) -> str:
    """The message of "Fix it" for errors of a program as `expertarium check` lists them; five are told at most."""
    one = len(errors) == 1
    parts = ["The page has an error. Please fix it." if one else "The page has errors. Please fix them."]
    files = files_of(program)
    for error in errors[:5]:
        line, path = error["line"] or 0, error.get("path") or ENTRY
        lines = files.get(path, "").split("\n")
        parts.append(f"- {path}:{line}: {error['message']}" if line else f"- {error['message']}")
        if 0 < line <= len(lines) and lines[line - 1].strip():
            parts.append(f"  `{lines[line - 1].strip()[:160]}`")
    if len(errors) > 5:
        parts.append(f"- and {len(errors) - 5} more")
    return "\n".join(parts)


def misspell(program: str, rng: random.Random) -> Fault:
    """The program with one name misspelt so that it stops as it loads.

    Raises ValueError for a program without a statement in the first column that names something long enough.
    """
    lines = program.split("\n")
    places = [(index, match) for index, line in enumerate(lines) for form in _STATEMENTS if (match := form.match(line))]
    rng.shuffle(places)
    for index, match in places:
        group = str(match.lastgroup)
        right = match[group]
        wrong = _misspelt(right, rng)
        if wrong == right or wrong in program:
            continue
        line = lines[index][: match.start(group)] + wrong + lines[index][match.end(group) :]
        text = "\n".join([*lines[:index], line, *lines[index + 1 :]])
        return Fault(program=text, line=index + 1, wrong=wrong, right=right, message=_message(match, group, wrong))
    raise ValueError("The program has no name to misspell. Begin a statement that runs at loading in the first column.")


def _message(match: re.Match[str], group: str, wrong: str) -> str:
    if group == "object":
        return f"Uncaught ReferenceError: {wrong} is not defined"
    if group == "method":
        return f"Uncaught TypeError: {match['path']}.{wrong} is not a function"
    return f"Uncaught TypeError: THREE.{wrong} is not a constructor"


def _misspelt(name: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(name) - 1)
    return rng.choice((
        name[:at] + name[at + 1 :],
        name[:at] + name[at + 1] + name[at] + name[at + 2 :],
        name[:at] + name[at] + name[at:],
    ))
