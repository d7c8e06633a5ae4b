"""Tells when files of one project folder change: written here, by the model, or by another program."""

from pathlib import Path

from PySide6.QtCore import QFileSystemWatcher, QObject, QTimer, Signal, Slot

from app.core.problem import Problem
from app.core.project_walk import walk_project

QUIET_MS = 120  # several files written in one go are one change
MAX_WATCHED = 1000

Stamp = dict[str, tuple[int, int]]


class FolderWatcher(QObject):
    """Watches one folder at a time.

    Signals:
        files_changed: something was written, made or deleted; said once things are quiet.
    """

    files_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder: Path | None = None
        self._stamp: Stamp = {}
        self._watcher = QFileSystemWatcher(self)
        self._quiet = QTimer(self, interval=QUIET_MS, singleShot=True)
        self._watcher.fileChanged.connect(self._quiet.start)
        self._watcher.directoryChanged.connect(self._quiet.start)
        self._quiet.timeout.connect(self.look)

    def watch(self, folder: Path | None) -> None:
        """Watch another folder, or none."""
        self._folder = folder
        self._stamp = self._read_stamp()
        self._watch_files()

    def _read_stamp(self) -> Stamp:
        if self._folder is None:
            return {}
        try:
            return {path: (status.st_mtime_ns, status.st_size) for path, status in walk_project(self._folder)}
        except Problem:
            return {}

    def _watch_files(self) -> None:
        known = {*self._watcher.files(), *self._watcher.directories()}
        wanted: set[str] = set()
        if self._folder is not None and self._folder.is_dir():
            files = [self._folder / path for path in list(self._stamp)[:MAX_WATCHED]]
            wanted = {str(path) for file in files for path in (file, file.parent)} | {str(self._folder)}
        elif self._folder is not None:
            # A folder that is not there yet shows up as a change of its parent.
            wanted = {str(self._folder.parent)}
        if gone := sorted(known - wanted):
            self._watcher.removePaths(gone)
        if new := sorted(wanted - known):
            self._watcher.addPaths(new)

    @Slot()
    def look(self) -> None:
        """Compare the folder with what it was, and say so when it changed."""
        stamp = self._read_stamp()
        changed = stamp != self._stamp
        self._stamp = stamp
        self._watch_files()
        if changed:
            self.files_changed.emit()
