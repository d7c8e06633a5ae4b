"""The model's answer: name and versions, blocks, what was understood, how it ended, what it did."""

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout

from app.core.expert_changes import all_in_words
from app.core.records import Message
from app.core.stream import Block, StreamUpdate, blocks_of
from app.panes.chat.blocks import BlockView, make_block_view
from app.panes.chat.notices import EndNotice, FactChips, RejectNotice, spaced
from app.panes.chat.request_view import MessageView
from app.panes.chat.understood_row import UnderstoodRow
from app.theme.controls import QuietButton, make_label
from app.theme.metrics import GAP_S, GAP_XS
from app.theme.theme import Theme
from engine.artifacts import understood


class AnswerView(MessageView):
    """An answer: name and versions, blocks, what was understood, how it ended, what it did.

    Signals:
        understood_changed: (message id, Understood).
        open_requested: path.            diff_requested: (message id, path).
        range_picked: (message id, start, end) in code points of the text.
        continue_requested, again_requested: message id.
        ask_requested: a request to send.
    """

    understood_changed = Signal(int, object)
    open_requested = Signal(str)
    diff_requested = Signal(int, str)
    range_picked = Signal(int, int, int)
    continue_requested = Signal(int)
    again_requested = Signal(int)
    ask_requested = Signal(str)

    def __init__(self, theme: Theme, message: Message, name: str) -> None:
        super().__init__(theme, message)
        self.views: dict[int, BlockView] = {}
        self.understood_row: UnderstoodRow | None = None
        self.chips: FactChips | None = None
        self._state = make_label("", "faint", "small")
        self._changes = make_label("", "warning", "small")
        self.copy_button = QuietButton(theme, "copy", "Copy the answer", self._copy)
        self.again_button = QuietButton(theme, "reload", "Write another answer", self._again)
        self.quiet_buttons = [self.copy_button, self.again_button]
        self._name = make_label(name, "dim", "small", bold=True)
        self._column = spaced(QVBoxLayout(self))
        self._column.addLayout(self._header())
        self._blocks = spaced(QVBoxLayout())
        self._column.addLayout(self._blocks)
        self._foot = spaced(QVBoxLayout())
        self._column.addLayout(self._foot)
        self._show_changes(message)
        if message.state == "writing":
            self._show_writing(blocks_of(message.text))
        else:
            self.finish(message)

    def _header(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(GAP_S)
        row.addWidget(self._name)
        row.addWidget(self.arrows)
        row.addWidget(self._changes)
        row.addWidget(self._state)
        row.addStretch(1)
        for button in self.quiet_buttons:
            row.addWidget(button)
        row.setSpacing(GAP_XS)
        return row

    # --- content

    def grow(self, update: StreamUpdate) -> None:
        """Take in what came: blocks that closed, and the one still open."""
        for block in update.closed:
            self._show_block(block)
        if update.open is not None:
            self._show_block(update.open)
        self._state.setText("writing…")

    def finish(self, message: Message) -> None:
        """Show the finished answer."""
        self.message = message
        blocks = blocks_of(message.text)
        for index in [index for index in self.views if index >= len(blocks)]:
            self._drop(index)
        for block in blocks:
            self._show_block(block)
        self._state.setText("")
        self._show_tools(shown=True)
        self._fill_foot(message)

    def _show_writing(self, blocks: list[Block]) -> None:
        self._show_tools(shown=False)
        self._state.setText("writing…" if blocks else "thinking…")
        for block in blocks:
            self._show_block(block)

    def reopen(self, message: Message) -> None:
        """The answer is being continued: drop how it had ended."""
        self.message = message
        self._clear_foot()
        self._show_writing([])
        self._state.setText("writing…")

    def show_wait(self, text: str) -> None:
        """Say what this answer waits for before it is written on; "" for nothing."""
        self._state.setText(text or ("writing…" if self.message.text else "thinking…"))

    def _show_changes(self, message: Message) -> None:
        """Say, for good, that experts were interfered with when this was written."""
        changes = all_in_words(message.sampling.get("interventions", ()))
        self._changes.setVisible(bool(changes))
        self._changes.setText("changed routing" if changes else "")
        self._changes.setToolTip(changes)
        self._changes.setAccessibleDescription(changes)

    def show_run(self, text: str, *, clean: bool) -> None:
        """Show how its program ran."""
        if self.chips is not None:
            self.chips.show_run(text, clean=clean)

    def mark_range(self, start: int | None, end: int = 0) -> None:
        """Mark a range of the answer's text."""
        for view in self.views.values():
            view.mark_range(start, end)

    def _show_block(self, block: Block) -> None:
        view = self.views.get(block.index)
        known = view.block if view is not None else None
        if known is not None and (known.kind, known.path) != (block.kind, block.path):
            self._drop(block.index)
            view = None
        if view is None:
            view = make_block_view(self._theme, block)
            view.range_picked.connect(self._range_picked)
            view.open_requested.connect(self.open_requested)
            view.diff_requested.connect(self._diff_requested)
            self.views[block.index] = view
            self._blocks.addWidget(view)
        elif known is not None and known.closed and known.text == block.text:
            return
        view.show_block(block)
        if block.kind == "file":
            self._show_understood(block, view)

    def _show_understood(self, block: Block, view: BlockView) -> None:
        line, newline, _ = block.text.partition("\n")
        meaning = understood(line) if newline else None
        if meaning is None:
            return
        if self.understood_row is None:
            self.understood_row = UnderstoodRow(self._theme)
            self.understood_row.change_requested.connect(self._understood_changed)
            self._blocks.insertWidget(self._blocks.indexOf(view), self.understood_row)
        self.understood_row.show_understood(meaning, can_change=block.closed)

    def _drop(self, index: int) -> None:
        view = self.views.pop(index)
        self._blocks.removeWidget(view)
        view.deleteLater()

    def _show_tools(self, *, shown: bool) -> None:
        for button in self.quiet_buttons:
            button.setVisible(shown)

    # --- what stands under it

    def _fill_foot(self, message: Message) -> None:
        self._clear_foot()
        for reject in message.applied.get("rejects", ()):
            notice = RejectNotice(self._theme, reject)
            notice.ask_again_requested.connect(self.ask_requested)
            self._foot.addWidget(notice)
        if message.state not in ("complete", "writing"):
            end = EndNotice(self._theme, message)
            end.continue_requested.connect(self._continue)
            end.again_requested.connect(self._again)
            self._foot.addWidget(end)
        self.chips = FactChips(self._theme, message)
        self._foot.addWidget(self.chips)
        if message.dropped_turns:
            turns = "turn was" if message.dropped_turns == 1 else "turns were"
            self._foot.addWidget(make_label(
                f"The oldest {message.dropped_turns} {turns} left out of this request: the context was full.",
                "faint", "small",
            ))

    def _clear_foot(self) -> None:
        while item := self._foot.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        self.chips = None

    # --- receivers

    @Slot(int, int)
    def _range_picked(self, start: int, end: int) -> None:
        self.range_picked.emit(self.message.id, start, end)

    @Slot(str)
    def _diff_requested(self, path: str) -> None:
        self.diff_requested.emit(self.message.id, path)

    @Slot(object)
    def _understood_changed(self, meaning: object) -> None:
        self.understood_changed.emit(self.message.id, meaning)

    @Slot()
    def _continue(self) -> None:
        self.continue_requested.emit(self.message.id)

    @Slot()
    def _again(self) -> None:
        self.again_requested.emit(self.message.id)
