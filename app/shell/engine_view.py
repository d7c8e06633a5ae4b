"""How the engine, its model and its speed show in header, status bar and chat panes."""

import os
from typing import TYPE_CHECKING

import psutil
from PySide6.QtCore import QObject, QTimer, Slot
from PySide6.QtGui import QAction

from app.core.model_names import device_label, model_name, model_title
from app.core.records import Message
from app.core.wire import ModelInfo
from app.panes.chat.pane import ChatPane
from app.services.engine_process import EngineState
from app.services.web_flags import draws_in_software, runs_as_root
from app.shell.model_menu import ModelMenu
from app.theme.controls import Tone

if TYPE_CHECKING:
    from app.shell.main_window import MainWindow

_MEMORY_MS = 2000
_PHASES: dict[str, tuple[str, Tone]] = {
    "stopped": ("Engine stopped", "dim"),
    "starting": ("Starting the engine", "warning"),
    "loading": ("Loading the model", "warning"),
    "ready": ("Ready", "ok"),
    "restarting": ("Restarting the engine", "warning"),
    "failed": ("No model is loaded", "error"),
}


class EngineView(QObject):
    """Listens to the engine and to every pane's session."""

    def __init__(self, window: "MainWindow") -> None:
        super().__init__(window)
        self._window = window
        self._engine = window.parts.engine
        self._draws_in_software = draws_in_software(os.environ)
        self.is_started = False
        actions = window.commands.actions
        self.menu = ModelMenu([actions[key] for key in ("model.open", "model.nano", "engine.restart")], window)
        window.header.set_menu(self.menu)
        self._engine.state_changed.connect(self._state_changed)
        self._engine.model_described.connect(self._model_described)
        self._memory_timer = QTimer(self, interval=_MEMORY_MS)
        self._memory_timer.timeout.connect(self._measure_memory)
        self._memory_timer.start()
        window.status.show_network(allowed=False)
        if runs_as_root():
            window.status.show_notice("no web sandbox", "Expertarium runs as root, where pages can't be sandboxed.")
        self._state_changed(self._engine.state)

    def watch_pane(self, pane: ChatPane) -> None:
        """Connect a chat pane that is new."""
        session = pane.session
        session.busy_changed.connect(self._busy_changed)
        session.speed_measured.connect(self._window.status.show_speed)
        session.answer_finished.connect(self._answer_finished)
        session.conversation_opened.connect(self.show_context)
        session.path_changed.connect(self.show_context)

    def stop(self) -> None:
        """The window closes."""
        self._memory_timer.stop()

    @Slot()
    def show_context(self) -> None:
        """Show how full the active pane's context is."""
        session = self._window.chats.active.session
        self._window.status.show_context(session.context_used_tokens(), session.context_tokens)
        self._window.chats.active.refresh_context()

    @Slot(object)
    def _state_changed(self, state: EngineState) -> None:
        text, tone = _PHASES[state.phase]
        if state.phase == "loading":
            text += f" {state.progress:.0%}"
        self._window.status.show_state(text, tone, state.message)
        if state.phase != "ready":
            name = model_name(state.model)
            self._window.header.chip.show_model(name, "faint" if tone == "dim" else tone, state.message or text)
            self._window.status.show_memory(0)
            self._window.chats.set_model(name, self.menu)
        if state.phase == "failed":
            self.menu.show_model(None)
            self._window.chats.set_ways_out(self._ways_out())
        self._window.chats.show_engine_state(state)

    def _ways_out(self) -> list[QAction]:
        """What helps when no model is there: another one, or another try."""
        is_own = bool(self._window.parts.settings.text("model_dir"))
        keys = ("model.open", *(("model.nano",) if is_own else ()), "engine.restart")
        return [self._window.commands.actions[key] for key in keys]

    @Slot(object)
    def _model_described(self, model: ModelInfo) -> None:
        self._window.header.chip.show_model(model_title(model), "ok", "The model is loaded and ready")
        self._window.header.show_device(device_label(model.card))
        self._window.header.device.setToolTip(f"The model runs on {model.card.get('device', 'this computer')}")
        self.menu.show_model(model)
        self._window.chats.set_model(model_name(model.id), self.menu)
        self.show_context()
        self._measure_memory()

    @Slot(bool)
    def _busy_changed(self, busy: bool) -> None:
        # Where pages are drawn by the processor, a scene takes it from the model: four times fewer tokens a second.
        self._window.preview.set_yielding(busy and self._draws_in_software)
        if busy:
            self._window.status.show_state("Writing", "accent")
        else:
            self._state_changed(self._engine.state)

    @Slot(object)
    def _answer_finished(self, message: Message) -> None:
        first_token_ms = message.timings.get("first_token_ms")
        if isinstance(first_token_ms, int | float):
            self._window.status.show_first_token(first_token_ms)
        self.show_context()

    @Slot()
    def _measure_memory(self) -> None:
        try:
            size_bytes = psutil.Process(self._engine.pid).memory_info().rss if self._engine.pid else 0
        except psutil.Error:
            size_bytes = 0
        self._window.status.show_memory(size_bytes)
