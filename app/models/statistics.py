"""Qt tables of a trace's statistics: a layer's balance a row, a claim a row. The numbers are the engine's."""

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from app.core.table import Cell, Table
from engine.routing_usage import LayerUsage, Usage
from engine.specialisation import ClassUse, Specialisation

ModelIndex = QModelIndex | QPersistentModelIndex
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class _Table(QAbstractTableModel):
    """Texts in columns with headings and their help."""

    headings: tuple[tuple[str, str], ...] = ()
    left_columns: tuple[int, ...] = ()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._texts: list[tuple[str, ...]] = []

    def _set_texts(self, texts: list[tuple[str, ...]]) -> None:
        if len(texts) == len(self._texts):  # the same rows with other numbers keep selection and scroll position
            self._texts = texts
            if texts:
                self.dataChanged.emit(self.index(0, 0), self.index(len(texts) - 1, len(self.headings) - 1))
            return
        self.beginResetModel()
        self._texts = texts
        self.endResetModel()

    # --- Qt overrides

    def rowCount(self, parent: ModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self._texts)

    def columnCount(self, parent: ModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.headings)

    def data(self, index: ModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell's text or alignment."""
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._texts[index.row()][index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _LEFT if index.column() in self.left_columns else _RIGHT
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a column's name and what it means."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.headings[section][0]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.headings[section][1]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _LEFT if section in self.left_columns else _RIGHT
        return None


class LayerUsageModel(_Table):
    """A row a layer; what chance gives stands behind each number."""

    headings = (
        ("layer", "Layer of the model; layers without experts are left out"),
        ("busiest", "Load of the busiest expert over the mean load (in brackets: what chance gives on average)"),
        ("evenness", "Entropy of the load over its maximum: 1 all experts alike, 0 one does it all (by chance)"),
        ("unused", "Experts that no token chose (how many chance would leave unused)"),
        ("outside", "Experts whose load lies outside the 95% band of chance (how many would by chance)"),
        ("reuse", ("Experts a token shares with the one before, with its 95% interval (by chance, and what unrelated "
                   "tokens would share with loads as uneven as these)")),
        ("worth", "How many independent tokens these neighbouring ones are worth: the bands are that wide"),
    )

    def set_usage(self, usage: Usage) -> None:
        """Show these layers."""
        self._set_texts([self._text(layer) for layer in usage.layers])

    def _text(self, layer: LayerUsage) -> tuple[str, ...]:
        return (
            str(layer.layer),
            f"{layer.max_over_mean:.2f}× ({layer.max_over_mean_by_chance:.2f})",
            f"{layer.entropy:.3f} ({layer.entropy_by_chance:.3f})",
            f"{layer.never_used} ({layer.never_used_by_chance:.1f})",
            f"{layer.outside_band} ({layer.outside_band_by_chance:.1f})",
            f"{layer.reuse:.2f} ±{layer.reuse_error:.2f} ({layer.reuse_by_chance:.2f}, {layer.reuse_by_load:.2f})",
            f"{layer.effective_tokens:,.0f}",
        )


class ClaimsModel(_Table):
    """A row a claim, the strongest first."""

    headings = (
        ("layer", "Layer of the model"),
        ("expert", "Expert of the layer"),
        ("chosen for", "Class of tokens it is chosen for more often than for others"),
        ("of them", "Share of the tokens of this class that chose it, and how many such tokens there are"),
        ("of others", "Share of all other tokens that chose it"),
        ("log-odds (95%)", "Natural logarithm of the odds ratio, with its 95% interval: 0 is no difference"),
        ("p", "Family-wise: how often the largest deviation of a whole shifted table reaches this one"),
    )
    left_columns = (2,)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._claims: list[ClassUse] = []

    def set_claims(self, claims: list[ClassUse]) -> None:
        """Show these claims."""
        self._claims = claims
        self._set_texts([(
            str(claim.layer), str(claim.expert), claim.token_class, f"{claim.share:.0%} of {claim.of:,}",
            f"{claim.elsewhere:.0%}", f"{claim.log_odds:.1f} ({claim.low:.1f} to {claim.high:.1f})",
            f"{claim.p:.3f}" if claim.p is not None else "—") for claim in claims])

    def claim(self, row: int) -> ClassUse:
        """Return what a row shows."""
        return self._claims[row]


def usage_table(usage: Usage) -> Table:
    """Give every expert's load as a table, each row with what chance gives in its layer."""
    rows: list[Sequence[Cell]] = [
        (layer.layer, expert, int(count), layer.load_by_chance, layer.band_low, layer.band_high,
         str(bool(layer.far_out[expert])).lower())
        for layer in usage.layers for expert, count in enumerate(layer.load)]
    return Table(columns=("layer", "expert", "tokens", "by chance", "band low", "band high", "far out"), rows=rows,
                 about={"from": str(usage.sample), "fingerprint": usage.sample.fingerprint})


def specialisation_table(table: Specialisation, read: str) -> Table:
    """Give every expert and class as a table; `read` says whose class it is."""
    rows: list[Sequence[Cell]] = [
        (use.layer, use.expert, use.token_class, use.count, use.of, use.share, use.elsewhere, use.log_odds, use.low,
         use.high, use.p)
        for position in range(len(table.layers)) for expert in range(table.loads.shape[1])
        for use in table.expert(position, expert)]
    return Table(columns=("layer", "expert", "class", "tokens", "of", "share", "elsewhere", "log-odds", "low", "high",
                          "family-wise p"), rows=rows,
                 about={"from": str(table.sample), "class of": read, "control": f"{table.shifts} shifts",
                        "fingerprint": table.sample.fingerprint})
