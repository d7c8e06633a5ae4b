"""Which tokens wrote which characters of the open files. Monaco keeps the places in step while the text is edited."""

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QObject, Signal

from app.core.token_places import TokenPlace
from app.panes.editor.page import EditorView


class TokenMarks(QObject):
    """The marks of a model's tokens, set from outside file by file.

    Signals:
        places_wanted: path of a file that was opened, or whose text was replaced as a whole.
        tokens_picked: (path, first, last) tokens under the cursor or selection that the person moved.
        experts_asked: (path, start, end) in UTF-16 units: whose experts are wanted.
    """

    places_wanted = Signal(str)
    tokens_picked = Signal(str, int, int)
    experts_asked = Signal(str, int, int)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._view: EditorView | None = None
        self._tokens: dict[str, frozenset[int]] = {}

    def attach(self, view: EditorView) -> None:
        """The page exists from now on."""
        self._view = view
        view.bridge.tokens_picked.connect(self.tokens_picked)
        view.bridge.experts_asked.connect(self.experts_asked)

    @property
    def is_ready(self) -> bool:
        """Whether there is a page to mark tokens in; it asks for them when it is."""
        return self._view is not None and self._view.is_ready

    def set_places(self, path: str, text: str, places: Sequence[TokenPlace]) -> None:
        """Mark a file's tokens, in place of those marked before; `text` is what the places count in."""
        self._tokens[path] = frozenset(place.token for place in places)
        units = _utf16_offsets(text)
        self._call("setTokens", path, [[units[place.start], units[place.end], place.token] for place in places])

    def color(self, path: str, groups: Mapping[int, int], colors: Sequence[str]) -> None:
        """Tint a file's marked tokens: `groups` says which of the CSS `colors` a token has; no colors, no tint."""
        self._call("colorTokens", path, {str(token): group for token, group in groups.items()}, list(colors))

    def has_places(self, path: str) -> bool:
        """Whether any token is marked in a file."""
        return bool(self._tokens.get(path))

    def select_tokens(self, path: str, first: int, last: int) -> bool:
        """Select what these tokens wrote; say whether the file has any of them."""
        if self._tokens.get(path, frozenset()).isdisjoint(range(first, last + 1)):
            return False
        self._call("selectTokens", path, first, last)
        return True

    def _call(self, function: str, *arguments: object) -> None:
        if self._view is not None:
            self._view.call(function, *arguments)


def _utf16_offsets(text: str) -> Sequence[int]:
    """Offset in UTF-16 units of every code point, and of the end."""
    if text.isascii():
        return range(len(text) + 1)
    offsets = [0]
    for character in text:
        offsets.append(offsets[-1] + (2 if ord(character) > 0xFFFF else 1))
    return offsets
