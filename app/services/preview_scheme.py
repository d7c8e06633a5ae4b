"""The preview's own address scheme: shell page, project files as they are on disk, and the served libraries.

preview://shell/          the page that holds the sandboxed frame
preview://project/PATH    a file of the project, made ready by app/core/web_project.py
preview://vendor/PKG/PATH a served library

The project frame has an opaque origin, so everything is sent with an open CORS header. What the page may reach is
decided by the policy below and, behind it, by app/services/preview_guard.py.
"""

from pathlib import Path
from typing import Any

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QObject, QUrl, Signal
from PySide6.QtWebEngineCore import QWebEngineUrlRequestJob, QWebEngineUrlScheme, QWebEngineUrlSchemeHandler

from app.core.web_libraries import WebLibraries
from app.core.web_project import ServedFile, content_type, serve

SCHEME = b"preview"
SHELL_ADDRESS = "preview://shell/"

_LOCAL = "preview://project preview://vendor"


def register_preview_scheme() -> None:
    """Register the scheme. Qt wants this before the application object exists; a second call does nothing."""
    if not QWebEngineUrlScheme.schemeByName(SCHEME).name().isEmpty():
        return
    scheme = QWebEngineUrlScheme(SCHEME)
    scheme.setSyntax(QWebEngineUrlScheme.Syntax.Host)
    flag = QWebEngineUrlScheme.Flag
    scheme.setFlags(flag.SecureScheme | flag.CorsEnabled | flag.FetchApiAllowed)
    QWebEngineUrlScheme.registerScheme(scheme)


def project_address(path: str) -> QUrl:
    """Return the address of a project file."""
    address = QUrl("preview://project/")
    address.setPath("/" + path.lstrip("/"))
    return address


def project_path(address: str) -> str | None:
    """Return the project file an address stands for, or None when it is no project address."""
    url = QUrl(address)
    return url.path().lstrip("/") if url.scheme() == "preview" and url.host() == "project" else None


def content_policy(*, network: bool) -> str:
    """Return the Content-Security-Policy of project pages."""
    out = " https: http:" if network else ""
    sockets = " wss: ws:" if network else ""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_LOCAL} 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob: data:{out}",
            f"style-src {_LOCAL} 'unsafe-inline' blob: data:{out}",
            f"img-src {_LOCAL} blob: data:{out}",
            f"media-src {_LOCAL} blob: data:{out}",
            f"font-src {_LOCAL} data:{out}",
            f"connect-src {_LOCAL} blob: data:{out}{sockets}",
            f"worker-src {_LOCAL} blob: data:",
            "frame-src preview://project blob: data:" + out,
            "form-action 'none'",
            "base-uri preview://project",
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
        if host == "project" and self.folder is not None:
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
        if found is None:
            job.fail(QWebEngineUrlRequestJob.Error.UrlNotFound)
            return
        headers = {
            b"Access-Control-Allow-Origin": b"*",
            b"Cache-Control": b"no-store",
            b"X-Content-Type-Options": b"nosniff",
        }
        if url.host() == "project":
            headers[b"Content-Security-Policy"] = content_policy(network=self.network_allowed).encode()
        # the stub says one value a header; what works is a list of them
        multi: Any = {QByteArray(name): [QByteArray(value)] for name, value in headers.items()}
        job.setAdditionalResponseHeaders(multi)
        buffer = QBuffer(job)
        buffer.setData(found.data)
        buffer.open(QIODevice.OpenModeFlag.ReadOnly)
        job.reply(QByteArray(found.content_type.encode()), buffer)
