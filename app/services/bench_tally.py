"""The expert bench's tally: the same request over several seeds and several changes of routing, each program checked.

Answers are asked of the endpoint one after the other, written into a folder of their own, and run all together by
`expertarium check`, so that what counts as clean is the same here, on the command line and in Nano's card.
"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, Signal, Slot

from app.core.expert_changes import Change
from app.core.web_project import find_entry
from app.core.wire import ChatRequest, Completion, EndpointError
from app.services.endpoint import ChatReply, Endpoint
from engine.artifacts import apply_answer

CHECK_SECONDS = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to write the answer: a name for people, and its changes of routing."""

    name: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyRow:
    """What came of one variant: how many of its runs were clean, and the first fault of each that was not."""

    variant: Variant
    runs: int
    clean: int
    faults: tuple[str, ...] = ()


class BenchTally(QObject):
    """One tally. Exactly one of finished and failed comes last, or neither after `cancel`.

    Signals:
        progressed: (answers written, answers wanted); the check follows the last one.
        finished: list[TallyRow], in the order of the variants.
        failed: why, in words.
    """

    progressed = Signal(int, int)
    finished = Signal(list)
    failed = Signal(str)

    def __init__(
        self, endpoint: Endpoint, request: ChatRequest, files: Mapping[str, str], variants: Sequence[Variant],
        seeds: Sequence[int], parent: QObject | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._endpoint, self._request, self._files = endpoint, request, dict(files)
        self._variants = list(variants)
        self._wanted = [(number, seed) for seed in seeds for number in range(len(variants))]
        self._done = 0
        self._folder = tempfile.TemporaryDirectory(prefix="expertarium-bench-")
        self._pages: dict[str, int] = {}
        self._faults: dict[int, list[str]] = {number: [] for number in range(len(variants))}
        self._reply: ChatReply | None = None
        self._check: QProcess | None = None

    def start(self) -> None:
        """Ask for the first answer."""
        self._ask()

    def cancel(self) -> None:
        """Stop; no signal follows."""
        if self._reply is not None:
            self._reply.cancel()
            self._reply = None
        if self._check is not None:
            self._check.finished.disconnect(self._checked)
            self._check.kill()
            self._check.waitForFinished()
            self._check = None
        self._folder.cleanup()

    def _ask(self) -> None:
        number, seed = self._wanted[self._done]
        sampling = replace(self._request.sampling, seed=seed, interventions=self._variants[number].changes)
        self._reply = self._endpoint.chat(replace(self._request, sampling=sampling, routing="off"))
        self._reply.finished.connect(self._answered)
        self._reply.failed.connect(self._not_answered)

    @Slot(object)
    def _not_answered(self, error: EndpointError) -> None:
        self._reply = None
        self._folder.cleanup()
        self.failed.emit(str(error))

    @Slot(object)
    def _answered(self, completion: Completion) -> None:
        self._reply = None
        number, seed = self._wanted[self._done]
        folder = Path(self._folder.name) / f"{number}-{seed}"
        applied = apply_answer(self._files, completion.text)
        for path, content in applied.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
        if applied.rejects:
            self._faults[number].append(applied.rejects[0].reason)
        elif not folder.is_dir() or find_entry(folder) is None:
            self._faults[number].append("no page was written")
        else:
            self._pages[str(folder)] = number
        self._done += 1
        self.progressed.emit(self._done, len(self._wanted))
        if self._done < len(self._wanted):
            self._ask()
        elif self._pages:
            self._run_check()
        else:
            self._finish()

    def _run_check(self) -> None:
        process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("QT_QPA_PLATFORM", "offscreen")
        process.setProcessEnvironment(environment)
        process.finished.connect(self._checked)
        self._check = process
        process.start(
            sys.executable, ["-m", "app", "check", *self._pages, "--seconds", CHECK_SECONDS, "--no-input", "--json"]
        )

    @Slot()
    def _checked(self) -> None:
        assert self._check is not None
        output = bytes(self._check.readAllStandardOutput().data())
        self._check = None
        try:
            reports = json.loads(output)
        except ValueError:
            self._folder.cleanup()
            self.failed.emit("The programs could not be run: the checker ended without a report. Try again.")
            return
        for report in reports if isinstance(reports, list) else [reports]:
            if not report["ok"]:
                errors = report["errors"] or [{"message": "the page stayed blank or a request was refused"}]
                self._faults[self._pages[report["path"]]].append(str(errors[0]["message"]))
        self._finish()

    def _finish(self) -> None:
        runs = len(self._wanted) // len(self._variants)
        self._folder.cleanup()
        self.finished.emit([
            TallyRow(variant=variant, runs=runs, clean=runs - len(self._faults[number]),
                     faults=tuple(self._faults[number]))
            for number, variant in enumerate(self._variants)
        ])  # fmt: skip
