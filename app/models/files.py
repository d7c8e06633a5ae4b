"""The files of a project as a Qt model that follows the disk."""

from enum import IntEnum
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal, Slot

from app.core.problem import Problem
from app.core.workspace import ProjectFile, Workspace
from app.services.folder_watcher import FolderWatcher

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()


class FileRole(IntEnum):
    """What a row says beside the path (Qt.ItemDataRole.DisplayRole)."""

    PATH = Qt.ItemDataRole.UserRole + 1
    SIZE_BYTES = Qt.ItemDataRole.UserRole + 2


class ProjectFilesModel(QAbstractListModel):
    """One row per file, in path order.

    Signals:
        files_changed(list): paths that were added, changed or removed on the disk, by whomever.
        problem_reported(ProblemText): the folder cannot be read.
    """

    files_changed = Signal(list)
    problem_reported = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace: Workspace | None = None
        self._files: list[ProjectFile] = []
        self._watcher = FolderWatcher(self)
        self._watcher.files_changed.connect(self.refresh)

    @property
    def workspace(self) -> Workspace | None:
        """The project that is shown."""
        return self._workspace

    def set_workspace(self, workspace: Workspace | None) -> None:
        """Show another project's files; no change is announced for that."""
        if workspace is not None and self._workspace is not None and workspace.root == self._workspace.root:
            self._workspace = workspace
            self.refresh()
            return
        self._workspace = workspace
        self._watcher.watch(workspace.root if workspace else None)
        self._show(self._read())

    @Slot()
    def refresh(self) -> None:
        """Look at the disk now and announce what changed."""
        before = {file.path: file for file in self._files}
        files = self._read()
        after = {file.path: file for file in files}
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        self._show(files)
        if changed:
            self.files_changed.emit(changed)

    # --- inside

    def _read(self) -> list[ProjectFile]:
        if self._workspace is None:
            return []
        try:
            return self._workspace.list_files()
        except Problem as problem:
            self.problem_reported.emit(problem.text)
            return []

    def _show(self, files: list[ProjectFile]) -> None:
        if [file.path for file in files] == [file.path for file in self._files]:
            self._files = files
            if files:
                self.dataChanged.emit(self.index(0), self.index(len(files) - 1))
        else:
            self.beginResetModel()
            self._files = files
            self.endResetModel()

    # --- Qt overrides

    def rowCount(self, parent: Index = _ROOT) -> int:
        """One per file."""
        return 0 if parent.isValid() else len(self._files)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """See FileRole."""
        if not index.isValid():
            return None
        file = self._files[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, FileRole.PATH, Qt.ItemDataRole.ToolTipRole):
            return file.path
        return file.size_bytes if role == FileRole.SIZE_BYTES else None
