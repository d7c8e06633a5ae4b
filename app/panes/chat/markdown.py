"""Markdown of an answer's prose: split into rich text and code, rendered with the theme's colours."""

import html
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from app.theme.theme import Theme

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


@dataclass(frozen=True, slots=True)
class RichPart:
    """A run of Markdown without code blocks, as the HTML that QTextDocument understands."""

    html: str


@dataclass(frozen=True, slots=True)
class CodePart:
    """A code block that is no file of the project."""

    code: str
    language: str


Part = RichPart | CodePart


@cache
def _parser() -> "MarkdownIt":
    # Imported at the first answer: the window opens sooner without it.
    from markdown_it import MarkdownIt

    # Raw HTML stays text: an answer may not bring its own markup into the window.
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def split_prose(markdown: str) -> list[Part]:
    """The parts of a piece of Markdown in order; top-level code blocks stand alone."""
    parser = _parser()
    tokens = parser.parse(markdown)
    parts: list[Part] = []
    run_start = 0
    for index, token in enumerate(tokens):
        if token.level == 0 and token.type in ("fence", "code_block"):
            _add_rich(parts, parser, tokens[run_start:index])
            info = token.info.strip().split()
            parts.append(CodePart(token.content.rstrip("\n"), info[0].lower() if info else ""))
            run_start = index + 1
    _add_rich(parts, parser, tokens[run_start:])
    return parts


def _add_rich(parts: list[Part], parser: "MarkdownIt", tokens: "list[Token]") -> None:
    if tokens:
        parts.append(RichPart(parser.renderer.render(tokens, parser.options, {}).strip()))


def prose_style(theme: Theme) -> str:
    """The style sheet of a document that shows prose."""
    css = theme.css
    mono = html.escape(theme.mono().family())
    return (
        f"body, p, li {{ color: {css('text')}; line-height: 145%; }}"
        "p { margin: 0 0 8px 0; } ul, ol { margin: 0 0 8px 0; -qt-list-indent: 1; } li { margin: 0 0 2px 0; }"
        "h1 { font-size: 17px; font-weight: 600; margin: 8px 0 6px 0; }"
        "h2 { font-size: 15px; font-weight: 600; margin: 8px 0 6px 0; }"
        "h3, h4, h5, h6 { font-size: 13px; font-weight: 600; margin: 8px 0 4px 0; }"
        f"a {{ color: {css('accent')}; text-decoration: none; }}"
        f"code, pre {{ font-family: '{mono}'; font-size: 12px; background-color: {css('raised')}; }}"
        f"blockquote {{ color: {css('dim')}; margin: 0 0 8px 12px; }}"
        f"th {{ color: {css('dim')}; font-weight: 600; padding: 3px 12px 3px 0; }} td {{ padding: 3px 12px 3px 0; }}"
    )
