"""`expertarium check`: loads pages headless, uses them as a person would, and reports what they did.

Time in these runs advances with drawn frames and random numbers are seeded (resources/web/preview/page.js), so a
moving page can be run twice, once with input and once without, and compared at the same frame.
"""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QCoreApplication, QEvent, QEventLoop, QPoint, QSize, QTimer, SignalInstance
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QWidget

from app.core.frame_tests import MIN_PIXELS, Frame, changed_pixels, differ, is_blank
from app.core.run_report import PageError, RunReport
from app.core.web_libraries import WebLibraries
from app.core.web_project import find_entry
from app.resources import resource_path
from app.services.input_events import drag, hover, key_code, press_keys, release_keys, turn_wheel
from app.services.preview_guard import NetworkGate
from app.services.preview_scheme import register_preview_scheme
from app.services.runner import PageRunner
from app.services.watchdog import WatchdogLimits
from app.services.web_flags import apply_web_flags

DEFAULT_KEYS = ("Up+W+Space+Return", "Right+D", "Left+A", "Down+S")
LOAD_LIMIT_S = 10.0  # longer than page.js waits for the load event before it starts the clock
ANSWER_LIMIT_S = 30.0
START_FRAME = 20  # input begins here
USE_FRAMES = 52  # and has done its work by then
SETTLE_MS = 100  # for the last drawn frame to reach the widget
INPUT_MS = 30  # for an event to reach the page

