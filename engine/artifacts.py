"""What a model's answer holds: prose, whole files in fences, and SEARCH/REPLACE edits of files.

Here: reading an answer (finished or still arriving), the "understood" line of a program, and applying an
answer to a project's files. How one edit is matched is in edits.py. Nothing is
written to a disk here: files are a mapping from path to text. Standard library only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from engine.edits import EditError, apply_part, find_placeholder, line_changes

_FENCE = re.compile(r"^ {0,3}(?P<marks>`{3,}|~{3,})[ \t]*(?P<info>[^\n]*?)[ \t]*$")
_INLINE_CODE = re.compile(r"``|`.*`.*`|^[^`]*`[^`]*$")  # a line such as ```code``` opens no block
_PARTIAL_FENCE = re.compile(r"^ {0,3}(?:`{1,}[^`\n]*|~{3,}[^\n]*)$")
_SEARCH = re.compile(r"^\s*<{5,9} ?SEARCH\b.*$")
_DIVIDER = re.compile(r"^\s*={5,9}\s*$")
_REPLACE = re.compile(r"^\s*>{5,9} ?REPLACE\b.*$")
_NAMED_ATTRIBUTE = re.compile(
    r"(?:title|file|filename|name|path)\s*=\s*(?P<quote>[\"']?)(?P<path>.+?)(?P=quote)(?:\s|$)"
)
_PATH_LIKE = re.compile(
    r"^[^\s{}\[\]<>|*?\"=,;()]+\.[A-Za-z0-9]{1,8}$|^[\w.-]+/[\w./-]+$|^(?:Makefile|Dockerfile|LICENSE)$"
)
_HEADING_PATH = re.compile(r"^\W*(?:file|filename|path)?\W*(?P<path>[\w./-]+\.[A-Za-z0-9]{1,8})\W*$", re.IGNORECASE)

_DEFAULT_PATHS = {
    "html": "index.html", "htm": "index.html", "css": "style.css", "js": "script.js", "javascript": "script.js",
    "python": "main.py", "py": "main.py",
}
_LANGUAGES = {
    "html": "html", "htm": "html", "css": "css", "js": "javascript", "mjs": "javascript", "ts": "typescript",
    "py": "python", "json": "json", "md": "markdown", "svg": "xml", "xml": "xml", "sh": "bash", "csv": "csv",
    "toml": "toml", "yaml": "yaml", "yml": "yaml", "glsl": "glsl", "txt": "text",
}
_RESERVED_NAMES = {"con", "prn", "aux", "nul", *(f"{device}{n}" for device in ("com", "lpt") for n in range(1, 10))}
_MAX_PATH_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """Text outside file and edit blocks, code fences that are no files included."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBlock:
    """A fence that creates or replaces the file `path`; offsets count code points of the answer."""

    path: str
    language: str
    content: str
    start: int
    end: int
    content_start: int
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EditPart:
    """One SEARCH/REPLACE pair; whole lines joined by newlines, without a last newline."""

    search: str
    replace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditBlock:
    """A fence that edits `path`. `problem` says what is malformed in it, or is empty."""

    path: str
    parts: tuple[EditPart, ...]
    start: int
    end: int
    content_start: int
    closed: bool
    problem: str = ""


