"""Between the code and the tokens that wrote it: marks, tint and the experts of a selection."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot

from app.core.documents import codepoint_offset
from app.core.records import Message
from app.core.token_places import block_around, place_tokens
from app.panes.editor.pane import EditorPane
from app.services.latest_job import LatestJob
from app.theme.theme import Theme

if TYPE_CHECKING:
    from app.shell.tint_colors import TintColors
    from engine.trace import RoutingTrace

Traced = Callable[[], "tuple[Message, RoutingTrace] | None"]
KINDS = (("leader", "Leading expert"), ("class", "Class of its expert"), ("entropy", "Routing entropy"),
         ("margin", "Margin"), ("surprise", "Surprise"))


class CodeTint(QObject):
    """Follows the answer whose routing is on show.

    Args:
        theme: colours.
        editor: its marks and its row below the code are driven from here.
        traced: gives the answer and its routing, or None; asked only when marks are needed, since it may read a file.
        parent: owns this.

    Signals:
        tokens_picked: (first, last) tokens the person put the cursor or a selection on, in the code.
        experts_wanted: the experts should be in sight.
    """

    tokens_picked = Signal(int, int)
    experts_wanted = Signal()

    def __init__(self, theme: Theme, editor: EditorPane, traced: Traced, parent: QObject) -> None:
        super().__init__(parent)
        self._theme, self._editor, self._traced = theme, editor, traced
        self._now: tuple[Message, RoutingTrace] | None = None
        self._colors: TintColors | None = None
        self._is_stale = True
        self._job = LatestJob(self)
        self._job.done.connect(self._colors_made)
        editor.marks.places_wanted.connect(self._place)
        editor.marks.tokens_picked.connect(self._picked)
        editor.marks.experts_asked.connect(self._asked)
        editor.tint_bar.tint_changed.connect(self._tint)
        theme.theme_changed.connect(self._tint)

    @Slot()
    def answer_changed(self) -> None:
        """Another answer's routing is on show, or it is complete now."""
        self._is_stale = True
        self._place(self._editor.current_path())

    # --- marks

    @Slot(str)
    def _place(self, path: str) -> None:
        if path != self._editor.current_path() or not self._editor.marks.is_ready:
            return
        if self._is_stale:
            self._now, self._is_stale, self._colors = self._traced(), False, None
        bar = self._editor.tint_bar
        if self._now is None or not path:
            bar.hide()
            if path:
                self._editor.marks.set_places(path, "", ())
            return
        message, trace = self._now
        text = self._editor.text(path)
        self._editor.marks.set_places(path, text, place_tokens(message.text, trace.tokens, path, text))
        bar.setVisible(self._editor.marks.has_places(path))
        bar.set_choices(KINDS, trace.layers)
        bar.set_summary("")
        self._tint()

    # --- tint

    @Slot()
    def _tint(self) -> None:
        path, bar = self._editor.current_path(), self._editor.tint_bar
        if self._now is None or not self._editor.marks.has_places(path):
            return
        if not bar.is_on():
            self._editor.marks.color(path, {}, ())
            return
        from app.shell.tint_colors import tint_colors

        trace, kind, layer_row = self._now[1], bar.kind(), bar.layer_row()
        bar.layer.setVisible(kind != "surprise")
        theme = self._theme
        self._job.start(lambda: tint_colors(trace, kind, layer_row, theme))

    @Slot(object)
    def _colors_made(self, colors: "TintColors") -> None:
        bar, path = self._editor.tint_bar, self._editor.current_path()
        if not bar.is_on() or not path:
            return
        self._colors = colors
        self._editor.marks.color(path, colors.groups, colors.css)
        bar.set_legend(colors.legend)

    # --- the person's selection

    @Slot(str, int, int)
    def _picked(self, _path: str, first: int, last: int) -> None:
        self.tokens_picked.emit(first, last)
        self._summarise(first, last)

    def _summarise(self, first: int, last: int) -> None:
        if self._now is None:
            return
        from app.shell.tint_colors import writers_in_words

        row = self._editor.tint_bar.layer_row()
        self._editor.tint_bar.set_summary(writers_in_words(self._now[1], first, last, row))

    @Slot(str, int, int)
    def _asked(self, path: str, start: int, end: int) -> None:
        """Experts of the selection, or of the function around the cursor, which is then selected."""
        if self._now is None or path != self._editor.current_path():
            return
        text = self._editor.text(path)
        first, last = codepoint_offset(text, start), codepoint_offset(text, end)
        if first == last:
            first, last = block_around(text, first)
            self._editor.select_code(path, first, last)
        message, trace = self._now
        tokens = [place.token for place in place_tokens(message.text, trace.tokens, path, text)
                  if place.start < last and place.end > first]
        if not tokens:
            self._editor.tint_bar.set_summary("Nothing of this was written by the model")
            return
        self.experts_wanted.emit()
        self.tokens_picked.emit(min(tokens), max(tokens))
        self._summarise(min(tokens), max(tokens))
