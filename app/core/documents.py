"""The text of every open file: what is on disk, what was typed since, and what survives a crash.

The Python side holds the truth; the editor's page only sends changes. Not here: widgets and the page itself.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from app.core.problem import Problem, problem_of_os_error
from app.core.workspace import Workspace


class TextChange(NamedTuple):
    """Replace `length` UTF-16 units from `offset` by `text`, as editors count."""

    offset: int
    length: int
    text: str


def apply_changes(text: str, changes: Sequence[TextChange]) -> str:
    """Apply changes in the order given; each one's offset counts in the text as it was before all of them.

    Raises:
        ValueError: a change lies outside the text.
    """
    units = text.encode("utf-16-le")
    for change in sorted(changes, key=lambda change: -change.offset):
        start, end = 2 * change.offset, 2 * (change.offset + change.length)
        if not 0 <= start <= end <= len(units):
            raise ValueError(f"change {change} lies outside a text of {len(units) // 2} units; send the whole text")
        units = units[:start] + change.text.encode("utf-16-le", "surrogatepass") + units[end:]
    return units.decode("utf-16-le", "replace")


def codepoint_offset(text: str, utf16_offset: int) -> int:
    """Convert an offset in UTF-16 units to one in code points."""
    return len(text.encode("utf-16-le")[: 2 * utf16_offset].decode("utf-16-le", "ignore"))


@dataclass(slots=True, kw_only=True)
class Document:
    """An open file. `disk_text` is the content last read or written; `missing` says the file is gone from the disk."""

    path: str
    text: str
    disk_text: str
    missing: bool = False

    @property
    def unchanged(self) -> bool:
        """Whether nothing was typed since it was last read or written."""
        return self.text == self.disk_text

    @property
    def dirty(self) -> bool:
        """Whether there is text that is not on the disk."""
        return self.missing or self.text != self.disk_text


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskChange:
    """What a look at the disk found: a clean file was read again, a dirty one now differs, or one is gone."""

    path: str
    kind: Literal["reloaded", "conflict", "deleted"]


class Documents:
    """The open files of one project.

    Args:
        workspace: the project's folder.
        drafts_file: where unsaved text is kept (JSON); read at once, so text typed before a crash is back.

    `drafts_problem` says why the drafts could not be kept the last time, None when they were.
    """

    def __init__(self, workspace: Workspace, drafts_file: Path) -> None:
        self.workspace = workspace
        self._drafts_file = drafts_file
        self._open: dict[str, Document] = {}
        self.drafts_problem: Problem | None = None
        self._restore()

    def __iter__(self) -> Iterator[Document]:
        return iter(self._open.values())

    def __contains__(self, path: str) -> bool:
        return path in self._open

    def __getitem__(self, path: str) -> Document:
        return self._open[path]

    def paths(self) -> list[str]:
        """Return the open files in the order of their tabs."""
        return list(self._open)

    def open(self, path: str) -> Document:
        """Open a file, or return it when it is open.

        Raises:
            Problem: it can't be read as text.
        """
        if path not in self._open:
            text = self.workspace.read_text(path)
            self._open[path] = Document(path=path, text=text, disk_text=text)
            self.store_drafts()
        return self._open[path]

    def close(self, path: str) -> None:
        """Close a file; unsaved text of it is given up, so ask first."""
        self._open.pop(path, None)
        self.store_drafts()

    def edit(self, path: str, changes: Sequence[TextChange]) -> None:
        """Apply the editor's changes.

        Raises:
            ValueError: a change lies outside the text.
        """
        document = self._open[path]
        document.text = apply_changes(document.text, changes)

    def set_text(self, path: str, text: str) -> None:
        """Replace a file's unsaved text."""
        self._open[path].text = text

    def save(self, path: str) -> None:
        """Write a file.

        Raises:
            Problem: it can't be written; the text stays open and unsaved, and what was on the disk stays too.
        """
        document = self._open[path]
        self.workspace.write_text(path, document.text)
        document.disk_text, document.missing = document.text, False
        self.store_drafts()

    def dirty_paths(self) -> list[str]:
        """Return the files that hold unsaved text."""
        return [document.path for document in self._open.values() if document.dirty]

    def check_disk(self) -> list[DiskChange]:
        """Look at every open file on the disk. Clean files take the new content; dirty ones keep what was typed."""
        found = []
        for document in self._open.values():
            try:
                on_disk = self.workspace.read_text(document.path)
            except Problem:
                if not document.missing:
                    document.missing = True
                    found.append(DiskChange(path=document.path, kind="deleted"))
                continue
            if on_disk == document.disk_text and not document.missing:
                continue
            was_dirty = document.text != document.disk_text
            document.disk_text, document.missing = on_disk, False
            if not was_dirty:
                document.text = on_disk
                found.append(DiskChange(path=document.path, kind="reloaded"))
            elif document.text != on_disk:
                found.append(DiskChange(path=document.path, kind="conflict"))
        return found

    def take_disk(self, path: str) -> None:
        """Give up a file's unsaved text for what is on the disk."""
        self._open[path].text = self._open[path].disk_text
        self.store_drafts()

    def store_drafts(self) -> None:
        """Write the open files and their unsaved text to the drafts file; `drafts_problem` says how it went."""
        state = {
            "open": self.paths(),
            "unsaved": {document.path: document.text for document in self._open.values() if document.dirty},
        }
        temporary = self._drafts_file.with_suffix(".tmp")
        self.drafts_problem = None
        try:
            self._drafts_file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(state), encoding="utf-8")
            os.replace(temporary, self._drafts_file)  # noqa: PTH105 the atomic one, named as such
        except OSError as error:
            self.drafts_problem = problem_of_os_error("Unsaved text cannot be kept for the next start.", error)

    def _restore(self) -> None:
        try:
            state = json.loads(self._drafts_file.read_text(encoding="utf-8"))
            paths, unsaved = [str(path) for path in state["open"]], dict(state["unsaved"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        for path in paths:
            try:
                text = self.workspace.read_text(path)
            except Problem:
                if path not in unsaved:
                    continue
                self._open[path] = Document(path=path, text=str(unsaved[path]), disk_text="", missing=True)
                continue
            self._open[path] = Document(path=path, text=str(unsaved.get(path, text)), disk_text=text)
