"""The token detail: a token's experts, scores, weights and margin in every layer; of several tokens, what they used."""

from collections.abc import Callable

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt, Signal, Slot
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QHeaderView, QLabel, QTreeView, QVBoxLayout, QWidget

from app.core.table import Table
from app.models.experts import Column, RoutingTreeModel, TreeRow
from app.panes.inspector.export_menu import ExportMenu
from app.theme.controls import ElidedLabel
from app.theme.metrics import GAP_S, GAP_XS
from app.theme.theme import Theme

INDENT_PX = 14
LAYER_PX = 30
NUMBER_PX = 30
MIN_SECTION_PX = 34
SECTION_PADDING_PX = 9
LAYER_COLUMN, EXPERTS_COLUMN = 0, 1


class TokenDetail(QWidget):
    """A heading that names what is selected, and a tree: a row a layer, below it its experts.

    Signals:
        layer_chosen: row of the layer that was clicked.
    """

    layer_chosen = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._heading = ElidedLabel("", "text")
        self._note = QLabel(self)
        self._note.setTextFormat(Qt.TextFormat.PlainText)
        self._note.setWordWrap(True)
        self._note.setProperty("tone", "dim")
        self._note.setProperty("scale", "small")
        self._model = RoutingTreeModel(self)
        self._tree = self._build_tree()
        self._opened = QPersistentModelIndex()
        self._table: Callable[[], Table] = _no_table
        self._export = ExportMenu(theme, "Token routing", self._tree, self.table)
        top = QHBoxLayout()
        top.setSpacing(GAP_S)
        top.addWidget(self._heading, 1)
        top.addWidget(self._export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GAP_XS)
        layout.addLayout(top)
        layout.addWidget(self._note)
        layout.addWidget(self._tree, 100)
        layout.addStretch(1)
        self._apply_theme()
        theme.theme_changed.connect(self._apply_theme)

    # --- content

    def show_rows(self, heading: str, note: str, columns: tuple[Column, ...], rows: list[TreeRow]) -> None:
        """Show a heading, a note below it and layers with what is below them (none: the heading and the note)."""
        self._heading.set_full_text(heading)
        self._note.setText(note)
        self._note.setVisible(bool(note))
        self._tree.setVisible(bool(rows))
        self._export.setVisible(bool(rows))
        self._model.set_content(columns, rows)
        if not rows:
            return
        self._tree.setAccessibleDescription(f"{heading}. {note}")
        header = self._tree.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        metrics = header.fontMetrics()
        for section, column in enumerate(columns):
            header.resizeSection(section, max(metrics.horizontalAdvance(column.name), NUMBER_PX) + SECTION_PADDING_PX)
        header.resizeSection(LAYER_COLUMN, INDENT_PX + LAYER_PX)
        header.setSectionResizeMode(EXPERTS_COLUMN, QHeaderView.ResizeMode.Stretch)

    def set_table(self, table: Callable[[], Table]) -> None:
        """Set what gives the numbers of what is shown, when they are wanted."""
        self._table = table

    def table(self) -> Table:
        """Return the numbers of what is shown."""
        return self._table()

    def open_layer(self, row: int) -> None:
        """Open one layer's row, close the one opened before, and bring it into sight."""
        if self._opened.isValid():
            self._tree.collapse(QModelIndex(self._opened))  # type: ignore[call-overload]
        index = self._model.index(row, LAYER_COLUMN)
        self._opened = QPersistentModelIndex(index)
        if index.isValid():
            self._tree.expand(index)
            self._tree.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtTop)

    def model(self) -> RoutingTreeModel:
        """Return the tree's model."""
        return self._model

    def tree(self) -> QTreeView:
        """Return the tree."""
        return self._tree

    def heading(self) -> str:
        """Return the heading's text."""
        return self._heading.full_text()

    def note(self) -> str:
        """Return the note below the heading."""
        return self._note.text()

    # --- building

    def _build_tree(self) -> QTreeView:
        tree = QTreeView(self)
        tree.setAccessibleName("Routing of the selected tokens by layer")
        tree.setModel(self._model)
        tree.setFrameShape(QTreeView.Shape.NoFrame)
        tree.setProperty("kind", "dense")
        tree.setIndentation(INDENT_PX)
        tree.setUniformRowHeights(True)
        tree.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        tree.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        tree.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        tree.setExpandsOnDoubleClick(True)
        header = tree.header()
        header.setStretchLastSection(False)
        header.setHighlightSections(False)
        header.setMinimumSectionSize(MIN_SECTION_PX)
        tree.clicked.connect(self._row_clicked)
        tree.activated.connect(self._row_clicked)
        return tree

    @Slot()
    def _apply_theme(self) -> None:
        self._heading.setFont(self._theme.font(bold=True))

    @Slot(QModelIndex)
    def _row_clicked(self, index: QModelIndex) -> None:
        layer = index.parent() if index.parent().isValid() else index
        self.layer_chosen.emit(layer.row())


def _no_table() -> Table:
    return Table(columns=(), rows=())
