"""The token detail: a token's experts, weights, margin and shared share in every layer."""

from PySide6.QtCore import QModelIndex, Qt, Signal, Slot
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QTableView, QVBoxLayout, QWidget

from app.models.experts import LayerRouting, TokenRoutingModel

ROW_HEIGHT_PX = 24


class TokenDetail(QWidget):
    """A heading that names the token, and a table with a row a layer.

    Signals:
        layer_chosen: row of the layer that was clicked.
    """

    layer_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._heading = QLabel(self)
        self._heading.setTextFormat(Qt.TextFormat.PlainText)
        self._heading.setWordWrap(True)
        bold = QFont(self._heading.font())
        bold.setWeight(QFont.Weight.DemiBold)
        self._heading.setFont(bold)
        self._note = QLabel(self)
        self._note.setWordWrap(True)
        self._note.setProperty("tone", "dim")
        self._model = TokenRoutingModel(self)
        self._table = self._build_table()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self._heading)
        layout.addWidget(self._table, 100)
        layout.addWidget(self._note)
        layout.addStretch(1)

    def show_token(self, heading: str, rows: list[LayerRouting], note: str) -> None:
        """Show a token's routing."""
        self._heading.setText(heading)
        self._model.set_rows(rows)
        self._table.setVisible(bool(rows))
        header_px = self._table.horizontalHeader().sizeHint().height()
        header_px += self._table.horizontalScrollBar().sizeHint().height()
        self._table.setMaximumHeight(header_px + ROW_HEIGHT_PX * len(rows) + 4)
        self._note.setText(note)

    def model(self) -> TokenRoutingModel:
        """Return the table's model."""
        return self._model

    def heading(self) -> str:
        """Return the heading's text."""
        return self._heading.text()

    def _build_table(self) -> QTableView:
        table = QTableView(self)
        table.setAccessibleName("Routing of the selected token by layer")
        table.setModel(self._model)
        table.setShowGrid(False)
        table.setFrameShape(QTableView.Shape.NoFrame)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setWordWrap(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT_PX)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        table.clicked.connect(self._row_clicked)
        return table

    @Slot(QModelIndex)
    def _row_clicked(self, index: QModelIndex) -> None:
        self.layer_chosen.emit(index.row())