Segment = Prose | FileBlock | EditBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an answer did to one file; `added` and `removed` count lines."""

    path: str
    kind: Literal["created", "replaced", "edited"]
    added: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A block or edit part that was not applied, why, and its text."""

    path: str
    reason: str
    block: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The project after an answer, with what changed and what was refused."""

    files: dict[str, str]
    changes: list[Change]
    rejects: list[Reject]


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """The first comment line of a program: what the model took the request to mean."""

    kind: str
    chips: tuple[str, ...]


@dataclass(slots=True)
class _Fence:
    """A fence being read: where it began and what its first line said."""

    marks: str
    info: str
    heading: str
    start: int
    content_start: int
    nested: int = 0

    def closes(self, line: str) -> bool:
        """Tell whether `line` ends this fence; inner fences of a Markdown file are counted out."""
        match = _FENCE.match(line)
        if not match or match["marks"][0] != self.marks[0] or len(match["marks"]) < len(self.marks):
            return False
        if match["info"]:
            self.nested += language_of_info(self.info) in {"markdown", "md"}
            return False
        if self.nested:
            self.nested -= 1
            return False
        return True


def language_of_info(info: str) -> str:
    """Give the language word of a fence's info string ("html" of "html index.html"), in lower case."""
    word = re.split(r"[\s:{,]", info.strip(), maxsplit=1)[0].lower()
    return "" if _PATH_LIKE.match(word) else word


def language_of_path(path: str) -> str:
    """Give the fence language of a file by its suffix; "text" where unknown."""
    return _LANGUAGES.get(PurePosixPath(path).suffix.lstrip(".").lower(), "text")


def safe_path(path: str) -> str:
    """Return `path` in the project's form (relative, forward slashes), or say why it is refused.

    Raises:
        ValueError: the path is empty, absolute, leaves the project, or can't be a file name everywhere.
    """
    text = path.strip().replace("\\", "/")
    advice = "Use a path inside the project, such as index.html or src/game.js."
    if not text:
        raise ValueError(f"The block names no file. {advice}")
    if len(text) > _MAX_PATH_LENGTH:
        raise ValueError(f"The path is longer than {_MAX_PATH_LENGTH} characters. {advice}")
    if text.startswith(("/", "~")) or re.match(r"^[A-Za-z]:", text):
        raise ValueError(f"{path!r} is an absolute path. {advice}")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"{path!r} leaves the project. {advice}")
    if not parts or text.endswith("/"):
        raise ValueError(f"{path!r} is a folder, not a file. {advice}")
    for part in parts:
        _check_name(part, path, advice)
    return "/".join(parts)


def _check_name(part: str, path: str, advice: str) -> None:
    if part.lower() == ".git":
        raise ValueError(f"{path!r} is inside .git, which answers may not write. {advice}")
    if re.search(r"[\x00-\x1f\x7f<>:\"|?*]", part) or part.endswith((".", " ")):
        raise ValueError(f"{path!r} holds characters that file names can't have on every system. {advice}")
    if part.split(".")[0].lower() in _RESERVED_NAMES:
        raise ValueError(f"{path!r} is a reserved device name on Windows. {advice}")


def parse_answer(text: str) -> list[Segment]:
    """Split an answer into prose, file blocks and edit blocks, in order; never raises.

    Works on an answer that is still arriving: the last block is then `closed=False`, and a last line that
    may be the start of a fence is held back until it ends (append a newline to a finished answer).
    """
    segments: list[Segment] = []
    fence: _Fence | None = None
    prose_start = offset = 0
    last_line = ""
    for line in _lines(text):
        bare = line.rstrip("\r\n")
        line_end = offset + len(line)
        if fence is None:
            match = _FENCE.match(bare)
            if match and line.endswith("\n") and not _INLINE_CODE.search(match["info"]):
                fence = _Fence(match["marks"], match["info"], last_line, offset, line_end)
            if bare.strip():
                last_line = bare
        elif fence.closes(bare):
            block = _close(fence, text, offset, line_end, closed=True)
            if block is not None:
                _add_prose(segments, text, prose_start, fence.start)
                segments.append(block)
                prose_start = line_end
            fence = None
            last_line = ""
        offset = line_end
    return _finish(segments, text, prose_start, fence)


