"""The list of a project's files, kept in step with the folder on the disk."""

from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal, Slot

from app.core.problem import Problem
from app.core.workspace import ProjectFile, Workspace
from app.services.folder_watcher import FolderWatcher

ModelIndex = QModelIndex | QPersistentModelIndex
PATH_ROLE = int(Qt.ItemDataRole.UserRole) + 1
SIZE_ROLE = PATH_ROLE + 1


class ProjectFilesModel(QAbstractListModel):
    """The files of one project, by path.

    Signals:
        changed_on_disk: paths of files that are new, changed or gone since the last look.
    """

    changed_on_disk = Signal(list)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workspace: Workspace | None = None
        self._files: list[ProjectFile] = []
        self._watcher = FolderWatcher(self)
        self._watcher.files_changed.connect(self.refresh)

    def set_workspace(self, workspace: Workspace | None) -> None:
        """Show another project's files, or none."""
        self._workspace = workspace
        self._watcher.watch(workspace.root if workspace is not None else None)
        self._show(self._read())

    @Slot()
    def refresh(self) -> None:
        """Read the folder again."""
        before = {file.path: file for file in self._files}
        files = self._read()
        after = {file.path: file for file in files}
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        if changed:
            self._show(files)
            self.changed_on_disk.emit(changed)

    def _read(self) -> list[ProjectFile]:
        if self._workspace is None:
            return []
        try:
            return self._workspace.list_files()
        except Problem:
            return []  # the session tells of an unreadable folder when it needs a file of it

    def _show(self, files: list[ProjectFile]) -> None:
        if [file.path for file in files] == [file.path for file in self._files]:
            self._files = files
            if files:
                self.dataChanged.emit(self.index(0), self.index(len(files) - 1))
            return
        self.beginResetModel()
        self._files = files
        self.endResetModel()

    # --- Qt overrides

    def rowCount(self, parent: ModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of files."""
        return 0 if parent.isValid() else len(self._files)

    def data(self, index: ModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a file's path or size."""
        if not index.isValid():
            return None
        file = self._files[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, PATH_ROLE):
            return file.path
        if role == SIZE_ROLE:
            return file.size_bytes
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{file.path} · {file.size_bytes:,} bytes"
        return None
