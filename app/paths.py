"""Where the program keeps its data. Nothing here reads or writes; `create` makes the folders."""

from dataclasses import dataclass
from pathlib import Path

import platformdirs

from app.core.problem import Problem, problem_of_os_error


@dataclass(frozen=True, slots=True)
class DataPaths:
    """The places inside one data folder."""

    base: Path

    @property
    def database(self) -> Path:
        """The conversations."""
        return self.base / "history.sqlite3"

    @property
    def snapshots(self) -> Path:
        """The store of project states."""
        return self.base / "states"

    @property
    def projects(self) -> Path:
        """One folder per conversation with the project's files."""
        return self.base / "projects"

    @property
    def traces(self) -> Path:
        """Routing traces, one .moetrace per answer."""
        return self.base / "traces"

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.base / "settings.json"

    @property
    def window(self) -> Path:
        """Layout, drafts and open tabs: what a restart brings back."""
        return self.base / "window"

    @property
    def screenshots(self) -> Path:
        """Screenshots the person took of the preview."""
        return self.base / "screenshots"

    @property
    def log(self) -> Path:
        """The current log file."""
        return self.base / "logs" / "expertarium.log"

    @property
    def lock(self) -> Path:
        """Held by the one program that has this data folder open."""
        return self.base / "in-use.lock"

    def create(self) -> None:
        """Make the folders. Raises Problem when the data folder cannot be made or written."""
        try:
            for folder in (self.base, self.snapshots, self.projects, self.traces, self.window, self.log.parent):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.base / ".writable"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            cause = problem_of_os_error(f"The data folder {self.base} cannot be used.", error)
            raise Problem(cause.what, cause.why, "Mend that, or start with --basedir and another folder.") from error


def data_paths(basedir: str | Path | None) -> DataPaths:
    """The data folder: `basedir` if given, else the user's data folder of this system."""
    if basedir is not None:
        return DataPaths(Path(basedir).expanduser().resolve())
    return DataPaths(Path(platformdirs.user_data_dir("expertarium", appauthor=False)))