_KEY_EVENTS = re.compile(r"\bkey")
_MOUSE_EVENTS = re.compile(r"\b(mouse|pointer|touch|click|dblclick|wheel|input|change)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """How to check. `seconds` is how long a page runs before it is judged; keys like "Left" or "Right+D"."""

    seconds: float = 2.0
    keys: tuple[str, ...] = DEFAULT_KEYS
    use_input: bool = True
    size: tuple[int, int] = (800, 500)
    screenshot: Path | None = None


class PageStopped(Exception):  # noqa: N818 - a turn of events, not a fault of the program
    """The page ended, or never answered, while it was being checked."""


class Checker:
    """One started checker, for any number of pages. Needs an application object."""

    def __init__(self, options: CheckOptions, *, limits: WatchdogLimits | None = None) -> None:
        self._options = options
        self._runner = PageRunner(
            WebLibraries(resource_path("web", "node_modules")),
            resource_path("web", "preview"),
            NetworkGate(),
            limits=limits,
            stepped=True,
        )
        self._runner.page.has_person = False
        self._runner.view.resize(QSize(*options.size))
        self._runner.view.show()

    def close(self) -> None:
        """Let go of the page and its process."""
        self._runner.shut_down()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)

    def check(self, path: Path, screenshot: Path | None = None) -> RunReport:
        """Run one page, an HTML file or a project folder, and say what it did.

        Raises:
            ValueError: there is no page at that path.
        """
        folder, entry = page_of(path)
        report = RunReport(path=str(path))
        begun_s = time.monotonic()
        self._runner.open_project(folder, entry)
        try:
            self._observe(report, screenshot)
        except PageStopped as stopped:
            if not self._runner.errors:
                self._runner.errors.append(PageError(message=str(stopped), path=entry, kind="stopped"))
        report.errors = list(self._runner.errors)
        report.blocked_requests = list(self._runner.blocked)
        report.seconds = time.monotonic() - begun_s
        return report

    # --- the course of a check

    def _observe(self, report: RunReport, screenshot: Path | None) -> None:
        """First run: no input at all, then, on a page that stands still, input."""
        self._load()
        loaded_s = time.monotonic()
        early = self._grab_at(START_FRAME)
        control = self._grab_at(START_FRAME + USE_FRAMES)
        self._runner.set_paused(False)
        self._wait((self._options.seconds - (time.monotonic() - loaded_s)) * 1000)
        step = self._pause()
        late = self._grab()
        report.page = self._describe()
        report.scene = report.page.pop("scene", None)
        report.fps = report.page.pop("fps", None)
        report.blank = is_blank(late)
        report.moved = differ(early, late) or differ(early, control)
        if screenshot is not None:
            self._save(screenshot, report)
        if self._options.use_input:
            if report.moved:
                self._compare_runs(report, early, control)
            else:
                self._try_still(report, step, late)

    def _try_still(self, report: RunReport, step: int, before: Frame) -> None:
        for name, use in (("keys", self._use_keys), ("mouse", self._use_mouse)):
            step = use(report, step)
            after = self._grab()
            if differ(before, after):
                report.reacted_to.append(name)
            before = after

    def _compare_runs(self, report: RunReport, early: Frame, control: Frame) -> None:
        """A moving page: run it again with input, and compare with the first run at the same frame."""
        listens = " ".join(report.page.get("listens_to", ()))
        errors, blocked = list(self._runner.errors), list(self._runner.blocked)
        for name, pattern, use in (("keys", _KEY_EVENTS, self._use_keys), ("mouse", _MOUSE_EVENTS, self._use_mouse)):
            if not pattern.search(listens):
                continue
            self._load()
            noise = changed_pixels(early, self._grab_at(START_FRAME))
            use(report, START_FRAME)
            if changed_pixels(control, self._grab_at(START_FRAME + USE_FRAMES)) > max(MIN_PIXELS, 3 * noise):
                report.reacted_to.append(name)
            errors += [error for error in self._runner.errors if error not in errors]
            blocked += [request for request in self._runner.blocked if request not in blocked]
        self._runner.errors, self._runner.blocked = errors, blocked

    def _grab_at(self, frame: int) -> Frame:
        self._run_to(frame)
        return self._grab()

    def _use_keys(self, _report: RunReport, step: int) -> int:
        hold = max(1, min(12, (USE_FRAMES - 4) // len(self._options.keys)))
        for chord in self._options.keys:
            press_keys(self._target(), chord)
            self._wait(INPUT_MS)
            step = self._run_to(step + hold)
            release_keys(self._target(), chord)
            self._wait(INPUT_MS)
        return step

    def _use_mouse(self, report: RunReport, step: int) -> int:
        target = self._target()
        centre = QPoint(self._runner.view.width() // 2, self._runner.view.height() // 2)
        away = centre + QPoint(160, 70)
        spots = [QPoint(x, y) for x, y in report.page.get("targets", ())]
        actions: list[Callable[[], None]] = [lambda spot=spot: drag(target, [spot]) for spot in spots]  # type: ignore[misc]
        actions += [
            lambda: drag(target, [centre]),
            lambda: drag(target, [centre, centre + QPoint(60, 30), away]),
            lambda: turn_wheel(target, centre, -240),
            lambda: hover(target, [away, centre - QPoint(150, 40)]),
        ]
        for action in actions:
            action()
            self._wait(INPUT_MS)
            self._runner.calm()
            step = self._run_to(step + 4)
        return step

    # --- steps that wait

    def _load(self) -> None:
        self._runner.run()
        # a page whose load event never comes (a refused frame, an await at top level) is judged as it stands
        self._await(self._runner.page_loaded, LOAD_LIMIT_S)
        self._target().setFocus()

    def _pause(self) -> int:
        return self._await_pause(lambda: self._runner.set_paused(True))

    def _run_to(self, frame: int) -> int:
        return self._await_pause(lambda: self._runner.run_to(frame))

    def _await_pause(self, begin: Callable[[], None]) -> int:
        answer = self._await(self._runner.pause_changed, ANSWER_LIMIT_S, begin, lambda paused, _frame: bool(paused))
        if answer is None:
            raise PageStopped("The page stopped drawing frames.")
        return int(answer[1])

    def _describe(self) -> dict[str, Any]:
        answer = self._await(self._runner.page_described, ANSWER_LIMIT_S, self._runner.describe)
        if answer is None:
            raise PageStopped("The page did not answer.")
        return dict(answer[1])

    def _await(
        self,
        signal: SignalInstance,
        limit_s: float,
        begin: Callable[[], object] | None = None,
        wanted: Callable[..., bool] | None = None,
    ) -> tuple[Any, ...] | None:
        """Wait for a signal; None when time runs out. Raises PageStopped when the page goes meanwhile."""
        loop = QEventLoop()
        got: list[tuple[Any, ...]] = []
        stopped: list[str] = []

        def take(*values: object) -> None:
            if wanted is None or wanted(*values):
                got.append(values)
                loop.quit()

        def stop(reason: str) -> None:
            stopped.append(reason)
            loop.quit()

        signal.connect(take)
        self._runner.page_stopped.connect(stop)
        QTimer.singleShot(int(limit_s * 1000), loop, loop.quit)
        if begin is not None:
            begin()
        loop.exec()
        signal.disconnect(take)
        self._runner.page_stopped.disconnect(stop)
        if stopped:
            raise PageStopped(f"The page was stopped: {stopped[0]}.")
        return got[0] if got else None

    def _wait(self, time_ms: float) -> None:
        loop = QEventLoop()
        stopped: list[str] = []

        def stop(reason: str) -> None:
            stopped.append(reason)
            loop.quit()

        self._runner.page_stopped.connect(stop)
        QTimer.singleShot(int(time_ms), loop, loop.quit)
        loop.exec()
        self._runner.page_stopped.disconnect(stop)
        if stopped:
            raise PageStopped(f"The page was stopped: {stopped[0]}.")

    def _target(self) -> QWidget:
        return self._runner.view.focusProxy() or self._runner.view

    def _grab(self) -> Frame:
        self._wait(SETTLE_MS)
        image = self._runner.view.grab().toImage().convertToFormat(QImage.Format.Format_RGBA8888)
        rows_HB = np.frombuffer(image.constBits(), dtype=np.uint8).reshape(image.height(), image.bytesPerLine())
        return rows_HB[:, : image.width() * 4].reshape(image.height(), image.width(), 4).copy()

    def _save(self, screenshot: Path, report: RunReport) -> None:
        if not self._runner.view.grab().save(str(screenshot)):
            raise ValueError(f"The screenshot {screenshot} can't be written. Give a .png in a folder that exists.")
        report.screenshot = str(screenshot)


def page_of(path: Path) -> tuple[Path, str]:
    """Return folder and entry page of a path.

    Raises:
        ValueError: nothing there, or no page in it.
    """
    if path.is_file():
        return path.resolve().parent, path.name
    if not path.is_dir():
        raise ValueError(f"{path} does not exist. Give an HTML file or a project folder.")
    entry = find_entry(path)
    if entry is None:
        raise ValueError(f"{path} has no HTML file. Put an index.html into it, or name the page itself.")
    return path.resolve(), entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `check`."""
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="an HTML file or a project folder")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="N", help="how long a page runs (default 2)")
    parser.add_argument(
        "--keys", nargs="+", default=list(DEFAULT_KEYS), metavar="KEY",
        help="keys to press one after the other, such as Left or Right+D",
    )  # fmt: skip
    parser.add_argument("--no-input", action="store_true", help="leave out keys and mouse: half the time")
    parser.add_argument("--size", default="800x500", metavar="WxH", help="size of the page in pixels (default 800x500)")
    parser.add_argument(
        "--screenshot", type=Path, metavar="OUT.png", help="save a picture; several pages get -1, -2, ... in the name"
    )
    parser.add_argument("--json", action="store_true", help="print JSON: one object, or a list for several paths")
    parser.add_argument(
        "--serve", action="store_true",
        help='read pages from standard input, one JSON object a line such as {"path": "a.html", "screenshot": '
        '"a.png"}, and print one report a line',
    )  # fmt: skip


