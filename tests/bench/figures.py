"""A measured figure: its values, their median and spread, the aim it has, and how all of them are written down."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure. `aim` is the most (or, with `more_is_better`, the least) it is meant to be."""

    name: str
    unit: str
    values: Sequence[float]
    aim: float | None = None
    more_is_better: bool = False

    @property
    def median(self) -> float:
        """The figure that counts."""
        return statistics.median(self.values)

    @property
    def is_missed(self) -> bool:
        """Whether the median is on the wrong side of the aim."""
        if self.aim is None:
            return False
        return self.median < self.aim if self.more_is_better else self.median > self.aim

    def as_json(self) -> dict[str, Any]:
        """Everything, with what follows from it."""
        return {**asdict(self), "median": self.median, "lowest": min(self.values), "highest": max(self.values)}

    def as_row(self) -> str:
        """A row of the Markdown table."""
        spread = f"{_short(min(self.values))} to {_short(max(self.values))}" if len(self.values) > 1 else ""
        aim = "" if self.aim is None else f"{'at least' if self.more_is_better else 'at most'} {self.aim:g}"
        return f"| {self.name} | {_short(self.median)} {self.unit} | {spread} | {aim}{' (missed)' * self.is_missed} |"


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    return "\n".join(["| figure | median | spread | aim |", "|---|---|---|---|", *(each.as_row() for each in figures)])


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": _processor(), "cores": os.cpu_count(), "load_before": os.getloadavg()[0],
        "system": platform.platform(), "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("torch", "transformers", "llama-cpp-python", "PySide6")},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
