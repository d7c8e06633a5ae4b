"""Files that are there whole or not at all, whenever the process is killed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; where the block ends without an error, that file takes its place, on disk."""
    temporary = path.with_name(path.name + ".new")
    yield temporary
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    temporary.replace(path)


def write_whole(path: Path, text: str) -> None:
    """Replace a text file."""
    with whole_file(path) as temporary:
        temporary.write_text(text, "utf-8")
