"""The bottom panel: a row of tabs over panes that are made when they are first looked at."""

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QStackedWidget, QToolButton, QVBoxLayout, QWidget

from app.theme.controls import Line, make_tool_button
from app.theme.metrics import GAP_S
from app.theme.theme import Theme

TAB_ROW_PX = 37


class TabRow(QWidget):
    """Tabs at the left and tabs at the right of one row.

    Signals:
        chosen: key of a tab that was pressed.
    """

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(TAB_ROW_PX - 1)
        self._group = QButtonGroup(self)
        self._group.idClicked.connect(self._clicked)
        self._keys: list[str] = []
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(GAP_S, 0, GAP_S, 0)
        self.row.setSpacing(0)
        self.row.addStretch(1)
        self._num_left = 0

    def add(self, key: str, text: str, *, at_right: bool = False) -> QToolButton:
        """Add a tab."""
        button = QToolButton()
        button.setText(text)
        button.setProperty("kind", "tab")
        button.setCheckable(True)
        button.setFixedHeight(TAB_ROW_PX - 1)
        self._group.addButton(button, len(self._keys))
        self._keys.append(key)
        if at_right:
            self.row.addWidget(button)
        else:
            self.row.insertWidget(self._num_left, button)
            self._num_left += 1
        return button

    def button(self, key: str) -> QToolButton:
        """The button of a tab."""
        button = self._group.button(self._keys.index(key))
        assert isinstance(button, QToolButton)
        return button

    def set_current(self, key: str) -> None:
        """Mark a tab as chosen."""
        self.button(key).setChecked(True)

    def keys(self) -> list[str]:
        """Every tab's key, in the order they were added."""
        return list(self._keys)

    @Slot(int)
    def _clicked(self, number: int) -> None:
        self.chosen.emit(self._keys[number])


class BottomPanel(QWidget):
    """Panes behind tabs. `fold` leaves the row of tabs.

    Signals:
        pane_shown: key of the pane on show.
        fold_changed: whether only the tabs show.
    """

    pane_shown = Signal(str)
    fold_changed = Signal(bool)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("surface", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.tabs = TabRow()
        self.tabs.chosen.connect(self._tab_pressed)
        self._makers: dict[str, Callable[[], QWidget]] = {}
        self._panes: dict[str, QWidget] = {}
        self._current = ""
        self._is_folded = False
        self._pages = QStackedWidget()
        self.fold_button = make_tool_button(theme, "chevron-down", "Hide the panel (Ctrl+J)", self._toggle, "faint")
        self._theme = theme
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.tabs)
        column.addWidget(Line(theme))
        column.addWidget(self._pages, 1)

    def add_pane(self, key: str, title: str, make: Callable[[], QWidget], *, at_right: bool = False) -> None:
        """Add a tab; `make` is called when it is first shown, and may give several tabs the same pane."""
        self._makers[key] = make
        self.tabs.add(key, title, at_right=at_right)
        self.tabs.row.removeWidget(self.fold_button)
        self.tabs.row.addWidget(self.fold_button)

    def show_pane(self, key: str) -> QWidget:
        """Show a pane, making it if need be, and unfold."""
        pane = self.pane(key)
        self._pages.setCurrentWidget(pane)
        self._current = key
        self.tabs.set_current(key)
        self.set_folded(folded=False)
        self.pane_shown.emit(key)
        return pane

    def pane(self, key: str) -> QWidget:
        """A pane, making it if need be."""
        if key not in self._panes:
            self._panes[key] = self._makers[key]()
            if self._pages.indexOf(self._panes[key]) < 0:
                self._pages.addWidget(self._panes[key])
        return self._panes[key]

    def set_title(self, key: str, title: str) -> None:
        """Rename a tab."""
        self.tabs.button(key).setText(title)

    @property
    def current(self) -> str:
        """Key of the pane on show; "" before any was."""
        return self._current

    @property
    def is_folded(self) -> bool:
        """Whether only the tabs show."""
        return self._is_folded

    def set_folded(self, *, folded: bool) -> None:
        """Show only the tabs, or everything."""
        changed = folded != self._is_folded
        self._is_folded = folded
        self._pages.setVisible(not folded)
        self.setMaximumHeight(TAB_ROW_PX + 1 if folded else 16_777_215)
        self.setMinimumHeight(TAB_ROW_PX + 1 if folded else 150)
        self._theme.set_icon(self.fold_button, "chevron-up" if folded else "chevron-down", "faint")
        text = "Show the panel (Ctrl+J)" if folded else "Hide the panel (Ctrl+J)"
        self.fold_button.setToolTip(text)
        self.fold_button.setAccessibleName(text)
        if changed:
            self.fold_changed.emit(folded)

    @Slot()
    def _toggle(self) -> None:
        if self._is_folded and not self._current:
            self.show_pane(self.tabs.keys()[0])
        self.set_folded(folded=not self._is_folded)

    @Slot(str)
    def _tab_pressed(self, key: str) -> None:
        self.show_pane(key)
