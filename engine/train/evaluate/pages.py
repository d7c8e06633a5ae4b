"""What programs do when they run: long-lived `expertarium check`s, their reports kept by the program's hash.

The checker is a process of the app's (`python -m app check --serve`), never imported. A report gets `colors`, the mean
colour of each cell of the page's picture; the picture itself is kept small.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from PIL import Image

from engine.train.projects import ENTRY, files_of
from engine.train.whole_file import write_whole

CHECKERS = 2             # that run pages side by side: one alone waits for the clock a third of the time
SIZE = "640x400"         # of the pages: drawn without a graphics card, every pixel costs time
COLUMNS, ROWS = 8, 5     # cells of a picture whose mean colours are kept
THUMBNAIL = (400, 250)
Report = dict[str, Any]


class Pages:
    """Reports by program; what is not there yet is run, with keys and mouse or, in a third of the time, without.

    `fuller` are reports that serve as well, where they are there.
    """

    def __init__(self, folder: Path, *, use_input: bool, fuller: "Pages | None" = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._fuller = folder, fuller
        self._checkers = [Checker(use_input=use_input) for _ in range(CHECKERS)]

    def report(self, program: str) -> Report | None:
        """What is known of a program's page."""
        path = self._place(program, ".json")
        if path.exists():
            report: Report = json.loads(path.read_text("utf-8"))
            return report
        return None if self._fuller is None else self._fuller.report(program)

    def picture(self, program: str) -> Path:
        """Where the page's picture lies, if it drew one."""
        path = self._place(program, ".jpg")
        return path if path.exists() or self._fuller is None else self._fuller.picture(program)

    def run(self, programs: Sequence[str], tell: Callable[[str], None]) -> None:
        """Run every program whose report is missing; `tell` gets progress.

        Pages that were stopped are run once more, by themselves: beside another one a machine can be too slow.
        """
        missing = [program for program in dict.fromkeys(programs) if self.report(program) is None]
        free = SimpleQueue[Checker]()
        for checker in self._checkers:
            free.put(checker)
        with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(len(self._checkers)) as pool:
            done = [pool.submit(self._check, program, Path(scratch), free) for program in missing]
            for number, each in enumerate(as_completed(done), start=1):
                each.result()
                tell(f"pages: {number} of {len(missing)}")
            for program in [program for program in missing if was_stopped(self.report(program))]:
                self._check(program, Path(scratch), free)

    def close(self) -> None:
        """End the checkers."""
        for checker in self._checkers:
            checker.close()

    def _check(self, program: str, scratch: Path, free: "SimpleQueue[Checker]") -> None:
        """Run one page in a folder of its own by a checker that is free, and keep what it reports."""
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            page, picture = Path(folder) / "page", Path(folder) / "page.png"
            for path, text in files_of(program).items():
                (page / path).parent.mkdir(parents=True, exist_ok=True)
                (page / path).write_text(text, "utf-8")
            checker = free.get()
            try:
                report = checker.ask({"path": str(page / ENTRY), "screenshot": str(picture)})
            finally:
                free.put(checker)
            report["path"] = ENTRY
            if picture.exists():
                with Image.open(picture) as image:
                    report["colors"] = _mean_colors(image)
                    small = image.convert("RGB").resize(THUMBNAIL, Image.Resampling.LANCZOS)
                    small.save(self._place(program, ".jpg"), quality=88)
        write_whole(self._place(program, ".json"), json.dumps(report) + "\n")

    def _place(self, program: str, suffix: str) -> Path:
        return self._folder / (hashlib.sha256(program.encode()).hexdigest()[:20] + suffix)


class Checker:
    """A long-lived `expertarium check`, started when it is first asked."""

    def __init__(self, *, use_input: bool) -> None:
        self._use_input = use_input
        self._process: subprocess.Popen[str] | None = None

    def ask(self, order: dict[str, str]) -> Report:
        """One report; a checker that ended is started anew once, then the page is said to have stopped it.

        Raises ValueError where it ends on a page that holds one word, too: then nothing can be run here.
        """
        report = self._asked(order) or self._asked(order)
        if report is not None:
            return report
        plain = Path(order["path"]).with_name("plain.html")
        plain.write_text("<p>plain</p>", "utf-8")
        if self._asked({"path": str(plain)}) is None:
            raise ValueError("The checker ended on a plain page too, so no page can be run here. Run "
                             "`expertarium check` on one to see why.")
        return {"ok": False, "blank": True, "moved": False, "reacted_to": [], "scene": None, "page": {},
                "errors": [{"kind": "stopped", "message": "The checker ended.", "line": None}], "blocked_requests": []}

    def _asked(self, order: dict[str, str]) -> Report | None:
        """The report to an order; None where the process ended over it."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            return None
        report: Report = json.loads(line)
        return report

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None:
            command = [sys.executable, "-m", "app", "check", "--serve", "--size", SIZE,
                       *(() if self._use_input else ("--no-input",))]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env={"QT_QPA_PLATFORM": "offscreen", **os.environ}, cwd=Path(__file__).resolve().parents[3])
        return self._process


@dataclass(frozen=True, slots=True, kw_only=True)
class Runners:
    """Pages that are used, with keys and mouse, and pages that are only looked at."""

    used: Pages
    seen: Pages


@contextmanager
def checking(folder: Path) -> Iterator[Runners]:
    """Reports kept in a folder, and their checkers, which are started when first needed and ended here."""
    used = Pages(folder / "used", use_input=True)
    seen = Pages(folder / "seen", use_input=False, fuller=used)
    try:
        yield Runners(used=used, seen=seen)
    finally:
        used.close()
        seen.close()


def was_stopped(report: Report | None) -> bool:
    """Whether a page was ended because it did not answer, or took too much."""
    return report is not None and any(error.get("kind") == "stopped" for error in report["errors"])


def _mean_colors(image: Image.Image) -> list[list[int]]:
    """Mean RGB of COLUMNS x ROWS cells, row by row."""
    small = image.convert("RGB").resize((COLUMNS, ROWS), Image.Resampling.BOX)
    colors: list[list[int]] = np.asarray(small).reshape(-1, 3).tolist()
    return colors
