"""The files of one project: listing, reading, and writing that never leaves the folder or half a file.

States of the whole folder are in app.core.snapshots; what an answer means is in engine.artifacts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.core.atomic import write_files
from app.core.problem import Problem, problem_of_os_error
from app.core.project_walk import walk_project
from engine.artifacts import safe_path

MAX_TEXT_BYTES = 4_000_000
MAX_PROMPT_FILE_BYTES = 200_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectFile:
    """One file of the project; `modified_ns` is nanoseconds since 1970."""

    path: str
    size_bytes: int
    modified_ns: int


class Workspace:
    """A project folder. It is made when the first file is written."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list_files(self) -> list[ProjectFile]:
        """The project's files in path order. Raises Problem when the folder cannot be read."""
        return [
            ProjectFile(path=path, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)
            for path, status in walk_project(self.root)
        ]

    def resolve(self, path: str) -> Path:
        """Where a project path is on the disk.

        Raises Problem when it would leave the folder, by its words or through a symbolic link.
        """
        try:
            inside = safe_path(path)
        except ValueError as error:
            raise Problem(f"The file {path} was refused.", str(error), "Choose a path inside the project.") from error
        target = self.root / inside
        root = self.root.resolve()
        step = root
        for part in inside.split("/"):
            step /= part
            if step.is_symlink() or not step.resolve().is_relative_to(root):
                raise Problem(
                    f"The file {path} was refused.",
                    "A symbolic link on its way could lead out of the project folder.",
                    "Remove the link, or choose a path inside the project.",
                )
        return target

    def read_text(self, path: str) -> str:
        """The text of a file, line ends as they are. Raises Problem when it is not there or no text."""
        target = self.resolve(path)
        try:
            if target.stat().st_size > MAX_TEXT_BYTES:
                raise Problem(
                    f"{path} is too large to open.",
                    f"It has more than {MAX_TEXT_BYTES // 1_000_000} MB.",
                    "Open it with another program.",
                )
            return target.read_bytes().decode("utf-8")
        except OSError as error:
            raise problem_of_os_error(f"{path} cannot be read.", error) from error
        except UnicodeDecodeError as error:
            raise Problem(
                f"{path} cannot be opened as text.", "It is not UTF-8 text.", "Open it with another program."
            ) from error

    def text_files(self, *, max_bytes: int = MAX_PROMPT_FILE_BYTES) -> dict[str, str]:
        """Every text file of at most `max_bytes`, the usual limit of a prompt. Raises Problem for the folder."""
        texts = {}
        for file in self.list_files():
            if file.size_bytes > max_bytes:
                continue
            try:
                text = self.read_text(file.path)
            except Problem:
                continue
            if "\0" not in text:
                texts[file.path] = text
        return texts

    def write_text(self, path: str, text: str) -> None:
        """Replace or make a file, atomically. Raises Problem and keeps the old file."""
        self.write_many({path: text})

    def write_many(self, texts: Mapping[str, str]) -> None:
        """Replace or make several files; a full disk changes none of them. Raises Problem."""
        contents = {self.resolve(path): text.encode("utf-8", "surrogatepass") for path, text in texts.items()}
        try:
            write_files(contents)
        except OSError as error:
            names = ", ".join(texts)
            raise problem_of_os_error(f"{names} could not be saved.", error) from error

    def delete(self, path: str) -> None:
        """Remove a file, and folders it leaves empty. Raises Problem."""
        target = self.resolve(path)
        try:
            target.unlink()
            self._drop_empty_folders(target.parent)
        except OSError as error:
            raise problem_of_os_error(f"{path} cannot be deleted.", error) from error

    def rename(self, old: str, new: str) -> None:
        """Give a file another path. Raises Problem, also when there is a file of that name."""
        source, target = self.resolve(old), self.resolve(new)
        if target.exists():
            raise Problem(
                f"{old} was not renamed.", f"There is already a file {new}.", "Choose another name."
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
            self._drop_empty_folders(source.parent)
        except OSError as error:
            raise problem_of_os_error(f"{old} cannot be renamed.", error) from error

    def _drop_empty_folders(self, folder: Path) -> None:
        while folder != self.root and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent
