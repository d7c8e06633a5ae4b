"""The settings dialog, generated from the settings table. A change takes effect and is saved at once."""

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QGridLayout,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.core.problem import Problem
from app.settings import SETTINGS, Setting, Settings
from app.theme.controls import make_label, set_tone
from app.theme.metrics import GAP_L, GAP_M

_LIMIT = 2**31 - 1
_FIELD_PX = 230


class SettingsDialog(QDialog):
    """One row per setting.

    Signals:
        setting_changed: key of a setting that has a new value.
    """

    setting_changed = Signal(str)

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self.setWindowTitle("Settings")
        self.setMinimumWidth(600)
        self.fields: dict[str, QWidget] = {}
        form = QGridLayout()
        form.setVerticalSpacing(GAP_M)
        form.setHorizontalSpacing(GAP_L)
        form.setColumnStretch(0, 1)
        for row, setting in enumerate(SETTINGS):
            field = self._field(setting)
            field.setObjectName(setting.key)
            field.setAccessibleName(setting.text)
            self.fields[setting.key] = field
            if setting.kind != "flag":
                field.setFixedWidth(_FIELD_PX)
            form.addWidget(make_label(setting.text, "dim"), row, 0)
            form.addWidget(field, row, 1, Qt.AlignmentFlag.AlignRight)
        self.problem = make_label("", "error", "small")
        self.problem.setWordWrap(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(GAP_L, GAP_L, GAP_L, GAP_L)
        column.setSpacing(GAP_L)
        column.addLayout(form)
        column.addWidget(self.problem)
        column.addWidget(buttons)

    def _field(self, setting: Setting) -> QWidget:
        value = self._settings.get(setting.key)
        if setting.kind == "flag":
            check = QCheckBox()
            check.setChecked(bool(value))
            check.toggled.connect(self._changed)
            return check
        if setting.kind == "choice":
            combo = QComboBox()
            combo.addItems(setting.choices)
            combo.setCurrentText(str(value))
            combo.currentTextChanged.connect(self._changed)
            return combo
        if setting.kind == "text":
            line = QLineEdit(str(value))
            line.editingFinished.connect(self._changed)
            return line
        return self._number_field(setting, float(value))

    def _number_field(self, setting: Setting, value: float) -> QWidget:
        low = setting.minimum if setting.minimum is not None else -_LIMIT
        high = setting.maximum if setting.maximum is not None else _LIMIT
        if setting.kind == "whole":
            spin = QSpinBox()
            spin.setRange(int(low), int(high))
            spin.setValue(int(value))
            spin.valueChanged.connect(self._changed)
            return spin
        box = QDoubleSpinBox()
        box.setRange(low, high)
        box.setSingleStep(0.05)
        box.setValue(value)
        box.valueChanged.connect(self._changed)
        return box

    @Slot()
    def _changed(self) -> None:
        field = self.sender()
        assert isinstance(field, QWidget)
        key = field.objectName()
        value: object = None
        if isinstance(field, QCheckBox):
            value = field.isChecked()
        elif isinstance(field, QComboBox):
            value = field.currentText()
        elif isinstance(field, QLineEdit):
            value = field.text()
        elif isinstance(field, QSpinBox | QDoubleSpinBox):
            value = field.value()
        if value == self._settings.get(key):
            return
        try:
            self._settings.set(key, value)
        except Problem as problem:
            self.problem.setText(str(problem))
            set_tone(self.problem, "error")
            return
        self.problem.setText("")
        self.setting_changed.emit(key)
