"""A Qt table of one token's routing: a row a layer. Not here: how it is drawn (app.panes.inspector)."""

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from engine.trace import RoutingTrace

ModelIndex = QModelIndex | QPersistentModelIndex

COLUMNS = ("layer", "experts", "weights", "margin", "shared")
COLUMN_HELP = (
    "Layer of the model; dense layers have no experts and are left out",
    "Chosen experts, the strongest first",
    "Weight of each chosen expert's output, in the same order",
    "Biased score of the last chosen expert minus the first rejected one: how close the choice was",
    "Share of the layer's output that the shared expert gave",
)
LEFT_COLUMNS = (1, 2)
ABSENT = "—"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRouting:
    """One token in one layer; a field the trace doesn't hold is None, never zero."""

    layer: int
    experts: tuple[int, ...]
    weights: tuple[float, ...] | None
    margin: float | None
    shared: float | None


def layer_routings(trace: RoutingTrace, token: int) -> list[LayerRouting]:
    """Return a token's routing in every MoE layer, each layer's experts in order of their weight."""
    rows = []
    for position, layer in enumerate(trace.layers):
        experts = [int(expert) for expert in trace.ids[token, position]]
        weights = None if trace.weights is None else [float(weight) for weight in trace.weights[token, position]]
        if weights is not None:
            order = sorted(range(len(experts)), key=lambda slot, w=weights: -w[slot])  # type: ignore[misc]
            experts, weights = [experts[slot] for slot in order], [weights[slot] for slot in order]
        rows.append(
            LayerRouting(
                layer=layer,
                experts=tuple(experts),
                weights=None if weights is None else tuple(weights),
                margin=None if trace.margin is None else float(trace.margin[token, position]),
                shared=None if trace.shared is None else float(trace.shared[token, position]),
            )
        )
    return rows


class TokenRoutingModel(QAbstractTableModel):
    """The routing of one token, a row a layer."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[LayerRouting] = []

    def set_rows(self, rows: list[LayerRouting]) -> None:
        """Show these layers."""
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def layer_row(self, row: int) -> LayerRouting:
        """Return what a row shows."""
        return self._rows[row]

    def _text(self, row: LayerRouting, column: int) -> str:
        if column == 0:
            return str(row.layer)
        if column == 1:
            return " · ".join(map(str, row.experts))
        if column == 2:
            weights = row.weights or ()
            return " ".join(f"{weight:.2f}".removeprefix("0") for weight in weights) or ABSENT
        value = row.margin if column == 3 else row.shared
        if value is None:
            return ABSENT
        return f"{value:.3f}".removeprefix("0") if column == 3 else f"{value:.0%}"

    # --- Qt overrides

    def rowCount(self, parent: ModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of MoE layers."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: ModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: ModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell's text or alignment."""
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(self._rows[index.row()], index.column())
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignLeft if index.column() in LEFT_COLUMNS else Qt.AlignmentFlag.AlignRight
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a column's name and what it means."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return COLUMN_HELP[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignLeft if section in LEFT_COLUMNS else Qt.AlignmentFlag.AlignRight
            return side | Qt.AlignmentFlag.AlignVCenter
        return None
