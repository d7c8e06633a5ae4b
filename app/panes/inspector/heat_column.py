"""The heat map's column: what its cells mean, their order, the legend, and the map itself."""

from collections.abc import Mapping

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QAction, QStandardItemModel
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.core.table import Table
from app.models.experts import most_used
from app.panes.inspector.color_maps import ColorMaps, color_maps
from app.panes.inspector.export_menu import ExportMenu
from app.panes.inspector.heat_map import ZOOM_STEP, HeatMap
from app.panes.inspector.heat_paint import HeatColors
from app.panes.inspector.heat_values import HEAT_TABLE, METRICS, Metric, cell_text, heat_table, heat_values
from app.panes.inspector.legend import Legend, LegendBar
from app.theme.controls import ElidedLabel
from app.theme.metrics import GAP_M, GAP_S, GAP_XS, TINY_SIZE
from app.theme.theme import Theme
from engine.routing_tally import Usage

ORDERS = (("by index", "Each expert in the column of its number"),
          ("by load", "Each layer's most used expert first: a column is a rank, not an expert"))


class HeatColumn(QWidget):
    """Shows how some tokens used the experts.

    Signals:
        cell_chosen: (row of the layer, expert), (-1, -1) when the choice is taken back.
    """

    cell_chosen = Signal(int, int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._maps: ColorMaps = color_maps(theme)
        self._usage: Usage | None = None
        self._layers: list[int] = []
        self._about: Mapping[str, str] = {}
        self._caption = ""
        self._build()
        self._apply_theme()
        theme.theme_changed.connect(self._apply_theme)

    # --- content

    def show_usage(self, usage: Usage, layers: list[int], caption: str, about: Mapping[str, str]) -> None:
        """Show a usage [L,E] of these layers; `caption` says of which tokens."""
        self._usage, self._layers, self._about = usage, layers, about
        items = self.metric_box.model()
        assert isinstance(items, QStandardItemModel)
        has_weights = usage.weights is not None
        items.item(1).setEnabled(has_weights)
        items.item(1).setToolTip(METRICS[1][2] if has_weights else "Not given: this trace holds no weights")
        if self.chosen_metric() == "weight" and not has_weights:
            self.metric_box.setCurrentIndex(0)
        self._caption = caption
        self._show()

    def chosen_metric(self) -> Metric:
        """Return what the cells mean."""
        return METRICS[max(0, self.metric_box.currentIndex())][0]

    def table(self) -> Table:
        """Return every cell's numbers."""
        rows = heat_table(self._usage, self._layers) if self._usage is not None else ()
        return Table(columns=HEAT_TABLE, rows=rows, about=self._about)

    def _show(self) -> None:
        usage = self._usage
        if usage is None:
            return
        shown = heat_values(usage, self.chosen_metric())
        lut = self._maps.diverging if self.chosen_metric() == "difference" else self._maps.sequential
        order = most_used(usage) if self.order_box.currentIndex() == 1 else None
        self.caption.set_full_text(f"{self._caption} · ranked in each layer" if order is not None else self._caption)
        self.heat_map.set_values(shown.values, self._layers, low=shown.low, high=shown.high, lut=lut, order=order)
        self.legend.set_legend(Legend(gradient=lut, low=shown.low_text, high=shown.high_text, mark=shown.mark,
                                      mark_text=shown.mark_text))

    # --- building

    def _build(self) -> None:
        self.metric_box = QComboBox(self)
        self.metric_box.setAccessibleName("What the heat map's cells show")
        for _, title, _help in METRICS:
            self.metric_box.addItem(title)
        self.order_box = QComboBox(self)
        self.order_box.setAccessibleName("Order of the experts")
        for title, _help in ORDERS:
            self.order_box.addItem(title)
        self.caption = ElidedLabel("", "dim")
        self.caption.setProperty("scale", "small")
        self.legend = LegendBar(self._theme, self)
        self.heat_map = HeatMap(self)
        picture = QWidget(self)
        column = QVBoxLayout(picture)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP_XS)
        words = QHBoxLayout()
        words.setSpacing(GAP_S)
        words.addWidget(self.caption, 1)
        self.legend.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        words.addWidget(self.legend)
        column.addLayout(words)
        column.addWidget(self.heat_map, 1)
        self.export = ExportMenu(self._theme, "Heat map", picture, self.table)
        self.export.add_actions(self._zoom_actions())
        row = QHBoxLayout()
        row.setSpacing(GAP_S)
        row.addWidget(self.metric_box)
        row.addWidget(self.order_box)
        row.addStretch(1)
        row.addWidget(self.export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(GAP_M, GAP_S, GAP_M, GAP_S)
        layout.setSpacing(GAP_XS)
        layout.addLayout(row)
        layout.addWidget(picture, 1)
        self.metric_box.currentIndexChanged.connect(self._choice_changed)
        self.order_box.currentIndexChanged.connect(self._choice_changed)
        self.heat_map.cell_chosen.connect(self.cell_chosen)
        self.heat_map.cell_hovered.connect(self._cell_hovered)

    def _zoom_actions(self) -> list[QAction]:
        """The map's own keys and the wheel do the same; here they can be found."""
        actions = []
        for text, slot in (("Zoom in\t+", self._zoom_in), ("Zoom out\t−", self._zoom_out),
                           ("Show all\t0", self.heat_map.fit)):
            action = QAction(text, self)
            action.triggered.connect(slot)
            actions.append(action)
        return actions

    # --- receivers

    @Slot()
    def _zoom_in(self) -> None:
        self.heat_map.zoom(ZOOM_STEP)

    @Slot()
    def _zoom_out(self) -> None:
        self.heat_map.zoom(1 / ZOOM_STEP)

    @Slot()
    def _choice_changed(self) -> None:
        self.metric_box.setToolTip(METRICS[max(0, self.metric_box.currentIndex())][2])
        self.order_box.setToolTip(ORDERS[max(0, self.order_box.currentIndex())][1])
        self._show()

    @Slot()
    def _apply_theme(self) -> None:
        color = self._theme.color
        self._maps = color_maps(self._theme)
        light, dark = (color("text"), color("panel")) if self._theme.is_dark else (color("panel"), color("text"))
        # Against the map's own hue: blue on amber, vermilion on blue.
        mark = color("accent") if self._theme.is_dark else self._theme.expert_color(5)
        self.heat_map.setFont(self._theme.font(TINY_SIZE))
        self.heat_map.set_colors(HeatColors(label=color("dim"), gap=color("panel"), mark=mark, chosen=color("text"),
                                            light_ink=light, dark_ink=dark))
        self._choice_changed()

    @Slot(int, int)
    def _cell_hovered(self, row: int, expert: int) -> None:
        if self._usage is not None:
            text = cell_text(self._usage, self._layers[row], row, expert)
            self.heat_map.set_tooltip(f"{text}\nClick to see its tokens; wheel to zoom")
