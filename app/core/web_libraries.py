"""Which JavaScript libraries the preview serves itself, and how CDN addresses lead to them.

Here: the table of libraries, the import map, the rewriting of known CDN addresses in served text, and the
wrappers that give old script-tag pages their globals. Not here: who serves it (app/services/preview_scheme.py).
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

VENDOR = "preview://vendor"

_HOSTS = (
    "cdn.jsdelivr.net", "fastly.jsdelivr.net", "unpkg.com", "cdnjs.cloudflare.com", "esm.sh", "esm.run",
    "cdn.skypack.dev", "ga.jspm.io", "threejs.org", "d3js.org",
)  # fmt: skip
_ADDRESS = re.compile(
    r"(?:https?:)?//(?:" + "|".join(re.escape(host) for host in _HOSTS) + r")/[^\s\"'`<>)\\]*", re.IGNORECASE
)
_CLASSIC_PLACE = re.compile(r"<script\b(?![^>]*\btype\s*=\s*[\"']?module)[^>]*\bsrc\s*=\s*[\"']?$", re.IGNORECASE)
_TAG_WITH_VENDOR = re.compile(r"<(?:script|link)\b[^>]*" + re.escape(VENDOR) + r"[^>]*>", re.IGNORECASE)
_INTEGRITY = re.compile(r"\s+integrity\s*=\s*(\"[^\"]*\"|'[^']*')", re.IGNORECASE)
_PACKAGE = re.compile(r"(?P<name>@[^/@]+/[^/@]+|[^/@]+)(?:@(?P<version>[^/]*))?(?:/(?P<rest>.*))?$")
_IMPORT = re.compile(r"^import\s*(?P<names>[^;]*?)\s*from\s*['\"](?P<source>[^'\"]+)['\"];?", re.MULTILINE)
_EXPORT = re.compile(r"^export\s*\{(?P<names>[^}]*)\};?", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """One served package: its file for script tags and its file for `import`, both inside the package.

    A path under `classic/` or `module/` is made on the fly from the file named by `source`.
    """

    classic: str
    module: str
    source: str = ""
    global_name: str = ""
    exports: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


_MATTER = (
    "Axes", "Bodies", "Body", "Bounds", "Collision", "Common", "Composite", "Composites", "Constraint",
    "Contact", "Detector", "Engine", "Events", "Grid", "Matter", "Mouse", "MouseConstraint", "Pair", "Pairs",
    "Plugin", "Query", "Render", "Resolver", "Runner", "SAT", "Sleeping", "Svg", "Vector", "Vertices", "World",
)  # fmt: skip

LIBRARIES = {
    "three": Library(
        classic="classic/three.js", module="build/three.module.js", source="build/three.cjs",
        global_name="THREE", aliases=("three.js",),
    ),
    "d3": Library(classic="dist/d3.min.js", module="src/index.js"),
    "chart.js": Library(
        classic="dist/chart.umd.min.js", module="auto/auto.js", aliases=("Chart.js", "chartjs", "Chart")
    ),
    "p5": Library(
        classic="lib/p5.min.js", module="module/p5.js", source="lib/p5.min.js", aliases=("p5.js",)
    ),
    "matter-js": Library(
        classic="build/matter.min.js", module="module/matter.js", source="build/matter.min.js", exports=_MATTER
    ),
    "cannon-es": Library(
        classic="classic/cannon.js", module="dist/cannon-es.js", source="dist/cannon-es.cjs.js",
        global_name="CANNON", aliases=("cannon.js", "cannon"),
    ),
}  # fmt: skip
_NAMES = {alias.lower(): name for name, lib in LIBRARIES.items() for alias in (name, *lib.aliases)}


class WebLibraries:
    """The served libraries under one node_modules folder."""

    def __init__(self, node_modules: Path) -> None:
        self._root = node_modules
        self._modules = self._find_modules()

    def _find_modules(self) -> dict[str, str]:
        """Map each package name that can be imported to its module file."""
        found = {name: library.module for name, library in LIBRARIES.items()}
        for folder in (*self._root.glob("*"), *self._root.glob("@*/*")):
            name = folder.relative_to(self._root).as_posix()
            manifest = folder / "package.json"
            if name not in found and (name.startswith(("d3-", "@kurkle/")) or name in _D3_PARTS) and manifest.is_file():
                fields = json.loads(manifest.read_text(encoding="utf-8"))
                found[name] = str(fields.get("module") or fields.get("main")).removeprefix("./")
        return found

    @property
    def installed(self) -> bool:
        """Whether the JavaScript parts have been installed at all."""
        return (self._root / "three" / "package.json").is_file()

    def import_map(self) -> str:
        """Return the import map, as JSON on one line, that makes bare names work in every page."""
        imports = {name: f"{VENDOR}/{name}/{module}" for name, module in sorted(self._modules.items())}
        imports |= {
            "three/addons/": f"{VENDOR}/three/examples/jsm/",
            "three/examples/jsm/": f"{VENDOR}/three/examples/jsm/",
            "three/webgpu": f"{VENDOR}/three/build/three.webgpu.js",
            "three/tsl": f"{VENDOR}/three/build/three.tsl.js",
            "chart.js": f"{VENDOR}/chart.js/dist/chart.js",
            "chart.js/auto": f"{VENDOR}/chart.js/auto/auto.js",
        }
        return json.dumps({"imports": imports}, separators=(",", ":"))

    def rewrite(self, text: str) -> str:
        """Replace every known CDN address whose file is here; the rest stays. Line numbers don't change."""

        def local(match: re.Match[str]) -> str:
            before = text[max(0, match.start() - 400) : match.start()]
            if match[0].startswith("//") and not before.endswith(('"', "'", "`", "(", "=")):
                return match[0]
            return self.local_address(match[0], classic=bool(_CLASSIC_PLACE.search(before))) or match[0]

        rewritten = _ADDRESS.sub(local, text)
        return _TAG_WITH_VENDOR.sub(lambda tag: _INTEGRITY.sub("", tag[0]), rewritten)

    def local_address(self, address: str, *, classic: bool = False) -> str | None:
        """Return where we serve a CDN address, or None when we don't.

        Args:
            address: with or without the scheme.
            classic: asked for by a plain script tag, so a bare package means its script and not its module.
        """
        host, _, path = re.sub(r"^(?:https?:)?//", "", address).partition("/")
        path = re.split(r"[?#]", path)[0]
        found = _package_path(host.lower(), path)
        if found is None:
            return None
        name, rest = found
        module = host.lower() in ("esm.sh", "esm.run", "cdn.skypack.dev", "ga.jspm.io") or rest.endswith("+esm")
        rest = rest.removesuffix("+esm").strip("/") + ("/" if rest.endswith("/") and rest.strip("/") else "")
        file = self._file_of(name, rest, classic=classic and not module, module=module)
        return f"{VENDOR}/{name}/{file}" if file else None

    def _file_of(self, name: str, rest: str, *, classic: bool, module: bool) -> str | None:
        if name not in LIBRARIES:
            return self._modules.get(name) if not classic else f"dist/{name}.min.js"
        library = LIBRARIES[name]
        if not rest:
            return library.classic if classic else library.module
        if name == "three" and (file := self._three_file(rest)):
            return file
        if name == "chart.js" and rest.rstrip("/") in ("auto", "auto/auto.js", "auto/auto.mjs"):
            return "auto/auto.js"
        if module and not rest.endswith(".js"):
            return library.module
        if self._inside(name, rest.rstrip("/")):
            return rest
        is_module = module or bool(re.search(r"\.module|\.esm|\.mjs|/src/|/esm/|cannon-es\.js", "/" + rest))
        known = re.fullmatch(r"(?:.*/)?(?:three|d3|chart|p5|matter|cannon)[\w.-]*\.m?js", rest, re.IGNORECASE)
        return (library.module if is_module else library.classic) if known else None

    def _three_file(self, rest: str) -> str | None:
        if re.fullmatch(r"(?:build/)?three(?:\.min)?\.js", rest):
            return "classic/three.js"
        if old := re.fullmatch(r"(?:examples/)?js/(.+?)(?:\.min)?\.js", rest):
            return f"classic/{old[1]}.js" if self._inside("three", f"examples/jsm/{old[1]}.js") else None
        rest = re.sub(r"^(?:addons|jsm)/", "examples/jsm/", rest)
        if rest.startswith("examples/jsm/") and not rest.endswith(("/", ".js")):
            rest += ".js"
        for candidate in (rest, f"build/{rest}"):
            if self._inside("three", candidate.rstrip("/")):
                return candidate
        return None

    def _inside(self, name: str, rest: str) -> Path | None:
        folder = (self._root / name).resolve()
        file = (folder / rest).resolve()
        return file if file.is_relative_to(folder) and file.exists() else None

    def read(self, path: str) -> bytes | None:
        """Return the bytes served at `preview://vendor/PATH`, or None when there is no such file."""
        match = _PACKAGE.match(path.strip("/"))
        if match is None or not match["rest"]:
            return None
        name, rest = match["name"], match["rest"]
        library = LIBRARIES.get(name)
        if name == "three" and rest.startswith("classic/") and rest != "classic/three.js":
            return self._classic_addon(rest.removeprefix("classic/")).encode()
        if library and rest == library.classic and rest.startswith("classic/"):
            return _as_script(self._text(name, library.source), library.global_name).encode()
        if library and rest == library.module and rest.startswith("module/"):
            return _as_module(self._text(name, library.source), library.exports).encode()
        file = self._inside(name, rest)
        return file.read_bytes() if file and file.is_file() else None

    def _text(self, name: str, rest: str) -> str:
        return (self._root / name / rest).read_text(encoding="utf-8")

    def _classic_addon(self, path: str) -> str:
        """Turn an add-on module of three.js, and those it imports, into a script that fills the global THREE."""
        done: list[str] = []
        parts: list[str] = []

        def add(name: str) -> None:
            file = self._inside("three", f"examples/jsm/{name}")
            if name in done or file is None or not file.is_file():
                return
            done.append(name)
            source = file.read_text(encoding="utf-8")
            for match in _IMPORT.finditer(source):
                if match["source"].startswith("."):
                    add(_joined(PurePosixPath(name).parent, match["source"]))
            body = _EXPORT.sub(_assign_exports, _IMPORT.sub(_take_from_three, source))
            parts.append(f"(function(){{\n{body}\n}})();\n")

        add(path)
        return "".join(parts)


