"""Writing a file so that a crash or a full disk leaves either the old one or the new one, never a half."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

TEMPORARY_MARK = ".expertarium-"


def stage(path: Path, data: bytes) -> Path:
    """Write `data` to a temporary file beside `path`, durable on disk, and return it.

    Raises OSError; the temporary file is gone then and `path` untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY_MARK}{secrets.token_hex(6)}.tmp"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.is_file():
            temporary.chmod(path.stat().st_mode & 0o777)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def write_file(path: Path, data: bytes) -> None:
    """Replace `path` with `data` atomically. Raises OSError and keeps the old file."""
    write_files({path: data})


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Replace several files: every byte is on disk before the first one is replaced.

    A full disk therefore changes none of them. Raises OSError.
    """
    staged: dict[Path, Path] = {}
    try:
        for path, data in contents.items():
            staged[path] = stage(path, data)
        for path in list(staged):
            staged[path].replace(path)
            del staged[path]
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
