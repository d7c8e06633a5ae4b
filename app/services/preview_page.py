"""The web page of a preview: reads the page script's reports off the console, and refuses what a page may not do."""

import json
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QUrl, Signal, Slot
from PySide6.QtWebEngineCore import (
    QWebEngineFullScreenRequest,
    QWebEnginePage,
    QWebEnginePermission,
    QWebEngineProfile,
    QWebEngineScript,
    QWebEngineSettings,
)

from app.core.run_report import BlockedRequest, PageError
from app.services.preview_guard import PROBE_ADDRESS
from app.services.preview_scheme import SHELL_ADDRESS, is_project_address, project_path

MAX_ADDRESS = 500  # characters of a refused address that are kept

_SCRIPT_NAME = "expertarium-page"
_NOISE = re.compile(
    r"^(Refused to |Fetch API cannot load|Failed to load resource|An import map rule|Access to |Uncaught "
    r"|The AudioContext was not allowed|\[\.WebGL-|GL Driver Message)"
)
_REFUSED = (
    (re.compile(r"^Blocked opening '(.*)' in a new window"), "new window"),
    (re.compile(r"^Blocked form submission to '([^']*)'"), "form"),
    (re.compile(r"^Unsafe attempt to load URL (\S+) from frame"), "resource"),
    # a worklet's script is refused with no event in the page; of other scripts the page script tells the same
    (re.compile(r"^Refused to load the script '(https?:[^']+)' because it violates"), "script-src-elem"),
    (re.compile(r"^Not allowed to load local resource: (\S+)"), "file"),
    (re.compile(r"^(?P<top>Unsafe attempt to initiate navigation for frame) "), "top-level navigation"),
    (re.compile(r"^(?P<file>Download is disallowed)"), "download"),
    (re.compile(r"^(?P<program>Navigation to external protocol blocked)"), "link"),
    (
        re.compile(
            r"^(?:Permissions policy violation: )?(?:The )?([\w -]+?)(?: API| access| permission)? "
            r"(?:has been blocked because of a permissions policy|is not allowed in this document)"
        ),
        "permission",
    ),
)
# what was refused, where Chromium does not name it
_UNNAMED = {"top": "top.location", "file": "a file to save", "program": "another program"}