def options_of(arguments: argparse.Namespace) -> CheckOptions:
    """Turn parsed arguments into options.

    Raises:
        ValueError: a size or a key that isn't one.
    """
    width, _, height = str(arguments.size).partition("x")
    if not (width.isdigit() and height.isdigit()) or min(int(width), int(height)) < 64:
        raise ValueError(f"--size {arguments.size} is no size. Give WIDTHxHEIGHT in pixels, such as 800x500.")
    if not 0 < arguments.seconds <= 600:
        raise ValueError(f"--seconds {arguments.seconds:g} is out of range. Give a number between 0 and 600.")
    keys = tuple(chord for given in arguments.keys for chord in given.split(","))
    for key in "+".join(keys).split("+"):
        key_code(key)
    return CheckOptions(
        seconds=arguments.seconds, keys=keys, use_input=not arguments.no_input, size=(int(width), int(height)),
        screenshot=arguments.screenshot,
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Check every path and print the reports; return 0 only when all ran clean, 2 for a wrong argument."""
    try:
        options = options_of(arguments)
        if arguments.serve == bool(arguments.paths):
            raise ValueError("Give the pages to check, or --serve to read them from standard input.")
        for path in arguments.paths:
            page_of(path)
    except ValueError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    if not WebLibraries(resource_path("web", "node_modules")).installed:
        print("The JavaScript parts are missing. Run `make run` or packaging/web_packages.py.", file=sys.stderr)  # noqa: T201
        return 2
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    apply_web_flags(os.environ)
    register_preview_scheme()
    application = QApplication(sys.argv[:1])
    application.setQuitOnLastWindowClosed(False)
    checker = Checker(options)
    if arguments.serve:
        _serve(checker)
        return 0
    reports = [checker.check(path, _numbered(options.screenshot, arguments.paths, path)) for path in arguments.paths]
    checker.close()
    if arguments.json:
        values = [report.to_json() for report in reports]
        print(json.dumps(values if len(values) > 1 else values[0], ensure_ascii=False, indent=1))  # noqa: T201
    else:
        print("\n".join(report.to_text() for report in reports))  # noqa: T201
    return 0 if all(report.ok for report in reports) else 1


def _serve(checker: Checker) -> None:
    """Check pages as they are asked for, until standard input closes. A page that isn't there gets {"problem": ...}."""
    for line in sys.stdin:
        try:
            order = json.loads(line)
            picture = order.get("screenshot")
            answer = checker.check(Path(order["path"]), Path(picture) if picture else None).to_json()
        except (ValueError, KeyError, AttributeError) as error:
            answer = {"problem": str(error)}
        print(json.dumps(answer, ensure_ascii=False), flush=True)  # noqa: T201
    checker.close()


def _numbered(screenshot: Path | None, paths: list[Path], path: Path) -> Path | None:
    if screenshot is None or len(paths) == 1:
        return screenshot
    return screenshot.with_stem(f"{screenshot.stem}-{paths.index(path) + 1}")
