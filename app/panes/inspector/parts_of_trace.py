"""What the statistics pages share: which tokens are counted, in which words, and the look of their tables."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QAbstractItemModel, Signal, Slot
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QHeaderView, QLabel, QTableView, QWidget

from app.panes.inspector.pages import NO_SELECTION, Selection
from app.theme.controls import make_label
from engine.trace import RoutingTrace

ROW_HEIGHT_PX = 24
PartName = Literal["answer", "prompt", "all", "selected"]
_TITLES: dict[PartName, str] = {
    "answer": "Answer", "prompt": "Prompt", "all": "Prompt and answer", "selected": "Selected tokens"}
EMPTY_TEXT = ("Ask for something, or open a .moetrace file: this page is computed from the routing of its tokens.\n"
              "Routing is recorded for every token of models that run in this program's own engine.")


class PartChoice(QComboBox):
    """Chooses the tokens that are counted.

    Signals:
        part_chosen: another part is wanted.
    """

    part_chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Which tokens are counted")
        self.setToolTip("Which tokens are counted")
        for key, title in _TITLES.items():
            self.addItem(title, key)
        self.currentIndexChanged.connect(self._changed)

    def part(self) -> PartName:
        """Return the choice."""
        part: PartName = self.currentData()
        return part

    def set_part(self, part: PartName) -> None:
        """Choose as the person would."""
        self.setCurrentIndex(self.findData(part))

    @Slot(int)
    def _changed(self, _index: int) -> None:
        self.part_chosen.emit()


def rows_of_part(trace: RoutingTrace, part: PartName, selection: Selection) -> npt.NDArray[np.intp]:
    """Return the row numbers of the chosen tokens; no selection gives none."""
    if part == "selected":
        return np.arange(selection[0], selection[1] + 1) if selection != NO_SELECTION else np.zeros(0, np.intp)
    if part == "all":
        return np.arange(len(trace), dtype=np.intp)
    return trace.rows_of("decode" if part == "answer" else "prefill")


def make_table(model: QAbstractItemModel, name: str, parent: QWidget) -> QTableView:
    """A table as all of the inspector's look: rows are selected whole, no grid, columns as wide as needed."""
    table = QTableView(parent)
    table.setAccessibleName(name)
    table.setModel(model)
    table.setShowGrid(False)
    table.setFrameShape(QTableView.Shape.NoFrame)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setWordWrap(False)
    table.setTabKeyNavigation(False)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT_PX)
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setStretchLastSection(True)
    table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    return table


def empty_page() -> QLabel:
    """What a page says without a trace."""
    label = make_label(EMPTY_TEXT, "dim")
    label.setWordWrap(True)
    label.setMargin(24)
    return label