class PreviewPage(QWebEnginePage):
    """The shell page with the project's sandboxed frame.

    Signals:
        error_raised: (PageError) an uncaught error, an unhandled rejection or console.error.
        console_written: (level, text, project path, line) what the page logs.
        request_refused: (BlockedRequest).
        page_reported: (type, fields) everything else the page script says.
        fullscreen_asked: (on) the page wants the whole screen, or gives it back.
    """

    error_raised = Signal(object)
    console_written = Signal(str, str, str, int)
    request_refused = Signal(object)
    page_reported = Signal(str, object)
    fullscreen_asked = Signal(bool)

    def __init__(self, profile: QWebEngineProfile, page_script: Path, parent: QObject | None = None) -> None:
        super().__init__(profile, parent)
        self._source = page_script.read_text(encoding="utf-8")
        self._secret = self._token = secrets.token_hex(16)
        self._num_loads = 0
        self._is_current = False
        self.network_allowed = False
        self.has_person = True  # who could choose a file when the page asks for one
        self._restrict()
        self.permissionRequested.connect(self._answer_permission)
        self.fullScreenRequested.connect(self._answer_fullscreen)

    def _restrict(self) -> None:
        settings, attribute = self.settings(), QWebEngineSettings.WebAttribute
        for name, on in (
            (attribute.JavascriptCanOpenWindows, False), (attribute.LocalStorageEnabled, False),
            (attribute.LocalContentCanAccessRemoteUrls, False), (attribute.HyperlinkAuditingEnabled, False),
            (attribute.PluginsEnabled, False), (attribute.PdfViewerEnabled, False), (attribute.ErrorPageEnabled, False),
            (attribute.DnsPrefetchEnabled, False), (attribute.ScreenCaptureEnabled, False),
            (attribute.WebRTCPublicInterfacesOnly, True), (attribute.JavascriptCanAccessClipboard, False),
            (attribute.FullScreenSupportEnabled, True), (attribute.PlaybackRequiresUserGesture, False),
            (attribute.WebGLEnabled, True),
        ):  # fmt: skip
            settings.setAttribute(name, on)
        settings.setUnknownUrlSchemePolicy(QWebEngineSettings.UnknownUrlSchemePolicy.DisallowUnknownUrlSchemes)

    def set_up_script(self, *, stepped: bool) -> None:
        """Prepare the page script for the next load. See resources/web/preview/page.js for what `stepped` means."""
        for known in self.scripts().find(_SCRIPT_NAME):
            self.scripts().remove(known)
        # a page of ours counts as secure, which would refuse it plain http even where the network is allowed
        insecure = QWebEngineSettings.WebAttribute.AllowRunningInsecureContent
        self.settings().setAttribute(insecure, self.network_allowed)
        # What the page before says, and said before it went, is not this one's: each has a token of its own.
        self._num_loads += 1
        self._token = f"{self._secret}-{self._num_loads}-"
        self._is_current = False
        config = {"token": self._token, "stepped": stepped, "network": self.network_allowed}
        script = QWebEngineScript()
        script.setName(_SCRIPT_NAME)
        script.setSourceCode(self._source.replace("__CONFIG__", json.dumps(config)))
        script.setInjectionPoint(QWebEngineScript.InjectionPoint.DocumentCreation)
        script.setWorldId(QWebEngineScript.ScriptWorldId.MainWorld)
        script.setRunsOnSubFrames(True)
        self.scripts().insert(script)

    def open_frame(self, address: QUrl) -> None:
        """Load a project page into the frame; the shell must have been loaded."""
        encoded = address.toString(QUrl.ComponentFormattingOption.FullyEncoded)
        arguments = ", ".join(map(json.dumps, (encoded, PROBE_ADDRESS, self._token)))
        self.runJavaScript(f"shell.open({arguments})")

    def order(self, name: str, **fields: Any) -> None:
        """Tell the page script to do something; while the shell still loads nobody hears it."""
        message = json.dumps({"token": self._token, "order": name, **fields})
        self.runJavaScript(f'typeof shell === "undefined" || shell.send({message})')

    def _take_report(self, report: dict[str, Any]) -> None:
        kind = report.pop("type")
        self._is_current = True
        if kind == "error":
            error = _page_error(report)
            if error.kind == "console":
                self.console_written.emit("error", error.message, error.path, error.line)
            if error.message != "Script error.":  # the console has the words of that one
                self.error_raised.emit(error)
        elif kind == "violation":
            address = report["address"][:MAX_ADDRESS]
            if not address.startswith("preview"):  # a file that isn't there, see preview_scheme.py
                self.request_refused.emit(BlockedRequest(address=address, kind=report["directive"]))
        else:
            self.page_reported.emit(kind, report)

    def _take_console(self, level: str, text: str, source: str, line: int) -> None:
        for pattern, kind in _REFUSED:
            if match := pattern.match(text):
                address = _UNNAMED.get(match.lastgroup or "", match[1])
                self.request_refused.emit(BlockedRequest(address=address[:MAX_ADDRESS], kind=kind))
                return
        if not _NOISE.match(text):
            self.console_written.emit(level, text, project_path(source) or "", line)
        elif text.startswith("Uncaught ") and source.strip() in ("", "about:blank"):
            self.error_raised.emit(PageError(message=text))

    @Slot(QWebEnginePermission)
    def _answer_permission(self, permission: QWebEnginePermission) -> None:
        if permission.permissionType() == QWebEnginePermission.PermissionType.MouseLock:
            permission.grant()
        else:
            permission.deny()
            asked = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", permission.permissionType().name).lower()
            self.request_refused.emit(BlockedRequest(address=asked, kind="permission"))

    @Slot(QWebEngineFullScreenRequest)
    def _answer_fullscreen(self, request: QWebEngineFullScreenRequest) -> None:
        request.accept()
        self.fullscreen_asked.emit(request.toggleOn())

    # --- Qt overrides

    def javaScriptConsoleMessage(
        self, level: QWebEnginePage.JavaScriptConsoleMessageLevel, text: str, line: int, source: str
    ) -> None:
        """Tell reports of our script from what the page logs."""
        if text.startswith(self._token):
            self._take_report(json.loads(text.removeprefix(self._token)))
        elif self._is_current and not text.startswith(self._secret):
            self._take_console(level.name.removesuffix("MessageLevel").lower(), text, source, line)

    def chooseFiles(
        self, mode: QWebEnginePage.FileSelectionMode, old_files: Sequence[str], accepted_types: Sequence[str]
    ) -> list[str]:
        """Let a person choose files for the page; where nobody looks on, it is as if the dialog was closed."""
        return super().chooseFiles(mode, old_files, accepted_types) if self.has_person else []

    def acceptNavigationRequest(
        self, url: QUrl | str, _kind: QWebEnginePage.NavigationType, is_main_frame: bool
    ) -> bool:
        """Let the main frame show the shell alone, and frames show the project or what the page made itself."""
        url = QUrl(url)
        if is_main_frame:
            return url.toString() == SHELL_ADDRESS
        allowed = url.scheme() in ("about", "blob") or is_project_address(url)
        if self.network_allowed and url.scheme() in ("http", "https"):
            allowed = True
        if not allowed:
            self.request_refused.emit(BlockedRequest(address=url.toString()[:MAX_ADDRESS], kind="navigation"))
        return allowed


def _page_error(report: dict[str, Any]) -> PageError:
    return PageError(
        message=str(report["message"]),
        path=project_path(str(report.get("source") or "")) or "",
        line=int(report.get("line") or 0),
        column=int(report.get("column") or 0),
        stack=_readable(str(report.get("stack") or "")),
        kind="console" if report.get("logged") else "error",
    )


def _readable(stack: str) -> str:
    """Leave the page's own places in a stack, with project paths."""
    lines = [line for line in stack.splitlines() if "userscript:" not in line]
    return re.sub(r"preview://(?:project-[0-9a-f]+|vendor)/", "", "\n".join(lines))
