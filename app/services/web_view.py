"""A web view that leaves files dragged over it to the window, which knows what to do with them."""

from PySide6.QtGui import QDragEnterEvent
from PySide6.QtWebEngineWidgets import QWebEngineView


class WebView(QWebEngineView):
    """Shows a page. Text and a page's own things can be dragged within it as everywhere."""

    # --- Qt overrides

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Pass files on to the widgets around this one: a page would open them in its own place."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.ignore()
        else:
            super().dragEnterEvent(event)
