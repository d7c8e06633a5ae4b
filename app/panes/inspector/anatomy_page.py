"""Anatomy: the model explained from its config.json, beside published ones, so that it shows why sparsity is cheap."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.core.known_models import KnownModel
from app.core.model_names import model_name
from app.core.table import Cell, Table
from app.panes.inspector.anatomy_drawing import PART_TITLES, AnatomyDrawing
from app.panes.inspector.export_menu import ExportMenu
from app.panes.inspector.pages import Selection, TracePage
from app.theme.controls import ElidedLabel, surface
from app.theme.metrics import GAP_L, GAP_M, GAP_S
from app.theme.theme import Theme
from engine.anatomy import Anatomy, anatomy
from engine.trace import RoutingTrace

CONTEXTS = (0, 1_000, 4_000, 32_000, 128_000)
START_CONTEXT = 4_000
Card = Mapping[str, Any]


class AnatomyPage(TracePage):
    """Columns of models.

    Args:
        theme: colours and fonts.
        known: published models to stand beside.
        card: what the engine says of its model, for when no trace is there; None while none is loaded.
    """

    def __init__(self, theme: Theme, known: Sequence[KnownModel], card: Callable[[], tuple[str, Card] | None],
                 parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._known = [anatomy(model.config, name=model.name) for model in known]
        self._sources = "; ".join(f"{model.name}: {model.source}, {model.published}" for model in known)
        self._card = card
        self._config: Mapping[str, Any] | None = None
        self._own: Anatomy | None = None
        self._build(theme)
        self._show()

    def show_trace(self, trace: RoutingTrace | None, selection: Selection) -> None:  # noqa: ARG002
        """Explain the model of a trace, or else the one that is loaded."""
        found = (str(trace.model.get("id", "")), trace.model) if trace is not None else self._card()
        name, card = found or ("", {})
        config = card.get("config")
        if config is self._config and config is not None:
            return
        self._config = config if isinstance(config, Mapping) else None
        self._own, problem = None, ""
        if self._config is not None:
            try:
                self._own = anatomy(self._config, name=model_name(name) or "This model")
            except ValueError as error:
                problem = str(error)
        elif found is not None:
            named = model_name(name) or "This model"
            problem = f"{named} doesn't say how it is built: only published models are shown."
        self._problem = problem
        self._show()

    def models(self) -> list[Anatomy]:
        """Return the models on show."""
        return [*([self._own] if self._own is not None else []), *self._known]

    # --- building

    def _build(self, theme: Theme) -> None:
        self._problem = ""
        self.drawing = AnatomyDrawing(theme)
        self.context = QComboBox()
        self.context.setAccessibleName("Tokens before the one that is written")
        self.context.setToolTip("Tokens before the one that is written: attention and the KV cache grow with them")
        for tokens in CONTEXTS:
            self.context.addItem(f"After {tokens:,} tokens" if tokens else "First token", tokens)
        self.context.setCurrentIndex(CONTEXTS.index(START_CONTEXT))
        self.context.currentIndexChanged.connect(self._show)
        self.note = ElidedLabel()
        self.export = ExportMenu(theme, "Anatomy", self.drawing, self._table)
        row = QHBoxLayout()
        row.setSpacing(GAP_S)
        row.addWidget(self.context)
        row.addWidget(self.note, 1)
        row.addWidget(self.export)
        scroll = QScrollArea()
        scroll.setAccessibleName("Anatomy of the models")
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        inner = surface("clear")
        scroll.setProperty("surface", "clear")
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, GAP_S, GAP_L, GAP_S)
        column.addWidget(self.drawing)
        column.addStretch(1)
        scroll.setWidget(inner)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(GAP_M, GAP_S, 0, 0)
        layout.setSpacing(GAP_S)
        row.setContentsMargins(0, 0, GAP_M, 0)
        layout.addLayout(row)
        layout.addWidget(scroll, 1)

    @Slot()
    def _show(self) -> None:
        self.drawing.set_models(self.models(), int(self.context.currentData()))
        self.note.set_full_text(self._problem or f"Computed from each model's config.json · {self._sources}")

    def _table(self) -> Table:
        context = int(self.context.currentData())
        rows: list[Sequence[Cell]] = []
        for model in self.models():
            flops = model.flops(context)
            rows += [(model.name, PART_TITLES[part.name], part.total, part.active, part.bytes_per_parameter,
                      flops.get(part.name, 0)) for part in model.parts]
        columns = ("model", "part", "parameters", "active parameters", "bytes per parameter", "FLOPs per token")
        return Table(columns=columns, rows=rows, about={"context": f"{context} tokens"})
