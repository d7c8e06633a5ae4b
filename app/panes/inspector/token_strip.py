"""The token strip: a conversation's tokens as text, coloured by the expert that led each of them.

Painted by hand because a trace can hold tens of thousands of tokens: the layout is a list of rectangles that only
grows at its end while an answer streams, and a repaint touches the visible rows alone.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QToolTip, QWidget

GAP_PX = 3
PADDING_PX = 4
MARGIN_PX = 2


def visible_text(text: str) -> str:
    """Return what the strip draws for a token: white space made visible, everything else as it is."""
    if text == "":
        return "∅"
    if text.strip(" ") == "":
        return "␣" if len(text) == 1 else f"␣{len(text)}"
    if text.strip() == "":
        return "↵" * max(1, text.count("\n"))
    return text.strip().replace("\n", "↵").replace("\t", "⇥")


@dataclass(frozen=True, slots=True, kw_only=True)
class StripToken:
    """One token as drawn: its text, its hue (an index into the strip's hues, None for neutral), and if it is dimmed."""

    text: str
    hue: int | None
    dimmed: bool = False


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
        self.viewport().setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._tokens: list[StripToken] = []
        self._lefts: list[int] = []
        self._widths: list[int] = []
        self._rows: list[int] = []
        self._row_starts: list[int] = [0]
        self._anchor = -1
        self._cursor = -1
        self._marked: frozenset[int] = frozenset()
        self._hues: list[QColor] = []
        self._colors: dict[str, QColor] = {}
        self._tooltip = ""

    # --- content

    def set_colors(self, hues: Sequence[QColor], **roles: QColor) -> None:
        """Set the hues of experts and the roles text, faint, accent, accent_background, neutral."""
        self._hues = list(hues)
        self._colors = dict(roles)
        self.viewport().update()

    def set_tokens(self, tokens: Sequence[StripToken]) -> None:
        """Show these tokens. Tokens that only grew at the end keep their layout, scroll position and selection."""
        grown = len(tokens) >= len(self._tokens) and all(
            old.text == new.text for old, new in zip(self._tokens[:1], tokens[:1], strict=False)
        )
        at_end = self._at_end()
        kept = len(self._tokens) if grown and self._tokens else 0
        self._tokens = list(tokens)
        if kept == 0:
            self._clear_layout()
            self.select(-1, -1)
        self._lay_out_from(kept)
        if kept and at_end:
            self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())
        self.viewport().update()

    def set_marked(self, indices: frozenset[int]) -> None:
        """Underline these tokens: the ones a chosen expert took part in."""
        self._marked = indices
        self.viewport().update()

    def set_tooltip(self, text: str) -> None:
        """Set the text of the tooltip now asked for by `token_hovered`."""
        self._tooltip = text

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
        y = MARGIN_PX + self._rows[index] * self._row_height() - self.verticalScrollBar().value()
        return QRect(self._lefts[index], y, self._widths[index], self._row_height() - GAP_PX)

    def token_count(self) -> int:
        """Return how many tokens are shown."""
        return len(self._tokens)

    def token_at(self, position: QPoint) -> int:
        """Return the index of the token at a viewport position, or -1."""
        row = (position.y() + self.verticalScrollBar().value() - MARGIN_PX) // self._row_height()
        if not 0 <= row < len(self._row_starts) or not self._tokens:
            return -1
        first, end = self._row_range(row)
        index = bisect_right(self._lefts, position.x(), first, end) - 1
        return index if index >= first and position.x() < self._lefts[index] + self._widths[index] + GAP_PX else -1

    # --- layout

    def _row_height(self) -> int:
        return QFontMetrics(self.font()).height() + 2 + GAP_PX

    def _row_range(self, row: int) -> tuple[int, int]:
        end = self._row_starts[row + 1] if row + 1 < len(self._row_starts) else len(self._lefts)
        return self._row_starts[row], end

    def _clear_layout(self) -> None:
        self._lefts, self._widths, self._rows, self._row_starts = [], [], [], [0]

    def _lay_out_from(self, start: int) -> None:
        metrics = QFontMetrics(self.font())
        width = max(80, self.viewport().width())
        x = self._lefts[-1] + self._widths[-1] + GAP_PX if self._lefts else MARGIN_PX
        row = self._rows[-1] if self._rows else 0
        for index in range(start, len(self._tokens)):
            token_width = min(metrics.horizontalAdvance(visible_text(self._tokens[index].text)) + 2 * PADDING_PX, width)
            if x + token_width > width - MARGIN_PX and x > MARGIN_PX:
                x, row = MARGIN_PX, row + 1
                self._row_starts.append(index)
            self._lefts.append(x)
            self._widths.append(token_width)
            self._rows.append(row)
            x += token_width + GAP_PX
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
        if index >= len(self._rows):
            return
        bar = self.verticalScrollBar()
        top = self._rows[index] * self._row_height()
        bottom = top + self._row_height() + 2 * MARGIN_PX
        if top < bar.value():
            bar.setValue(top)
        elif bottom > bar.value() + self.viewport().height():
            bar.setValue(bottom - self.viewport().height())

    # --- painting

    def _paint_token(self, painter: QPainter, index: int, selected: bool) -> None:
        token, rect = self._tokens[index], self.token_rect(index)
        fill = self._hues[token.hue % len(self._hues)] if token.hue is not None and self._hues else None
        painter.setPen(Qt.PenStyle.NoPen)
        if selected:
            painter.setPen(self._colors["accent"])
            painter.setBrush(self._colors["accent_background"])
        elif fill is not None:
            tint = QColor(fill)
            tint.setAlpha(45 if token.dimmed else 90)
            painter.setBrush(tint)
        else:
            painter.setBrush(self._colors["neutral"])
        painter.drawRoundedRect(rect.adjusted(0, 0, -1, -1), 3, 3)
        if index in self._marked:
            painter.fillRect(rect.left() + 2, rect.bottom() - 1, rect.width() - 5, 2, self._colors["accent"])
        painter.setPen(self._colors["faint" if token.dimmed and not selected else "text"])
        painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, visible_text(token.text))

    def _move_cursor(self, step: int, extend: bool) -> None:
        last = len(self._tokens) - 1
        start = self._cursor if self._cursor >= 0 else (-1 if step > 0 else last + 1)
        cursor = min(max(start + step, 0), last)
        self.select(self._anchor if extend and self._anchor >= 0 else cursor, cursor)

    def _move_rows(self, step: int, extend: bool) -> None:
        if self._cursor < 0:
            self._move_cursor(1, extend)
            return
        row = min(max(self._rows[self._cursor] + step, 0), len(self._row_starts) - 1)
        first, end = self._row_range(row)
        cursor = min(bisect_left(self._lefts, self._lefts[self._cursor], first, end), end - 1)
        self.select(self._anchor if extend else cursor, cursor)

    # --- Qt overrides

    def sizeHint(self) -> QSize:
        """Return a size that shows a few rows."""
        return QSize(320, 8 * self._row_height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap the rows again at the new width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._clear_layout()
            self._lay_out_from(0)
        else:
            self._update_scroll_range()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the visible rows."""
        if not self._tokens or not self._colors:
            return
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self.font())
        top = self.verticalScrollBar().value()
        first_row = max(0, (top + event.rect().top() - MARGIN_PX) // self._row_height())
        last_row = min(len(self._row_starts) - 1, (top + event.rect().bottom()) // self._row_height())
        if first_row > last_row:
            return
        first, last = self.selection()
        for index in range(self._row_range(first_row)[0], self._row_range(last_row)[1]):
            self._paint_token(painter, index, first <= index <= last)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Select the token under the mouse; with Shift, extend to it."""
        index = self.token_at(event.position().toPoint())
        if event.button() != Qt.MouseButton.LeftButton:
            return
        extend = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier) and self._anchor >= 0
        self.select(self._anchor if extend and index >= 0 else index, index)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Extend the selection while dragging."""
        index = self.token_at(event.position().toPoint())
        if event.buttons() & Qt.MouseButton.LeftButton and index >= 0 and self._anchor >= 0:
            self.select(self._anchor, index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move the selection with the arrow keys, Home and End; Shift extends; Escape clears."""
        extend = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Home: -len(self._tokens),
                 Qt.Key.Key_End: len(self._tokens)}
        key = Qt.Key(event.key())
        if not self._tokens:
            super().keyPressEvent(event)
        elif key in steps:
            self._move_cursor(steps[key], extend)
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self._move_rows(-1 if key == Qt.Key.Key_Up else 1, extend)
        elif key == Qt.Key.Key_Escape:
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
