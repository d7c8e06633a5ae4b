"""Routing traces as files: opening what we or others recorded, without the model, and saving what is on show."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QMimeData, QObject, Slot
from PySide6.QtWidgets import QFileDialog

from app.core.problem import Problem, ProblemText, problem_of_os_error
from app.services.latest_job import LatestJob
from engine.routing_usage import sample_of
from engine.trace import RoutingTrace
from engine.trace_check import check_trace
from engine.trace_import import ConfigNeeded, open_trace

if TYPE_CHECKING:
    from app.panes.inspector.trace_notice import OpenedTrace
    from app.shell.main_window import MainWindow

SUFFIXES = (".moetrace", ".npy", ".int32", ".bin", ".json")
FILTER = "Routing (*.moetrace *.npy *.int32 *.bin *.json);;All files (*)"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    trace: RoutingTrace
    about: "OpenedTrace"


@dataclass(frozen=True, slots=True, kw_only=True)
class _NeedsConfig:
    path: Path


class TraceExchange(QObject):
    """Opens and saves for the window; files are read in a thread."""

    def __init__(self, window: "MainWindow") -> None:
        super().__init__(window)
        self._window = window
        self._job = LatestJob(self)
        self._job.done.connect(self._read)

    @staticmethod
    def files_of(data: QMimeData) -> list[Path]:
        """The files among what is dragged that could be routing."""
        files = [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]
        return [file for file in files if file.suffix.lower() in SUFFIXES]

    def open_file(self, path: Path, config: Mapping[str, Any] | None = None) -> None:
        """Open a file in the background; its model's config.json is looked for beside it."""
        self._job.start(lambda: _open(path, config))

    @Slot()
    def ask_open(self) -> None:
        """Ask for a file and open it."""
        file, _ = QFileDialog.getOpenFileName(self._window, "Open routing", "", FILTER)
        if file:
            self.open_file(Path(file))

    @Slot()
    def ask_save(self) -> None:
        """Ask for a name and save the routing on show."""
        inspector = self._window.inspector
        trace = inspector.trace() if inspector is not None else None
        if trace is None or not len(trace):
            self._tell(Problem("There is no routing to save.", "No answer with recorded routing is on show.",
                               "Ask the model in the box for something first.").text)
            return
        file, _ = QFileDialog.getSaveFileName(self._window, "Save routing", "answer.moetrace", "Routing (*.moetrace)")
        if file:
            self.save(trace, Path(file))

    def save(self, trace: RoutingTrace, path: Path) -> None:
        """Write a trace; a name without a suffix gets ours."""
        path = path if path.suffix else path.with_suffix(".moetrace")
        try:
            trace.save(path)
        except OSError as error:
            self._tell(problem_of_os_error(f"{path} was not written.", error).text)
        else:
            self._window.status.flash(f"Saved {path}")

    @Slot(object)
    def _read(self, result: object) -> None:
        if isinstance(result, _Opened):
            self._window.panel.show_pane("experts")
            assert self._window.inspector is not None
            self._window.inspector.show_opened(result.trace, result.about)
        elif isinstance(result, _NeedsConfig):
            self._ask_config(result.path)
        elif isinstance(result, ProblemText):
            self._tell(result)

    def _ask_config(self, path: Path) -> None:
        title = f"{path.name} doesn't describe its model: choose the model's config.json"
        file, _ = QFileDialog.getOpenFileName(self._window, title, str(path.parent), "config.json (*.json)")
        if not file:
            return
        try:
            config = _read_config(Path(file))
        except (OSError, ValueError) as error:
            self._tell(Problem(f"{path.name} was not opened.", str(error), "Choose the model's config.json.").text)
        else:
            self.open_file(path, config)

    def _tell(self, problem: ProblemText) -> None:
        self._window.links.add_problem(problem)
        self._window.panel.show_pane("problems")


def _open(path: Path, config: Mapping[str, Any] | None) -> "_Opened | _NeedsConfig | ProblemText":
    from app.panes.inspector.trace_notice import OpenedTrace

    try:
        beside = path.with_name("config.json")
        if config is None and beside.is_file() and path != beside:
            config = _read_config(beside)
        imported = open_trace(path, config)
    except ConfigNeeded:
        return _NeedsConfig(path=path)
    except OSError as error:
        return problem_of_os_error(f"{path.name} was not opened.", error).text
    except ValueError as error:
        return ProblemText(what=f"{path.name} was not opened.", why=str(error), next_step="")
    if not len(imported.trace):
        return ProblemText(what=f"{path.name} was not opened.", why="It holds no tokens.", next_step="")
    about = OpenedTrace(
        name=path.name, source=imported.source, sample=str(sample_of(imported.trace)), notes=imported.notes,
        findings=check_trace(imported.trace))
    return _Opened(trace=imported.trace, about=about)


def _read_config(path: Path) -> Mapping[str, Any]:
    values = json.loads(path.read_text("utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"{path.name} holds no JSON object.")
    return values
