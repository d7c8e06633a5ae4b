"""The strip's column: which tokens are shown, what colours them, the legend, and the strip itself."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QSignalBlocker, Qt, Signal, Slot
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from app.core.table import Table
from app.panes.inspector.color_maps import ColorMaps, color_maps
from app.panes.inspector.colorings import COLORINGS, LEADER, PHASE, Coloring, TokenColors, absence
from app.panes.inspector.counted import PhaseChoice
from app.panes.inspector.export_menu import ExportMenu
from app.panes.inspector.legend import LegendBar
from app.panes.inspector.pages import NO_SELECTION, Selection
from app.panes.inspector.strip_paint import StripColors
from app.panes.inspector.token_strip import TokenStrip
from app.theme.metrics import GAP_M, GAP_S, GAP_XS, ROW_HEIGHT
from app.theme.theme import Theme
from engine.routing_tally import RoutingTally
from engine.trace import RoutingTrace

PHASES: tuple[tuple[PhaseChoice, str, str], ...] = (
    ("decode", "Answer", "Show and count the tokens of the answer (decode)"),
    ("prefill", "Prompt", "Show and count the tokens of the prompt (prefill)"),
    (None, "All", "Show and count prompt and answer"),
)
NO_TOKENS: dict[PhaseChoice, str] = {
    "decode": "No answer yet", "prefill": "No prompt in this trace", None: "No tokens yet"
}  # fmt: skip
ACCESSIBLE = Qt.ItemDataRole.AccessibleTextRole
Rows = npt.NDArray[np.intp]


class StripColumn(QWidget):
    """Shows the tokens of one trace that a tally has counted. Tokens are named by their rows of the trace.

    Signals:
        selection_changed: (first, last) row of the trace, or (-1, -1).
        phase_changed: other tokens are shown now; see `phase`.
        layer_changed: row of the layer that colours the tokens now, -1 for the mean of all.
    """

    selection_changed = Signal(int, int)
    phase_changed = Signal()
    layer_changed = Signal(int)

    def __init__(self, theme: Theme, table: Callable[[], Table], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._maps: ColorMaps = color_maps(theme)
        self._trace: RoutingTrace | None = None
        self._tally: RoutingTally | None = None
        self._colors: TokenColors | None = None
        self._num_searched = 0  # tokens looked through for a probability
        self._has_probabilities = False
        self._shown: Rows = np.zeros(0, np.intp)
        self._build(table)
        self._apply_theme()
        theme.theme_changed.connect(self._apply_theme)

    # --- content

    def set_trace(self, trace: RoutingTrace | None, tally: RoutingTally | None) -> None:
        """Show another trace, counted by `tally`; call `show_counted` after it has counted."""
        self._trace, self._tally = trace, tally
        self._refill()
        self._colors, self._num_searched, self._has_probabilities = None, 0, False
        if trace is not None:
            self._offer_colorings(trace)
            self._offer_layers(trace)
            self._start_coloring()

    def show_counted(self) -> None:
        """Show the tokens counted since."""
        if self._tally is None or self._trace is None or self._colors is None:
            return
        self._offer_colorings(self._trace)
        had = len(self._shown)
        self._shown = self._tally.rows(self.phase())
        tokens = self._trace.tokens
        if len(self._shown) > had:
            self.strip.append(tokens[row].text for row in self._shown[had:])
        self.strip.set_placeholder(NO_TOKENS[self.phase()])
        self._colors.update(self._tally.num_counted, self._shown)
        self._color()

    def phase(self) -> PhaseChoice:
        """Return which tokens are shown."""
        return PHASES[self._phases.checkedId()][0]

    def set_phase(self, phase: PhaseChoice) -> None:
        """Show other tokens, as a press on the switch would."""
        position = next(place for place, (each, _, _) in enumerate(PHASES) if each == phase)
        if position != self._phases.checkedId():
            self._phases.button(position).setChecked(True)
            self._phase_pressed()

    def coloring(self) -> Coloring:
        """Return what colours the tokens."""
        return COLORINGS[max(0, self.coloring_box.currentIndex())]

    def layer_row(self) -> int | None:
        """Return the layer that colours the tokens, as a row of the trace's layers; None for the mean of all."""
        row = self.layer_box.currentData()
        return None if row is None or row < 0 or self.coloring().layers == "none" else int(row)

    def set_layer(self, row: int) -> None:
        """Colour by another layer."""
        self.layer_box.setCurrentIndex(self.layer_box.findData(row))

    def value_text(self, row: int) -> str:
        """Say what colours a token: "" for its leading expert or phase, which are said elsewhere."""
        coloring = self.coloring()
        if self._colors is None or coloring in (LEADER, PHASE):
            return ""
        value = self._colors.value(row)
        layer = self.layer_row()
        of = "" if coloring.layers == "none" else " (mean of the layers)" if layer is None else ""
        return f"{coloring.name}{of}: {'not given' if value is None else coloring.form(value)}"

    def row_at(self, position: int) -> int:
        """Return the row of the trace that a place of the strip shows."""
        return int(self._shown[position])

    def shown(self) -> Rows:
        """Return the rows on show."""
        return self._shown

    # --- selection

    def selection(self) -> Selection:
        """Return the first and last selected row of the trace."""
        first, last = self.strip.selection()
        return (self.row_at(first), self.row_at(last)) if first >= 0 else NO_SELECTION

    def select(self, first: int, last: int) -> None:
        """Select rows of the trace without telling of it, with all tokens in sight that this needs."""
        if (first, last) == self.selection():
            return
        if first >= 0 and not (np.searchsorted(self._shown, last) < len(self._shown) and first in self._shown):
            self.set_phase(None)
        start = int(np.searchsorted(self._shown, first))
        end = int(np.searchsorted(self._shown, last, side="right")) - 1
        with QSignalBlocker(self.strip):
            self.strip.select(*((start, end) if 0 <= start <= end and first >= 0 else NO_SELECTION))

    def mark(self, layer_row: int, expert: int) -> None:
        """Let the tokens stand out that an expert took part in; none with (-1, -1)."""
        if layer_row < 0 or self._trace is None:
            self.strip.set_marked(None)
        else:
            self.strip.set_marked((self._trace.ids[self._trace.passes(self._shown), layer_row] == expert).any(axis=1))

    # --- building

    def _build(self, table: Callable[[], Table]) -> None:
        self.coloring_box = QComboBox(self)
        self.coloring_box.setAccessibleName("What colours the tokens")
        for coloring in COLORINGS:
            self.coloring_box.addItem(coloring.title)
            self.coloring_box.setItemData(self.coloring_box.count() - 1, coloring.name, ACCESSIBLE)
        self.layer_box = QComboBox(self)
        self.layer_box.setAccessibleName("Layer that colours the tokens")
        for box, most_px in ((self.coloring_box, 110), (self.layer_box, 100)):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(3)
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            box.setMaximumWidth(most_px)
        self.coloring_box.currentIndexChanged.connect(self._coloring_chosen)
        self.layer_box.currentIndexChanged.connect(self._layer_chosen)
        self.legend = LegendBar(self._theme, self)
        self.strip = TokenStrip(self)
        self.strip.selection_changed.connect(self._selection_changed)
        picture = QWidget(self)
        column = QVBoxLayout(picture)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP_XS)
        column.addWidget(self.legend)
        column.addWidget(self.strip, 1)
        self.export = ExportMenu(self._theme, "Tokens", picture, table)
        row = QHBoxLayout()
        row.setSpacing(GAP_S)
        row.addWidget(self.coloring_box, 5)
        row.addWidget(self.layer_box, 3)
        row.addStretch(1)
        row.addLayout(self._build_phases())
        row.addWidget(self.export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(GAP_M, GAP_S, GAP_M, GAP_S)
        layout.setSpacing(GAP_XS)
        layout.addLayout(row)
        layout.addWidget(picture, 1)

    def _build_phases(self) -> QHBoxLayout:
        self._phases = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(1)
        for place, (_, title, tip) in enumerate(PHASES):
            button = QToolButton(self)
            button.setText(title)
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.setCheckable(True)
            button.setFixedHeight(ROW_HEIGHT)
            self._phases.addButton(button, place)
            row.addWidget(button)
        self._phases.button(0).setChecked(True)
        self._phases.idClicked.connect(self._phase_pressed)
        return row

    def phase_button(self, phase: PhaseChoice) -> QToolButton:
        """Return the button of the switch for a phase."""
        button = self._phases.button(next(place for place, each in enumerate(PHASES) if each[0] == phase))
        assert isinstance(button, QToolButton)
        return button

    def _offer_colorings(self, trace: RoutingTrace) -> None:
        """Say which colourings this trace can't have, and why."""
        items = self.coloring_box.model()
        assert isinstance(items, QStandardItemModel)
        new = trace.tokens[self._num_searched :]
        self._num_searched += len(new)
        self._has_probabilities = self._has_probabilities or any(token.logprob is not None for token in new)
        for place, coloring in enumerate(COLORINGS):
            reason = self._absence(coloring)
            items.item(place).setEnabled(not reason)
            items.item(place).setToolTip(reason or coloring.help)
        if self._absence(self.coloring()):
            self.coloring_box.setCurrentIndex(0)

    def _absence(self, coloring: Coloring) -> str:
        assert self._trace is not None
        return absence(self._trace, coloring, has_probabilities=self._has_probabilities)

    def _offer_layers(self, trace: RoutingTrace) -> None:
        wanted = self.layer_box.currentData()
        kind = self.coloring().layers
        with QSignalBlocker(self.layer_box):  # refilled as a whole; whoever calls colours afterwards
            self.layer_box.clear()
            if kind == "any":
                self.layer_box.addItem("all layers", -1)
            for row, layer in enumerate(trace.layers):
                self.layer_box.addItem(f"layer {layer}", row)
            self.layer_box.setCurrentIndex(max(0, self.layer_box.findData(wanted)))
        self.layer_box.setVisible(kind != "none")
        self.coloring_box.setToolTip(self.coloring().help)

    def _start_coloring(self) -> None:
        if self._trace is not None:
            self._colors = TokenColors(self._trace, self.coloring(), self.layer_row(), self._maps)
            self.show_counted()

    def _color(self) -> None:
        assert self._colors is not None
        self.strip.set_fills(self._colors.colors(self._shown))
        self.legend.set_legend(self._colors.legend(self._shown))

    def _refill(self) -> None:
        self._shown = np.zeros(0, np.intp)
        with QSignalBlocker(self.strip):
            self.strip.clear()

    # --- receivers

    @Slot()
    def _apply_theme(self) -> None:
        theme = self._theme
        self._maps = color_maps(theme)
        self.strip.setFont(theme.mono())
        color = theme.color
        self.strip.set_colors(
            StripColors(text=color("text"), faint=color("faint"), panel=color("panel"), accent=color("accent"),
                        on_accent=color("on_accent"), selection=color("accent_background"))
        )  # fmt: skip
        self._start_coloring()

    @Slot(int, int)
    def _selection_changed(self, _first: int, _last: int) -> None:
        self.selection_changed.emit(*self.selection())

    @Slot()
    def _phase_pressed(self) -> None:
        selected = self.selection()
        self._refill()
        self._start_coloring()
        self.phase_changed.emit()
        if selected == NO_SELECTION:
            return
        if set(selected) <= set(self._shown.tolist()):
            self.select(*selected)
        else:
            self.selection_changed.emit(*NO_SELECTION)

    @Slot()
    def _coloring_chosen(self) -> None:
        if self._trace is None:
            return
        self._offer_layers(self._trace)
        if self.coloring() is PHASE and self.phase() is not None:
            self.set_phase(None)
        self._start_coloring()

    @Slot()
    def _layer_chosen(self) -> None:
        self._start_coloring()
        row = self.layer_row()
        self.layer_changed.emit(-1 if row is None else row)