_D3_PARTS = ("internmap", "delaunator", "robust-predicates")


def _joined(folder: PurePosixPath, relative: str) -> str:
    parts: list[str] = []
    for part in (folder / relative).parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _package_path(host: str, path: str) -> tuple[str, str] | None:
    """Split a CDN path into the name of one of our packages and the path inside it."""
    if host == "threejs.org":
        return "three", path
    if host == "d3js.org":
        return "d3", path
    if host == "cdnjs.cloudflare.com":
        match = re.fullmatch(r"ajax/libs/(?P<name>[^/]+)/(?P<version>[^/]+)/(?P<rest>.*)", path)
    else:
        path = re.sub(r"^(?:npm[/:]|gh/mrdoob/|gh/mrdoob/|v\d+/|stable/|pin/)", "", path)
        match = _PACKAGE.match(path)
    if match is None:
        return None
    name = match["name"]
    if name.startswith("d3-"):
        return name, match["rest"] or ""
    known = _NAMES.get(name.lower())
    return (known, match["rest"] or "") if known else None


def _as_script(common_js: str, global_name: str) -> str:
    return (
        "(function(){var module={exports:{}},exports=module.exports,require=()=>globalThis;" + common_js +
        f"\n;globalThis.{global_name}=Object.assign(globalThis.{global_name}||{{}},module.exports);}})();"
    )  # fmt: skip


def _as_module(script: str, exports: tuple[str, ...]) -> str:
    names = "".join(f"export const {name}=library.{name};" for name in exports)
    return (
        "const module={exports:{}};(function(module,exports,define){" + script +
        "\n}).call(globalThis,module,module.exports,undefined);const library=module.exports;"
        f"export default library;{names}"
    )  # fmt: skip


def _take_from_three(match: re.Match[str]) -> str:
    names = match["names"].strip()
    if star := re.fullmatch(r"\*\s*as\s+(\w+)", names):
        return f"const {star[1]} = THREE;"
    return f"const {names.replace(' as ', ': ')} = THREE;"


def _assign_exports(match: re.Match[str]) -> str:
    names = [part.split(" as ") for part in match["names"].split(",") if part.strip()]
    return " ".join(f"THREE.{parts[-1].strip()} = {parts[0].strip()};" for parts in names)
