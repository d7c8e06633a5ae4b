"""Where the files that ship with the program lie. No other module knows the layout of the tree."""

from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent / "resources"


def resource_path(*parts: str) -> Path:
    """Path of a file or folder under resources/; parts may not leave it."""
    path = _ROOT.joinpath(*parts)
    assert path.is_relative_to(_ROOT), path
    assert ".." not in path.parts, path
    return path


def resource_text(*parts: str) -> str:
    """Text of a UTF-8 file under resources/."""
    return resource_path(*parts).read_text(encoding="utf-8")
