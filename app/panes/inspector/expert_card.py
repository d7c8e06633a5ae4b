"""An expert's card: what may be claimed of it, and its typical tokens in context, over the whole history."""

from collections.abc import Sequence
from html import escape

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QTextOption
from PySide6.QtWidgets import QTextBrowser, QVBoxLayout, QWidget

from app.theme.controls import make_label
from app.theme.metrics import SMALL_SIZE
from app.theme.theme import Theme
from engine.expert_cards import ExpertCard, TokenUse
from engine.specialisation import ClassUse

CONTEXT_CHARACTERS = 14
EMPTY_TEXT = "Choose an expert in the matrix or a claim in the list: its typical tokens are shown here in context."


def shown(text: str) -> str:
    """Make white space visible, and let nothing wrap."""
    if not text.strip():
        text = text.replace(" ", "·")
    return text.replace("\n", "↵").replace("\t", "⇥").replace(" ", "\u00a0")


class ExpertCardView(QWidget):
    """Shows one card; says what to do while none is chosen."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._card: ExpertCard | None = None
        self._uses: Sequence[ClassUse] = ()
        self._heading = make_label("", bold=True)
        self._text = QTextBrowser()
        self._text.setAccessibleName("Card of the chosen expert")
        self._text.setOpenLinks(False)
        self._text.document().setDocumentMargin(0)
        self._text.setWordWrapMode(QTextOption.WrapMode.WordWrap)  # contexts stay in one line
        self._text.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._heading)
        layout.addWidget(self._text, 1)
        theme.theme_changed.connect(self._show)
        self._show()

    def show_claims(self, layer: int, expert: int, uses: Sequence[ClassUse]) -> None:
        """Show an expert's classes; its tokens follow."""
        self._uses, self._card = uses, None
        self._heading.setText(f"Layer {layer} · expert {expert}")
        self._show()

    def show_card(self, card: ExpertCard) -> None:
        """Show an expert's tokens below its classes."""
        self._card = card
        self._show()

    def clear(self) -> None:
        """Show no expert."""
        self._uses, self._card = (), None
        self._heading.setText("")
        self._show()

    def text(self) -> str:
        """Return what is shown, as plain text."""
        return f"{self._heading.text()}\n{self._text.toPlainText()}"

    @Slot()
    def _show(self) -> None:
        self._heading.setVisible(bool(self._heading.text()))
        css = self._theme.css
        if not self._heading.text():
            self._text.setHtml(f'<p style="color:{css("dim")}">{EMPTY_TEXT}</p>')
            return
        parts = [*self._claim_lines(), *self._card_lines()]
        self._text.setHtml(f'<div style="font-size:{SMALL_SIZE}px">{"".join(parts)}</div>')

    def _claim_lines(self) -> list[str]:
        dim = self._theme.css("dim")
        claims = [use for use in self._uses if use.is_claim and use.log_odds > 0]
        lines = [
            f"<p>Chosen for <b>{escape(use.token_class)}</b>: {use.share:.0%} of {use.of:,} such tokens, "
            f'{use.elsewhere:.0%} of the others <span style="color:{dim}">(p = {use.p:.3f})</span></p>'
            for use in claims]
        if not lines:
            lines = [f'<p style="color:{dim}">No class of tokens stands out beyond chance here.</p>']
        return lines

    def _card_lines(self) -> list[str]:
        dim, card = self._theme.css("dim"), self._card
        if card is None:
            return [f'<p style="color:{dim}">Reading the history…</p>']
        answers = "answer" if card.traces == 1 else "answers"
        share = card.chosen / card.tokens if card.tokens else 0.0
        head = (f'<p style="color:{dim}">Chosen {card.chosen:,} times in {card.tokens:,} tokens ({share:.0%}) of '
                f"{card.traces} {answers}. Most typical tokens:</p>")
        rows = "".join(self._row(use) for use in card.uses)
        return [head, f'<table cellspacing="0" cellpadding="1">{rows}</table>']

    def _row(self, use: TokenUse) -> str:
        css, mono = self._theme.css, self._theme.mono().family()
        context = next(iter(use.contexts), None)
        before = escape(shown(context.before[-CONTEXT_CHARACTERS:])) if context else ""
        after = escape(shown(context.after[:CONTEXT_CHARACTERS])) if context else ""
        mark = f'background:{css("accent_background")};color:{css("text")}'
        code = f"font-family:'{mono}'"
        return (f'<tr><td align="right" style="color:{css("dim")}">{use.count}&nbsp;of&nbsp;{use.of}&nbsp;&nbsp;</td>'
                f'<td align="right" style="{code};color:{css("faint")}">{before}</td>'
                f'<td style="{code}"><span style="{mark}">{escape(shown(use.text))}</span>'
                f'<span style="color:{css("faint")}">{after}</span></td></tr>')
