"""The routing of one token, or of a range of them, layer by layer: as values, as a Qt tree and as a table.

Not here: how it is drawn (app.panes.inspector).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QGuiApplication

from app.core.table import Cell
from engine.routing_tally import Usage
from engine.trace import UNUSED_EXPERT, RoutingTrace

ModelIndex = QModelIndex | QPersistentModelIndex

ABSENT = "—"
NO_PARENT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One expert that a token's router looked at; a field the trace doesn't hold is None, never zero."""

    expert: int
    is_chosen: bool
    raw: float | None
    biased: float | None
    weight: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRouting:
    """One token in one layer. `candidates` are the chosen experts, the strongest first, then the runners-up."""

    layer: int
    candidates: tuple[Candidate, ...]
    margin: float | None
    shared: float | None

    @property
    def experts(self) -> tuple[int, ...]:
        """The chosen experts, the strongest first."""
        return tuple(candidate.expert for candidate in self.candidates if candidate.is_chosen)

    @property
    def weights(self) -> tuple[float, ...] | None:
        """Their weights, in the same order; None where the trace holds none."""
        weights = [candidate.weight for candidate in self.candidates if candidate.is_chosen]
        return None if None in weights else tuple(weight for weight in weights if weight is not None)


def layer_routings(trace: RoutingTrace, token: int) -> list[LayerRouting]:
    """Return a token's routing in every MoE layer: of the pass that read it, or wrote it if it is the answer's."""
    row = int(trace.passes([token])[0])
    return [
        LayerRouting(
            layer=layer,
            candidates=_candidates(trace, row, position),
            margin=None if trace.margin is None else float(trace.margin[row, position]),
            shared=None if trace.shared is None else float(trace.shared[row, position]),
        )
        for position, layer in enumerate(trace.layers)
    ]


def _candidates(trace: RoutingTrace, row: int, position: int) -> tuple[Candidate, ...]:
    chosen = [int(expert) for expert in trace.ids[row, position] if expert != UNUSED_EXPERT]
    weights: dict[int, float] = {}
    if trace.weights is not None:
        weights = dict(zip(chosen, map(float, trace.weights[row, position]), strict=False))
        chosen.sort(key=lambda expert: -weights[expert])
    scores: dict[int, tuple[float | None, float | None]] = {}
    if trace.candidates is not None:
        for slot, expert in enumerate(trace.candidates[row, position]):
            raw = None if trace.raw is None else float(trace.raw[row, position, slot])
            biased = None if trace.biased is None else float(trace.biased[row, position, slot])
            scores[int(expert)] = raw, biased
    runners_up = [expert for expert in scores if expert not in chosen and expert != UNUSED_EXPERT]
    return tuple(
        Candidate(expert=expert, is_chosen=expert in chosen, raw=scores.get(expert, (None, None))[0],
                  biased=scores.get(expert, (None, None))[1], weight=weights.get(expert))
        for expert in (*chosen, *runners_up)
    )  # fmt: skip


# --- what a tree shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column's name, what it means, and if its cells stand at the left."""

    name: str
    help: str
    is_left: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRow:
    """The texts of a row, and the rows below it. A faint row is there to compare with."""

    cells: tuple[str, ...]
    children: tuple["TreeRow", ...] = ()
    is_faint: bool = False


_LAYER = Column(name="layer", help="Layer of the model; dense layers have no experts and are left out", is_left=True)
TOKEN_COLUMNS = (
    _LAYER,
    Column(name="experts", help="Chosen experts, the strongest first; below them the runners-up", is_left=True),
    Column(name="raw", help="The router's score, before the correction bias that balances the load"),
    Column(name="biased", help="The score with the correction bias: the experts with the highest ones are chosen"),
    Column(name="weight", help="Weight of the expert's output; in a layer's row that of its strongest expert"),
    Column(name="margin", help="Biased score of the last chosen expert minus the first rejected one: how close it was"),
    Column(name="shared", help="Share of the layer's output that the shared expert gave"),
)
RANGE_COLUMNS = (
    _LAYER,
    Column(name="experts", help="Most used experts of the selected tokens", is_left=True),
    Column(name="tokens", help="How many of the selected tokens chose it; in a layer's row its most used expert"),
    Column(name="share", help="The same as a share of the selected tokens"),
    Column(name="× chance", help="That share over the one it would have if all were chosen equally often"),
    Column(name="Σ weight", help="Its weights, summed over the selected tokens"),
)


def token_rows(layers: Sequence[LayerRouting]) -> list[TreeRow]:
    """Rows for TOKEN_COLUMNS: a layer, below it its candidates."""
    return [
        TreeRow(
            cells=(str(layer.layer), " · ".join(map(str, layer.experts)) or "none ran", "", "",
                   _score(layer.weights[0] if layer.weights else None, 2), _score(layer.margin, 3),
                   _percent(layer.shared)),
            children=tuple(
                TreeRow(
                    cells=("", str(each.expert) if each.is_chosen else f"{each.expert} runner-up", _score(each.raw, 3),
                           _score(each.biased, 3), _score(each.weight, 3) if each.is_chosen else "", "", ""),
                    is_faint=not each.is_chosen,
                )
                for each in layer.candidates
            ),
        )
        for layer in layers
    ]  # fmt: skip


