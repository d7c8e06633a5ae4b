"""The inspector's first page: token strip, heat map and token detail."""

import math

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QSignalBlocker, Qt, Signal, Slot
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from app.models.experts import layer_routings
from app.panes.inspector.heat_map import HeatMap
from app.panes.inspector.pages import NO_SELECTION, Selection, TracePage
from app.panes.inspector.token_detail import TokenDetail
from app.panes.inspector.token_strip import StripToken, TokenStrip, visible_text
from app.theme.theme import Theme
from engine.routing_stats import expert_load
from engine.trace import RoutingTrace

EMPTY_TEXT = (
    "Ask for something, then click a token here to see which experts wrote it.\n"
    "Routing is recorded for every token of models that run in this program's own engine."
)
ALL, ANSWER, PROMPT = "all tokens", "answer", "prompt"


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
        self._shown: list[int] = []
        self._build()
        self._apply_theme()
        theme.theme_changed.connect(self._apply_theme)

    # --- content

    def show_trace(self, trace: RoutingTrace | None, selection: Selection) -> None:
        """Show a trace and its selection."""
        if trace is not self._trace:
            self._trace = trace
            self._shown = []  # indices of the old trace: emptying the strip tells of a selection that is gone
            with QSignalBlocker(self.strip):
                self.strip.set_tokens([])
            self._fill_layers()
        self._show_trace()
        self._select(*selection)

    def _select(self, first: int, last: int) -> None:
        selected = self._selected_indices()
        if (first, last) == ((selected[0], selected[-1]) if selected else NO_SELECTION):
            return
        if self._phase.currentText() != ALL and first >= 0 and not set(range(first, last + 1)) <= set(self._shown):
            self._phase.setCurrentText(ALL)
        positions = [position for position, index in enumerate(self._shown) if first <= index <= last]
        with QSignalBlocker(self.strip):
            self.strip.select(*((positions[0], positions[-1]) if positions else NO_SELECTION))
        self._show_selection()

    # --- building

    def _build(self) -> None:
        self.strip = TokenStrip(self)
        self.heat_map = HeatMap(self)
        self.detail = TokenDetail(self)
        splitter = QSplitter(Qt.Orientation.Horizontal, self)
        splitter.setChildrenCollapsible(False)
        for widget, stretch in ((self._strip_column(), 30), (self._heat_column(), 42), (self._detail_column(), 28)):
            splitter.addWidget(widget)
            splitter.setStretchFactor(splitter.count() - 1, stretch)
        splitter.setSizes([430, 500, 430])
        splitter.setHandleWidth(1)
        empty = QLabel(EMPTY_TEXT, self)
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        empty.setWordWrap(True)
        empty.setProperty("tone", "dim")
        self._pages = QStackedWidget(self)
        self._pages.addWidget(empty)
        self._pages.addWidget(splitter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._pages)
        self.strip.selection_changed.connect(self._selection_changed)
        self.strip.token_hovered.connect(self._token_hovered)
        self.heat_map.cell_chosen.connect(self._cell_chosen)
        self.heat_map.cell_hovered.connect(self._cell_hovered)
        self.detail.layer_chosen.connect(self._layer.setCurrentIndex)

    def _strip_column(self) -> QWidget:
        self._layer = QComboBox(self)
        self._layer.setAccessibleName("Layer whose leading expert colours the tokens")
        self._layer.setToolTip("Colour each token by the leading expert of this layer")
        self._phase = QComboBox(self)
        self._phase.setAccessibleName("Which tokens to show")
        self._phase.setToolTip("Which tokens to show and to count in the heat map")
        self._phase.addItems([ANSWER, PROMPT, ALL])
        self._layer.currentIndexChanged.connect(self._show_trace_of_choice)
        self._phase.currentIndexChanged.connect(self._show_trace_of_choice)
        caption = QLabel("Coloured by the leading expert of", self)
        caption.setProperty("tone", "dim")
        row = QHBoxLayout()
        row.setSpacing(6)
        for widget in (caption, self._layer, self._phase):
            row.addWidget(widget)
        row.addStretch(1)
        return _column(row, self.strip)

    def _heat_column(self) -> QWidget:
        self._heat_caption = QLabel(self)
        self._heat_caption.setProperty("tone", "dim")
        self._heat_caption.setWordWrap(True)
        self._heat_caption.setToolTip("Chance: the share every expert would have if all were chosen equally often")
        row = QHBoxLayout()
        row.addWidget(self._heat_caption, 1)
        return _column(row, self.heat_map)

    def _detail_column(self) -> QWidget:
        return _column(None, self.detail)

    # --- showing

    @Slot()
    def _apply_theme(self) -> None:
        color = self._theme.color
        hues = [QColor(hue) for hue in self._theme.palette_values.expert_hues]
        self.strip.setFont(self._theme.mono())
        self.strip.set_colors(
            hues, text=color("text"), faint=color("dim"), accent=color("accent"),
            accent_background=color("accent_background"), neutral=color("raised"),
        )
        stops = [QColor(stop) for stop in self._theme.palette_values.heat_stops]
        self.heat_map.set_colors(stops, label=color("faint"), outline=color("accent"), gap=color("panel"))

    def _fill_layers(self) -> None:
        layers = [] if self._trace is None else [f"layer {layer}" for layer in self._trace.layers]
        if [self._layer.itemText(i) for i in range(self._layer.count())] == layers:
            return
        with QSignalBlocker(self._layer):  # refilled as a whole; the caller shows the trace afterwards
            self._layer.clear()
            self._layer.addItems(layers)

    @Slot(int)
    def _show_trace_of_choice(self, _index: int) -> None:
        self.strip.set_tokens([])
        self._show_trace()

    @Slot()
    def _show_trace(self) -> None:
        trace = self._trace
        shown = trace is not None and len(trace.tokens) > 0
        self._pages.setCurrentIndex(1 if shown else 0)
        if trace is None or not shown:
            self._shown = []
            return
        self._fill_layers()
        phases = {ANSWER: ("decode",), PROMPT: ("prefill",), ALL: ("prefill", "decode")}[self._phase.currentText()]
        self._shown = [index for index, token in enumerate(trace.tokens) if token.phase in phases]
        leaders = self._leaders(trace)
        self.strip.set_tokens(
            [
                StripToken(
                    text=trace.tokens[index].text,
                    hue=int(leaders[index]) if leaders is not None else None,
                    dimmed=trace.tokens[index].phase == "prefill",
                )
                for index in self._shown
            ]
        )
        self._show_selection()

    def _leaders(self, trace: RoutingTrace) -> npt.NDArray[np.integer] | None:
        """Return the leading expert of the chosen layer for every token, shape [N]."""
        layer = max(0, self._layer.currentIndex())
        if layer >= len(trace.layers):
            return None
        ids = trace.ids[:, layer]
        slots = np.zeros(len(ids), np.intp) if trace.weights is None else trace.weights[:, layer].argmax(axis=1)
        leaders: npt.NDArray[np.integer] = ids[np.arange(len(ids)), slots]
        return leaders

    def _selected_indices(self) -> list[int]:
        first, last = self.strip.selection()
        return self._shown[first : last + 1] if first >= 0 else []

    def _show_selection(self) -> None:
        trace = self._trace
        if trace is None:
            return
        selected = self._selected_indices()
        counted = selected or self._shown
        load = expert_load(trace, np.asarray(counted, np.intp))
        share = load / max(1, len(counted))
        chance = trace.ids.shape[2] / trace.num_experts
        maximum = 1.0 if len(counted) == 1 else max(float(share.max(initial=0.0)), 2 * chance)
        self.heat_map.set_values(share, list(trace.layers), maximum=maximum)
        self._counted, self._share, self._chance = counted, share, chance
        self._heat_caption.setText(self._caption(selected, counted, chance))
        self._show_detail(trace, selected)

    def _caption(self, selected: list[int], counted: list[int], chance: float) -> str:
        what = "selected" if selected else self._phase.currentText().replace(ALL, "prompt and answer")
        noun = "token" if len(counted) == 1 else "tokens"
        baseline = f"chance {chance:.1%}"
        return f"Layer × expert, share of {len(counted)} {what} {noun} · {baseline}"

    def _show_detail(self, trace: RoutingTrace, selected: list[int]) -> None:
        if len(selected) != 1:
            count = f"{len(selected)} tokens selected" if selected else "No token selected"
            self.detail.show_token(count, [], "Click a token for its experts, weights and margin in every layer.")
            self.heat_map.set_marked([])
            return
        index = selected[0]
        token = trace.tokens[index]
        rows = layer_routings(trace, index)
        note = f"id {token.id}"
        if token.logprob is not None:
            note += f" · probability {math.exp(token.logprob):.1%}"
        self.detail.show_token(f"“{visible_text(token.text)}” · {token.phase} token {index}", rows, note)
        self.heat_map.set_marked([(row, expert) for row, layer in enumerate(rows) for expert in layer.experts])

    # --- receivers

    @Slot(int, int)
    def _selection_changed(self, _first: int, _last: int) -> None:
        self._show_selection()
        selected = self._selected_indices()
        self.selection_changed.emit(selected[0] if selected else -1, selected[-1] if selected else -1)

    @Slot(int)
    def _token_hovered(self, position: int) -> None:
        trace, index = self._trace, self._shown[position]
        if trace is None:
            return
        lines = [f"“{visible_text(trace.tokens[index].text)}” · token {index}"]
        for row in layer_routings(trace, index)[:8]:
            weights = "" if row.weights is None else f"  ({row.weights[0]:.2f})"
            others = ", ".join(map(str, row.experts[1:4]))
            lines.append(f"layer {row.layer}: expert {row.experts[0]}{weights}, then {others}")
        self.strip.set_tooltip("\n".join(lines))

    @Slot(int, int)
    def _cell_chosen(self, row: int, expert: int) -> None:
        if row < 0 or self._trace is None:
            self.strip.set_marked(frozenset())
            return
        hits = (self._trace.ids[:, row] == expert).any(axis=1)
        self.strip.set_marked(frozenset(position for position, index in enumerate(self._shown) if hits[index]))

    @Slot(int, int)
    def _cell_hovered(self, row: int, expert: int) -> None:
        if self._trace is None:
            return
        share, count = float(self._share[row, expert]), len(self._counted)
        self.heat_map.set_tooltip(
            f"Layer {self._trace.layers[row]}, expert {expert}: {round(share * count)} of {count} tokens "
            f"({share:.1%}; chance {self._chance:.1%})\nClick to underline its tokens"
        )


def _column(top: QHBoxLayout | None, body: QWidget) -> QWidget:
    column = QWidget()
    column.setProperty("surface", "panel")
    layout = QVBoxLayout(column)
    layout.setContentsMargins(12, 8, 12, 8)
    layout.setSpacing(8)
    if top is not None:
        layout.addLayout(top)
    layout.addWidget(body, 1)
    return column
