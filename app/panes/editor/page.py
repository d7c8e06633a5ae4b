"""The web view with Monaco, and the bridge to it. Calls made before the page is ready wait for it."""

import json
from typing import Any

from PySide6.QtCore import QFile, QIODevice, QObject, QUrl, Signal, Slot
from PySide6.QtGui import QColor
from PySide6.QtWebChannel import QWebChannel
from PySide6.QtWebEngineCore import QWebEnginePage, QWebEngineScript
from PySide6.QtWidgets import QWidget

from app.core.documents import TextChange
from app.services.editor_scheme import EDITOR_URL, editor_profile
from app.services.web_view import WebView
from app.theme.theme import Theme


class EditorBridge(QObject):
    """What the page may call. The page is ours, yet its input is read as data.

    Signals:
        page_ready: Monaco stands.
        changes_received: (path, list of batches of TextChange), in order.
        save_requested: Ctrl+S in the page.
        selection_moved: (path, start, end, line, column); start and end in UTF-16 units.
        tokens_picked: (path, first, last) token numbers under the cursor or selection that the person moved.
        experts_asked: (path, start, end) whose experts are wanted; start and end in UTF-16 units.
    """

    page_ready = Signal()
    changes_received = Signal(str, object)
    save_requested = Signal()
    selection_moved = Signal(str, int, int, int, int)
    tokens_picked = Signal(str, int, int)
    experts_asked = Signal(str, int, int)

    @Slot()
    def ready(self) -> None:
        """Called by the page once."""
        self.page_ready.emit()

    @Slot(str, str)
    def edited(self, path: str, batches: str) -> None:
        """Called by the page with the edits made since the last call."""
        changes = [[TextChange(*change) for change in batch] for batch in json.loads(batches)]
        self.changes_received.emit(path, changes)

    @Slot()
    def save(self) -> None:
        """Called by the page on Ctrl+S."""
        self.save_requested.emit()

    @Slot(str, int, int, int, int)
    def selected(self, path: str, start: int, end: int, line: int, column: int) -> None:
        """Called by the page when the cursor or selection moves."""
        self.selection_moved.emit(path, start, end, line, column)

    @Slot(str, int, int)
    def picked(self, path: str, first: int, last: int) -> None:
        """Called by the page when the person puts the cursor or a selection on marked tokens."""
        self.tokens_picked.emit(path, first, last)

    @Slot(str, int, int)
    def asked(self, path: str, start: int, end: int) -> None:
        """Called by the page for the menu entry about experts."""
        self.experts_asked.emit(path, start, end)


class EditorView(WebView):
    """Monaco. `call` runs a function of the page's api; calls wait until the page is ready.

    Signals:
        page_lost: the renderer died; the view reloads itself, and the owner opens its documents again on page_ready.
    """

    page_lost = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bridge = EditorBridge(self)
        self._ready = False
        self._waiting: list[str] = []
        profile = editor_profile()
        page = QWebEnginePage(profile, self)
        profile.setParent(self)  # after the page, so that it is deleted after the page, as Qt wants it
        channel = QWebChannel(page)
        channel.registerObject("bridge", self.bridge)
        page.setWebChannel(channel)
        page.scripts().insert(_channel_script())
        page.renderProcessTerminated.connect(self._renderer_gone)
        self.bridge.page_ready.connect(self._page_ready)
        self.setPage(page)
        self.setAccessibleName("Code editor")

    def start(self) -> None:
        """Load the page."""
        self.load(QUrl(EDITOR_URL))

    @property
    def is_ready(self) -> bool:
        """Whether Monaco stands."""
        return self._ready

    def call(self, function: str, *arguments: Any) -> None:
        """Call `api.function(*arguments)` in the page."""
        script = f"api.{function}({', '.join(json.dumps(argument) for argument in arguments)})"
        if self._ready:
            self.page().runJavaScript(script)
        else:
            self._waiting.append(script)

    @Slot()
    def _page_ready(self) -> None:
        self._ready = True
        waiting, self._waiting = self._waiting, []
        for script in waiting:
            self.page().runJavaScript(script)

    @Slot(QWebEnginePage.RenderProcessTerminationStatus, int)
    def _renderer_gone(self, status: QWebEnginePage.RenderProcessTerminationStatus, _code: int) -> None:
        self._ready = False
        self._waiting = []
        if status != QWebEnginePage.RenderProcessTerminationStatus.NormalTerminationStatus:
            self.page_lost.emit()
            self.start()


def monaco_theme(theme: Theme) -> dict[str, Any]:
    """Return Monaco's theme from our colour roles."""

    def hex_of(role: str) -> str:
        color: QColor = theme.color(role)
        return color.name()

    rules = {"keyword": "keyword", "string": "string", "number": "number", "number.hex": "number",
             "type.identifier": "function", "function": "function", "comment": "comment", "tag": "tag",
             "attribute.name": "attribute", "attribute.value": "string", "delimiter": "operator", "metatag": "comment",
             # the base themes colour these more narrowly
             "attribute.value.html": "string", "metatag.html": "comment", "metatag.content.html": "comment",
             "delimiter.html": "operator"}
    return {
        "base": "vs-dark" if theme.is_dark else "vs",
        "inherit": True,
        "rules": [{"token": token, "foreground": theme.syntax(role).name()[1:]} for token, role in rules.items()],
        "colors": {
            "editor.background": hex_of("code"),
            "editor.foreground": hex_of("text"),
            "editorLineNumber.foreground": hex_of("faint"),
            "editorLineNumber.activeForeground": hex_of("text"),
            "editor.selectionBackground": hex_of("accent_background"),
            "editor.lineHighlightBackground": hex_of("panel"),
            "editor.lineHighlightBorder": hex_of("code"),
            "editorCursor.foreground": hex_of("accent"),
            "editorWidget.background": hex_of("raised"),
            "editorWidget.border": hex_of("line"),
            "input.background": hex_of("panel"),
            "focusBorder": hex_of("accent"),
        },
    }


def _channel_script() -> QWebEngineScript:
    file = QFile(":/qtwebchannel/qwebchannel.js")
    file.open(QIODevice.OpenModeFlag.ReadOnly)
    script = QWebEngineScript()
    script.setName("qwebchannel")
    script.setSourceCode(bytes(file.readAll().data()).decode())
    script.setInjectionPoint(QWebEngineScript.InjectionPoint.DocumentCreation)
    script.setWorldId(QWebEngineScript.ScriptWorldId.MainWorld)
    return script
