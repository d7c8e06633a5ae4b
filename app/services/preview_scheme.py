"""The preview's own address scheme: shell page, project files as they are on disk, and the served libraries.

preview://shell/          the page that holds the sandboxed frame
preview://project-ID/PATH a file of the project, made ready by app/core/web_project.py
preview://vendor/PKG/PATH a served library

Shell and projects are different origins, each project its own, so the frame reaches neither the shell nor what another
project stored. (With an opaque origin Qt 6.11 refuses pointer lock without asking, tried.) What the page may reach
outside is decided by the policy below and, behind it, by app/services/preview_guard.py.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QObject, QUrl, Signal
from PySide6.QtWebEngineCore import QWebEngineUrlRequestJob, QWebEngineUrlScheme, QWebEngineUrlSchemeHandler

from app.core.web_libraries import WebLibraries
from app.core.web_project import ServedFile, content_type, serve

SCHEME = b"preview"
SHELL_ADDRESS = "preview://shell/"

_MISSING = QUrl("preview://missing/")
_PROJECT_HOST = re.compile(r"project-[0-9a-f]{16}")


def register_preview_scheme() -> None:
    """Register the scheme. Qt wants this before the application object exists; a second call does nothing."""
    if not QWebEngineUrlScheme.schemeByName(SCHEME).name().isEmpty():
        return
    scheme = QWebEngineUrlScheme(SCHEME)
    scheme.setSyntax(QWebEngineUrlScheme.Syntax.Host)
    flag = QWebEngineUrlScheme.Flag
    scheme.setFlags(flag.SecureScheme | flag.CorsEnabled | flag.FetchApiAllowed)
    QWebEngineUrlScheme.registerScheme(scheme)


def project_host(folder: Path) -> str:
    """Return the host, and so the origin, of a project."""
    return f"project-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]}"


def project_address(folder: Path, path: str) -> QUrl:
    """Return the address of a project file."""
    address = QUrl(f"preview://{project_host(folder)}/")
    address.setPath("/" + path.lstrip("/"))
    return address


def is_project_address(url: QUrl) -> bool:
    """Whether an address is one of a project."""
    return url.scheme() == "preview" and _PROJECT_HOST.fullmatch(url.host()) is not None


def project_path(address: str) -> str | None:
    """Return the project file an address stands for, or None when it is no project address."""
    url = QUrl(address)
    return url.path().lstrip("/") if is_project_address(url) else None


def content_policy(host: str, *, network: bool) -> str:
    """Return the Content-Security-Policy of the pages of one project."""
    local = f"preview://{host} preview://vendor"
    out = " https: http:" if network else ""
    sockets = " wss: ws:" if network else ""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {local} 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob: data:{out}",
            f"style-src {local} 'unsafe-inline' blob: data:{out}",
            f"img-src {local} blob: data:{out}",
            f"media-src {local} blob: data:{out}",
            f"font-src {local} data:{out}",
            f"connect-src {local} blob: data:{out}{sockets}",
            f"worker-src {local} blob: data:",
            f"frame-src preview://{host} blob: data:{out}",
            "form-action 'none'",
            f"base-uri preview://{host}",
        )
    )


class PreviewSchemeHandler(QWebEngineUrlSchemeHandler):
    """Answers requests of one preview.

    Signals:
        file_missing: (path) the page asked for a project file that isn't there, or can't be read.
    """

    file_missing = Signal(str)

    def __init__(self, libraries: WebLibraries, shell_page: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._libraries = libraries
        self._shell_page = shell_page
        self.folder: Path | None = None
        self.network_allowed = False

    def _find(self, host: str, path: str) -> ServedFile | None:
        if host == "shell" and path == "/":
            return ServedFile(content_type="text/html; charset=utf-8", data=self._shell_page.read_bytes())
        if host == "vendor":
            data = self._libraries.read(path)
            return None if data is None else ServedFile(content_type=content_type(path), data=data)
        if self.folder is not None and host == project_host(self.folder):
            try:
                found = serve(self.folder, path, self._libraries)
            except OSError:
                found = None
            if found is None and path != "/favicon.ico":
                self.file_missing.emit(path.lstrip("/"))
            return found
        return None

    # --- Qt overrides

    def requestStarted(self, job: QWebEngineUrlRequestJob) -> None:
        """Reply with the file and its policy, or fail the request."""
        url = job.requestUrl()
        found = self._find(url.host(), url.path())
        if found is None and url.host() != _MISSING.host():
            # WORKAROUND, Qt 6.11: after fail() the page gets a status but the body never ends, and neither does its
            # loading (tried). A redirect that the policy refuses is an error in every kind of request.
            job.redirect(_MISSING)
            return
        if found is None:
            job.fail(QWebEngineUrlRequestJob.Error.UrlNotFound)
            return
        headers = {
            b"Access-Control-Allow-Origin": b"*",
            b"Cache-Control": b"no-store",
            b"X-Content-Type-Options": b"nosniff",
        }
        if is_project_address(url):
            policy = content_policy(url.host(), network=self.network_allowed)
            headers[b"Content-Security-Policy"] = policy.encode()
        # the stub says one value a header; what works is a list of them
        multi: Any = {QByteArray(name): [QByteArray(value)] for name, value in headers.items()}
        job.setAdditionalResponseHeaders(multi)
        buffer = QBuffer(job)
        buffer.setData(found.data)
        buffer.open(QIODevice.OpenModeFlag.ReadOnly)
        job.reply(QByteArray(found.content_type.encode()), buffer)
