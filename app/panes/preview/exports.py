"""Ways out of the program for a page: the system's browser, one HTML file, a zip."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QStandardPaths, QUrl, Signal, Slot
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog, QWidget

from app.core.atomic import write_file
from app.core.problem import Problem
from app.core.web_export import single_html, zip_bytes


class PageExports(QObject):
    """Exports the page on show.

    Signals:
        told: how it went, in words.
    """

    told = Signal(str)

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._folder: Path | None = None
        self._entry = ""

    def set_page(self, folder: Path | None, entry: str | None) -> None:
        """Note which page is on show."""
        self._folder, self._entry = folder, entry or ""

    def export_html(self, file: Path) -> bool:
        """Write the page as one HTML file; say how it went, and return it."""
        return self._write(file, lambda folder: single_html(folder, self._entry).encode())

    def export_zip(self, file: Path) -> bool:
        """Write the project as a zip; say how it went, and return it."""
        return self._write(file, zip_bytes)

    @Slot()
    def ask_html(self) -> None:
        """Ask for a file, and write the page as one HTML file."""
        path, _ = QFileDialog.getSaveFileName(
            self._window, "Export as one HTML file", self._suggest(".html"), "HTML (*.html)"
        )
        if path:
            self.export_html(Path(path))

    @Slot()
    def ask_zip(self) -> None:
        """Ask for a file, and write the project as a zip."""
        path, _ = QFileDialog.getSaveFileName(self._window, "Export as a zip", self._suggest(".zip"), "Zip (*.zip)")
        if path:
            self.export_zip(Path(path))

    @Slot()
    def open_in_browser(self) -> None:
        """Open the page, as one file, in the system's browser. There it may use the network."""
        if self._folder is None:
            return
        file = Path(tempfile.mkdtemp(prefix="expertarium-")) / f"{self._folder.name}.html"
        if self.export_html(file) and not QDesktopServices.openUrl(QUrl.fromLocalFile(str(file))):
            self.told.emit(f"No browser could be started. The page is in {file}")

    def _suggest(self, suffix: str) -> str:
        folder = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DownloadLocation)
        return str(Path(folder) / f"{self._folder.name if self._folder else 'project'}{suffix}")

    def _write(self, file: Path, content: Callable[[Path], bytes]) -> bool:
        if self._folder is None:
            return False
        try:
            write_file(file, content(self._folder))
        except OSError as error:
            self.told.emit(f"{file} can't be written: {error.strerror}. Choose another folder.")
            return False
        except Problem as problem:
            self.told.emit(str(problem))
            return False
        self.told.emit(f"Saved as {file}")
        return True
