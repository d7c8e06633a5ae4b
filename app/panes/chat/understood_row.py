"""The understood line as chips: what the model took the request to mean; clicking one changes it."""

from PySide6.QtCore import QPoint, Qt, Signal, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.theme.controls import Card, FlowLayout, make_button, make_label
from app.theme.metrics import GAP_S
from app.theme.theme import Theme
from engine.artifacts import Understood


class UnderstoodRow(QWidget):
    """The kind and its attributes.

    Signals:
        change_requested: an Understood with the one chip changed, added or removed.
    """

    change_requested = Signal(object)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._understood: Understood | None = None
        self._flow = FlowLayout(self, 6)
        self.chips: list[QPushButton] = []

    def show_understood(self, understood: Understood, *, can_change: bool) -> None:
        """Show another line; without `can_change` (still being written) the chips only tell."""
        if self._understood == understood and all(chip.isEnabled() == can_change for chip in self.chips):
            return
        self._understood = understood
        while item := self._flow.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        caption = make_label("Understood as", "faint", "small")
        caption.setFixedHeight(24)
        self._flow.addWidget(caption)
        texts = [understood.kind, *understood.chips]
        self.chips = [self._chip(text, can_change=can_change) for text in texts]
        add = make_button("+", self._clicked, "chip", "Add something the request should also mean")
        add.setAccessibleName("Add to what was understood")
        add.setEnabled(can_change)
        self.chips.append(add)
        for number, chip in enumerate(self.chips):
            chip.setProperty("number", number)
            self._flow.addWidget(chip)
        self.updateGeometry()

    def _chip(self, text: str, *, can_change: bool) -> QPushButton:
        chip = make_button(text, self._clicked, "chip", "Change this and write the program again from here")
        chip.setEnabled(can_change)
        return chip

    @Slot()
    def _clicked(self) -> None:
        chip = self.sender()
        assert isinstance(chip, QPushButton)
        assert self._understood is not None
        number = int(chip.property("number"))
        texts = ["", *self._understood.chips, ""]
        texts[0] = self._understood.kind
        popover = ChipPopover(self._theme, number, texts[number], can_remove=0 < number <= len(self._understood.chips))
        popover.setParent(self, Qt.WindowType.Popup)
        popover.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        popover.accepted.connect(self._accepted)
        popover.move(chip.mapToGlobal(QPoint(0, chip.height() + 4)))
        popover.show()
        popover.field.setFocus()
        popover.field.selectAll()

    @Slot(int, str)
    def _accepted(self, number: int, text: str) -> None:
        assert self._understood is not None
        kind, chips = self._understood.kind, list(self._understood.chips)
        if number == 0:
            kind = text or kind
        elif number > len(chips):
            chips += [text] if text else []
        elif text:
            chips[number - 1] = text
        else:
            del chips[number - 1]
        changed = Understood(kind=kind, chips=tuple(chips))
        if changed != self._understood:
            self.change_requested.emit(changed)


class ChipPopover(QFrame):
    """A field for one chip.

    Signals:
        accepted: (number of the chip, its new text; empty removes it).
    """

    accepted = Signal(int, str)

    def __init__(self, theme: Theme, number: int, text: str, *, can_remove: bool) -> None:
        super().__init__()
        self._number = number
        self.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
        card = Card(theme)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(card)
        inner = QVBoxLayout()
        inner.setContentsMargins(12, 10, 12, 10)
        inner.setSpacing(GAP_S)
        inner.addWidget(make_label("Change, then write again from here", "dim", "small"))
        self.field = QLineEdit(text)
        self.field.setAccessibleName("What it should be")
        self.field.setPlaceholderText("snow, trees: 80, time: night …")
        self.field.setMinimumWidth(220)
        self.field.returnPressed.connect(self._accept)
        inner.addWidget(self.field)
        row = QHBoxLayout()
        row.addWidget(make_button("Rewrite", self._accept, "primary"))
        if can_remove:
            row.addWidget(make_button("Remove", self._remove))
        row.addStretch(1)
        inner.addLayout(row)
        card.column.addLayout(inner)

    @Slot()
    def _accept(self) -> None:
        self.accepted.emit(self._number, " ".join(self.field.text().replace("|", " ").split()))
        self.close()

    @Slot()
    def _remove(self) -> None:
        self.accepted.emit(self._number, "")
        self.close()
