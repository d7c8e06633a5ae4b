"""A project folder seen as a web site: its entry page, its files with their types, and the served form of a page."""

import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

from app.core.web_libraries import WebLibraries

_TYPES = {
    ".html": "text/html", ".htm": "text/html", ".js": "text/javascript", ".mjs": "text/javascript",
    ".css": "text/css", ".json": "application/json", ".svg": "image/svg+xml", ".wasm": "application/wasm",
    ".glb": "model/gltf-binary", ".gltf": "model/gltf+json", ".txt": "text/plain", ".csv": "text/csv",
    ".glsl": "text/plain", ".vert": "text/plain", ".frag": "text/plain", ".map": "application/json",
    ".woff2": "font/woff2", ".md": "text/plain",
}  # fmt: skip
_REWRITTEN = frozenset({"text/html", "text/javascript", "text/css", "image/svg+xml"})
_PLACES = (
    re.compile(r"<head\b[^>]*>", re.IGNORECASE),
    re.compile(r"<html\b[^>]*>", re.IGNORECASE),
    re.compile(r"<!doctype[^>]*>", re.IGNORECASE),
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFile:
    """What the preview sends for one address."""

    content_type: str
    data: bytes


def content_type(path: str) -> str:
    """Return the media type of a file by its name, without asking the system's tables for the common ones."""
    suffix = Path(path).suffix.lower()
    return _TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"


def find_entry(folder: Path) -> str | None:
    """Return the page to open: index.html, else the first HTML file by name; None when there is none."""
    if (folder / "index.html").is_file():
        return "index.html"
    pages = sorted(path.name for path in folder.glob("*.htm*") if path.suffix.lower() in (".html", ".htm"))
    return pages[0] if pages else None


def project_file(folder: Path, path: str) -> Path | None:
    """Return the file at a relative path if it exists and lies inside the folder, links followed."""
    root = folder.resolve()
    try:
        file = (root / path.lstrip("/")).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None
    except (OSError, ValueError):  # a name too long for the disk, a zero byte
        return None


def serve(folder: Path, path: str, libraries: WebLibraries) -> ServedFile | None:
    """Read one project file as it is now and make it ready for the preview; None when it isn't there.

    Raises:
        OSError: the file is there and can't be read.
    """
    file = project_file(folder, path)
    if file is None:
        return None
    kind, data = content_type(file.name), file.read_bytes()
    if kind not in _REWRITTEN:
        return ServedFile(content_type=kind, data=data)
    text = libraries.rewrite(data.decode("utf-8", errors="replace"))
    if kind == "text/html":
        text = with_import_map(text, libraries.import_map())
    return ServedFile(content_type=f"{kind}; charset=utf-8", data=text.encode())


def with_import_map(page: str, import_map: str) -> str:
    """Put our import map before everything else in the page, adding no line, so that line numbers stay true."""
    tag = f'<script type="importmap">{import_map}</script>'
    blanked = _COMMENT.sub(lambda match: " " * len(match[0]), page)
    for place in _PLACES:
        if match := place.search(blanked):
            return page[: match.end()] + tag + page[match.end() :]
    return tag + page
