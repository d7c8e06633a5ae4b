"""The token strip: a conversation's tokens as text, in colours somebody else chooses.

Painted by hand because a trace can hold 100k tokens: the layout is a list of running widths that only grows at its end
while an answer streams, and a repaint touches the visible rows alone.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QFocusEvent,
    QFontMetrics,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QToolTip, QWidget

from app.panes.inspector.color_maps import U32
from app.panes.inspector.strip_paint import StripColors, TokenPictures, TokenState

GAP_PX = 3
PADDING_PX = 4
MARGIN_PX = 2
FADED = 0.28
KEYBOARD_REASONS = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)


def visible_text(text: str) -> str:
    """Return what the strip draws for a token: white space made visible, everything else as it is."""
    if text == "":
        return "∅"
    if text.strip(" ") == "":
        return "␣" if len(text) == 1 else f"␣{len(text)}"
    if text.strip() == "":
        return "↵" * max(1, text.count("\n"))
    return text.strip().replace("\n", "↵").replace("\t", "⇥")


class TokenStrip(QAbstractScrollArea):
    """Tokens in rows. Click, shift-click, drag and the arrow keys select; the selection is one range.

    Signals:
        selection_changed: (first, last) token index of the selection, both included; (-1, -1) when there is none.
        token_hovered: index of the token a tooltip is wanted for; answer with `set_tooltip`.
    """

    selection_changed = Signal(int, int)
    token_hovered = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Tokens")
        self.setFrameShape(QAbstractScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # Always there: one that came and went would wrap the rows anew each time.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.viewport().setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._texts: list[str] = []
        self._starts: list[int] = [0]  # where each token would begin if all stood in one row; one more than tokens
        self._row_starts: list[int] = [0]
        self._widths: dict[str, tuple[str, int]] = {}
        self._fills: U32 = np.zeros(0, np.uint32)
        self._marked: npt.NDArray[np.bool_] | None = None
        self._anchor = -1
        self._cursor = -1
        self._pictures: TokenPictures | None = None
        self._tooltip = ""
        self._placeholder = ""
        self._is_framed = False  # reached with the keyboard: where the arrow keys go is to be seen

    # --- content

    def set_colors(self, colors: StripColors) -> None:
        """Set the colours of everything but the fills."""
        self._pictures = TokenPictures(colors)
        self.viewport().update()

    def clear(self) -> None:
        """Take all tokens away, and the selection with them."""
        self._texts, self._starts, self._row_starts = [], [0], [0]
        self._fills, self._marked = np.zeros(0, np.uint32), None
        self._update_scroll_range()
        self.select(-1, -1)
        self.viewport().update()

    def append(self, texts: Iterable[str]) -> None:
        """Add tokens. Layout, scroll position and selection of the others stay; a reader at the end stays there."""
        at_end = self._at_end() and bool(self._texts)
        first = len(self._texts)
        self._texts.extend(texts)
        self._lay_out_from(first)
        if at_end and self._cursor < 0:
            self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())
        self.viewport().update()

    def set_fills(self, fills: U32) -> None:
        """Set every token's ARGB32 fill; 0 draws the outline of what isn't given."""
        self._fills = fills
        self.viewport().update()

    def set_marked(self, marked: npt.NDArray[np.bool_] | None) -> None:
        """Let these tokens stand out and the others fade, or none with None."""
        self._marked = marked
        self.viewport().update()

    def set_placeholder(self, text: str) -> None:
        """Set what is said where there are no tokens."""
        self._placeholder = text
        self.viewport().update()

    def set_tooltip(self, text: str) -> None:
        """Set the text of the tooltip now asked for by `token_hovered`."""
        self._tooltip = text

    def token_count(self) -> int:
        """Return how many tokens are shown."""
        return len(self._texts)

    def marked_count(self) -> int:
        """Return how many tokens stand out."""
        return 0 if self._marked is None else int(self._marked.sum())

    # --- selection

    def selection(self) -> tuple[int, int]:
        """Return (first, last) selected token, or (-1, -1)."""
        if self._cursor < 0:
            return -1, -1
        return min(self._anchor, self._cursor), max(self._anchor, self._cursor)

    def select(self, anchor: int, cursor: int) -> None:
        """Select the tokens from anchor to cursor, and scroll to the cursor."""
        if (anchor, cursor) == (self._anchor, self._cursor):
            return
        self._anchor, self._cursor = anchor, cursor
        if cursor >= 0:
            self._scroll_to(cursor)
        self.viewport().update()
        self.selection_changed.emit(*self.selection())

    def token_rect(self, index: int) -> QRect:
        """Return where a token is drawn, in viewport coordinates."""
        row = self._row_of(index)
        left = MARGIN_PX + self._starts[index] - self._starts[self._row_starts[row]]
        y = MARGIN_PX + row * self._row_height() - self.verticalScrollBar().value()
        width = min(self._starts[index + 1] - self._starts[index] - GAP_PX, self._room())
        return QRect(left, y, width, self._row_height() - GAP_PX)

    def token_at(self, position: QPoint) -> int:
        """Return the index of the token at a viewport position, or -1."""
        row = (position.y() + self.verticalScrollBar().value() - MARGIN_PX) // self._row_height()
        if not 0 <= row < len(self._row_starts) or not self._texts or position.x() < MARGIN_PX:
            return -1
        first, end = self._row_range(row)
        index = bisect_right(self._starts, position.x() - MARGIN_PX + self._starts[first], first, end) - 1
        return index if position.x() < self.token_rect(index).right() + 1 + GAP_PX else -1

    # --- layout

    def _row_height(self) -> int:
        return QFontMetrics(self.font()).height() + 2 + GAP_PX

    def _room(self) -> int:
        return max(80, self.viewport().width() - 2 * MARGIN_PX)

    def _row_of(self, index: int) -> int:
        return bisect_right(self._row_starts, index) - 1

    def _row_range(self, row: int) -> tuple[int, int]:
        end = self._row_starts[row + 1] if row + 1 < len(self._row_starts) else len(self._texts)
        return self._row_starts[row], end

    def _measure(self) -> None:
        self._widths.clear()
        self._starts, self._row_starts = [0], [0]
        self._lay_out_from(0)
        self.viewport().update()

    def _shown(self, text: str) -> tuple[str, int]:
        """What is drawn for a token, and how wide it is with its padding."""
        found = self._widths.get(text)
        if found is None:
            shown = visible_text(text)
            found = shown, QFontMetrics(self.font()).horizontalAdvance(shown) + 2 * PADDING_PX
            self._widths[text] = found
        return found

    def _lay_out_from(self, first: int) -> None:
        widths = (self._shown(text)[1] + GAP_PX for text in self._texts[first:])
        self._starts[first:] = accumulate(widths, initial=self._starts[first])
        self._wrap()

    def _wrap(self) -> None:
        """Break what follows the last row's start into rows."""
        starts, count, room = self._starts, len(self._texts), self._room() + GAP_PX
        begin = self._row_starts[-1]
        while True:
            end = max(bisect_right(starts, starts[begin] + room, begin) - 1, begin + 1)
            if end >= count:
                break
            self._row_starts.append(end)
            begin = end
        self._update_scroll_range()

    def _update_scroll_range(self) -> None:
        bar = self.verticalScrollBar()
        content = len(self._row_starts) * self._row_height() + 2 * MARGIN_PX
        bar.setPageStep(self.viewport().height())
        bar.setSingleStep(self._row_height())
        bar.setRange(0, max(0, content - self.viewport().height()))

    def _at_end(self) -> bool:
        bar = self.verticalScrollBar()
        return bar.value() >= bar.maximum() - self._row_height()

    def _scroll_to(self, index: int) -> None:
        if index >= len(self._texts):
            return
        bar = self.verticalScrollBar()
        top = self._row_of(index) * self._row_height()
        bottom = top + self._row_height() + 2 * MARGIN_PX
        if top < bar.value():
            bar.setValue(top)
        elif bottom > bar.value() + self.viewport().height():
            bar.setValue(bottom - self.viewport().height())

    # --- painting

    def _paint_row(self, painter: QPainter, row: int, pictures: TokenPictures) -> None:
        first, end = self._row_range(row)
        rect = self.token_rect(first)
        origin = rect.left() - self._starts[first]
        selection, room = self.selection(), self._room()
        for index in range(first, end):
            rect.moveLeft(origin + self._starts[index])
            rect.setWidth(min(self._starts[index + 1] - self._starts[index] - GAP_PX, room))
            selected = selection[0] <= index <= selection[1]
            if selected:  # a band, as selected text has, so that the fills keep their colours
                painter.fillRect(rect.adjusted(-2, -2, 2, 2), pictures.colors.selection)
            elif self._marked is not None and not (index < len(self._marked) and self._marked[index]):
                painter.setOpacity(FADED)
            fill = int(self._fills[index]) if index < len(self._fills) else 0
            state: TokenState = "plain" if not selected else "cursor" if selection[0] == selection[1] else "selected"
            picture = pictures.picture(self._shown(self._texts[index])[0], fill, state, rect.size())
            painter.drawPixmap(rect.topLeft(), picture)
            painter.setOpacity(1.0)

    def _move_cursor(self, step: int, *, extend: bool) -> None:
        last = len(self._texts) - 1
        start = self._cursor if self._cursor >= 0 else (-1 if step > 0 else last + 1)
        cursor = min(max(start + step, 0), last)
        self.select(self._anchor if extend and self._anchor >= 0 else cursor, cursor)

    def _move_rows(self, step: int, *, extend: bool) -> None:
        if self._cursor < 0:
            self._move_cursor(1, extend=extend)
            return
        row = self._row_of(self._cursor)
        x = self._starts[self._cursor] - self._starts[self._row_starts[row]]
        first, end = self._row_range(min(max(row + step, 0), len(self._row_starts) - 1))
        cursor = min(bisect_left(self._starts, x + self._starts[first], first, end), end - 1)
        self.select(self._anchor if extend else cursor, cursor)

    def _drag_target(self, position: QPoint) -> int:
        """The token a drag reaches: beyond the last one of a row that one, beyond the strip the next row."""
        found = self.token_at(position)
        if found >= 0 or not self._texts:
            return found
        row = (position.y() + self.verticalScrollBar().value() - MARGIN_PX) // self._row_height()
        first, end = self._row_range(min(max(row, 0), len(self._row_starts) - 1))
        return first if position.x() < MARGIN_PX else end - 1

    # --- Qt overrides

    def sizeHint(self) -> QSize:
        """Return a size that shows a few rows."""
        return QSize(320, 8 * self._row_height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap the rows again at the new width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._row_starts = [0]
            self._wrap()
        else:
            self._update_scroll_range()

    def changeEvent(self, event: QEvent) -> None:
        """Measure again in another font."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._measure()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the visible rows."""
        pictures = self._pictures
        if pictures is None:
            return
        painter = QPainter(self.viewport())
        if self._is_framed:
            painter.setPen(pictures.colors.accent)
            painter.drawRect(self.viewport().rect().adjusted(0, 0, -1, -1))
        if not self._texts:
            painter.setPen(pictures.colors.faint)
            painter.drawText(self.viewport().rect(), Qt.AlignmentFlag.AlignCenter, self._placeholder)
            return
        pictures.set_up(self.font(), self.devicePixelRatioF())
        top, height = self.verticalScrollBar().value(), self._row_height()
        first_row = max(0, (top + event.rect().top() - MARGIN_PX) // height)
        last_row = min(len(self._row_starts) - 1, (top + event.rect().bottom()) // height)
        for row in range(first_row, last_row + 1):
            self._paint_row(painter, row, pictures)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Draw a frame for who came with the keyboard."""
        super().focusInEvent(event)
        self._is_framed = event.reason() in KEYBOARD_REASONS
        self.viewport().update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Take the frame away."""
        super().focusOutEvent(event)
        self._is_framed = False
        self.viewport().update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Select the token under the mouse; with Shift, extend to it."""
        index = self.token_at(event.position().toPoint())
        if event.button() != Qt.MouseButton.LeftButton:
            return
        extend = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier) and self._anchor >= 0
        self.select(self._anchor if extend and index >= 0 else index, index)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Extend the selection while dragging."""
        if event.buttons() & Qt.MouseButton.LeftButton and self._anchor >= 0:
            self.select(self._anchor, self._drag_target(event.position().toPoint()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the selection with the arrow keys, Home, End and pages; Shift extends; Ctrl+A all; Escape none."""
        if not self._texts:
            super().keyPressEvent(event)
            return
        extend = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        count, page = len(self._texts), max(1, self.viewport().height() // self._row_height() - 1)
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Home: -count, Qt.Key.Key_End: count}
        rows = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1, Qt.Key.Key_PageUp: -page, Qt.Key.Key_PageDown: page}
        key = Qt.Key(event.key())
        if key in steps:
            self._move_cursor(steps[key], extend=extend)
        elif key in rows:
            self._move_rows(rows[key], extend=extend)
        elif key == Qt.Key.Key_A and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.select(0, count - 1)
        elif key == Qt.Key.Key_Escape and self._cursor >= 0:
            self.select(-1, -1)
        else:
            super().keyPressEvent(event)

    def viewportEvent(self, event: QEvent) -> bool:
        """Show the tooltip of the token under the mouse."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            index = self.token_at(event.pos())
            if index >= 0:
                self._tooltip = ""
                self.token_hovered.emit(index)
                QToolTip.showText(event.globalPos(), self._tooltip, self.viewport(), self.token_rect(index))
            else:
                QToolTip.hideText()
            return True
        return bool(super().viewportEvent(event))
