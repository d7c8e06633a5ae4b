"""What the expert bench asks for, done with the active chat: write an answer again, compare, tally over seeds."""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot

from app.core.expert_changes import Change, all_in_words, random_control
from app.core.problem import Problem
from app.core.records import Message
from app.core.snapshots import SnapshotStore
from app.panes.inspector.pages import TracePage
from app.services.bench_tally import BenchTally, TallyRow, Variant
from app.services.chat_session import ChatSession
from app.services.endpoint import Endpoint

if TYPE_CHECKING:
    from app.core.bench_comparison import LoadShift
    from app.panes.inspector.bench import ExpertBench


class BenchLinks(QObject):
    """Between one bench page and the chat that is active when a button is pressed."""

    def __init__(
        self, *, session: Callable[[], ChatSession], selected_start: Callable[[], int | None], snapshots: SnapshotStore,
        endpoint: Endpoint, parent: QObject,
    ) -> None:  # fmt: skip
        """Build the links.

        Args:
            session: the active chat's.
            selected_start: where in the answer's text the selected token begins; None without a selection.
            snapshots: project states, for the programs of both answers.
            endpoint: asked for the answers of a tally.
            parent: owns this.
        """
        super().__init__(parent)
        self._session_of, self._selected_start = session, selected_start
        self._snapshots, self._endpoint = snapshots, endpoint
        self._page: ExpertBench | None = None
        self._session: ChatSession | None = None
        self._before: Message | None = None
        self._changes: list[Change] = []
        self._tally: BenchTally | None = None
        self._folders: list[tempfile.TemporaryDirectory[str]] = []

    def attach(self, page: TracePage) -> None:
        """The page exists from now on."""
        from app.panes.inspector.bench import ExpertBench

        assert isinstance(page, ExpertBench)
        self._page = page
        page.rewrite_wanted.connect(self._rewrite)
        page.tally_wanted.connect(self._start_tally)
        page.stop_wanted.connect(self._stop)

    def shut_down(self) -> None:
        """The window closes: end the tally, let pages and folders go."""
        if self._tally is not None:
            self._tally.cancel()
            self._tally = None
        if self._page is not None:
            self._page.results.shut_down()
        self._drop_folders()

    # --- writing again

    def _shown_answer(self) -> Message | None:
        """The last answer of the active chat, when it is complete enough to be compared with."""
        path = self._session_of().tree.path()
        last = path[-1] if path else None
        if last is None or last.role != "assistant" or last.state == "writing":
            self._fail("There is no finished answer to write again. Ask for something first.")
            return None
        return last

    @Slot(list, bool)
    def _rewrite(self, changes: list[Change], from_token: bool) -> None:
        answer = self._shown_answer()
        if answer is None or self._page is None:
            return
        start = self._selected_start() if from_token else None
        self._let_go_of_session()
        self._session, self._before, self._changes = self._session_of(), answer, changes
        self._session.answer_finished.connect(self._answer_finished)
        self._session.problem_reported.connect(self._problem_reported)
        self._page.show_busy(f"Writing again: {all_in_words(changes)}…")
        text = answer.text[:start] if start is not None else ""
        self._session.regenerate(answer.id, seed=answer.seed, interventions=changes, text=text)

    @Slot(object)
    def _answer_finished(self, message: Message) -> None:
        before, session = self._before, self._session
        if before is None or session is None or message.parent_id != before.parent_id:
            return
        self._let_go_of_session()
        if message.state not in ("complete", "length"):
            self._fail(message.error or "The answer was stopped.")
            return
        self._compare(session, before, message)

    @Slot(object)
    def _problem_reported(self, problem: object) -> None:
        self._let_go_of_session()
        self._fail(str(problem))

    def _compare(self, session: ChatSession, before: Message, after: Message) -> None:
        from app.core.bench_comparison import Comparison, load_shifts

        assert self._page is not None
        traces = (session.load_trace(before.id), session.trace or session.load_trace(after.id))
        shifts: tuple[LoadShift, ...] = ()
        tokens = (0, 0)
        if traces[0] is not None and traces[1] is not None:
            shifts = load_shifts(traces[0], traces[1])
            tokens = (len(traces[0].rows_of("decode")), len(traces[1].rows_of("decode")))
        self._drop_folders()
        try:
            folders = [self._program_of(message) for message in (before, after)]
        except Problem as problem:
            self._fail(str(problem))
            return
        self._page.show_comparison(Comparison(
            words=all_in_words(self._changes), before_text=before.text, after_text=after.text,
            before_folder=folders[0], after_folder=folders[1], shifts=shifts, tokens=tokens,
        ))  # fmt: skip

    def _program_of(self, message: Message) -> Path | None:
        """A folder with the project as an answer left it; None when it left no files. Raises Problem."""
        if not message.snapshot_after or not self._snapshots.files(message.snapshot_after):
            return None
        folder = tempfile.TemporaryDirectory(prefix="expertarium-bench-")
        self._folders.append(folder)
        self._snapshots.restore(message.snapshot_after, Path(folder.name))
        return Path(folder.name)

    # --- the tally

    @Slot(list, int)
    def _start_tally(self, changes: list[Change], num_seeds: int) -> None:
        answer, session = self._shown_answer(), self._session_of()
        if answer is None or self._page is None:
            return
        try:
            request, files = session.request_of(answer.id)
        except Problem as problem:
            self._fail(str(problem))
            return
        num_experts = (session.model.num_experts if session.model else None) or 0
        first = answer.seed or 0
        control = random_control(changes, num_experts, seed=first) if num_experts else ()
        variants = [Variant(name="as it is"), Variant(name="with the changes", changes=tuple(changes)),
                    Variant(name="control", changes=control)]
        seeds = [first, *random.Random(first).sample(range(2**31), num_seeds - 1)]  # noqa: S311
        self._tally = BenchTally(self._endpoint, request, files, variants, seeds, self)
        self._tally.progressed.connect(self._tally_progressed)
        self._tally.finished.connect(self._tally_finished)
        self._tally.failed.connect(self._tally_failed)
        self._page.show_busy(f"Writing {len(variants) * num_seeds} programs…")
        self._tally.start()

    @Slot(int, int)
    def _tally_progressed(self, done: int, wanted: int) -> None:
        assert self._page is not None
        text = f"Written {done} of {wanted} programs…" if done < wanted else f"Running {wanted} programs…"
        self._page.show_busy(text)

    @Slot(list)
    def _tally_finished(self, rows: list[TallyRow]) -> None:
        assert self._page is not None
        self._tally = None
        self._page.show_tally(rows)

    @Slot(str)
    def _tally_failed(self, reason: str) -> None:
        self._tally = None
        self._fail(reason)

    # --- both

    @Slot()
    def _stop(self) -> None:
        if self._tally is not None:
            self._tally.cancel()
            self._tally = None
            self._fail("Stopped.")
        elif self._session is not None:
            self._session.stop()

    def _fail(self, reason: str) -> None:
        if self._page is not None:
            self._page.show_idle(reason, failed=True)

    def _let_go_of_session(self) -> None:
        if self._session is not None:
            self._session.answer_finished.disconnect(self._answer_finished)
            self._session.problem_reported.disconnect(self._problem_reported)
            self._session = None

    def _drop_folders(self) -> None:
        for folder in self._folders:
            folder.cleanup()
        self._folders = []
