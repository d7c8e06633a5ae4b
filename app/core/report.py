"""The text behind "Copy diagnostics": what a maintainer needs to know, and nothing of the person's work."""

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("expertarium", "pyside6", "torch", "transformers", "qtconsole", "numpy")
LOG_TAIL_LINES = 60


def installed_version(package: str) -> str:
    """Return a package's version from its metadata; it is not imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def without_home(text: str) -> str:
    """Replace the person's home folder by ~, since paths name people."""
    return text.replace(str(Path.home()), "~")


def free_space(folder: Path) -> str:
    """Say how much can still be written on a folder's disk."""
    try:
        return f"{shutil.disk_usage(folder).free / 1e9:.1f} GB"
    except OSError as error:
        return f"unknown ({error.strerror})"


def tail(file: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return a file's last lines, or why there are none."""
    try:
        return "\n".join(file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(no log: {error.strerror})"


def diagnostics(facts: Mapping[str, str], *, app_log: Path, engine_log: str) -> str:
    """Return the report as Markdown.

    Args:
        facts: what the window knows: engine state, model, device, graphics, theme, window size.
        app_log: the window's log file.
        engine_log: the last lines the engine wrote.
    """
    system = {
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "cores": str(os.cpu_count()),
        **{name: installed_version(name) for name in PACKAGES},
    }
    rows = [f"- {name}: {value}" for name, value in {**system, **facts}.items()]
    parts = [
        "## Expertarium diagnostics", *rows, "", "### Window log", "```", tail(app_log), "```", "",
        "### Engine log", "```", "\n".join(engine_log.splitlines()[-LOG_TAIL_LINES:]), "```",
    ]
    return without_home("\n".join(parts)) + "\n"
