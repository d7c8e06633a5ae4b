"""The contracts between packages hold, and the checks that say so can fail."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STATISTICS = {"engine.routing_stats", "engine.routing_tally", "engine.routing_usage", "engine.specialisation",
              "engine.token_classes", "engine.expert_cards", "engine.trace_check", "engine.trace_import",
              "engine.moe_config", "engine.anatomy"}
SHARED_WITH_APP = {"engine.prompt", "engine.artifacts", "engine.trace"} | STATISTICS
PURE_ENGINE_MODULES = SHARED_WITH_APP | {"engine.edits", "engine.trace_file"}  # standard library and numpy only,
PURE_MODULES_MAY_USE = {"engine.token_classes": {"pygments"}}  # and what is named here
QT = {"PySide6", "shiboken6", "qtconsole", "qtpy"}


def imports_of(file: Path) -> set[str]:
    """Return the dotted names a file imports; for `from a import b` both a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def violations(root: Path) -> list[str]:
    """Return what breaks the rules that import-linter's contracts can't state, one line each."""
    found = []
    for file in sorted(root.glob("app/**/*.py")) + sorted(root.glob("engine/**/*.py")):
        relative = file.relative_to(root)
        names = imports_of(file)
        if relative.parts[0] == "app":
            engine = {name for name in names if name.split(".")[0] == "engine"}
            allowed = {name for name in engine if ".".join(name.split(".")[:2]) in SHARED_WITH_APP}
            found += [f"{relative} imports {name}" for name in sorted(engine - allowed)]
            found += [f"{relative} imports torch" for name in sorted(names) if name.split(".")[0] == "torch"]
        else:
            outside = {name for name in names if name.split(".")[0] in {"app", *QT}}
            found += [f"{relative} imports {name}" for name in sorted(outside)]
            if ".".join(relative.with_suffix("").parts) in PURE_ENGINE_MODULES:
                extra = PURE_MODULES_MAY_USE.get(".".join(relative.with_suffix("").parts), set())
                allowed_roots = {*sys.stdlib_module_names, "numpy", *extra}
                found += [f"{relative} imports {name}" for name in sorted(names)
                          if name.split(".")[0] not in allowed_roots and ".".join(name.split(".")[:2]) not in
                          PURE_ENGINE_MODULES]
    return found


def test_the_app_uses_pure_modules_of_the_engine_and_the_engine_no_qt() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("path", "line", "message"),
    [
        ("app/core/x.py", "import engine.worker", "app/core/x.py imports engine.worker"),
        ("app/x.py", "from torch import nn", "app/x.py imports torch"),
        ("engine/x.py", "from PySide6.QtCore import QObject", "engine/x.py imports PySide6.QtCore"),
        ("engine/x.py", "import app.paths", "engine/x.py imports app.paths"),
        ("engine/trace.py", "import torch", "engine/trace.py imports torch"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, path: str, line: str, message: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(line)
    assert message in violations(tmp_path)


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=root, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root)},
    )


def test_import_contracts_hold_and_a_planted_violation_breaks_them(tmp_path: Path) -> None:
    for name in ("app", "engine"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    clean = lint_imports(tmp_path)
    assert clean.returncode == 0, clean.stdout
    (tmp_path / "app" / "core" / "planted.py").write_text("import app.shell\nfrom PySide6.QtCore import QObject\n")
    planted = lint_imports(tmp_path)
    assert planted.returncode != 0
    assert "The window is built in layers BROKEN" in planted.stdout
    assert "The core of the app knows no Qt BROKEN" in planted.stdout


def test_files_stay_small() -> None:
    too_long = {
        str(file.relative_to(ROOT)): lines
        for name in ("app", "engine")
        for file in (ROOT / name).rglob("*.py")
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 600
    }
    assert too_long == {}