def _lines(text: str) -> list[str]:
    """Split at newlines only: other line separators are ordinary characters of a program."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def _finish(segments: list[Segment], text: str, prose_start: int, fence: _Fence | None) -> list[Segment]:
    """Add what the text ends with: prose, or a block that is not closed yet."""
    last_start = text.rfind("\n") + 1
    held = last_start if _PARTIAL_FENCE.match(text[last_start:]) else len(text)
    block = _close(fence, text, max(held, fence.content_start), len(text), closed=False) if fence else None
    if fence is not None and block is not None:
        _add_prose(segments, text, prose_start, fence.start)
        segments.append(block)
    else:
        _add_prose(segments, text, prose_start, held)
    return segments


def _add_prose(segments: list[Segment], text: str, start: int, end: int) -> None:
    if text[start:end].strip():
        segments.append(Prose(text=text[start:end], start=start, end=end))


def _close(fence: _Fence, text: str, content_end: int, end: int, *, closed: bool) -> Segment | None:
    """Make the block of a fence; None when it is only code shown in the prose."""
    content = text[fence.content_start:content_end]
    language = language_of_info(fence.info)
    is_edit = language == "edit" or bool(_SEARCH.match(content.lstrip().split("\n", 1)[0]))
    path = _path_of(fence, language, content)
    if is_edit:
        parts, problem = _edit_parts(content, closed=closed)
        return EditBlock(path=path or "index.html", parts=parts, start=fence.start, end=end,
                         content_start=fence.content_start, closed=closed, problem=problem)
    if not path:
        return None
    return FileBlock(path=path, language=language or language_of_path(path), content=content, start=fence.start,
                     end=end, content_start=fence.content_start, closed=closed)


def _path_of(fence: _Fence, language: str, content: str) -> str:
    """Find the path of a fence: its info string, else the line above it, else the language's usual file."""
    named = _NAMED_ATTRIBUTE.search(fence.info)
    if named:
        return named["path"]
    rest = re.sub(r"^[^\s:{,]*[\s:]*", "", fence.info.strip()) if language else fence.info.strip()
    rest = re.sub(r"^edit\s+", "", rest).strip("`'\" ")
    if rest and (_PATH_LIKE.match(rest) or language == "edit" or ("/" in rest or "\\" in rest)):
        return rest
    heading = _HEADING_PATH.match(fence.heading)
    if heading and (language in _DEFAULT_PATHS or language in ("", "edit")):
        return heading["path"]
    if not language and content.lstrip()[:1] == "<":
        return "index.html"
    return _DEFAULT_PATHS.get(language, "")


def _edit_parts(content: str, *, closed: bool) -> tuple[tuple[EditPart, ...], str]:
    """Read the SEARCH/REPLACE parts of an edit block and what is malformed about it."""
    parts: list[EditPart] = []
    search: list[str] = []
    replace: list[str] = []
    state: Literal["outside", "search", "replace"] = "outside"
    for line in content.split("\n"):
        if state == "outside" and _SEARCH.match(line):
            state, search, replace = "search", [], []
        elif state == "search" and _DIVIDER.match(line):
            state = "replace"
        elif state == "replace" and _REPLACE.match(line):
            parts.append(EditPart(search="\n".join(search), replace="\n".join(replace)))
            state = "outside"
        elif state != "outside":
            (search if state == "search" else replace).append(line)
    if state != "outside" and not closed:
        parts.append(EditPart(search="\n".join(search), replace="\n".join(replace)))
    problem = {"search": "A part has no ======= line between SEARCH and REPLACE.",
               "replace": "A part has no closing >>>>>>> REPLACE line.",
               "outside": "" if parts else "The edit block holds no <<<<<<< SEARCH part."}[state]
    return tuple(parts), problem


