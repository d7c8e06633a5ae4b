"""Specialisation: which experts are chosen for which classes of tokens, as tested claims, and a card for each."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtCore import QModelIndex, QSignalBlocker, Qt, Slot
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from app.core.table import Table
from app.models.statistics import ClaimsModel, specialisation_table
from app.panes.inspector.class_matrix import MOST_LOG_ODDS, ClassMatrix
from app.panes.inspector.color_maps import color_maps
from app.panes.inspector.expert_card import ExpertCardView
from app.panes.inspector.export_menu import ExportMenu
from app.panes.inspector.legend import Legend, LegendBar, LegendItem
from app.panes.inspector.pages import NO_SELECTION, Selection, TracePage
from app.panes.inspector.parts_of_trace import PartChoice, PartName, empty_page, make_table, rows_of_part
from app.services.latest_job import LatestJob
from app.theme.controls import ElidedLabel, make_label
from app.theme.metrics import GAP_M, GAP_S
from app.theme.theme import Theme
from engine.expert_cards import ExpertCard, expert_card
from engine.specialisation import Specialisation, labels_of_next, specialisation
from engine.token_classes import CLASSES, classify
from engine.trace import RoutingTrace

READ, WRITTEN = "Class of the token read", "Class of the token written next"
PAUSE_MS = 1500
TraceFiles = Callable[[str], Sequence[Path]]


class SpecialisationPage(TracePage):
    """Matrix of a layer, the claims of all layers, and a card.

    Args:
        theme: colours and fonts.
        trace_files: gives the history's trace files of a model, by its fingerprint.
    """

    def __init__(self, theme: Theme, trace_files: TraceFiles, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._trace_files = theme, trace_files
        self._trace: RoutingTrace | None = None
        self._selection: Selection = NO_SELECTION
        self._table: Specialisation | None = None
        self._expert, self._was_chosen = (-1, -1), False
        self._job = LatestJob(self, pause_ms=PAUSE_MS)  # the control is work, which the engine's answer goes before
        self._job.done.connect(self._computed)
        self._card_job = LatestJob(self)
        self._card_job.done.connect(self._card_read)
        self._build(theme)

    def show_trace(self, trace: RoutingTrace | None, selection: Selection) -> None:
        """Compare again, in the background."""
        self._trace, self._selection = trace, selection
        if trace is None or not len(trace):
            self._pages.setCurrentIndex(0)
            return
        of_next = self.whose.currentText() == WRITTEN
        self._job.start(partial(_compare, trace.snapshot(), self.part.part(), selection, of_next=of_next))

    def table(self) -> Specialisation | None:
        """Return what is on show."""
        return self._table

    def show_expert(self, position: int, expert: int) -> None:
        """Show an expert's card; `position` is the row of its layer, and -1 for the expert shows none."""
        self._expert, self._was_chosen = (position, expert), True
        self.matrix.choose(expert)
        if self._table is None or expert < 0:
            self.card.clear()
            return
        layer = self._table.layers[position]
        self.card.show_claims(layer, expert, self._table.expert(position, expert))
        self._read_card()

    # --- building

    def _build(self, theme: Theme) -> None:
        self.matrix = ClassMatrix(theme)
        self.matrix.expert_chosen.connect(self._expert_chosen)
        self._legend = LegendBar(theme)
        theme.theme_changed.connect(self._show_legend)
        self._show_legend()
        self.claims = ClaimsModel(self)
        self.list = make_table(self.claims, "Claims that hold against the control", self)
        self.list.selectionModel().currentRowChanged.connect(self._claim_chosen)
        self.card = ExpertCardView(theme)
        self._nothing = make_label("", "dim")
        self._nothing.setWordWrap(True)
        self._body = QSplitter(Qt.Orientation.Horizontal)
        self._body.setHandleWidth(1)
        self._body.setChildrenCollapsible(False)
        for widget, margin in ((self._matrix_column(), 0), (self._list_column(), GAP_S), (self.card, GAP_M)):
            holder = QWidget()
            column = QVBoxLayout(holder)
            column.setContentsMargins(margin, 0, GAP_S, 0)
            column.addWidget(widget)
            self._body.addWidget(holder)
        self._body.setSizes([430, 410, 360])
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(GAP_M, GAP_S, GAP_M, GAP_S)
        layout.setSpacing(GAP_S)
        layout.addLayout(self._top_row(theme))
        layout.addWidget(self._body, 1)
        self._pages = QStackedWidget(self)
        self._pages.addWidget(empty_page())
        self._pages.addWidget(page)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._pages)

    def _matrix_column(self) -> QWidget:
        column = QWidget()
        layout = QVBoxLayout(column)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.matrix, 1)
        layout.addWidget(self._legend)
        return column

    def _list_column(self) -> QWidget:
        column = QWidget()
        layout = QVBoxLayout(column)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._nothing)
        layout.addWidget(self.list, 1)
        return column

    def _top_row(self, theme: Theme) -> QHBoxLayout:
        self.part = PartChoice()
        self.part.part_chosen.connect(self._compare_again)
        self.whose = QComboBox()
        self.whose.setAccessibleName("Whose class is compared")
        self.whose.setToolTip("A pass through the model reads one token and writes the next: whose class is compared")
        self.whose.addItems([READ, WRITTEN])
        self.whose.currentIndexChanged.connect(self._compare_again)
        self.layer = QComboBox()
        self.layer.setAccessibleName("Layer of the matrix")
        self.layer.setToolTip("Layer of the matrix")
        self.layer.currentIndexChanged.connect(self._show_matrix)
        self.sample = ElidedLabel()
        self.export = ExportMenu(theme, "Specialisation", self._body, self._export_table)
        row = QHBoxLayout()
        row.setSpacing(GAP_S)
        for widget in (self.part, self.whose, self.layer):
            row.addWidget(widget)
        row.addWidget(self.sample, 1)
        row.addWidget(self.export)
        return row

    def _export_table(self) -> Table:
        if self._table is None:
            return Table(columns=(), rows=())
        return specialisation_table(self._table, self.whose.currentText())

    # --- showing

    @Slot()
    def _show_legend(self) -> None:
        maps = color_maps(self._theme)
        odds = np.exp(MOST_LOG_ODDS)
        dot = LegendItem(argb=self._theme.color("text").rgba(), text="a dot: it holds against the control")
        self._legend.set_legend(Legend(gradient=maps.diverging, low=f"odds ÷{odds:.0f}", high=f"×{odds:.0f}",
                                       items=(dot,)))

    @Slot()
    def _compare_again(self) -> None:
        self.show_trace(self._trace, self._selection)

    @Slot(object)
    def _computed(self, table: Specialisation) -> None:
        self._table = table
        self._pages.setCurrentIndex(1)
        self._fill_layers(table)
        self.claims.set_claims(table.claims())
        self._say_what_holds(table)
        self._show_matrix()
        position, expert = self._expert
        if expert >= 0 and position < len(table.layers) and expert < table.loads.shape[1]:
            self.show_expert(position, expert)
        elif expert >= 0:
            self.show_expert(-1, -1)
        elif not self._was_chosen and self.claims.rowCount():
            self.list.selectRow(0)  # an example, so that the card explains itself

    def _say_what_holds(self, table: Specialisation) -> None:
        left_out = f", {table.unclassified:,} without a class" if table.unclassified else ""
        self.sample.set_full_text(f"From {table.sample}{left_out} · {table.comparisons:,} cells tested together "
                                  f"against {table.shifts} shifts of the classes")
        if not table.num_tokens:
            text = "None of these tokens has a class: the trace holds no texts, or they are template tokens."
        elif not table.comparisons:
            text = f"{table.num_tokens} tokens are too few to test whether an expert prefers a class."
        else:
            text = "Nothing stands out beyond chance." if not self.claims.rowCount() else ""
        self._nothing.setText(text)
        self._nothing.setVisible(bool(text))
        self.list.setVisible(self.claims.rowCount() > 0)

    def _fill_layers(self, table: Specialisation) -> None:
        names = [f"Layer {layer}" for layer in table.layers]
        if [self.layer.itemText(place) for place in range(self.layer.count())] != names:
            with QSignalBlocker(self.layer):
                self.layer.clear()
                self.layer.addItems(names)

    @Slot()
    def _show_matrix(self) -> None:
        position = max(0, self.layer.currentIndex())
        self.matrix.set_table(self._table, position)
        self.matrix.choose(self._expert[1] if self._expert[0] == position else -1)

    @Slot(int)
    def _expert_chosen(self, expert: int) -> None:
        self.show_expert(self.layer.currentIndex(), expert)

    @Slot(QModelIndex, QModelIndex)
    def _claim_chosen(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if not current.isValid() or self._table is None:
            return
        claim = self.claims.claim(current.row())
        position = self._table.layers.index(claim.layer)
        self.layer.setCurrentIndex(position)
        self.show_expert(position, claim.expert)

    # --- the card

    def _read_card(self) -> None:
        assert self._table is not None
        if self._trace is None:
            return
        position, expert = self._expert
        files = tuple(self._trace_files(self._trace.fingerprint)) if self._trace.fingerprint else ()
        wanted = (self._table.layers[position], expert)
        self._card_job.start(partial(_read_card, files, self._trace.snapshot(), *wanted, self._is_wanted))

    def _is_wanted(self, layer: int, expert: int) -> bool:
        """Whether this expert's card is still the one to show; asked from the thread that reads the history."""
        position, chosen = self._expert
        return self._table is not None and position >= 0 and (self._table.layers[position], chosen) == (layer, expert)

    @Slot(object)
    def _card_read(self, card: ExpertCard) -> None:
        if self._is_wanted(card.layer, card.expert):
            self.card.show_card(card)


def _compare(trace: RoutingTrace, part: PartName, selection: Selection, *, of_next: bool) -> Specialisation:
    labels = classify(trace.tokens)  # of all tokens: their neighbours decide what they are
    return specialisation(trace, labels_of_next(labels) if of_next else labels, CLASSES,
                          rows_of_part(trace, part, selection))


def _read_card(files: Sequence[Path], shown: RoutingTrace, layer: int, expert: int,
               is_wanted: Callable[[int, int], bool]) -> ExpertCard:
    """Over the history, or over the trace on show where the history doesn't know its model."""
    return expert_card(_traces(files, partial(is_wanted, layer, expert)) if files else [shown], layer, expert)


def _traces(files: Sequence[Path], is_wanted: Callable[[], bool]) -> Iterator[RoutingTrace]:
    for file in files:
        if not is_wanted():  # another expert was chosen: its card waits
            return
        try:
            yield RoutingTrace.load(file)
        except (OSError, ValueError):  # a damaged trace of one answer leaves the others; opening it says what is wrong
            continue
