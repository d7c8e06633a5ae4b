"""Matching one SEARCH/REPLACE part against a file, and noticing text that stands for left-out code.

Knows nothing of answers or paths (that is artifacts.py). Standard library only.
"""

import difflib
import re
from itertools import takewhile

_ELLIPSIS = r"(?:\.{3}|…)"
_COMMENT = re.compile(r"^\s*(?://|#|<!--|/\*|\*|\{/\*|;|--)+\s*(?P<body>.*?)\s*(?:-->|\*/\}?|\*/)?\s*$")
_NOUN = (
    r"(?:code|file|script|program|html|css|styles?|functions?|markup|contents?|page|implementation|logic|setup|scene)"
)
_LEFT_OUT = re.compile(
    rf"(?:\b(?:the\s+)?(?:rest|remainder)\s+of\s+(?:the\s+|your\s+|my\s+)?(?:\w+\s+){{0,2}}{_NOUN}\b"
    rf"|\b(?:existing|previous|original|remaining|unchanged|other)\s+{_NOUN}\b"
    rf"|\b{_NOUN}\s+(?:is\s+|are\s+|remains?\s+|stays?\s+)?(?:unchanged|omitted|as before|the same)\b"
    r"|\bsame as (?:before|above)\b|\bomitted for brevity\b|\bunchanged\b|\byour code here\b)",
    re.IGNORECASE,
)
_SURE = re.compile(
    rf"(?:(?:rest|remainder)\s+of\s+(?:the\s+|your\s+|my\s+)?(?:\w+\s+){{0,2}}{_NOUN}\s+"
    r"(?:is\s+|are\s+|remains?\s+|stays?\s+|goes\s+)?(?:unchanged|here|the same|as before|omitted|same)"
    rf"|^(?:existing|unchanged|previous|remaining)\s+{_NOUN}(?:\s+(?:here|unchanged|stays|remains).*)?$"
    r"|omitted for brevity|^your code here$|^same as (?:before|above)$)",
    re.IGNORECASE,
)
_MAX_DIFF_CELLS = 4_000_000


class EditError(ValueError):
    """An edit that must not be applied; the message says why and what to do."""


def find_placeholder(text: str, before: str) -> str:
    """Return the first line of `text` that stands for left-out code, or "".

    Lines that `before` already held are not counted: they are the person's own words.
    """
    known = {line.strip() for line in before.split("\n")}
    for line in text.split("\n"):
        if line.strip() not in known and _is_placeholder(line):
            return line.strip()
    return ""


def _is_placeholder(line: str) -> bool:
    if len(line) > 200:
        return False
    comment = _COMMENT.match(line)
    body = comment["body"] if comment else line.strip()
    dotted = bool(re.match(rf"^[\[(]?{_ELLIPSIS}", body) or re.search(rf"{_ELLIPSIS}[\])]?$", body))
    if comment and re.fullmatch(_ELLIPSIS, body):
        return True
    if dotted and _LEFT_OUT.search(body):
        return True
    return bool(comment and _SURE.search(body))


def apply_part(content: str, search: str, replace: str) -> str:
    """Replace the one place of `content` that matches `search`.

    Tried in order: the same lines; the same text inside lines; the same lines but for white space and empty
    lines, the replacement then taking the file's indentation.

    Raises:
        EditError: nothing matches, or more than one place does.
    """
    crlf = "\r\n" in content
    text = content.replace("\r\n", "\n")
    search, replace = search.replace("\r", ""), replace.replace("\r", "")
    if not search.strip():
        if text.strip():
            raise EditError("The SEARCH part is empty, but the file is not. Nothing says where the text goes.")
        edited = replace + "\n" if replace else ""
    else:
        edited = _replace_match(text, search, replace)
    return edited.replace("\n", "\r\n") if crlf else edited


def _replace_match(text: str, search: str, replace: str) -> str:
    lines, wanted = text.split("\n"), search.split("\n")
    found = [i for i in range(len(lines) - len(wanted) + 1) if lines[i:i + len(wanted)] == wanted]
    if not found and text.count(search) == 1:
        return text.replace(search, replace)
    if len(found) > 1 or (not found and text.count(search) > 1):
        raise EditError(f"The SEARCH text occurs {max(len(found), text.count(search))} times in the file. "
                           "More lines around it would make it unique.")
    new_lines = replace.split("\n") if replace else []
    if found:
        lines[found[0]:found[0] + len(wanted)] = new_lines
        return "\n".join(lines)
    first, last, indents = _tolerant_match(lines, wanted)
    lines[first:last + 1] = [_reindented(line, indents) for line in new_lines]
    return "\n".join(lines)


def _tolerant_match(lines: list[str], wanted: list[str]) -> tuple[int, int, dict[str, str]]:
    """Find the lines equal but for white space: first and last index, and SEARCH indent -> file indent."""
    kept = [(i, _squeezed(line)) for i, line in enumerate(lines) if line.strip()]
    target = [_squeezed(line) for line in wanted if line.strip()]
    size = len(target)
    found = [i for i in range(len(kept) - size + 1) if [squeezed for _, squeezed in kept[i:i + size]] == target]
    if not found:
        raise EditError(_no_match(kept, target))
    if len(found) > 1:
        raise EditError(f"The SEARCH text occurs {len(found)} times in the file (white space aside). "
                           "More lines around it would make it unique.")
    indexes = [index for index, _ in kept[found[0]:found[0] + size]]
    searched = [line for line in wanted if line.strip()]
    indents: dict[str, str] = {}
    for index, line in zip(indexes, searched, strict=True):
        indents.setdefault(_indent(line), _indent(lines[index]))
    return indexes[0], indexes[-1], indents


def _no_match(kept: list[tuple[int, str]], target: list[str]) -> str:
    """Say that SEARCH text is not in the file, pointing at the nearest line where there is one."""
    message = "The SEARCH text is not in the file."
    near = difflib.get_close_matches(target[0], [squeezed for _, squeezed in kept[:5000]], n=1, cutoff=0.75)
    if near:
        number = next(index for index, squeezed in kept if squeezed == near[0]) + 1
        message += f" The nearest to its first line is line {number}: {near[0]!r}."
    return message + " Ask for the edit again, or make it by hand."


def _squeezed(line: str) -> str:
    return " ".join(line.split())


def _indent(line: str) -> str:
    return "".join(takewhile(lambda char: char in " \t", line))


def _reindented(line: str, indents: dict[str, str]) -> str:
    """Give a replacement line the indentation that the file uses where SEARCH used the line's own."""
    if not line.strip():
        return line
    own = _indent(line)
    if own in indents:
        return indents[own] + line[len(own):]
    shorter = [indent for indent in indents if own.startswith(indent)]
    if shorter:
        base = max(shorter, key=len)
        return indents[base] + own[len(base):] + line[len(own):]
    searched = min(indents, key=len)
    surplus = len(searched) - len(own)
    return indents[searched][: max(0, len(indents[searched]) - surplus)] + line[len(own):]


def line_changes(before: str, after: str) -> tuple[int, int]:
    """Count the lines added and removed between two texts (an upper bound where both differ hugely)."""
    old, new = before.splitlines(), after.splitlines()
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    old, new = old[head:len(old) - tail], new[head:len(new) - tail]
    if len(old) * len(new) > _MAX_DIFF_CELLS:
        return len(new), len(old)
    same = sum(block.size for block in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks())
    return len(new) - same, len(old) - same
