"""The inspector's first page: token strip, heat map and token detail of one trace, kept in step with each other."""

import math
from collections.abc import Iterator

from PySide6.QtCore import QElapsedTimer, Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QLabel, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from app.core.table import Cell, Table
from app.models.experts import (
    RANGE_COLUMNS,
    TOKEN_COLUMNS,
    TOKEN_TABLE,
    layer_routings,
    range_rows,
    token_rows,
    token_table,
)
from app.panes.inspector.counted import about, tokens_text
from app.panes.inspector.heat_column import HeatColumn
from app.panes.inspector.heat_values import HEAT_TABLE, heat_table
from app.panes.inspector.pages import NO_SELECTION, Selection, TracePage
from app.panes.inspector.strip_column import StripColumn
from app.panes.inspector.token_detail import TokenDetail
from app.panes.inspector.token_strip import visible_text
from app.theme.metrics import GAP_M, GAP_S
from app.theme.theme import Theme
from engine.routing_tally import RoutingTally, Usage
from engine.trace import RoutingTrace

EMPTY_TEXT = (
    "Ask for something, then click a token here to see which experts wrote it.\n"
    "Routing is recorded for every token of models that run in this program's own engine."
)
CHUNK_TOKENS = 256  # some 3 ms for a model of Kimi K2's shape
COUNT_MS = 8  # counting between two turns of the event loop takes that long and a chunk at most
TOOLTIP_LAYERS = 6
TOKENS_TABLE = ("token", "text", "phase", "id", "logprob", "leading_expert", "layer")


