"""Which files of a folder belong to a project: regular files, no links, no folders of other tools."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from app.core.atomic import TEMPORARY_MARK
from app.core.problem import problem_of_os_error

IGNORED_FOLDERS = frozenset({".git", ".hg", ".svn", ".venv", "node_modules", "__pycache__", ".ipynb_checkpoints"})


def walk_project(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Give every file's path inside the project (forward slashes) with its status, in path order.

    A folder that does not exist is empty. Raises Problem when a folder cannot be read.
    """
    if not root.exists():
        return
    yield from sorted(_walk(root, ""))


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink() or entry.name.startswith(TEMPORARY_MARK):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in IGNORED_FOLDERS:
                        yield from _walk(folder / entry.name, f"{prefix}{entry.name}/")
                else:
                    # os.lstat, since an entry's own status has no inode on Windows.
                    status = os.lstat(entry.path)
                    if stat.S_ISREG(status.st_mode):
                        yield prefix + entry.name, status
    except OSError as error:
        raise problem_of_os_error(f"The project folder {folder} cannot be read.", error) from error
