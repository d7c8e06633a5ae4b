"""One widget per block of an answer: prose, a file, an edit. A closed block is never touched again."""

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.core.stream import Block
from app.panes.chat.markdown import RichPart, split_prose
from app.panes.chat.text_views import CodeView, ProseView
from app.theme.controls import Card, ElidedLabel, Line, make_button
from app.theme.metrics import GAP_S
from app.theme.theme import Theme
from engine.artifacts import EditBlock, parse_answer

FOLDED_LINES = 14
_COPIED_MS = 1500


class CodeCard(Card):
    """Code under a title row; long code is folded to its first lines, code being written shows its last.

    Signals:
        range_picked: (start, end) in code points of the code.
    """

    range_picked = Signal(int, int)

    def __init__(self, theme: Theme, title: str, language: str) -> None:
        super().__init__(theme, fill="code")
        self.title = ElidedLabel(title)
        self.view = CodeView(theme, language)
        self.view.range_picked.connect(self.range_picked)
        self.copy_button = make_button("Copy", self._copy, "link", "Copy the code")
        self.fold_button = make_button("", self._toggle_fold, "link")
        self.fold_button.hide()
        self._is_folded = True
        self._is_final = False
        self.header = QHBoxLayout()
        self.header.setContentsMargins(12, 5, 6, 5)
        self.header.setSpacing(2)
        self.header.addWidget(self.title, 1)
        self.header.addWidget(self.copy_button)
        self.column.addLayout(self.header)
        self.column.addWidget(Line(theme))
        self.column.addWidget(self.view)
        foot = QHBoxLayout()
        foot.setContentsMargins(6, 0, 6, 0)
        foot.addWidget(self.fold_button)
        foot.addStretch(1)
        self.column.addLayout(foot)

    def add_action(self, button: QPushButton) -> None:
        """Put a button at the right end of the title row."""
        self.header.addWidget(button)

    def show_code(self, code: str, *, final: bool) -> None:
        """Show the code so far, or (`final`) all of it."""
        self._is_final = final
        self.view.set_code(code, final=final)
        self._apply_fold()

    def _apply_fold(self) -> None:
        long = self.view.line_count() > FOLDED_LINES + 2
        folded = long and self._is_folded
        self.view.set_max_lines(FOLDED_LINES if folded else None, tail=folded and not self._is_final)
        self.fold_button.setVisible(long and self._is_final)
        self.fold_button.setText(f"Show all {self.view.line_count()} lines" if self._is_folded else "Show less")

    @Slot()
    def _toggle_fold(self) -> None:
        self._is_folded = not self._is_folded
        self._apply_fold()

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.view.code())
        self.copy_button.setText("Copied")
        QTimer.singleShot(_COPIED_MS, self.copy_button, self._restore_copy)

    @Slot()
    def _restore_copy(self) -> None:
        self.copy_button.setText("Copy")


class BlockView(QWidget):
    """What the transcript needs of every block.

    Signals:
        range_picked: (start, end) in code points of the answer's text.
        open_requested: path of a file.
        diff_requested: path of an edited file.
    """

    range_picked = Signal(int, int)
    open_requested = Signal(str)
    diff_requested = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.block: Block | None = None
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(GAP_S)

    def show_block(self, block: Block) -> None:
        """Show the block as it is now."""
        self.block = block

    def mark_range(self, start: int | None, end: int = 0) -> None:
        """Mark a range of the answer's text where this block shows it."""