class TokensPage(TracePage):
    """Token strip, heat map and token detail of one trace.

    Signals:
        selection_changed: (first, last) token index of the trace, or (-1, -1).
    """

    selection_changed = Signal(int, int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._trace: RoutingTrace | None = None
        self._tally: RoutingTally | None = None
        self._selection: Selection = NO_SELECTION
        self._detailed: tuple[object, ...] = ()
        self._more = QTimer(self, singleShot=True, interval=0)
        self._more.timeout.connect(self._count_more)
        self._build()

    # --- content

    def show_trace(self, trace: RoutingTrace | None, selection: Selection) -> None:
        """Show a trace and its selection."""
        is_there = trace is not None and len(trace) > 0
        self._stack.setCurrentIndex(1 if is_there else 0)
        wanted = trace if is_there else None
        if wanted is not self._trace:
            self._trace = wanted
            self._tally = RoutingTally(wanted) if wanted is not None else None
            self._detailed = ()
            self.column.set_trace(wanted, self._tally)
        self._selection = selection
        if wanted is not None:
            self._count_more()

    @Slot()
    def _count_more(self) -> None:
        """Count and show a part of what is new; the rest follows when the event loop had its turn."""
        if self._tally is None:
            return
        had = self._tally.num_counted
        clock = QElapsedTimer()
        clock.start()
        while not (is_all := self._tally.update(max_tokens=CHUNK_TOKENS)) and clock.elapsed() < COUNT_MS:
            pass
        if not is_all:
            self._more.start()
        if self._tally.num_counted != had:
            self.column.show_counted()
        if self._selection[1] < self._tally.num_counted:
            self.column.select(*self._selection)
        self._show_selection()

    # --- building

    def _build(self) -> None:
        self.column = StripColumn(self._theme, self._tokens_table)
        self.heat = HeatColumn(self._theme)
        self.detail = TokenDetail(self._theme)
        self.strip, self.heat_map = self.column.strip, self.heat.heat_map
        detail_column = QWidget()
        layout = QVBoxLayout(detail_column)
        layout.setContentsMargins(GAP_M, GAP_S, GAP_M, GAP_S)
        layout.addWidget(self.detail)
        splitter = QSplitter(Qt.Orientation.Horizontal, self)
        splitter.setChildrenCollapsible(False)
        for widget, stretch in ((self.column, 32), (self.heat, 38), (detail_column, 30)):
            widget.setProperty("surface", "panel")
            widget.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
            splitter.addWidget(widget)
            splitter.setStretchFactor(splitter.count() - 1, stretch)
        splitter.setSizes([430, 480, 450])
        splitter.setHandleWidth(1)
        empty = QLabel(EMPTY_TEXT, self)
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        empty.setWordWrap(True)
        empty.setProperty("tone", "dim")
        self._stack = QStackedWidget(self)
        self._stack.addWidget(empty)
        self._stack.addWidget(splitter)
        page = QVBoxLayout(self)
        page.setContentsMargins(0, 0, 0, 0)
        page.addWidget(self._stack)
        self.column.selection_changed.connect(self._strip_selected)
        self.column.phase_changed.connect(self._phase_changed)
        self.column.layer_changed.connect(self._layer_changed)
        self.strip.token_hovered.connect(self._token_hovered)
        self.heat.cell_chosen.connect(self._cell_chosen)
        self.detail.layer_chosen.connect(self._detail_layer_chosen)

    # --- showing

    def _show_selection(self) -> None:
        """Show the selected tokens' experts; one token alone is outlined in the map of all the shown ones."""
        trace, tally = self._trace, self._tally
        if trace is None or tally is None:
            return
        first, last = self._selection
        phase = self.column.phase()
        is_range = first >= 0 and last > first
        usage = tally.usage(phase, first, last) if is_range else tally.usage(phase)
        tokens = tokens_text(usage.num_tokens, phase, is_selected=is_range)
        caption = self._marked_text(tally) + tokens
        if first >= 0 and not is_range:
            caption += f" · outlined: token {first}"
        if tally.num_counted < len(trace):
            caption += f" · counting, {len(trace) - tally.num_counted:,} to come"
        layers = list(trace.layers)
        self._refresh_marks()
        self.heat.show_usage(usage, layers, caption, about(trace, tokens))
        self._show_detail(trace, usage)

    def _show_detail(self, trace: RoutingTrace, usage: Usage) -> None:
        """Show what is selected, once: it doesn't change while the trace grows."""
        first, last = self._selection
        wanted = (self._selection, self.column.phase() if last > first else None)
        if wanted == self._detailed:
            return
        self._detailed = wanted
        self.heat_map.set_marked([])
        if first < 0:
            self.detail.show_rows("No token selected", "Click a token for its experts, scores and weights in every "
                                  "layer; drag over several for the experts they used.", (), [])
            self.strip.setAccessibleDescription("No token selected")
        elif first == last:
            self._show_token(trace, first)
        else:
            self._show_range(trace, usage)
        self._open_layer()

    def _show_token(self, trace: RoutingTrace, row: int) -> None:
        token = trace.tokens[row]
        layers = layer_routings(trace, row)
        heading = f"“{visible_text(token.text)}” · {'answer' if token.phase == 'decode' else 'prompt'} token {row}"
        notes = [f"id {token.id}", self._pass_text(trace, row)]
        if token.logprob is not None:
            notes.append(f"probability {math.exp(token.logprob):.1%}")
        if trace.candidates is None:
            notes.append("scores and runners-up not given by this source")
        self.detail.show_rows(heading, " · ".join(notes), TOKEN_COLUMNS, token_rows(layers))
        self.detail.set_table(
            lambda: Table(columns=TOKEN_TABLE, rows=token_table(trace, row), about=about(trace, heading))
        )
        self.heat_map.set_marked([(place, expert) for place, layer in enumerate(layers) for expert in layer.experts])
        self.strip.setAccessibleDescription(f"{heading}. {' · '.join(notes)}. {self._token_text(row)}")

    def _pass_text(self, trace: RoutingTrace, row: int) -> str:
        """Say whose pass through the model the experts on show belong to."""
        if trace.tokens[row].phase == "prefill":
            return "experts that read it"
        before = int(trace.passes([row])[0])
        if before == row:
            return "experts that read it: the pass that wrote it is not in this trace"
        return f"experts that wrote it, having read “{visible_text(trace.tokens[before].text)}”"

    def _show_range(self, trace: RoutingTrace, usage: Usage) -> None:
        first, last = self._selection
        tokens = tokens_text(usage.num_tokens, self.column.phase(), is_selected=True)
        chance = float(usage.chance_share.mean())
        note = f"tokens {first} to {last} · chance {chance:.1%}"
        self.detail.show_rows(tokens, note, RANGE_COLUMNS, range_rows(usage, trace.layers))
        self.detail.set_table(
            lambda: Table(columns=HEAT_TABLE, rows=heat_table(usage, trace.layers), about=about(trace, tokens))
        )
        self.strip.setAccessibleDescription(f"{tokens} selected, {first} to {last}")

    def _open_layer(self) -> None:
        self.detail.open_layer(self.column.layer_row() or 0)

    def _marked_text(self, tally: RoutingTally) -> str:
        """Say whose tokens stand out, and how many of the shown ones they are."""
        row, expert = self.heat_map.chosen()
        if row < 0 or self._trace is None:
            return ""
        count = int(tally.usage(self.column.phase()).load[row, expert])
        return f"expert {expert} of layer {self._trace.layers[row]}: {count:,} tokens · "

    def _refresh_marks(self) -> None:
        self.column.mark(*self.heat_map.chosen())

    def _token_text(self, row: int) -> str:
        """What colours a token, and its experts: first those of the layer on show."""
        trace = self._trace
        assert trace is not None
        layers = layer_routings(trace, row)
        place = self.column.layer_row() or 0
        lines = [self.column.value_text(row)] if self.column.value_text(row) else []
        for layer in [layers[place], *layers[:place], *layers[place + 1 :]][:TOOLTIP_LAYERS]:
            weights = layer.weights or ()
            named = [
                f"{expert} ({weights[slot]:.2f})" if slot < len(weights) else str(expert)
                for slot, expert in enumerate(layer.experts)
            ]
            lines.append(f"layer {layer.layer}: expert {', '.join(named) or 'none'}")
        if len(layers) > TOOLTIP_LAYERS:
            lines.append(f"and {len(layers) - TOOLTIP_LAYERS} more layers")
        return "\n".join(lines)

    def _tokens_table(self) -> Table:
        trace = self._trace
        if trace is None:
            return Table(columns=TOKENS_TABLE, rows=())
        phase = self.column.phase()
        return Table(columns=TOKENS_TABLE, rows=self._token_table_rows(trace),
                     about=about(trace, tokens_text(len(self.column.shown()), phase)))

    def _token_table_rows(self, trace: RoutingTrace) -> Iterator[list[Cell]]:
        place = self.column.layer_row() or 0
        for row in self.column.shown():
            token = trace.tokens[row]
            experts = layer_routings(trace, int(row))[place].experts
            yield [int(row), token.text, token.phase, token.id, token.logprob, experts[0] if experts else None,
                   trace.layers[place]]

    # --- receivers

    @Slot(int, int)
    def _strip_selected(self, first: int, last: int) -> None:
        self._selection = (first, last)
        self._show_selection()
        self.selection_changed.emit(first, last)

    @Slot()
    def _phase_changed(self) -> None:
        self._show_selection()

    @Slot(int)
    def _layer_changed(self, _row: int) -> None:
        self._open_layer()

    @Slot(int)
    def _detail_layer_chosen(self, row: int) -> None:
        self.column.set_layer(row)

    @Slot(int)
    def _token_hovered(self, position: int) -> None:
        if self._trace is None:
            return
        row = self.column.row_at(position)
        token = self._trace.tokens[row]
        sure = "" if token.logprob is None else f" · p {math.exp(token.logprob):.1%}"
        self.strip.set_tooltip(f"“{visible_text(token.text)}” · token {row}{sure}\n{self._token_text(row)}")

    @Slot(int, int)
    def _cell_chosen(self, _row: int, _expert: int) -> None:
        self._show_selection()
