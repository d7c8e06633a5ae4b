"""Syntax colours of code shown outside the editor: Pygments decides the role, the theme its colour."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Protocol

# Roles by the names of a Pygments token type; the longest listed beginning of a type's names wins.
_ROLES: dict[tuple[str, ...], str] = {
    ("Comment",): "comment",
    ("Keyword",): "keyword",
    ("Keyword", "Constant"): "number",
    ("Operator", "Word"): "keyword",
    ("Operator",): "operator",
    ("Punctuation",): "operator",
    ("Literal", "String"): "string",
    ("Literal", "Number"): "number",
    ("Name", "Function"): "function",
    ("Name", "Builtin"): "function",
    ("Name", "Class"): "function",
    ("Name", "Decorator"): "function",
    ("Name", "Tag"): "tag",
    ("Name", "Attribute"): "attribute",
    ("Generic", "Inserted"): "inserted",
    ("Generic", "Deleted"): "deleted",
}

TokenType = tuple[str, ...]


class _Lexer(Protocol):
    """What is used of a Pygments lexer."""

    def get_tokens(self, text: str) -> Iterable[tuple[TokenType, str]]:
        """The tokens of a text."""

Span = tuple[int, int, str]
"""(start, length, role) in a line; both count UTF-16 units, as Qt does."""


@lru_cache(maxsize=32)
def _lexer(language: str) -> _Lexer | None:
    # Imported at the first code block: the window opens sooner without it.
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@lru_cache(maxsize=256)
def _role_of(kind: TokenType) -> str:
    names = tuple(kind)
    for length in range(len(names), 0, -1):
        if names[:length] in _ROLES:
            return _ROLES[names[:length]]
    return "text"


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def highlight(code: str, language: str) -> list[list[Span]]:
    """The coloured spans of each line of `code`; an unknown language gives empty lines.

    A name followed by "(" is taken for a function, which Pygments' JavaScript lexer does not say.
    """
    lexer = _lexer(language) if language else None
    # Some lexers want the last line ended, and colour a script only when its element is closed.
    ending = "</script>\n" if code.rfind("<script") > code.rfind("</script") else "\n"
    lines: list[list[Span]] = [[]]
    if lexer is None:
        return [[] for _ in code.split("\n")]
    column = 0
    tokens = list(lexer.get_tokens(code + ending))
    for number, (kind, value) in enumerate(tokens):
        role = _role_of(kind)
        if role == "text" and kind[:1] == ("Name",) and _is_call(tokens, number):
            role = "function"
        for part_number, part in enumerate(value.split("\n")):
            if part_number:
                lines.append([])
                column = 0
            length = _units(part)
            if role != "text" and length:
                lines[-1].append((column, length, role))
            column += length
    return _clipped(lines, code)


def _clipped(lines: list[list[Span]], code: str) -> list[list[Span]]:
    """Drop the spans of what was added for the lexer's sake."""
    wanted = code.count("\n") + 1
    end = _units(code.rpartition("\n")[2])
    del lines[wanted:]
    lines[-1] = [(start, min(length, end - start), role) for start, length, role in lines[-1] if start < end]
    return lines


def _is_call(tokens: Sequence[tuple[TokenType, str]], number: int) -> bool:
    return number + 1 < len(tokens) and tokens[number + 1][1].startswith("(")
