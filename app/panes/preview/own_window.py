"""The page in a window of its own, or on the whole screen. The page moves; it isn't loaded again."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut
from PySide6.QtWebEngineCore import QWebEnginePage
from PySide6.QtWebEngineWidgets import QWebEngineView
from PySide6.QtWidgets import QVBoxLayout, QWidget


class OwnWindow(QWidget):
    """Holds the page while it is out of the pane.

    Signals:
        closed: the page wants to go back.
    """

    closed = Signal()

    def __init__(self, page: QWebEnginePage, title: str, *, fullscreen: bool) -> None:
        super().__init__(None, Qt.WindowType.Window)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.view = QWebEngineView(self)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self.view.setPage(page)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view)
        self.resize(1100, 750)
        if fullscreen:
            for key in (Qt.Key.Key_Escape, Qt.Key.Key_F11):
                QShortcut(QKeySequence(key), self, self.close)
            self.showFullScreen()
        else:
            self.show()
        self.view.setFocus()

    # --- Qt overrides

    def closeEvent(self, event: QCloseEvent) -> None:
        """Give the page back first."""
        self.closed.emit()
        super().closeEvent(event)