def apply_answer(files: Mapping[str, str], text: str) -> Applied:
    """Apply every block of a finished answer to `files` (path -> text), which is left as it was.

    Each block or edit part that can't be applied safely becomes a Reject; the others are applied.
    """
    result = dict(files)
    kinds: dict[str, Literal["replaced", "edited"]] = {}
    rejects: list[Reject] = []
    source = text + "\n"
    for segment in parse_answer(source):
        if isinstance(segment, Prose):
            continue
        block = source[segment.start:segment.end].rstrip("\n")
        try:
            path = safe_path(segment.path)
            if not segment.closed:
                raise EditError("The block is not finished: its closing fence is missing. Ask to continue.")
            if isinstance(segment, FileBlock):
                _check_placeholder(segment.content, files.get(path, ""), path)
                result[path] = segment.content
                kinds[path] = "replaced"
            elif _apply_parts(result, path, segment, rejects):
                kinds.setdefault(path, "edited")
        except ValueError as error:
            rejects.append(Reject(path=segment.path, reason=str(error), block=block))
    changes = [_change(path, kind, files.get(path), result[path]) for path, kind in kinds.items()]
    return Applied(files=result, changes=changes, rejects=rejects)


def _apply_parts(files: dict[str, str], path: str, block: EditBlock, rejects: list[Reject]) -> bool:
    """Apply the parts of an edit block in turn; tell whether any was applied.

    A part that is said again word for word counts once: models repeat themselves, and what it adds is wanted once.
    """
    if block.problem:
        raise EditError(f"{block.problem} Ask the model to write the edit again.")
    applied = False
    for part in dict.fromkeys(block.parts):
        try:
            if path not in files and part.search.strip():
                raise EditError(f"There is no file {path} in the project to edit.")
            _check_placeholder(part.replace, part.search, path)
            files[path] = apply_part(files.get(path, ""), part.search, part.replace)
            applied = True
        except EditError as error:
            shown = f"<<<<<<< SEARCH\n{part.search}\n=======\n{part.replace}\n>>>>>>> REPLACE"
            rejects.append(Reject(path=path, reason=str(error), block=shown))
    return applied


def _check_placeholder(text: str, before: str, path: str) -> None:
    placeholder = find_placeholder(text, before)
    if placeholder:
        raise EditError(f"{path} is not complete: the line {placeholder!r} stands for code that was left "
                           "out. Nothing was changed; ask for the whole file or for an edit.")


def _change(path: str, kind: Literal["replaced", "edited"], before: str | None, after: str) -> Change:
    added, removed = line_changes(before or "", after)
    return Change(path=path, kind="created" if before is None else kind, added=added, removed=removed)


_HTML_COMMENT = re.compile(r"^\s*<!--\s*(?P<body>.*?)\s*-->[ \t]*$")
_CODE_COMMENT = re.compile(r"^\s*(?://|#|/\*)\s*(?P<body>[^|]*\|.*?)\s*(?:\*/)?\s*$")


def understood(program: str) -> Understood | None:
    """Read the "understood" comment of a program's first line; None where there is none."""
    line = program.lstrip("\n").split("\n", 1)[0]
    match = _HTML_COMMENT.match(line) or _CODE_COMMENT.match(line)
    if not match:
        return None
    kind, *chips = [part.strip() for part in match["body"].split("|")]
    if not re.fullmatch(r"[\w][\w /-]{0,39}", kind):
        return None
    return Understood(kind=kind, chips=tuple(chip for chip in chips if chip))


def with_understood(program: str, line: Understood) -> str:
    """Return `program` with its "understood" line set to `line` (put first where there was none).

    Raises:
        ValueError: a chip holds a character that would end the comment or the chip.
    """
    for part in (line.kind, *line.chips):
        if not part.strip() or re.search(r"[|\n\r]|--|\*/", part):
            raise ValueError(f"{part!r} can't be part of the first line: it is empty or holds |, --, */ or a line "
                             "break. Use plain words.")
    body = " | ".join((line.kind, *line.chips))
    text = program.lstrip("\n")
    if understood(program) is None:
        return f"<!-- {body} -->\n{program}"
    old, newline, rest = text.partition("\n")
    start = old.lstrip()
    if start.startswith("<!--"):
        return f"<!-- {body} -->{newline}{rest}"
    opener = next(mark for mark in ("//", "/*", "#") if start.startswith(mark))
    return f"{opener} {body}{' */' if opener == '/*' else ''}{newline}{rest}"
