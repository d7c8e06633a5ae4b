"""Takes a project out of the program: as one HTML file that any browser opens, or as a zip of its files.

Pages keep their CDN addresses; what our preview adds silently (names such as `three` without an import map) is
written into the exported page, with pinned CDN addresses, so that it runs elsewhere too.
"""

import base64
import io
import json
import re
import zipfile
from pathlib import Path, PurePosixPath

from app.core.project_walk import walk_project
from app.core.web_project import content_type, project_file, with_import_map

CDN_IMPORTS = {
    "three": "https://cdn.jsdelivr.net/npm/three@0.180.0/build/three.module.js",
    "three/addons/": "https://cdn.jsdelivr.net/npm/three@0.180.0/examples/jsm/",
    "d3": "https://cdn.jsdelivr.net/npm/d3@7.9.0/+esm",
    "chart.js": "https://cdn.jsdelivr.net/npm/chart.js@4.5.0/+esm",
    "chart.js/auto": "https://cdn.jsdelivr.net/npm/chart.js@4.5.0/auto/+esm",
    "p5": "https://cdn.jsdelivr.net/npm/p5@1.11.13/+esm",
    "matter-js": "https://cdn.jsdelivr.net/npm/matter-js@0.20.0/+esm",
    "cannon-es": "https://cdn.jsdelivr.net/npm/cannon-es@0.20.0/dist/cannon-es.js",
}
_SCRIPT = re.compile(r"<script\b(?P<rest>[^>]*)>(?P<body>.*?)</script>", re.IGNORECASE | re.DOTALL)
_MAP = re.compile(r"<script\b[^>]*\btype\s*=\s*[\"']?importmap[^>]*>(?P<body>.*?)</script>", re.IGNORECASE | re.DOTALL)
_SOURCE = re.compile(r"\s+src\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))", re.IGNORECASE)
_STYLE_LINK = re.compile(r"<link\b(?=[^>]*\brel\s*=\s*[\"']?stylesheet)[^>]*>", re.IGNORECASE)
_HREF = re.compile(r"\bhref\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))", re.IGNORECASE)
_MEDIA = re.compile(r"(<(?:img|source|audio|video)\b[^>]*?\bsrc\s*=\s*)(\"[^\"]*\"|'[^']*')", re.IGNORECASE)
_CSS_URL = re.compile(r"url\(\s*(['\"]?)([^)'\"]+)\1\s*\)")
_SPECIFIER = re.compile(r"((?:\bfrom|\bimport)\s*\(?\s*)(['\"])(\.{1,2}/[^'\"]+)\2")
_BARE = re.compile(r"(?:\bfrom|\bimport)\s*\(?\s*['\"]([a-z@][^'\":]*)['\"]")


def single_html(folder: Path, entry: str) -> str:
    """Return the page with the project's own scripts, styles and pictures written into it.

    Raises:
        OSError: a file can't be read.
    """
    return _Exporter(folder.resolve()).page(entry)


def zip_bytes(folder: Path) -> bytes:
    """Return a zip with the project's files.

    Raises:
        OSError: a file can't be read.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, _status in walk_project(folder):
            archive.write(folder / path, path)
    return stream.getvalue()


def _with_imports(page: str, imports: dict[str, str]) -> str:
    """Add to the page's import map, since not every browser takes two; without one, give it one."""
    if match := _MAP.search(page):
        try:
            own = json.loads(match["body"])
            own["imports"] = imports | own.get("imports", {})
        except (ValueError, AttributeError, TypeError):
            return page
        return page[: match.start("body")] + json.dumps(own) + page[match.end("body") :]
    return with_import_map(page, json.dumps({"imports": imports}))


class _Exporter:
    """Collects the modules of one page while it is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._modules: dict[str, str] = {}
        self._bare: set[str] = set()

    def page(self, entry: str) -> str:
        file = project_file(self._folder, entry)
        assert file is not None, entry
        text = file.read_text(encoding="utf-8", errors="replace")
        base = PurePosixPath(entry).parent
        text = _STYLE_LINK.sub(lambda match: self._style(match[0], base), text)
        text = _SCRIPT.sub(lambda match: self._script(match, base), text)
        text = _MEDIA.sub(lambda match: f'{match[1]}"{self._data_address(match[2][1:-1], base)}"', text)
        imports = {name: address for name, address in CDN_IMPORTS.items() if self._uses(name)}
        imports |= {
            f"project/{name}": "data:text/javascript;base64," + base64.b64encode(source.encode()).decode()
            for name, source in self._modules.items()
        }
        return _with_imports(text, imports) if imports else text

    def _uses(self, name: str) -> bool:
        return any(used.startswith(name) if name.endswith("/") else used == name for used in self._bare)

    def _local(self, address: str, base: PurePosixPath) -> tuple[str, Path] | None:
        if re.match(r"(?:[a-z][a-z0-9+.-]*:|//|#)", address, re.IGNORECASE):
            return None
        path = re.split(r"[?#]", address)[0]
        file = project_file(self._folder, path if path.startswith("/") else str(base / path))
        return (file.relative_to(self._folder).as_posix(), file) if file else None

    def _data_address(self, address: str, base: PurePosixPath) -> str:
        found = self._local(address, base)
        if found is None:
            return address
        return f"data:{content_type(found[0])};base64," + base64.b64encode(found[1].read_bytes()).decode()

    def _style(self, tag: str, base: PurePosixPath) -> str:
        href = _HREF.search(tag)
        found = self._local(next(filter(None, href.groups()), ""), base) if href else None
        if found is None:
            return tag
        inner = PurePosixPath(found[0]).parent
        css = found[1].read_text(encoding="utf-8", errors="replace")
        css = _CSS_URL.sub(lambda match: f'url("{self._data_address(match[2], inner)}")', css)
        return f"<style>\n{css}\n</style>"

    def _script(self, match: re.Match[str], base: PurePosixPath) -> str:
        rest, body = match["rest"], match["body"]
        module = re.search(r"\btype\s*=\s*[\"']?module", rest, re.IGNORECASE) is not None
        if source := _SOURCE.search(rest):
            found = self._local(next(filter(None, source.groups()), ""), base)
            if found is None:
                return match[0]
            rest, base = _SOURCE.sub("", rest), PurePosixPath(found[0]).parent
            body = found[1].read_text(encoding="utf-8", errors="replace")
        if module:
            body = self._module(body, base)
        return f"<script{rest}>" + body.replace("</script", "<\\/script") + "</script>"

    def _module(self, source: str, base: PurePosixPath) -> str:
        """Give local modules names of the import map, since a relative name means nothing in a data address."""
        self._bare.update(match[1] for match in _BARE.finditer(source))

        def named(match: re.Match[str]) -> str:
            found = self._local(match[3], base)
            if found is None:
                return match[0]
            name, file = found
            if name not in self._modules:
                self._modules[name] = ""
                text = file.read_text(encoding="utf-8", errors="replace")
                self._modules[name] = self._module(text, PurePosixPath(name).parent)
            return f"{match[1]}{match[2]}project/{name}{match[2]}"

        return _SPECIFIER.sub(named, source)
