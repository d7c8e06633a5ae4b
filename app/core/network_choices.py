"""Which projects may use the network in their preview. None does unless a person said so."""

import json
from pathlib import Path

from app.core.atomic import write_file


class NetworkChoices:
    """The projects allowed, by folder name, kept in one small JSON file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._allowed = {str(name) for name in json.loads(file.read_text(encoding="utf-8"))}
        except (OSError, ValueError, TypeError):
            self._allowed = set()  # a missing or broken file allows nothing

    def is_allowed(self, project: Path) -> bool:
        """Whether this project may use the network."""
        return project.name in self._allowed

    def set_allowed(self, project: Path, *, allowed: bool) -> None:
        """Remember the choice.

        Raises:
            OSError: the file can't be written; the choice holds until the program ends.
        """
        if allowed:
            self._allowed.add(project.name)
        else:
            self._allowed.discard(project.name)
        write_file(self._file, json.dumps(sorted(self._allowed)).encode())
