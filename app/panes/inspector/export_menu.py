"""The small menu every view of the inspector has: its picture as PNG, its numbers as CSV."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QPoint, QSize, QStandardPaths, Slot
from PySide6.QtGui import QAction, QGuiApplication, QImage, QPainter
from PySide6.QtWidgets import QFileDialog, QMenu, QMessageBox, QToolButton, QWidget

from app.core.atomic import write_file
from app.core.table import Table
from app.theme.metrics import ICON_SIZE, ROW_HEIGHT
from app.theme.theme import Theme

PICTURE_SCALE = 2.0


def picture_of(view: QWidget, about: str = "") -> QImage:
    """Draw a view as it is on screen, in double size on the theme's panel; `about` goes along in the file."""
    image = QImage(view.size() * PICTURE_SCALE, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(PICTURE_SCALE)
    image.fill(view.palette().base().color())
    painter = QPainter(image)
    view.render(painter, QPoint())
    painter.end()
    if about:
        image.setText("Description", about)
    return image


class ExportMenu(QToolButton):
    """A button with the menu. `view` is what is drawn, `table` gives the numbers when they are wanted."""

    def __init__(self, theme: Theme, name: str, view: QWidget, table: Callable[[], Table]) -> None:
        super().__init__()
        self._name, self._view, self._table = name, view, table
        self.setIconSize(QSize(ICON_SIZE, ICON_SIZE))
        self.setFixedSize(ROW_HEIGHT, ROW_HEIGHT)
        self.setToolTip(f"{name}: save or copy")
        self.setAccessibleName(self.toolTip())
        theme.set_icon(self, "more")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.entries = QMenu(self)
        self._add("Save picture as PNG…", self._save_picture)
        self._add("Copy picture", self._copy_picture)
        self._add("Save numbers as CSV…", self._save_table)
        self.setMenu(self.entries)

    def add_actions(self, actions: list[QAction]) -> None:
        """Put further actions of the view below."""
        self.entries.addSeparator()
        self.entries.addActions(actions)

    def _add(self, text: str, slot: Callable[[], None]) -> None:
        action = QAction(text, self)
        action.triggered.connect(slot)
        self.entries.addAction(action)

    def _file(self, suffix: str, kind: str) -> Path | None:
        folder = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation)
        proposed = Path(folder) / f"{self._name.lower().replace(' ', '-')}{suffix}"
        chosen, _ = QFileDialog.getSaveFileName(self, f"Save {self._name.lower()}", str(proposed), kind)
        if not chosen:
            return None
        return Path(chosen) if Path(chosen).suffix else Path(chosen + suffix)

    def _failed(self, path: Path, cause: str) -> None:
        QMessageBox.warning(self, "Not saved", f"{path} could not be written: {cause}. Choose another folder.")

    @Slot()
    def _save_picture(self) -> None:
        path = self._file(".png", "Pictures (*.png)")
        about = "; ".join(f"{name}: {value}" for name, value in self._table().about.items())
        if path is not None and not picture_of(self._view, about).save(str(path)):
            self._failed(path, "the disk refused, or the folder is not there")

    @Slot()
    def _copy_picture(self) -> None:
        QGuiApplication.clipboard().setImage(picture_of(self._view))

    @Slot()
    def _save_table(self) -> None:
        path = self._file(".csv", "Tables (*.csv)")
        if path is None:
            return
        try:
            write_file(path, self._table().as_csv().encode())
        except OSError as error:
            self._failed(path, error.strerror or str(error))
