"""Usage and balance: how evenly the experts are used, layer by layer, each number beside what chance would give."""

import numpy as np
from PySide6.QtCore import QModelIndex, Qt, Slot
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from app.core.table import Table
from app.models.statistics import LayerUsageModel, usage_table
from app.panes.inspector.export_menu import ExportMenu
from app.panes.inspector.load_plot import LoadPlot
from app.panes.inspector.pages import NO_SELECTION, Selection, TracePage
from app.panes.inspector.parts_of_trace import PartChoice, empty_page, make_table, rows_of_part
from app.services.latest_job import LatestJob
from app.theme.controls import ElidedLabel
from app.theme.metrics import GAP_M, GAP_S
from app.theme.theme import Theme
from engine.routing_usage import Usage, usage
from engine.trace import RoutingTrace

PAUSE_MS = 250
BY_LOAD, BY_NUMBER = "Sorted by load", "Sorted by number"


class UsagePage(TracePage):
    """A table of the layers, and the load of the chosen one's experts."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._trace: RoutingTrace | None = None
        self._selection: Selection = NO_SELECTION
        self._usage: Usage | None = None
        self._job = LatestJob(self, pause_ms=PAUSE_MS)
        self._job.done.connect(self._computed)
        self._build(theme)

    def show_trace(self, trace: RoutingTrace | None, selection: Selection) -> None:
        """Count again, in the background."""
        self._trace, self._selection = trace, selection
        if trace is None or not len(trace):
            self._pages.setCurrentIndex(0)
            return
        counted, part = trace.snapshot(), self.part.part()
        self._job.start(lambda: usage(counted, rows_of_part(counted, part, selection)))

    def usage(self) -> Usage | None:
        """Return what is on show."""
        return self._usage

    # --- building

    def _build(self, theme: Theme) -> None:
        self.model = LayerUsageModel(self)
        self.table = make_table(self.model, "Balance of each layer", self)
        self.table.selectionModel().currentRowChanged.connect(self._layer_chosen)
        self.plot = LoadPlot(theme)
        self.plot.expert_pointed.connect(self._expert_pointed)
        self.caption = ElidedLabel()
        self.sample = ElidedLabel()
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(GAP_S, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.caption)
        column.addWidget(self.plot, 1)
        self._body = QSplitter(Qt.Orientation.Horizontal)
        self._body.setHandleWidth(1)
        self._body.setChildrenCollapsible(False)
        self._body.addWidget(self.table)
        self._body.addWidget(right)
        self._body.setSizes([560, 640])
        shown = QWidget()
        layout = QVBoxLayout(shown)
        layout.setContentsMargins(GAP_M, GAP_S, GAP_M, GAP_S)
        layout.setSpacing(GAP_S)
        layout.addLayout(self._top_row(theme))
        layout.addWidget(self._body, 1)
        self._pages = QStackedWidget(self)
        self._pages.addWidget(empty_page())
        self._pages.addWidget(shown)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._pages)

    def _top_row(self, theme: Theme) -> QHBoxLayout:
        self.part = PartChoice()
        self.part.part_chosen.connect(self._recount)
        self.order = QComboBox()
        self.order.setAccessibleName("Order of the experts")
        self.order.setToolTip("Order of the experts")
        for order in (BY_LOAD, BY_NUMBER):
            self.order.addItem(order)
        self.order.currentIndexChanged.connect(self._show_layer)
        self.export = ExportMenu(theme, "Usage", self._body, self._export_table)
        row = QHBoxLayout()
        row.setSpacing(GAP_S)
        for widget in (self.part, self.order):
            row.addWidget(widget)
        row.addWidget(self.sample, 1)
        row.addWidget(self.export)
        return row

    def _export_table(self) -> Table:
        return usage_table(self._usage) if self._usage is not None else Table(columns=(), rows=())

    # --- showing

    @Slot()
    def _recount(self) -> None:
        self.show_trace(self._trace, self._selection)

    @Slot(object)
    def _computed(self, found: Usage) -> None:
        self._usage = found
        self._pages.setCurrentIndex(1)
        self.model.set_usage(found)
        self.sample.set_full_text(f"From {found.sample}" if found.layers else self._nothing())
        self._body.setVisible(bool(found.layers))
        if found.layers and not self.table.currentIndex().isValid():
            self.table.selectRow(0)
        self._show_layer()

    def _nothing(self) -> str:
        return "No token is selected" if self.part.part() == "selected" else "There are no such tokens in this trace"

    @Slot()
    def _show_layer(self) -> None:
        found, row = self._usage, self.table.currentIndex().row()
        if found is None or not 0 <= row < len(found.layers):
            return
        layer = found.layers[row]
        self.plot.set_usage(layer, by_load=self.order.currentText() == BY_LOAD)
        far = int(layer.far_out.sum())
        compared = found.num_experts * len(found.layers)
        self.caption.set_full_text(
            f"Layer {layer.layer} · dashed: chance · grey: 95% band for {layer.effective_tokens:,.0f} independent "
            f"tokens · orange: {far} beyond what chance gives to any of {compared:,} experts")

    @Slot(QModelIndex, QModelIndex)
    def _layer_chosen(self, _current: QModelIndex, _previous: QModelIndex) -> None:
        self._show_layer()

    @Slot(int)
    def _expert_pointed(self, expert: int) -> None:
        found, row = self._usage, self.table.currentIndex().row()
        if found is None or not 0 <= row < len(found.layers):
            return
        layer, tokens = found.layers[row], found.sample.tokens
        self.plot.setAccessibleDescription(f"Expert {expert}: {layer.load[expert]} of {tokens} tokens")
        share, low, high = (np.array((layer.load[expert], layer.band_low, layer.band_high)) / tokens).tolist()
        self.caption.set_full_text(
            f"Layer {layer.layer}, expert {expert}: {layer.load[expert]:,} of {tokens:,} tokens ({share:.1%}) · chance "
            f"{layer.load_by_chance / tokens:.1%}, 95% band {low:.1%} to {high:.1%}")
