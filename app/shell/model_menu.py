"""The model's menu: what the model is, and what one can do about it."""

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget

from app.core.model_names import model_facts
from app.core.wire import ModelInfo
from app.theme.metrics import ICON_SIZE


class ModelMenu(QMenu):
    """Facts about the model at the top, what one can do below."""

    def __init__(self, actions: list[QAction], parent: QWidget) -> None:
        super().__init__(parent)
        self.setMinimumWidth(12 * ICON_SIZE)
        self._commands = actions
        self.show_model(None)

    def show_model(self, model: ModelInfo | None) -> None:
        """Describe another model."""
        self.clear()
        for line in model_facts(model.card) if model is not None else ["No model is loaded"]:
            self.addAction(line).setEnabled(False)
        self.addSeparator()
        self.addActions(self._commands)
