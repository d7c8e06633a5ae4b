"""States of project folders by content: every state ever taken can be brought back, and nothing else is lost.

A state's id is the SHA-256 of its list of files; a file's bytes are stored once under their SHA-256.
The rule that makes restore safe: it replaces or removes only files it has just stored.
"""

import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.core.atomic import stage, write_file
from app.core.problem import Problem, problem_of_os_error
from app.core.project_walk import walk_project

logger = logging.getLogger(__name__)

MAX_STORED_FILE_BYTES = 32_000_000
"""Larger files are no part of a state; restore leaves them alone."""

_SETTLED_NS = 2_000_000_000
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """One file of a state."""

    sha256: str
    size_bytes: int
    executable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What it takes to get from one state to another, as paths in order."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that differs."""
        return tuple(sorted((*self.added, *self.removed, *self.changed)))


def _manifest(files: Mapping[str, FileEntry]) -> bytes:
    listed = {path: [file.sha256, file.size_bytes, file.executable] for path, file in files.items()}
    return json.dumps({"version": 1, "files": listed}, sort_keys=True, ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


EMPTY_STATE = hashlib.sha256(_manifest({})).hexdigest()
"""The state of a folder without files."""


class SnapshotStore:
    """The states of every project, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # (path, size, mtime, ctime, inode) -> hash, for files that had settled when they were read.
        self._known: dict[tuple[str, int, int, int, int], str] = {}

    def take(self, project: Path) -> str:
        """Store the folder's files and return the state's id. Raises Problem (folder unreadable, disk full)."""
        files: dict[str, FileEntry] = {}
        for path, status in walk_project(project):
            entry = self._store_file(project / path, status)
            if entry is not None:
                files[path] = entry
        manifest = _manifest(files)
        state = hashlib.sha256(manifest).hexdigest()
        self._keep(self._tree(state), manifest)
        return state

    def has(self, state: str) -> bool:
        """Whether the state is in the store."""
        return state == EMPTY_STATE or (bool(state) and self._tree(state).is_file())

    def files(self, state: str) -> dict[str, FileEntry]:
        """The files of a state by path. Raises Problem when it is not in the store or damaged."""
        if state == EMPTY_STATE:
            return {}
        manifest = self._read(self._tree(state), state, "project state")
        listed = json.loads(manifest)["files"]
        return {path: FileEntry(sha256=e[0], size_bytes=e[1], executable=e[2]) for path, e in listed.items()}

    def read(self, state: str, path: str) -> bytes:
        """One file as it was. Raises Problem when the state does not have it."""
        entry = self.files(state).get(path)
        if entry is None:
            raise Problem(f"{path} cannot be shown.", "It was not in the project then.", "Choose another state.")
        return self._blob_bytes(entry)

    def diff(self, before: str, after: str) -> Difference:
        """What differs between two states. Raises Problem when one is not in the store."""
        old, new = self.files(before), self.files(after)
        return Difference(
            added=tuple(sorted(new.keys() - old.keys())),
            removed=tuple(sorted(old.keys() - new.keys())),
            changed=tuple(sorted(path for path in old.keys() & new.keys() if old[path] != new[path])),
        )

    def restore(self, state: str, project: Path) -> str:
        """Bring the folder to a state and return the id of what was there, hand edits included.

        Every new byte is on disk before the first file is replaced. Raises Problem; until then nothing changed.
        """
        target = self.files(state)
        before = self.take(project)
        present = self.files(before)
        wanted = {path: entry for path, entry in target.items() if present.get(path) != entry}
        unwanted = present.keys() - target.keys()
        self._refuse_unstored(project, wanted, present, unwanted)
        contents = {path: self._blob_bytes(entry) for path, entry in wanted.items()}
        try:
            self._swap(project, wanted, contents, unwanted)
        except OSError as error:
            raise problem_of_os_error("The project's earlier state could not be restored.", error) from error
        return before

    def _swap(
        self,
        project: Path,
        wanted: Mapping[str, FileEntry],
        contents: Mapping[str, bytes],
        unwanted: set[str],
    ) -> None:
        staging = project / ".expertarium-restore"
        staged: dict[str, Path] = {}
        try:
            for number, path in enumerate(wanted):
                staged[path] = stage(staging / str(number), contents[path])
                if wanted[path].executable:
                    staged[path].chmod(0o755)
            for path in unwanted:
                (project / path).unlink(missing_ok=True)
                _drop_empty_folders((project / path).parent, project)
            for path, temporary in staged.items():
                (project / path).parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(project / path)
        finally:
            for temporary in staged.values():
                temporary.unlink(missing_ok=True)
            if staging.is_dir():
                staging.rmdir()

    def _refuse_unstored(
        self, project: Path, wanted: Mapping[str, FileEntry], present: Mapping[str, FileEntry], unwanted: set[str]
    ) -> None:
        for path in wanted:
            parents = [project / parent for parent in _parents(path) if parent not in unwanted]
            in_the_way = any(parent.is_symlink() or parent.is_file() for parent in parents)
            if in_the_way or (path not in present and _holds_unstored(project / path, project, unwanted)):
                raise Problem(
                    "The project's earlier state could not be restored.",
                    f"{path} is now a link, a folder or a very large file, of which there is no copy.",
                    "Move it out of the project and try again; nothing was changed.",
                )

    def _store_file(self, path: Path, status: os.stat_result) -> FileEntry | None:
        if status.st_size > MAX_STORED_FILE_BYTES:
            return None
        executable = os.name == "posix" and bool(status.st_mode & stat.S_IXUSR)
        key = (str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        known = self._known.get(key)
        if known is not None and self._blob(known).is_file():
            return FileEntry(sha256=known, size_bytes=status.st_size, executable=executable)
        read_at_ns = time.time_ns()
        try:
            data = path.read_bytes()
        except OSError as error:
            logger.warning("%s is left out of the project's state: %s", path, error)
            return None
        digest = hashlib.sha256(data).hexdigest()
        self._keep(self._blob(digest), data)
        # A file changed just before it was read may change again without its time moving on.
        if status.st_mtime_ns < read_at_ns - _SETTLED_NS:
            self._known[key] = digest
        return FileEntry(sha256=digest, size_bytes=len(data), executable=executable)

    def _keep(self, path: Path, data: bytes) -> None:
        try:
            if not path.is_file() or path.stat().st_size != len(data):
                write_file(path, data)
        except OSError as error:
            raise problem_of_os_error("The project's state could not be stored.", error) from error

    def _blob_bytes(self, entry: FileEntry) -> bytes:
        return self._read(self._blob(entry.sha256), entry.sha256, "stored file")

    def _read(self, path: Path, digest: str, what: str) -> bytes:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise problem_of_os_error(f"A {what} cannot be read.", error) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise Problem(
                f"A {what} cannot be used.", f"{path} is damaged.", "Choose another state of the project."
            )
        return data

    def _tree(self, state: str) -> Path:
        return self._folder / "trees" / state[:2] / f"{_checked(state)}.json"

    def _blob(self, digest: str) -> Path:
        return self._folder / "blobs" / digest[:2] / _checked(digest)


def _checked(digest: str) -> str:
    assert len(digest) == 64, digest
    assert set(digest) <= _HEX, digest
    return digest


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _holds_unstored(path: Path, project: Path, stored: set[str]) -> bool:
    """Whether something is at `path` that would be lost: anything but a folder of files just stored."""
    if path.is_dir() and not path.is_symlink():
        inside = (entry for entry in path.rglob("*") if entry.is_symlink() or not entry.is_dir())
        return any(entry.relative_to(project).as_posix() not in stored for entry in inside)
    return os.path.lexists(path)


def _drop_empty_folders(folder: Path, root: Path) -> None:
    while folder != root and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
