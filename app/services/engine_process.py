"""The local engine as a child process: started, watched, restarted; it ends when this program ends.

The child holds the other end of our pipe as its standard input; when this program is gone, killed or not,
the pipe closes and the child exits by itself.
"""

import json
import logging
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from PySide6.QtCore import QElapsedTimer, QObject, QProcess, QProcessEnvironment, QTimer, Signal, Slot

from app.core.wire import EndpointError, Health, ModelInfo, health_of, models_of
from app.services.endpoint import Endpoint, EndpointConfig, JsonReply

logger = logging.getLogger(__name__)

Phase = Literal["stopped", "starting", "loading", "ready", "restarting", "failed"]
FIRST_DELAY_MS = 500
MAX_DELAY_MS = 15_000
MAX_QUICK_DEATHS = 5
SETTLED_MS = 60_000
POLL_MS = 200
STOP_GRACE_MS = 3000
_LOG_LINES = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineState:
    """How the engine is. `message` is for people; `restarts` counts deaths since it last ran well."""

    phase: Phase = "stopped"
    progress: float = 0.0
    message: str = ""
    model: str = ""
    restarts: int = 0


class EngineProcess(QObject):
    """Runs `python -m engine serve` and keeps it running.

    Signals:
        state_changed(EngineState): any change, loading progress included.
        died(str): it ended without being asked to; the reason. A restart follows unless the state says failed.
        model_described(ModelInfo): the model is loaded; comes after each start.
    """

    state_changed = Signal(object)
    died = Signal(str)
    model_described = Signal(object)

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        model_dir: Path | None = None,
        first_delay_ms: int = FIRST_DELAY_MS,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._command = list(command or (sys.executable, "-m", "engine", "serve", "--exit-with-parent"))
        self._model_dir = model_dir
        self._first_delay_ms = first_delay_ms
        self._state = EngineState()
        self._model: ModelInfo | None = None
        self._process: QProcess | None = None
        self._leaving: QProcess | None = None  # told to end; the next one starts when it has, for both need the memory
        self._health_reply: JsonReply | None = None
        self._is_wanted = False
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._log_rest = ""
        self._output_rest = b""
        self._ready_since = QElapsedTimer()
        self.endpoint = Endpoint(EndpointConfig(name="This computer", is_local=True), self)
        self._poll = QTimer(self, singleShot=True, interval=POLL_MS)
        self._poll.timeout.connect(self._ask_health)
        self._restart = QTimer(self, singleShot=True)
        self._restart.timeout.connect(self._launch)

    @property
    def state(self) -> EngineState:
        """How the engine is now."""
        return self._state

    @property
    def model(self) -> ModelInfo | None:
        """The loaded model; None until it is ready."""
        return self._model

    @property
    def pid(self) -> int:
        """The process id; 0 while there is none."""
        return self._process.processId() if self._process else 0

    def set_model_dir(self, model_dir: Path | None) -> None:
        """Which model the next start loads; None for the one in the box."""
        self._model_dir = model_dir

    @Slot()
    def start(self) -> None:
        """Start it unless it runs. Also the way back from `failed`."""
        self._is_wanted = True
        if self._process is None and self._leaving is None:
            self._state = EngineState()
            self._launch()

    def stop(self) -> None:
        """End it and wait until it is gone; no `died` follows."""
        self._is_wanted = False
        self._restart.stop()
        self._dismiss()
        if self._leaving is not None:
            if not self._leaving.waitForFinished(STOP_GRACE_MS):
                self._leaving.kill()
                self._leaving.waitForFinished(STOP_GRACE_MS)
            self._leaving = None
        self._set_state(EngineState())

    @Slot()
    def restart(self) -> None:
        """Let it end, and start another then; nobody waits for that."""
        self._restart.stop()
        self._dismiss()
        self.start()
        if self._leaving is not None:
            self._set_state(EngineState(phase="starting", message="The engine is starting."))

    def log_tail(self) -> str:
        """The engine's last log lines, for diagnostics."""
        return "\n".join(self._log)

    # Starting

    @Slot()
    def _launch(self) -> None:
        process = QProcess(self)
        process.setProcessEnvironment(_environment())
        process.readyReadStandardOutput.connect(self._read_output)
        process.readyReadStandardError.connect(self._read_log)
        process.finished.connect(self._ended)
        process.errorOccurred.connect(self._failed_to_start)
        self._process = process
        self._output_rest = b""
        self._model = None
        self._set_state(replace(self._state, phase="starting", progress=0.0, message="The engine is starting."))
        model = ["--model", str(self._model_dir)] if self._model_dir else []
        process.start(self._command[0], [*self._command[1:], *model])

    @Slot()
    def _read_output(self) -> None:
        if self._process is None:
            return
        *lines, self._output_rest = (
            self._output_rest + bytes(self._process.readAllStandardOutput().data())
        ).split(b"\n")
        for line in lines:
            handshake = _handshake_of(line)
            if handshake is None:
                self._log.append(line.decode("utf-8", errors="replace"))
                continue
            self.endpoint.set_config(
                EndpointConfig(
                    base_url=f"http://127.0.0.1:{handshake['port']}/v1",
                    key=str(handshake.get("key") or ""),
                    name="This computer",
                    is_local=True,
                )
            )
            self._set_state(replace(self._state, phase="loading", message="The model is loading."))
            self._ask_health()

    @Slot()
    def _read_log(self) -> None:
        if self._process is None:
            return
        text = self._log_rest + bytes(self._process.readAllStandardError().data()).decode("utf-8", errors="replace")
        *lines, self._log_rest = text.split("\n")
        self._log.extend(lines)

    # Watching

    @Slot()
    def _ask_health(self) -> None:
        if self._process is None or self._health_reply is not None:
            return
        self._health_reply = self.endpoint.fetch_health()
        self._health_reply.received.connect(self._take_health)
        self._health_reply.failed.connect(self._take_health_failure)

    @Slot(object)
    def _take_health(self, document: object) -> None:
        self._health_reply = None
        health = health_of(document)
        if health.status == "ready":
            self._ask_models()
        elif health.status == "error":
            self._give_up(health)
        else:
            message = health.message or "The model is loading."
            self._set_state(
                replace(
                    self._state, phase="loading", progress=health.progress, message=message, model=health.model
                )
            )
            self._poll.start()

    @Slot(object)
    def _take_health_failure(self, error: EndpointError) -> None:
        self._health_reply = None
        logger.info("The engine does not answer yet: %s", error)
        if self._process is not None:
            self._poll.start()

    def _ask_models(self) -> None:
        reply = self.endpoint.fetch_models()
        reply.received.connect(self._take_models)
        reply.failed.connect(self._take_health_failure)

    @Slot(object)
    def _take_models(self, document: object) -> None:
        if self._process is None:
            return
        models = models_of(document)
        self._model = models[0] if models else None
        self._ready_since.start()
        name = self._model.id if self._model else ""
        self._set_state(replace(self._state, phase="ready", progress=1.0, message="", model=name))
        if self._model is not None:
            self.model_described.emit(self._model)

    def _give_up(self, health: Health) -> None:
        """The model cannot be loaded: starting again would not help, so the engine stays for another model."""
        message = health.message or "The model could not be loaded."
        self._set_state(replace(self._state, phase="failed", message=message, model=health.model))

    def watch_load(self) -> None:
        """Follow a load that was asked for through the API (Endpoint.load_model)."""
        if self._process is not None:
            self._model = None
            self._set_state(replace(self._state, phase="loading", progress=0.0, message="The model is loading."))
            self._ask_health()

    # Ending

    @Slot(int, QProcess.ExitStatus)
    def _ended(self, exit_code: int, status: QProcess.ExitStatus) -> None:
        if self._process is None:
            return
        self._read_output()
        self._read_log()
        crashed = status == QProcess.ExitStatus.CrashExit
        last_line = next((line for line in reversed(self._log) if line.strip()), "")
        reason = "The engine was killed or crashed." if crashed else f"The engine ended with code {exit_code}."
        if crashed and self._state.phase == "loading":
            reason += " It was loading a model: most likely there is too little memory for it."
        self._bury(f"{reason} Its last words: {last_line}" if last_line else reason)

    @Slot(QProcess.ProcessError)
    def _failed_to_start(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            self._bury(f"The engine could not be started: {self._process.errorString()}.")

    def _bury(self, reason: str) -> None:
        assert self._process is not None
        self._process.deleteLater()
        self._process = None
        self._model = None
        self._forget_health()
        if not self._is_wanted:
            return
        logger.warning("%s", reason)
        ran_well = self._ready_since.isValid() and self._ready_since.elapsed() > SETTLED_MS
        self._ready_since.invalidate()
        restarts = 1 if ran_well else self._state.restarts + 1
        if restarts >= MAX_QUICK_DEATHS:
            self._is_wanted = False
            message = f"{reason} It ended {restarts} times in a row and is not started again by itself."
            self._set_state(replace(self._state, phase="failed", message=message, restarts=restarts))
        else:
            self._restart.start(min(self._first_delay_ms * 2 ** (restarts - 1), MAX_DELAY_MS))
            self._set_state(replace(self._state, phase="restarting", message=reason, restarts=restarts))
        self.died.emit(reason)

    def _dismiss(self) -> None:
        """Tell the process to end; it is not ours any more."""
        process, self._process = self._process, None
        self._model = None
        self._forget_health()
        if process is None:
            return
        process.finished.disconnect(self._ended)
        process.errorOccurred.disconnect(self._failed_to_start)
        process.finished.connect(self._gone)
        self._leaving = process
        process.closeWriteChannel()
        process.terminate()
        QTimer.singleShot(STOP_GRACE_MS, process, process.kill)

    @Slot()
    def _gone(self) -> None:
        self._leaving = None
        self.sender().deleteLater()
        if self._is_wanted:
            self.start()

    def _forget_health(self) -> None:
        self._poll.stop()
        if self._health_reply is not None:
            self._health_reply.cancel()
            self._health_reply = None

    def _set_state(self, state: EngineState) -> None:
        if state != self._state:
            self._state = state
            self.state_changed.emit(state)


def _environment() -> QProcessEnvironment:
    environment = QProcessEnvironment.systemEnvironment()
    # The engine makes its own key and says it in the handshake.
    environment.remove("EXPERTARIUM_API_KEY")
    environment.insert("PYTHONUNBUFFERED", "1")
    environment.insert("PYTHONIOENCODING", "utf-8")
    return environment


def _handshake_of(line: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(line)
    except ValueError:
        return None
    if isinstance(document, dict) and document.get("event") == "listening" and isinstance(document.get("port"), int):
        return document
    return None
