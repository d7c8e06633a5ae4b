"""The expert bench: change the routing, have the answer written again, and see what became of it.

Nothing here asks a model: the page says what is wanted, the window (app/shell/bench_links.py) does it and hands the
outcome back. Changes stand in a list and do nothing until a button is pressed; no other answer is touched by them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QSpinBox,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from app.core.bench_comparison import Comparison
from app.core.expert_changes import Change, in_words, read_experts
from app.core.problem import Problem
from app.panes.inspector.bench_results import BenchResults
from app.panes.inspector.pages import NO_SELECTION, Selection, TracePage
from app.services.bench_tally import TallyRow
from app.services.runner import PageRunner
from app.theme.controls import Tone, make_button, make_label, set_tone
from app.theme.metrics import GAP_S
from app.theme.theme import Theme
from engine.routing_stats import leading_expert

if TYPE_CHECKING:
    from engine.trace import RoutingTrace

ACTIONS = {"mute": "Mute", "force": "Force", "boost": "Boost", "top_k": "Experts per token"}
ACTION_HELP = {
    "mute": "These experts are out before the choice",
    "force": "Each takes the last place, with its own score",
    "boost": "The value is added to their score, the weight stays the router's",
    "top_k": "So many experts a token, instead of the model's own number",
}
HINT = "Add a change, then have the answer written again with it. Other answers are not touched."


class ExpertBench(TracePage):
    """Changes at the left, the two answers and what differs at the right.

    Signals:
        rewrite_wanted: (changes, whether from the selected token on) write the shown answer again.
        tally_wanted: (changes, number of seeds).
        stop_wanted: end what is under way.
    """

    rewrite_wanted = Signal(list, bool)
    tally_wanted = Signal(list, int)
    stop_wanted = Signal()

    def __init__(self, theme: Theme, make_runner: Callable[[], PageRunner], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._trace: RoutingTrace | None = None
        self._selection: Selection = NO_SELECTION
        self._shape: tuple[tuple[int, ...], int] = ((), 0)
        self._changes: list[Change] = []
        self._is_busy = False
        self.results = BenchResults(theme, make_runner)
        self._build()
        self._action_changed()
        self._show_ability()

    # --- content

    def changes(self) -> list[Change]:
        """The changes in the list."""
        return list(self._changes)

    def add_change(self, change: Change) -> None:
        """Put a change into the list."""
        self._changes.append(change)
        self.list.addItem(in_words(change))
        self._say(HINT)
        self._show_ability()

    def show_busy(self, text: str) -> None:
        """Something is under way."""
        self._is_busy = True
        self._say(text, "accent")
        self._show_ability()

    def show_idle(self, text: str = HINT, *, failed: bool = False) -> None:
        """Nothing is under way any more."""
        self._is_busy = False
        self._say(text, "error" if failed else "dim")
        self._show_ability()

    def show_comparison(self, comparison: Comparison) -> None:
        """Show two answers."""
        self.results.show_comparison(comparison)
        self.show_idle(f"Compared: {comparison.words}")

    def show_tally(self, rows: Sequence[TallyRow]) -> None:
        """Show how many runs stayed clean."""
        self.results.show_tally(rows)
        self.show_idle("Tally is done.")

    # --- building

    def _build(self) -> None:
        splitter = QSplitter(Qt.Orientation.Horizontal, self)
        splitter.setHandleWidth(1)
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self._editor())
        splitter.addWidget(self.results)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([340, 1000])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(splitter)

    def _editor(self) -> QWidget:
        column_widget = QWidget()
        column_widget.setMinimumWidth(340)
        column = QVBoxLayout(column_widget)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(GAP_S)
        column.addLayout(self._change_row())
        column.addLayout(self._layer_row())
        self.list = QListWidget()
        self.list.setAccessibleName("Changes of the routing")
        self.list.itemDoubleClicked.connect(self._remove)
        column.addWidget(self.list, 1)
        column.addLayout(self._run_row())
        column.addLayout(self._tally_row())
        self.state = make_label(HINT, "dim", "small")
        self.state.setWordWrap(True)
        column.addWidget(self.state)
        return column_widget

    def _change_row(self) -> QHBoxLayout:
        self.action = QComboBox()
        self.action.setAccessibleName("What to do")
        for number, (key, title) in enumerate(ACTIONS.items()):
            self.action.addItem(title, key)
            self.action.setItemData(number, ACTION_HELP[key], Qt.ItemDataRole.ToolTipRole)
        self.action.currentIndexChanged.connect(self._action_changed)
        self.experts = QLineEdit()
        self.experts.setPlaceholderText("experts: 3, 7, 12-14")
        self.experts.setAccessibleName("Experts")
        self.experts.returnPressed.connect(self._add)
        self.value = QDoubleSpinBox()
        self.value.setAccessibleName("Value")
        self.value.setRange(-10, 10)
        self.value.setSingleStep(0.1)
        self.value.setValue(0.5)
        self.places = QSpinBox()
        self.places.setAccessibleName("Experts per token")
        self.places.setRange(1, 1)
        return _row(self.action, (self.experts, 1), self.value, self.places)

    def _layer_row(self) -> QHBoxLayout:
        self.first, self.last = QSpinBox(), QSpinBox()
        self.first.setAccessibleName("First layer")
        self.last.setAccessibleName("Last layer")
        self.pick_button = make_button("Pick", self._pick, "plain", "The selected token's leading expert in the "
                                       "first layer")
        self.add_button = make_button("Add", self._add, "plain", "Put the change into the list")
        return _row(make_label("layers", "dim"), self.first, make_label("to", "dim"), self.last, None,
                    self.pick_button, self.add_button)

    def _run_row(self) -> QHBoxLayout:
        self.run_button = make_button("Write again", self._rewrite, "primary", "The same request and seed, with these "
                                      "changes: a new version of the answer")
        self.from_token = QCheckBox("from the selected token")
        self.stop_button = make_button("Stop", self.stop_wanted)
        return _row(self.run_button, self.from_token, None, self.stop_button)

    def _tally_row(self) -> QHBoxLayout:
        self.seeds = QSpinBox()
        self.seeds.setRange(1, 100)
        self.seeds.setValue(5)
        self.seeds.setAccessibleName("Seeds")
        self.tally_button = make_button(
            "Tally", self._tally, "plain",
            "Write and run the program over several seeds: as it is, with the changes, and with as many random experts")
        return _row(
            self.tally_button, make_label("over", "dim"), self.seeds, make_label("seeds", "dim"), None
        )

    # --- receivers

    @Slot()
    def _action_changed(self) -> None:
        action = self.action.currentData()
        self.experts.setVisible(action != "top_k")
        self.value.setVisible(action == "boost")
        self.places.setVisible(action == "top_k")

    @Slot()
    def _pick(self) -> None:
        trace, (first, _) = self._trace, self._selection
        if trace is None or first < 0 or self.first.value() not in trace.layers:
            self._say("Select a token first, and a layer that has experts.", "error")
            return
        row = trace.layers.index(self.first.value())
        leader = int(leading_expert(trace, row, trace.passes([first]))[0])
        if leader < 0:
            self._say("No expert ran in this layer for the selected token. Choose another layer.", "error")
            return
        self.experts.setText(str(leader))
        self.last.setValue(self.first.value())

    @Slot()
    def _add(self) -> None:
        layers = [self.first.value(), self.last.value()]
        action = self.action.currentData()
        if layers[0] > layers[1]:
            self._say("The first layer lies behind the last. Swap them.", "error")
            return
        if action == "top_k":
            self.add_change({"layers": layers, "action": action, "value": self.places.value()})
            return
        try:
            experts = list(read_experts(self.experts.text(), self._shape[1]))
        except Problem as problem:
            self._say(str(problem), "error")
            return
        change: dict[str, object] = {"layers": layers, "experts": experts, "action": action}
        if action == "boost":
            change["value"] = round(self.value.value(), 3)
        self.add_change(change)
        self.experts.clear()

    @Slot()
    def _remove(self) -> None:
        row = self.list.currentRow()
        if row >= 0:
            self.list.takeItem(row)
            del self._changes[row]
            self._show_ability()

    @Slot()
    def _rewrite(self) -> None:
        self.rewrite_wanted.emit(self.changes(), self.from_token.isChecked())

    @Slot()
    def _tally(self) -> None:
        self.tally_wanted.emit(self.changes(), self.seeds.value())

    def _say(self, text: str, tone: Tone = "dim") -> None:
        self.state.setText(text)
        set_tone(self.state, tone)

    def _show_ability(self) -> None:
        ready = self._trace is not None and not self._is_busy
        has_selection = self._selection != NO_SELECTION
        self.add_button.setEnabled(bool(self._shape[1]))
        self.pick_button.setEnabled(self._trace is not None and has_selection)
        self.from_token.setEnabled(has_selection)
        if not has_selection:
            self.from_token.setChecked(False)
        for button in (self.run_button, self.tally_button):
            button.setEnabled(ready and bool(self._changes))
        self.stop_button.setVisible(self._is_busy)

    # --- Qt overrides

    def show_trace(self, trace: "RoutingTrace | None", selection: Selection) -> None:
        """Take the model's layers and experts from the trace, and the selected token."""
        self._trace = trace if trace is not None and len(trace) else None
        self._selection = selection
        if self._trace is not None and self._shape != (self._trace.layers, self._trace.num_experts):
            self._shape = (self._trace.layers, self._trace.num_experts)
            for spin, value in ((self.first, self._trace.layers[0]), (self.last, self._trace.layers[-1])):
                spin.setRange(self._trace.layers[0], self._trace.layers[-1])
                spin.setValue(value)
            self.places.setRange(1, self._trace.num_experts)
            self.places.setValue(max(1, self._trace.top_k // 2))
        self._show_ability()


def _row(*items: "QWidget | tuple[QWidget, int] | None") -> QHBoxLayout:
    """Widgets beside each other; None is a stretch."""
    row = QHBoxLayout()
    row.setSpacing(GAP_S)
    for item in items:
        if item is None:
            row.addStretch(1)
        elif isinstance(item, tuple):
            row.addWidget(*item)
        else:
            row.addWidget(item)
    return row