def range_rows(usage: Usage, layers: Sequence[int]) -> list[TreeRow]:
    """Rows for RANGE_COLUMNS: a layer with its K most used experts, below it the 2K most used."""
    rows = []
    rankings = most_used(usage, 2 * max(1, usage.top_k))
    share, chance = usage.share, usage.chance_share
    for position, layer in enumerate(layers):
        used = [int(expert) for expert in rankings[position] if usage.load[position, expert] > 0]
        cells = [
            _range_cells(usage, position, expert, float(share[position, expert]), float(chance[position, 0]))
            for expert in used
        ]
        children = tuple(TreeRow(cells=("", str(expert), *each)) for expert, each in zip(used, cells, strict=True))
        experts = " · ".join(map(str, used[: usage.top_k])) or "none ran"
        top = cells[0] if cells else ("0", "0%", ABSENT, ABSENT)
        rows.append(TreeRow(cells=(str(layer), experts, *top), children=children))
    return rows


def most_used(usage: Usage, count: int | None = None) -> npt.NDArray[np.intp]:
    """Each layer's experts in order of falling load, at most `count` of them: [L,count]; of equals the lower number."""
    num_experts = usage.load.shape[1]
    keys = (num_experts - 1 - np.arange(num_experts)) + usage.load * num_experts
    if count is None or count >= num_experts:
        return np.argsort(-keys, axis=1)
    top = np.argpartition(-keys, count, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(keys, top, axis=1), axis=1)
    return np.take_along_axis(top, order, axis=1)


def _range_cells(usage: Usage, position: int, expert: int, share: float, chance: float) -> tuple[str, str, str, str]:
    weight = ABSENT if usage.weights is None else f"{usage.weights[position, expert]:.1f}"
    return str(int(usage.load[position, expert])), f"{share:.0%}", f"{share / chance:.1f}", weight


def _score(value: float | None, digits: int) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}".removeprefix("0")


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.0%}"


# --- what is exported

TOKEN_TABLE = ("token", "text", "phase", "layer", "expert", "is_chosen", "raw", "biased", "weight", "margin", "shared")


def token_table(trace: RoutingTrace, token: int) -> list[list[Cell]]:
    """Every number of a token's routing, for TOKEN_TABLE."""
    name: list[Cell] = [token, trace.tokens[token].text, trace.tokens[token].phase]
    return [
        [*name, layer.layer, each.expert, int(each.is_chosen), each.raw, each.biased, each.weight, layer.margin,
         layer.shared]
        for layer in layer_routings(trace, token)
        for each in layer.candidates
    ]  # fmt: skip


class RoutingTreeModel(QAbstractItemModel):
    """Rows with rows below them, in columns that change with what is shown."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._columns: tuple[Column, ...] = ()
        self._rows: list[TreeRow] = []

    def set_content(self, columns: tuple[Column, ...], rows: list[TreeRow]) -> None:
        """Show these rows."""
        self.beginResetModel()
        self._columns, self._rows = columns, rows
        self.endResetModel()

    def _row_of(self, index: ModelIndex) -> TreeRow:
        above = index.internalId()
        return self._rows[index.row()] if above == NO_PARENT else self._rows[above - 1].children[index.row()]

    # --- Qt overrides

    def index(self, row: int, column: int, parent: ModelIndex = QModelIndex()) -> QModelIndex:  # noqa: B008
        """Return the index of a cell; a child's id is its parent's row plus one."""
        if not self.hasIndex(row, column, parent):
            return QModelIndex()
        return self.createIndex(row, column, parent.row() + 1 if parent.isValid() else NO_PARENT)

    def parent(self, index: ModelIndex = QModelIndex()) -> QModelIndex:  # type: ignore[override]  # noqa: B008
        """Return the layer's row that a candidate's row is below."""
        if not index.isValid() or index.internalId() == NO_PARENT:
            return QModelIndex()
        return self.createIndex(index.internalId() - 1, 0, NO_PARENT)

    def rowCount(self, parent: ModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of MoE layers, or of a layer's candidates."""
        if not parent.isValid():
            return len(self._rows)
        is_layer = parent.internalId() == NO_PARENT and parent.column() == 0
        return len(self._rows[parent.row()].children) if is_layer else 0

    def columnCount(self, _parent: ModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of columns."""
        return len(self._columns)

    def data(self, index: ModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell's text, alignment, colour or what a screen reader says."""
        if not index.isValid():
            return None
        row, column = self._row_of(index), self._columns[index.column()]
        text = row.cells[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return text
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{column.name} {'not given' if text == ABSENT else text}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignLeft if column.is_left else Qt.AlignmentFlag.AlignRight
            return side | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole and (row.is_faint or text == ABSENT):
            return QGuiApplication.palette().placeholderText()
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a column's name and what it means."""
        if orientation != Qt.Orientation.Horizontal or section >= len(self._columns):
            return None
        column = self._columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.name
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.help
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignLeft if column.is_left else Qt.AlignmentFlag.AlignRight
            return side | Qt.AlignmentFlag.AlignVCenter
        return None
