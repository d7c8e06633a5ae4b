"""Serves the editor's page and Monaco to a web view of our own, from the resources folder alone. No network."""

import mimetypes
from pathlib import Path

from PySide6.QtCore import QBuffer, QByteArray, QIODevice
from PySide6.QtWebEngineCore import (
    QWebEngineProfile,
    QWebEngineUrlRequestInfo,
    QWebEngineUrlRequestInterceptor,
    QWebEngineUrlRequestJob,
    QWebEngineUrlScheme,
    QWebEngineUrlSchemeHandler,
)

SCHEME = b"expertarium-editor"
EDITOR_URL = "expertarium-editor://app/editor/index.html"
WEB_FOLDER = Path(__file__).parents[2] / "resources" / "web"
MONACO_FOLDER = WEB_FOLDER / "node_modules" / "monaco-editor" / "min" / "vs"


def register_editor_scheme() -> None:
    """Register the scheme; Qt wants it before the application object exists."""
    if not QWebEngineUrlScheme.schemeByName(SCHEME).name().isEmpty():
        return
    scheme = QWebEngineUrlScheme(SCHEME)
    scheme.setSyntax(QWebEngineUrlScheme.Syntax.Host)
    flags = QWebEngineUrlScheme.Flag
    scheme.setFlags(flags.SecureScheme | flags.LocalAccessAllowed | flags.CorsEnabled | flags.FetchApiAllowed)
    QWebEngineUrlScheme.registerScheme(scheme)


def served_file(path: str) -> Path | None:
    """Return the file behind a URL path, or None when nothing is served there."""
    for prefix, folder in (("/vs/", MONACO_FOLDER), ("/editor/", WEB_FOLDER / "editor")):
        if path.startswith(prefix):
            file = (folder / path.removeprefix(prefix)).resolve()
            return file if file.is_relative_to(folder.resolve()) and file.is_file() else None
    return None


class EditorSchemeHandler(QWebEngineUrlSchemeHandler):
    """Answers the editor's requests with files."""

    # --- Qt overrides

    def requestStarted(self, job: QWebEngineUrlRequestJob) -> None:
        """Reply with the file, or fail the request."""
        file = served_file(job.requestUrl().path())
        if file is None:
            job.fail(QWebEngineUrlRequestJob.Error.UrlNotFound)
            return
        buffer = QBuffer(job)
        buffer.setData(file.read_bytes())
        buffer.open(QIODevice.OpenModeFlag.ReadOnly)
        kind = "text/javascript" if file.suffix == ".js" else mimetypes.guess_type(file.name)[0]
        job.reply(QByteArray((kind or "application/octet-stream").encode()), buffer)


class OwnSchemeOnly(QWebEngineUrlRequestInterceptor):
    """Blocks every request that leaves the editor's own scheme."""

    # --- Qt overrides

    def interceptRequest(self, info: QWebEngineUrlRequestInfo) -> None:
        """Let our scheme and in-page data through, and block the rest."""
        info.block(info.requestUrl().scheme().encode() not in (SCHEME, b"data", b"blob"))


def editor_profile() -> QWebEngineProfile:
    """Make the editor's profile: off the record, apart from the preview's."""
    profile = QWebEngineProfile()
    profile.installUrlSchemeHandler(SCHEME, EditorSchemeHandler(profile))
    profile.setUrlRequestInterceptor(OwnSchemeOnly(profile))
    return profile
