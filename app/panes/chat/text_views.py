"""Text widgets that are as tall as their text: prose and code. They never scroll up and down by themselves."""

from PySide6.QtCore import QMimeData, Qt, QTimer, QUrl, Signal, Slot
from PySide6.QtGui import (
    QColor,
    QDesktopServices,
    QMouseEvent,
    QResizeEvent,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextLayout,
    QTextOption,
    QWheelEvent,
)
from PySide6.QtWidgets import QFrame, QSizePolicy, QTextBrowser, QTextEdit, QWidget

from app.panes.chat.markdown import prose_style
from app.theme.syntax import highlight
from app.theme.theme import Theme

_LINE_HEIGHT = 1.5
_PADDING_PX = 10
_HIGHLIGHT_DELAY_MS = 80
_LINK_SCHEMES = ("http", "https", "mailto")


class ProseView(QTextBrowser):
    """Rich text of one paragraph-sized block; grows with its text.

    Signals:
        text_picked: the selected text, after the mouse let go of it (may be empty).
    """

    text_picked = Signal(str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._html = ""
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setOpenLinks(False)
        self.setUndoRedoEnabled(False)
        self.document().setDocumentMargin(0)
        self.document().setIndentWidth(20)
        self.anchorClicked.connect(self._open_link)
        theme.theme_changed.connect(self._apply_theme)
        self._apply_theme()

    def set_html(self, html: str) -> None:
        """Show other text."""
        self._html = html
        self.setHtml(html)
        self._fit()

    def _fit(self) -> None:
        self.document().setTextWidth(self.viewport().width())
        self.setFixedHeight(max(1, round(self.document().size().height())))

    @Slot()
    def _apply_theme(self) -> None:
        self.document().setDefaultStyleSheet(prose_style(self._theme))
        self.document().setDefaultFont(self._theme.font())
        self.set_html(self._html)

    @Slot(QUrl)
    def _open_link(self, url: QUrl) -> None:
        if url.scheme() in _LINK_SCHEMES:
            QDesktopServices.openUrl(url)

    def loadResource(self, _kind: int, _name: QUrl | str) -> object:
        """Load nothing: an answer may not make the window read files or the network."""
        return None

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Follow the width."""
        super().resizeEvent(event)
        self._fit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave scrolling to the transcript."""
        event.ignore()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Say what was selected."""
        super().mouseReleaseEvent(event)
        self.text_picked.emit(self.textCursor().selectedText().replace("\u2029", "\n"))


class CodeView(QTextEdit):
    """Read-only code with syntax colours; text is appended cheaply while it streams.

    Signals:
        range_picked: (start, end) of the selection in code points, after the mouse let go; equal for a click.
    """

    range_picked = Signal(int, int)

    def __init__(self, theme: Theme, language: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._language = language
        self._code = ""
        self._max_lines: int | None = None
        self._shows_tail = False
        self._line_roles: dict[int, str] = {}
        self._spans: list[list[tuple[int, int, str]]] = []
        self._marked: tuple[int, int] | None = None
        self._prepare()
        self._highlight_timer = QTimer(self)
        self._highlight_timer.setSingleShot(True)
        self._highlight_timer.setInterval(_HIGHLIGHT_DELAY_MS)
        self._highlight_timer.timeout.connect(self._highlight)
        self.verticalScrollBar().rangeChanged.connect(self._place)
        theme.theme_changed.connect(self._apply_theme)
        self._apply_theme()

    def _prepare(self) -> None:
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setLineWrapMode(QTextEdit.LineWrapMode.NoWrap)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.document().setDocumentMargin(0)
        self.setViewportMargins(12, _PADDING_PX, 12, _PADDING_PX)

    # --- content

    def set_code(self, code: str, *, final: bool = True) -> None:
        """Show `code`; text that only grew is appended. `final` colours it at once."""
        if code == self._code and not final:
            return
        cursor = QTextCursor(self.document())
        if code.startswith(self._code):
            cursor.movePosition(QTextCursor.MoveOperation.End)
            cursor.insertText(code[len(self._code):])
        elif code != self._code:
            cursor.select(QTextCursor.SelectionType.Document)
            cursor.insertText(code)
            self._spans = []
        self._code = code
        # The widget's own cursor moves with text put in at its place, and Qt then scrolls to it.
        self.moveCursor(QTextCursor.MoveOperation.Start)
        self._fit()
        if final:
            self._highlight_timer.stop()
            self._highlight()
        elif not self._highlight_timer.isActive():
            self._highlight_timer.start()

    def code(self) -> str:
        """The code on show."""
        return self._code

    def set_max_lines(self, max_lines: int | None, *, tail: bool = False) -> None:
        """Show at most so many lines: the first ones, or with `tail` the last."""
        self._max_lines = max_lines
        self._shows_tail = tail
        self._fit()
        self._place()

    def set_line_roles(self, roles: dict[int, str]) -> None:
        """Paint whole lines in the colour of a role (a diff's); keys are line numbers from 0."""
        self._line_roles = roles
        self._mark_extra()

    def mark_range(self, start: int | None, end: int = 0) -> None:
        """Mark code points start..end, or nothing when start is None."""
        self._marked = None if start is None else (start, end)
        self._mark_extra()

    def line_count(self) -> int:
        """Number of lines."""
        return self.document().blockCount()

    # --- showing

    def _fit(self) -> None:
        lines = self.line_count()
        shown = lines if self._max_lines is None else min(lines, self._max_lines)
        self.setFixedHeight(shown * self._line_px() + 2 * _PADDING_PX)

    @Slot()
    def _place(self) -> None:
        bar = self.verticalScrollBar()
        bar.setValue(bar.maximum() if self._shows_tail else 0)

    @Slot()
    def _highlight(self) -> None:
        lines = highlight(self._code, self._language)
        block = self.document().firstBlock()
        for number, spans in enumerate(lines):
            if not block.isValid():
                break
            if number >= len(self._spans) or self._spans[number] != spans:
                layout = block.layout()
                layout.setFormats([self._format(span) for span in spans])
                self.document().markContentsDirty(block.position(), block.length())
            block = block.next()
        self._spans = lines
        self._place()

    def _format(self, span: tuple[int, int, str]) -> QTextLayout.FormatRange:
        result = QTextLayout.FormatRange()
        result.start, result.length = span[0], span[1]
        form = QTextCharFormat()
        form.setForeground(self._theme.syntax(span[2]))
        result.format = form
        return result

    def _mark_extra(self) -> None:
        selections = [self._line_selection(line, role) for line, role in self._line_roles.items()]
        if self._marked is not None:
            cursor = QTextCursor(self.document())
            cursor.setPosition(self._position(self._marked[0]))
            cursor.setPosition(self._position(self._marked[1]), QTextCursor.MoveMode.KeepAnchor)
            selections.append(_extra(cursor, self._theme.color("accent_background")))
        self.setExtraSelections(selections)

    def _line_selection(self, line: int, role: str) -> QTextEdit.ExtraSelection:
        cursor = QTextCursor(self.document().findBlockByNumber(line))
        selection = _extra(cursor, self._theme.color(f"{role}_background"))
        full_width = True
        selection.format.setProperty(QTextCharFormat.Property.FullWidthSelection, full_width)
        return selection

    def _position(self, code_points: int) -> int:
        text = self._code[:code_points]
        return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2

    def _line_px(self) -> int:
        return round(_LINE_HEIGHT * self._theme.mono().pixelSize())

    @Slot()
    def _apply_theme(self) -> None:
        self.setFont(self._theme.mono())
        self.document().setDefaultFont(self._theme.mono())
        block_format = QTextBlockFormat()
        block_format.setLineHeight(self._line_px(), QTextBlockFormat.LineHeightTypes.FixedHeight.value)
        cursor = QTextCursor(self.document())
        cursor.select(QTextCursor.SelectionType.Document)
        cursor.setBlockFormat(block_format)
        self._fit()
        self._spans = []
        self._highlight()
        self._mark_extra()

    # --- Qt overrides

    def createMimeDataFromSelection(self) -> QMimeData:
        """Copy plain text, without colours."""
        data = QMimeData()
        data.setText(self.textCursor().selectedText().replace("\u2029", "\n"))
        return data

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the first or the last lines in sight."""
        super().resizeEvent(event)
        self._place()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave up and down to the transcript; sideways is ours."""
        if abs(event.angleDelta().x()) > abs(event.angleDelta().y()):
            super().wheelEvent(event)
        else:
            event.ignore()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Say what was selected or clicked."""
        super().mouseReleaseEvent(event)
        cursor = self.textCursor()
        text = self.document().toPlainText()
        units = text.encode("utf-16-le")
        start, end = (len(units[: 2 * at].decode("utf-16-le", "ignore"))
                      for at in (cursor.selectionStart(), cursor.selectionEnd()))
        self.range_picked.emit(start, end)


def _extra(cursor: QTextCursor, background: QColor) -> QTextEdit.ExtraSelection:
    selection = QTextEdit.ExtraSelection()
    selection.cursor = cursor
    form = QTextCharFormat()
    form.setBackground(background)
    selection.format = form
    return selection


def plain_document(text: str, theme: Theme) -> QTextDocument:
    """A document of plain text in the interface font, for measuring."""
    document = QTextDocument()
    document.setDefaultFont(theme.font())
    document.setDocumentMargin(0)
    document.setPlainText(text)
    return document
