"""A program of several files as one text, in the form that an answer has it.

index.html comes first, then every other file behind the fence that ends the one before it. A program of one file is
that file.
"""

import re
from collections.abc import Mapping

from engine.artifacts import language_of_path

ENTRY = "index.html"
_NEXT_FILE = re.compile(r"^```\n\n```\w+ (\S+)\n", re.MULTILINE)


def files_of(program: str) -> dict[str, str]:
    """The files of a program, by path in the order of the text."""
    first, *others = _NEXT_FILE.split(program)
    return {ENTRY: first, **dict(zip(others[::2], others[1::2], strict=True))}


def text_of(files: Mapping[str, str]) -> str:
    """A project's files as one text, those after index.html in the order of their paths; "" without an index.html."""
    if ENTRY not in files:
        return ""
    others = sorted(path for path in files if path != ENTRY)
    return files[ENTRY] + "".join(f"```\n\n```{language_of_path(path)} {path}\n{files[path]}" for path in others)