class ProseBlock(BlockView):
    """Markdown: rich text, and code that is no file in cards of its own."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self._views: list[ProseView | CodeCard] = []

    def show_block(self, block: Block) -> None:
        """Render; parts that did not change are left alone."""
        super().show_block(block)
        parts = split_prose(block.text)
        for number, part in enumerate(parts):
            known = self._views[number] if number < len(self._views) else None
            if known is None or isinstance(known, ProseView) != isinstance(part, RichPart):
                self._drop_from(number)
                self._add_view(part.language if not isinstance(part, RichPart) else None)
            view = self._views[number]
            if isinstance(part, RichPart) and isinstance(view, ProseView):
                view.set_html(part.html)
            elif not isinstance(part, RichPart) and isinstance(view, CodeCard):
                view.show_code(part.code, final=block.closed or number < len(parts) - 1)
        self._drop_from(len(parts))

    def _add_view(self, language: str | None) -> None:
        view: ProseView | CodeCard
        if language is None:
            view = ProseView(self._theme)
            view.text_picked.connect(self._text_picked)
        else:
            view = CodeCard(self._theme, language or "code", language)
        self._views.append(view)
        self.column.addWidget(view)

    def _drop_from(self, number: int) -> None:
        for view in self._views[number:]:
            self.column.removeWidget(view)
            view.deleteLater()
        del self._views[number:]

    @Slot(str)
    def _text_picked(self, text: str) -> None:
        # Rich text has lost its place in the Markdown: the same words are looked up in it.
        at = self.block.text.find(text) if self.block is not None and text else -1
        if at >= 0 and self.block is not None:
            self.range_picked.emit(self.block.start + at, self.block.start + at + len(text))


class FileBlock(BlockView):
    """A file the answer writes."""

    def __init__(self, theme: Theme, path: str, language: str) -> None:
        super().__init__(theme)
        self._path = path
        self.card = CodeCard(theme, path, language)
        self.card.add_action(make_button("Open in editor", self._open, "link", f"Open {path} in the editor"))
        self.card.range_picked.connect(self._picked)
        self.column.addWidget(self.card)

    def show_block(self, block: Block) -> None:
        """Show the file so far."""
        super().show_block(block)
        self.card.show_code(block.text.removesuffix("\n"), final=block.closed)

    def mark_range(self, start: int | None, end: int = 0) -> None:
        """Mark a range of the answer's text."""
        block = self.block
        if start is None or block is None or end <= block.content_start or start >= block.end:
            self.card.view.mark_range(None)
            return
        length = len(self.card.view.code())
        first = min(max(start - block.content_start, 0), length)
        self.card.view.mark_range(first, min(max(end - block.content_start, 0), length))

    @Slot()
    def _open(self) -> None:
        self.open_requested.emit(self._path)

    @Slot(int, int)
    def _picked(self, start: int, end: int) -> None:
        if self.block is not None:
            self.range_picked.emit(self.block.content_start + start, self.block.content_start + end)


class EditView(BlockView):
    """An edit of a file: the lines that go in red, the lines that come in green."""

    def __init__(self, theme: Theme, path: str) -> None:
        super().__init__(theme)
        self._path = path
        self.card = CodeCard(theme, f"edit {path}", "diff")
        tip = f"Show this edit of {path} as a diff in the editor"
        self.card.add_action(make_button("Diff", self._diff, "link", tip))
        self.column.addWidget(self.card)

    def show_block(self, block: Block) -> None:
        """Show the parts so far."""
        super().show_block(block)
        lines = edit_lines(block.text)
        self.card.show_code("\n".join(text for _, text in lines), final=block.closed)
        self.card.view.set_line_roles(
            {number: "error" if mark == "-" else "ok" for number, (mark, _) in enumerate(lines) if mark != " "}
        )

    @Slot()
    def _diff(self) -> None:
        self.diff_requested.emit(self._path)


def edit_lines(body: str) -> list[tuple[str, str]]:
    """The lines of a SEARCH/REPLACE body as (mark, "mark line"); common first and last lines stay unmarked."""
    segments = parse_answer(f"```edit file.txt\n{body}\n```\n")
    parts = segments[0].parts if segments and isinstance(segments[0], EditBlock) else ()
    lines: list[tuple[str, str]] = []
    for number, part in enumerate(parts):
        if number:
            lines.append((" ", "  …"))
        old, new = part.search.split("\n"), part.replace.split("\n") if part.replace else []
        head = _common(old, new)
        tail = _common(old[head:][::-1], new[head:][::-1])
        lines += [(" ", f"  {line}") for line in old[:head]]
        lines += [("-", f"- {line}") for line in old[head:len(old) - tail]]
        lines += [("+", f"+ {line}") for line in new[head:len(new) - tail]]
        lines += [(" ", f"  {line}") for line in old[len(old) - tail:]]
    return lines or [(" ", "")]


def _common(first: list[str], second: list[str]) -> int:
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def make_block_view(theme: Theme, block: Block) -> BlockView:
    """The widget for a block."""
    if block.kind == "file":
        return FileBlock(theme, block.path, block.language)
    if block.kind == "edit":
        return EditView(theme, block.path)
    return ProseBlock(theme)
