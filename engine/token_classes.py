"""Classes of tokens: what a token writes (keyword, name, number, ...), read with Pygments from the answer's own files.

A token can be longer than a word of code: it counts as what most of its visible characters are. Standard library,
numpy and Pygments only.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.token import Token, _TokenType
from pygments.util import ClassNotFound

from engine.artifacts import EditBlock, FileBlock, parse_answer
from engine.specialisation import NO_CLASS
from engine.trace import TraceToken

CLASSES = ("keyword", "name", "number", "string", "comment", "operator", "white space", "prose")
_NUMBER_OF = {name: index for index, name in enumerate(CLASSES)}
_WHITE, _PROSE = _NUMBER_OF["white space"], _NUMBER_OF["prose"]
# The first that holds decides.
_KINDS: tuple[tuple[_TokenType, str], ...] = (
    (Token.Text.Whitespace, "white space"), (Token.Comment, "comment"), (Token.Operator.Word, "keyword"),
    (Token.Keyword, "keyword"), (Token.Literal.Number, "number"), (Token.Literal, "string"), (Token.Name, "name"),
    (Token.Operator, "operator"), (Token.Punctuation, "operator"), (Token.Error, "operator"), (Token.Text, "prose"),
)
_SEARCH_MARKS = re.compile(r"^(<{7} SEARCH|={7}|>{7} REPLACE)[ \t]*$", re.MULTILINE)


def classify(tokens: Sequence[TraceToken]) -> npt.NDArray[np.int8]:
    """Give the class number of every token [N]; NO_CLASS for template tokens, fences and tokens without a place.

    Prompt and answer are read alike, message by message. Code is what stands in fenced blocks, the rest is prose.
    """
    labels = np.full(len(tokens), NO_CLASS, np.int8)
    groups: dict[tuple[int | None, str], list[int]] = {}
    for number, token in enumerate(tokens):
        if token.start is not None and token.end is not None and token.end - token.start == len(token.text):
            groups.setdefault((token.message, token.phase), []).append(number)
    for numbers in groups.values():
        text = _text_of([tokens[number] for number in numbers])
        kinds = class_of_characters(text)
        for number in numbers:
            token = tokens[number]
            labels[number] = _most(kinds[token.start:token.end], token.text)
    return labels


def class_of_characters(text: str) -> npt.NDArray[np.int8]:
    """Give the class number of every code point of an answer [len(text)]."""
    kinds = np.full(len(text), _PROSE, np.int8)
    for segment in parse_answer(text):
        if isinstance(segment, FileBlock):
            kinds[segment.start:segment.end] = NO_CLASS
            end = segment.content_start + len(segment.content)
            kinds[segment.content_start:end] = _code_classes(segment.content, segment.language, segment.path)
        elif isinstance(segment, EditBlock):
            kinds[segment.start:segment.end] = NO_CLASS
            body = text[segment.content_start:segment.end]
            body = body[: body.rfind("\n") + 1] if segment.closed else body
            kinds[segment.content_start:segment.content_start + len(body)] = _edit_classes(body, segment.path)
    white = np.fromiter(map(str.isspace, text), bool, len(text))
    kinds[white & (kinds != NO_CLASS)] = _WHITE
    return kinds


def _text_of(tokens: Sequence[TraceToken]) -> str:
    """Lay tokens where they say they are; what none of them covers becomes spaces."""
    text = [" "] * max((token.end or 0 for token in tokens), default=0)
    for token in tokens:
        text[token.start:token.end] = token.text
    return "".join(text)


def _most(kinds: npt.NDArray[np.int8], text: str) -> int:
    visible = kinds[[not character.isspace() for character in text]]
    if not len(visible):
        return _WHITE if len(kinds) and (kinds != NO_CLASS).any() else NO_CLASS
    known = visible[visible != NO_CLASS]
    return int(np.bincount(known).argmax()) if 2 * len(known) >= len(visible) else NO_CLASS


def _edit_classes(body: str, path: str) -> npt.NDArray[np.int8]:
    """Read an edit's parts as code; its marks have no class."""
    kinds = np.full(len(body), NO_CLASS, np.int8)
    at = 0
    for mark in [*_SEARCH_MARKS.finditer(body), None]:
        end = mark.start() if mark else len(body)
        kinds[at:end] = _code_classes(body[at:end], "", path)
        at = mark.end() if mark else end
    return kinds


def _code_classes(code: str, language: str, path: str) -> npt.NDArray[np.int8]:
    kinds = np.full(len(code), _PROSE, np.int8)
    lexer = _lexer(language, path)
    if lexer is None:
        return kinds
    # A script is read as one only when its element is closed, and some lexers want the last line ended.
    ending = "</script>\n" if code.rfind("<script") > code.rfind("</script") else "\n"
    for start, kind, value in lexer.get_tokens_unprocessed(code + ending):
        kinds[start:start + len(value)] = _class_of(kind)
    return kinds


@lru_cache(maxsize=32)
def _lexer(language: str, path: str) -> Lexer | None:
    for find, name in ((get_lexer_for_filename, path), (get_lexer_by_name, language)):
        try:
            if name:
                return find(name, stripnl=False, ensurenl=False)
        except ClassNotFound:
            continue
    return None


@lru_cache(maxsize=512)
def _class_of(kind: _TokenType) -> int:
    return next((_NUMBER_OF[name] for parent, name in _KINDS if kind[:len(parent)] == parent), _PROSE)
