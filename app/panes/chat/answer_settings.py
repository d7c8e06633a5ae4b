"""The popover of settings for the next answers: temperature, top-p, seed, length, system prompt."""

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QDoubleSpinBox, QFormLayout, QFrame, QPlainTextEdit, QSpinBox, QVBoxLayout, QWidget

from app.core.wire import Sampling
from app.theme.controls import Card, make_label
from app.theme.metrics import GAP_M, GAP_S
from app.theme.theme import Theme

_RANDOM, _WHAT_FITS = -1, 0


class AnswerSettings(QFrame):
    """Changes take effect at once.

    Signals:
        sampling_changed: a Sampling.
        system_prompt_changed: the text.
    """

    sampling_changed = Signal(object)
    system_prompt_changed = Signal(str)

    def __init__(self, theme: Theme, sampling: Sampling, system_prompt: str, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.temperature = _decimal("Temperature", sampling.temperature, 0.0, 2.0)
        self.temperature.setToolTip("0 always takes the likeliest token; higher is more varied")
        self.top_p = _decimal("Top-p", sampling.top_p, 0.01, 1.0)
        self.top_p.setToolTip("Only the likeliest tokens that together hold this share are drawn from")
        self.seed = _whole("Seed", _RANDOM if sampling.seed is None else sampling.seed, _RANDOM, "new each time")
        self.seed.setToolTip("The same seed and settings give the same answer again")
        self.max_tokens = _whole("Length", sampling.max_tokens or _WHAT_FITS, _WHAT_FITS, "what fits")
        self.max_tokens.setToolTip("Longest answer, in tokens")
        self.system_prompt = QPlainTextEdit(system_prompt)
        self.system_prompt.setAccessibleName("System prompt")
        self.system_prompt.setPlaceholderText("None. Said to the model before every request of this conversation")
        self.system_prompt.setProperty("kind", "field")
        self.system_prompt.setTabChangesFocus(True)
        self.system_prompt.setFixedHeight(76)
        self._build(theme)
        for box in (self.temperature, self.top_p, self.seed, self.max_tokens):
            box.valueChanged.connect(self._sampling_changed)
        self.system_prompt.textChanged.connect(self._prompt_changed)

    def _build(self, theme: Theme) -> None:
        card = Card(theme)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(card)
        form = QFormLayout()
        form.setContentsMargins(GAP_M, GAP_M, GAP_M, GAP_M)
        form.setVerticalSpacing(GAP_S)
        form.setHorizontalSpacing(GAP_M)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        form.addRow(make_label("Next answers", bold=True))
        rows = (("Temperature", self.temperature), ("Top-p", self.top_p), ("Seed", self.seed),
                ("Length", self.max_tokens), ("System prompt", self.system_prompt))
        for text, widget in rows:
            form.addRow(make_label(text, "dim"), widget)
        card.column.addLayout(form)
        self.setFixedWidth(340)

    def sampling(self) -> Sampling:
        """The values on show."""
        seed, limit = self.seed.value(), self.max_tokens.value()
        return Sampling(
            temperature=self.temperature.value(),
            top_p=self.top_p.value(),
            seed=None if seed == _RANDOM else seed,
            max_tokens=None if limit == _WHAT_FITS else limit,
        )

    @Slot()
    def _sampling_changed(self) -> None:
        self.sampling_changed.emit(self.sampling())

    @Slot()
    def _prompt_changed(self) -> None:
        self.system_prompt_changed.emit(self.system_prompt.toPlainText())


def _decimal(name: str, value: float, low: float, high: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setAccessibleName(name)
    box.setRange(low, high)
    box.setSingleStep(0.05)
    box.setDecimals(2)
    box.setValue(value)
    return box


def _whole(name: str, value: int, low: int, low_text: str) -> QSpinBox:
    box = QSpinBox()
    box.setAccessibleName(name)
    box.setRange(low, 2**31 - 1)
    box.setSpecialValueText(low_text)
    box.setValue(value)
    return box
