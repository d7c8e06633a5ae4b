"""Syntax colours of code shown outside the editor: Pygments decides the role, the theme its colour."""

from functools import lru_cache

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Token, _TokenType
from pygments.util import ClassNotFound

# The first ancestor of a token type that is listed here gives its role.
_ROLES = {
    Token.Comment: "comment",
    Token.Keyword: "keyword",
    Token.Keyword.Constant: "number",
    Token.Operator.Word: "keyword",
    Token.Operator: "operator",
    Token.Punctuation: "operator",
    Token.Literal.String: "string",
    Token.Literal.Number: "number",
    Token.Name.Function: "function",
    Token.Name.Builtin: "function",
    Token.Name.Class: "function",
    Token.Name.Decorator: "function",
    Token.Name.Tag: "tag",
    Token.Name.Attribute: "attribute",
    Token.Generic.Inserted: "inserted",
    Token.Generic.Deleted: "deleted",
}

Span = tuple[int, int, str]
"""(start, length, role) in a line; both count UTF-16 units, as Qt does."""


@lru_cache(maxsize=32)
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


def _role_of(kind: _TokenType) -> str:
    for ancestor in reversed(kind.split()):
        if ancestor in _ROLES:
            return _ROLES[ancestor]
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


def _is_call(tokens: list[tuple[_TokenType, str]], number: int) -> bool:
    return number + 1 < len(tokens) and tokens[number + 1][1].startswith("(")
