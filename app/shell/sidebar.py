"""The side bar: new chat, search, conversations by day, files of the project."""

from PySide6.QtCore import QModelIndex, QPoint, Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QListView,
    QMenu,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.models.chats import ChatRole, ConversationsModel
from app.models.files import FileRole, ProjectFilesModel
from app.shell.list_rows import ChatRowDelegate, FileRowDelegate
from app.theme.controls import Card, ElidedLabel, make_button, make_label
from app.theme.metrics import GAP_S
from app.theme.theme import Theme

WIDTH_PX = 236
_SEARCH_DELAY_MS = 120
_UNDO_MS = 10_000


class RowList(QListView):
    """A list that is as tall as its rows, up to the room there is."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.viewport().setAutoFillBackground(False)

    @Slot()
    def fit(self) -> None:
        """Take the height of the rows."""
        model = self.model()
        rows = range(model.rowCount()) if model is not None else range(0)
        self.setMaximumHeight(sum(self.sizeHintForRow(row) for row in rows) + 4)


class Sidebar(QWidget):
    """The left column.

    Signals:
        new_chat_requested.
        conversation_chosen: (conversation id, message id to show or -1).
        export_requested, delete_requested: conversation id.
        undo_delete_requested.
        file_chosen: path.
    """

    new_chat_requested = Signal()
    conversation_chosen = Signal(int, int)
    export_requested = Signal(int)
    delete_requested = Signal(int)
    undo_delete_requested = Signal()
    file_chosen = Signal(str)

    def __init__(self, theme: Theme, chats: ConversationsModel, files: ProjectFilesModel) -> None:
        super().__init__()
        self._chats_model, self._files_model = chats, files
        self.setProperty("surface", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setMinimumWidth(180)
        self.new_button = make_button("New chat", self.new_chat_requested.emit, "primary", "New chat (Ctrl+N)")
        self.new_button.setFixedHeight(32)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search chats and code")
        self.search.setAccessibleName("Search chats and code")
        self.search.setClearButtonEnabled(True)
        self.chats = RowList("Conversations")
        self.chats.setModel(chats)
        self.chats.setItemDelegate(ChatRowDelegate(theme, self.chats))
        self.chats.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.chats.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.files_caption = make_label("FILES", "faint", "tiny")
        self.files_caption.setContentsMargins(8, 12, 0, 4)
        self.files = RowList("Files of the project")
        self.files.setModel(files)
        self.files.setItemDelegate(FileRowDelegate(theme, self.files))
        self._build_undo(theme)
        self._build()
        self._connect()
        self._files_changed()

    # --- content

    def select_conversation(self, conversation_id: int) -> None:
        """Mark a conversation as the open one; -1 marks none."""
        row = self._chats_model.row_of(conversation_id) if conversation_id >= 0 else -1
        if row >= 0:
            self.chats.setCurrentIndex(self._chats_model.index(row))
        else:
            self.chats.setCurrentIndex(QModelIndex())
            self.chats.clearSelection()

    def select_file(self, path: str) -> None:
        """Mark a file as the one in the editor."""
        for row in range(self._files_model.rowCount()):
            index = self._files_model.index(row)
            if index.data(FileRole.PATH) == path:
                self.files.setCurrentIndex(index)
                return
        self.files.setCurrentIndex(QModelIndex())

    def rename_conversation(self, conversation_id: int) -> None:
        """Edit a conversation's title in its row."""
        self.search.clear()
        self._search_now()
        index = self._chats_model.index(self._chats_model.row_of(conversation_id))
        if index.isValid():
            self.show()
            self.chats.setCurrentIndex(index)
            self.chats.edit(index)

    def show_undo(self, title: str) -> None:
        """Offer to take a deletion back."""
        self._undo_text.set_full_text(f"Deleted “{title}”")
        self._undo_bar.show()
        self._undo_timer.start()

    # --- building

    def _build_undo(self, theme: Theme) -> None:
        self._undo_bar = Card(theme, fill="raised")
        self._undo_text = ElidedLabel("", "text")
        self.undo_button = make_button("Undo", self._undo, "link")
        row = QHBoxLayout()
        row.setContentsMargins(10, 4, 4, 4)
        row.addWidget(self._undo_text, 1)
        row.addWidget(self.undo_button)
        self._undo_bar.column.addLayout(row)
        self._undo_bar.hide()
        self._undo_timer = QTimer(self, singleShot=True, interval=_UNDO_MS)
        self._undo_timer.timeout.connect(self._undo_bar.hide)
        self._search_timer = QTimer(self, singleShot=True, interval=_SEARCH_DELAY_MS)
        self._search_timer.timeout.connect(self._search_now)

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(GAP_S + 2, GAP_S + 2, GAP_S + 2, GAP_S + 2)
        column.setSpacing(0)
        column.addWidget(self.new_button)
        column.addSpacing(10)
        column.addWidget(self.search)
        column.addSpacing(4)
        column.addWidget(self.chats, 3)
        column.addWidget(self.files_caption)
        column.addWidget(self.files, 2)
        column.addStretch(0)
        column.addWidget(self._undo_bar)

    def _connect(self) -> None:
        self.search.textChanged.connect(self._search_timer.start)
        self.search.returnPressed.connect(self._search_now)
        self.chats.clicked.connect(self._chat_clicked)
        self.chats.activated.connect(self._chat_clicked)
        self.chats.customContextMenuRequested.connect(self._open_menu)
        self.files.clicked.connect(self._file_clicked)
        self.files.activated.connect(self._file_clicked)
        for model, slot in ((self._chats_model, self._chats_changed), (self._files_model, self._files_changed)):
            for changed in (model.modelReset, model.rowsInserted, model.rowsRemoved, model.dataChanged):
                changed.connect(slot)
        self._chats_changed()

    # --- receivers

    @Slot()
    def _search_now(self) -> None:
        self._search_timer.stop()
        self._chats_model.set_query(self.search.text())

    @Slot()
    def _chats_changed(self) -> None:
        self.chats.fit()

    @Slot()
    def _files_changed(self) -> None:
        self.files.fit()
        has_files = self._files_model.rowCount() > 0
        self.files_caption.setVisible(has_files)
        self.files.setVisible(has_files)

    @Slot(QModelIndex)
    def _chat_clicked(self, index: QModelIndex) -> None:
        if index.isValid() and not index.data(ChatRole.IS_HEADER):
            message_id = index.data(ChatRole.MESSAGE_ID)
            self.conversation_chosen.emit(int(index.data(ChatRole.ID)), -1 if message_id is None else int(message_id))

    @Slot(QModelIndex)
    def _file_clicked(self, index: QModelIndex) -> None:
        if index.isValid():
            self.file_chosen.emit(str(index.data(FileRole.PATH)))

    @Slot(QPoint)
    def _open_menu(self, at: QPoint) -> None:
        index = self.chats.indexAt(at)
        if not index.isValid() or index.data(ChatRole.IS_HEADER):
            return
        self._menu_conversation = int(index.data(ChatRole.ID))
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Rename", self._menu_rename)
        menu.addAction("Export to Markdown…", self._menu_export)
        menu.addSeparator()
        menu.addAction("Delete", self._menu_delete)
        menu.popup(self.chats.viewport().mapToGlobal(at))

    @Slot()
    def _menu_rename(self) -> None:
        self.rename_conversation(self._menu_conversation)

    @Slot()
    def _menu_export(self) -> None:
        self.export_requested.emit(self._menu_conversation)

    @Slot()
    def _menu_delete(self) -> None:
        self.delete_requested.emit(self._menu_conversation)

    @Slot()
    def _undo(self) -> None:
        self._undo_bar.hide()
        self.undo_delete_requested.emit()
