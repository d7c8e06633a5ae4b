"""The row below the code: a switch that colours it by experts, what the colours mean, who wrote the selection."""

from collections.abc import Sequence

from PySide6.QtCore import QSignalBlocker, QSize, Qt, Signal, Slot
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from app.theme.controls import ElidedLabel
from app.theme.metrics import GAP_S, ICON_SIZE
from app.theme.theme import Theme


class TintBar(QWidget):
    """Shown while the file holds tokens of a recorded answer. What can be chosen is set from outside.

    Signals:
        tint_changed: the switch or a choice is another one.
    """

    tint_changed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("surface", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.switch = QToolButton()
        self.switch.setCheckable(True)
        self.switch.setText("Experts")
        self.switch.setIconSize(QSize(ICON_SIZE, ICON_SIZE))
        self.switch.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.switch.setToolTip("Colour the code by the experts that wrote it")
        self.switch.setAccessibleName("Colour the code by the experts that wrote it")
        theme.set_icon(self.switch, "experts")
        self.what = self._choice("What the code's colours show")
        self.layer = self._choice("Layer whose experts colour the code")
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setProperty("scale", "tiny")
        self.legend.setProperty("tone", "dim")
        self.legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # it may be cut
        self.summary = ElidedLabel()
        self.summary.hide()
        row = QHBoxLayout()
        row.setSpacing(GAP_S)
        for widget in (self.switch, self.what, self.layer):
            row.addWidget(widget)
        row.addWidget(self.legend, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(GAP_S, 2, GAP_S, 2)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.summary)
        self.switch.toggled.connect(self._switched)
        self._show_choices()
        self.hide()

    def set_choices(self, kinds: Sequence[tuple[str, str]], layers: Sequence[int]) -> None:
        """Offer these kinds of colours (key, title) and layers; the choice stays where it is still offered."""
        for box, items in ((self.what, list(kinds)), (self.layer, [(layer, f"Layer {layer}") for layer in layers])):
            if [box.itemData(place) for place in range(box.count())] == [key for key, _ in items]:
                continue
            chosen = box.currentData()
            with QSignalBlocker(box):
                box.clear()
                for key, title in items:
                    box.addItem(title, key)
                box.setCurrentIndex(max(0, box.findData(chosen)))

    def is_on(self) -> bool:
        """Whether the code is to be coloured."""
        return self.switch.isChecked()

    def kind(self) -> str:
        """Return the key of the chosen kind of colours."""
        return str(self.what.currentData() or "")

    def layer_row(self) -> int:
        """Return the row of the chosen layer."""
        return max(0, self.layer.currentIndex())

    def set_legend(self, items: Sequence[tuple[str, str]]) -> None:
        """Show what the colours mean: pairs of a CSS colour and its words."""
        swatches = [f'<span style="color:{color}">■</span>&nbsp;{words.replace(" ", "&nbsp;")}'
                    for color, words in items]
        self.legend.setText("&nbsp;&nbsp; ".join(swatches))
        words = ", ".join(words for _, words in items)
        self.legend.setAccessibleName(f"Legend: {words}")
        self.legend.setToolTip(words)

    def set_summary(self, text: str) -> None:
        """Say who wrote what is selected; "" takes the line away."""
        self.summary.set_full_text(text)
        self.summary.setVisible(bool(text))

    def _choice(self, name: str) -> QComboBox:
        box = QComboBox()
        box.setAccessibleName(name)
        box.setToolTip(name)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        box.currentIndexChanged.connect(self._chosen)
        return box

    def _show_choices(self) -> None:
        for widget in (self.what, self.layer):
            widget.setVisible(self.is_on())
        if not self.is_on():
            self.legend.clear()

    @Slot(bool)
    def _switched(self, _checked: bool) -> None:
        self._show_choices()
        self.tint_changed.emit()

    @Slot(int)
    def _chosen(self, _index: int) -> None:
        self.tint_changed.emit()
