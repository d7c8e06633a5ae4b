"""The editor pane: tabs over Monaco, dirty marks, saving, changes on the disk, and the diff of an edit."""

from pathlib import Path

from PySide6.QtCore import QFileSystemWatcher, QSignalBlocker, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QStackedWidget,
    QTabBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.core.documents import Documents, TextChange, codepoint_offset
from app.core.problem import Problem
from app.core.workspace import Workspace
from app.panes.editor.page import EditorView, monaco_theme
from app.panes.editor.tint_bar import TintBar
from app.panes.editor.token_marks import TokenMarks
from app.theme.theme import Theme

DRAFT_DELAY_MS = 400
DISK_DELAY_MS = 150
EMPTY_TEXT = "No file is open.\nOpen one from the list on the left, or ask for a scene."


class EditorPane(QWidget):
    """Edits the files of one project at a time.

    Args:
        drafts_folder: where unsaved text of each project is kept, so that a crash loses none.

    Signals:
        file_saved: path of a file that was written.
        dirty_changed: whether any file holds unsaved text.
        code_selected: (path, start, end) of the selection, in code points.
        problem_reported: a Problem to show.
    """

    file_saved = Signal(str)
    dirty_changed = Signal(bool)
    code_selected = Signal(str, int, int)
    problem_reported = Signal(object)

    def __init__(self, theme: Theme, drafts_folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._drafts_folder = drafts_folder
        self._documents: Documents | None = None
        self._view: EditorView | None = None
        self._was_dirty = False
        self.marks = TokenMarks(self)
        self._build()
        self._draft_timer = self._timer(DRAFT_DELAY_MS, self._store_drafts)
        self._disk_timer = self._timer(DISK_DELAY_MS, self.refresh_from_disk)
        self._watcher = QFileSystemWatcher(self)
        self._watcher.fileChanged.connect(self._disk_timer.start)
        self._watcher.directoryChanged.connect(self._disk_timer.start)
        theme.theme_changed.connect(self._apply_theme)
        QShortcut(QKeySequence.StandardKey.Save, self, self.save,
                  context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        QShortcut(QKeySequence("Ctrl+W"), self, self._close_current,
                  context=Qt.ShortcutContext.WidgetWithChildrenShortcut)

    # --- projects and files

    def open_project(self, workspace: Workspace | None) -> None:
        """Show another project's open files, unsaved text included; None shows none."""
        self._store_drafts()
        self._clear_tabs()
        self._documents = None
        if workspace is not None:
            drafts = self._drafts_folder / f"{workspace.root.name}.json"
            self._documents = Documents(workspace, drafts)
            for path in self._documents.paths():
                self._add_tab(path)
            self._watch()
            self._tab_changed(self._tabs.currentIndex())
        self._show_state()

    def open_file(self, path: str, line: int = 0) -> None:
        """Open a file (or its tab) and go to a line, counted from 1."""
        if self._documents is None:
            return
        try:
            self._documents.open(path)
        except Problem as problem:
            self.problem_reported.emit(problem)
            return
        index = self._index_of(path)
        if index < 0:
            index = self._add_tab(path)
            self._watch()
        self._tabs.setCurrentIndex(index)
        self._tab_changed(index)
        self._show_state()
        if line:
            self._call("reveal", line, 1)

    def open_paths(self) -> list[str]:
        """Return the paths of the tabs."""
        return [] if self._documents is None else self._documents.paths()

    @property
    def tab_bar(self) -> QTabBar:
        """The file tabs; the window may put them into a row of its own."""
        return self._tabs

    def keep_drafts(self) -> bool:
        """Keep unsaved text as drafts, as before the window closes; say whether all of it is kept."""
        self._draft_timer.stop()
        self._store_drafts()
        return self._documents is None or self._documents.drafts_problem is None or not self.dirty_paths()

    def current_path(self) -> str:
        """Return the path of the current tab, or an empty text."""
        return str(self._tabs.tabData(self._tabs.currentIndex()) or "")

    def text(self, path: str) -> str:
        """Return an open file's text as typed."""
        assert self._documents is not None
        return self._documents[path].text

    def dirty_paths(self) -> list[str]:
        """Return the files that hold unsaved text."""
        return [] if self._documents is None else self._documents.dirty_paths()

    @Slot()
    def save(self) -> None:
        """Write the current file."""
        if self.current_path():
            self._save(self.current_path())

    def save_all(self) -> bool:
        """Write every file that holds unsaved text; say whether all could be written."""
        saved = [self._save(path) for path in self.dirty_paths()]
        return all(saved)

    @Slot()
    def refresh_from_disk(self, *, by_program: bool = False) -> None:
        """Take in what others wrote: clean files are read again, for dirty ones the person is asked.

        What the program itself took away (`by_program`: an earlier state of the project) needs no question where
        nothing was typed.
        """
        if self._documents is None:
            return
        for change in self._documents.check_disk():
            if change.kind == "reloaded":
                self._set_text(change.path)
                if change.path == self.current_path():
                    self._conflict_bar.hide()
            elif by_program and self._documents[change.path].unchanged:
                continue
            elif change.path == self.current_path():
                self._show_conflict(change.path)
        self._watch()
        self._mark_tabs()

    def show_diff(self, path: str, before: str, after: str) -> None:
        """Show an edit of a file as a diff, until it is closed."""
        self._ensure_view()
        self._pages.setCurrentIndex(1)
        self._call("showDiff", path, before, after)
        self._diff_bar_label.setText(f"Edit of {path}: before and after")
        self._diff_bar.show()

    def select_code(self, path: str, start: int, end: int) -> None:
        """Select a range of a file, in code points."""
        self.open_file(path)
        text = self.text(path)
        units = [len(text[:offset].encode("utf-16-le")) // 2 for offset in (start, end)]
        self._call("select", *units)

    @Slot()
    def open_find(self) -> None:
        """Open find."""
        self._call("run", "actions.find")

    @Slot()
    def open_replace(self) -> None:
        """Open find and replace."""
        self._call("run", "editor.action.startFindReplaceAction")

    # --- building

    def _build(self) -> None:
        self._tabs = QTabBar(self)
        self._tabs.setAccessibleName("Open files")
        self._tabs.setTabsClosable(True)
        self._tabs.setMovable(False)
        self._tabs.setDrawBase(False)
        self._tabs.setExpanding(False)
        self._tabs.currentChanged.connect(self._tab_changed)
        self._tabs.tabCloseRequested.connect(self._close_tab)
        self._take_button = self._bar_button("", self._take_disk)
        self._conflict_bar, self._conflict_label = self._bar(
            self._bar_button("Keep mine", self._keep_mine), self._take_button
        )
        self._diff_bar, self._diff_bar_label = self._bar(self._bar_button("Close diff", self._close_diff))
        self._empty = QLabel(EMPTY_TEXT, self)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setProperty("tone", "dim")
        self._pages = QStackedWidget(self)
        self._pages.addWidget(self._empty)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for widget in (self._tabs, self._conflict_bar, self._diff_bar):
            layout.addWidget(widget)
        layout.addWidget(self._pages, 1)
        self.tint_bar = TintBar(self._theme)
        layout.addWidget(self.tint_bar)
        self._tabs.hide()

    def _bar(self, *buttons: QPushButton) -> tuple[QWidget, QLabel]:
        bar = QWidget(self)
        bar.setProperty("surface", "panel")
        row = QHBoxLayout(bar)
        row.setContentsMargins(12, 6, 12, 6)
        label = QLabel(bar)
        label.setWordWrap(True)
        row.addWidget(label, 1)
        for button in buttons:
            row.addWidget(button)
        bar.hide()
        return bar, label

    def _bar_button(self, text: str, slot: object) -> QPushButton:
        button = QPushButton(text, self)
        button.clicked.connect(slot)
        return button

    def _timer(self, delay_ms: int, slot: object) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(delay_ms)
        timer.timeout.connect(slot)
        return timer

    def _ensure_view(self) -> EditorView:
        """Make the web view at its first use: a window without an open file starts faster without it."""
        if self._view is None:
            self._view = EditorView(self)
            self._view.bridge.page_ready.connect(self._page_ready)
            self._view.bridge.changes_received.connect(self._changes_received)
            self._view.bridge.save_requested.connect(self.save)
            self._view.bridge.selection_moved.connect(self._selection_moved)
            self.marks.attach(self._view)
            self._pages.addWidget(self._view)
            self._view.page().setBackgroundColor(self._theme.color("code"))
            self._view.start()
        return self._view

    def _set_text(self, path: str) -> None:
        """Show a text that came from elsewhere; what was marked in the old one has to be found again."""
        assert self._documents is not None
        self._call("setText", path, self._documents[path].text)
        self.marks.places_wanted.emit(path)

    def _call(self, function: str, *arguments: object) -> None:
        self._ensure_view().call(function, *arguments)

    # --- tabs

    def _add_tab(self, path: str) -> int:
        index = self._tabs.addTab(path.rsplit("/", 1)[-1])
        self._tabs.setTabData(index, path)
        self._tabs.setTabToolTip(index, path)
        close = QToolButton(self._tabs)
        close.setText("×")
        close.setAutoRaise(True)
        close.setAccessibleName(f"Close {path}")
        close.setToolTip(f"Close {path} (Ctrl+W)")
        close.setProperty("path", path)
        close.clicked.connect(self._close_clicked)
        self._tabs.setTabButton(index, QTabBar.ButtonPosition.RightSide, close)
        assert self._documents is not None
        if self._view is not None and self._view.is_ready:
            self._call("open", path, self._documents[path].text)
        else:
            self._ensure_view()
        return index

    def _clear_tabs(self) -> None:
        with QSignalBlocker(self._tabs):  # the project goes as a whole: no tab is shown on the way
            while self._tabs.count():
                if self._view is not None and self._view.is_ready:
                    self._call("close", self._tabs.tabData(0))
                self._tabs.removeTab(0)
        if watched := self._watcher.files() + self._watcher.directories():
            self._watcher.removePaths(watched)
        self._conflict_bar.hide()
        self._diff_bar.hide()

    def _index_of(self, path: str) -> int:
        return next((i for i in range(self._tabs.count()) if self._tabs.tabData(i) == path), -1)

    def _mark_tabs(self) -> None:
        dirty = set(self.dirty_paths())
        for index in range(self._tabs.count()):
            path = str(self._tabs.tabData(index))
            self._tabs.setTabText(index, ("● " if path in dirty else "") + path.rsplit("/", 1)[-1])
        if bool(dirty) != self._was_dirty:
            self._was_dirty = bool(dirty)
            self.dirty_changed.emit(self._was_dirty)

    def _show_state(self) -> None:
        has_tabs = self._tabs.count() > 0
        self._tabs.setVisible(has_tabs)
        self._pages.setCurrentIndex(1 if has_tabs and self._view is not None else 0)
        self._mark_tabs()

    def _watch(self) -> None:
        if self._documents is None:
            return
        files = [str(self._documents.workspace.resolve(path)) for path in self._documents.paths()]
        wanted = [str(self._documents.workspace.root), *files]
        known = {*self._watcher.files(), *self._watcher.directories()}
        if missing := [path for path in wanted if path not in known and Path(path).exists()]:
            self._watcher.addPaths(missing)

    def _save(self, path: str) -> bool:
        assert self._documents is not None
        if self._view is not None and self._view.is_ready:
            self._call("flush")
        try:
            self._documents.save(path)
        except Problem as problem:
            self.problem_reported.emit(problem)
            return False
        self._conflict_bar.hide()
        self._watch()
        self._mark_tabs()
        self.file_saved.emit(path)
        return True

    def _show_conflict(self, path: str) -> None:
        assert self._documents is not None
        gone = self._documents[path].missing
        what = "is gone from the disk" if gone else "was changed on the disk by something else"
        self._conflict_label.setText(f"{path} {what}, and has text here that is not saved.")
        self._take_button.setText("Close it" if gone else "Take the disk's")
        self._conflict_bar.show()

    # --- receivers

    @Slot()
    def _page_ready(self) -> None:
        self._apply_theme()
        if self._documents is None or self._view is None:
            return
        for document in self._documents:
            self._call("open", document.path, document.text)
        if self.current_path():
            self._call("show", self.current_path())
            self.marks.places_wanted.emit(self.current_path())

    @Slot()
    def _apply_theme(self) -> None:
        if self._view is None:
            return
        self._view.page().setBackgroundColor(self._theme.color("code"))
        self._call("setTheme", monaco_theme(self._theme))
        self._call("setFont", self._theme.mono().family(), self._theme.mono().pixelSize())

    @Slot(int)
    def _tab_changed(self, index: int) -> None:
        if index < 0 or self._documents is None:
            self._show_state()
            return
        self._conflict_bar.hide()
        self._diff_bar.hide()
        if self._view is not None and self._view.is_ready:
            self._call("show", self.current_path())
            self.marks.places_wanted.emit(self.current_path())
        self._show_state()

    @Slot()
    def _close_clicked(self) -> None:
        self._close_tab(self._index_of(str(self.sender().property("path"))))

    @Slot()
    def _close_current(self) -> None:
        if self._tabs.currentIndex() >= 0:
            self._close_tab(self._tabs.currentIndex())

    @Slot(int)
    def _close_tab(self, index: int) -> None:
        assert self._documents is not None
        path = str(self._tabs.tabData(index))
        if not self._documents[path].dirty or self._may_close(path):
            self._drop_tab(index)

    def _drop_tab(self, index: int) -> None:
        assert self._documents is not None
        path = str(self._tabs.tabData(index))
        self._documents.close(path)
        if self._view is not None and self._view.is_ready:
            self._call("close", path)
        self._tabs.removeTab(index)
        self._show_state()

    def _may_close(self, path: str) -> bool:
        buttons = QMessageBox.StandardButton
        answer = QMessageBox.question(
            self, "Unsaved text", f"{path} has text that is not saved. Save it before closing?",
            buttons.Save | buttons.Discard | buttons.Cancel, buttons.Save,
        )
        if answer == buttons.Save:
            return self._save(path)
        return bool(answer == buttons.Discard)

    @Slot(str, object)
    def _changes_received(self, path: str, batches: list[list[TextChange]]) -> None:
        if self._documents is None or path not in self._documents:
            return
        try:
            for batch in batches:
                self._documents.edit(path, batch)
        except ValueError:
            # The page and we disagree, which only a lost message explains: take the page's whole text.
            self._set_text(path)
        self._draft_timer.start()
        self._mark_tabs()

    @Slot(str, int, int, int, int)
    def _selection_moved(self, path: str, start: int, end: int, _line: int, _column: int) -> None:
        if self._documents is not None and path in self._documents:
            text = self._documents[path].text
            self.code_selected.emit(path, codepoint_offset(text, start), codepoint_offset(text, end))

    @Slot()
    def _store_drafts(self) -> None:
        if self._documents is None:
            return
        known = self._documents.drafts_problem
        self._documents.store_drafts()
        problem = self._documents.drafts_problem
        if problem is not None and known is None and self.dirty_paths():
            self.problem_reported.emit(problem)

    @Slot()
    def _keep_mine(self) -> None:
        self._save(self.current_path())

    @Slot()
    def _take_disk(self) -> None:
        assert self._documents is not None
        path = self.current_path()
        self._conflict_bar.hide()
        if self._documents[path].missing:
            self._drop_tab(self._tabs.currentIndex())
            return
        self._documents.take_disk(path)
        self._set_text(path)
        self._mark_tabs()

    @Slot()
    def _close_diff(self) -> None:
        self._diff_bar.hide()
        self._call("closeDiff")
        self._show_state()
