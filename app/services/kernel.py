"""The console's Jupyter kernel: our own Python in a process of its own, started, waited for, restarted, ended."""

import os
import sys
import tempfile
from pathlib import Path
from typing import IO

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from PySide6.QtCore import QElapsedTimer, QObject, QTimer, Signal, Slot
from qtconsole.client import QtKernelClient
from qtconsole.manager import QtKernelManager
from zmq import ZMQError

HEARTBEAT_S = 30.0  # a kernel that starts on a busy machine is slow, not dead
ASK_AGAIN_MS = 500
PATIENCE_MS = 30_000
LONGEST_SOCKET_PATH = 100  # bytes; systems allow 103 or 107 and no more


class Kernel(QObject):
    """One kernel. It answers when it has on both channels: the one for requests, and the one it publishes output on.

    The second connects in its own time and loses what is sent before, so the kernel is asked again until both have
    spoken.

    Signals:
        answered: it is ready; after each start, also one it got by itself because its process had ended.
        kept_waiting: no answer for PATIENCE_MS; it is still waited for.
        failed(str): it could not be started, or ended before it answered: the reason. Nothing runs then.
    """

    answered = Signal()
    kept_waiting = Signal()
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._manager: QtKernelManager | None = None
        self._client: QtKernelClient | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._log: IO[bytes] | None = None
        self._heard: set[str] = set()
        self._told_wait = False
        self._waiting = QElapsedTimer()
        self._asking = QTimer(self, interval=ASK_AGAIN_MS)
        self._asking.timeout.connect(self._ask)

    @property
    def manager(self) -> QtKernelManager | None:
        """What runs the process; None while there is none."""
        return self._manager

    @property
    def client(self) -> QtKernelClient | None:
        """The connection to it."""
        return self._client

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return self._heard == {"shell", "iopub"}

    def start(self, folder: Path | None) -> bool:
        """Start it in a folder; say whether there is a process to wait for. If not, `failed` has said why."""
        assert self._manager is None
        try:
            self._launch(folder)
        except (OSError, ZMQError) as error:
            self._fail(f"{error}.")
            return False
        self._wait()
        return True

    def stop(self) -> None:
        """End it, and wait until its process is gone."""
        self._asking.stop()
        self._heard.clear()
        manager, self._manager = self._manager, None
        if self._client is not None:
            self._client.stop_channels()
        if manager is not None and manager.has_kernel:
            manager.shutdown_kernel(now=True)
        self._client = None
        if self._log is not None:
            self._log.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._log = self._folder = None

    def restart(self) -> None:
        """End its process and start another; `answered` follows."""
        assert self._manager is not None
        try:
            self._manager.restart_kernel(now=True)
        except (OSError, ZMQError) as error:
            self._fail(f"{error}.")
            return
        self._wait()

    def interrupt(self) -> None:
        """Interrupt what runs."""
        if self._manager is not None:
            self._manager.interrupt_kernel()

    def _launch(self, folder: Path | None) -> None:
        self._folder = _private_folder()
        private = Path(self._folder.name)
        self._log = (private / "stderr").open("wb")
        # Sockets in a folder only we can read, where the system has them: nobody else can listen in.
        sockets = {} if sys.platform == "win32" else {"transport": "ipc", "ip": str(private / "s")}
        self._manager = QtKernelManager(
            connection_file=str(private / "connection.json"), kernel_spec_manager=_OurPython(), **sockets
        )
        self._manager.start_kernel(cwd=str(folder) if folder else None, stderr=self._log)
        self._manager.kernel_restarted.connect(self._wait)
        client = self._client = self._manager.client()
        client.hb_channel.time_to_dead = HEARTBEAT_S
        client.start_channels()
        client.shell_channel.message_received.connect(self._replied)
        client.iopub_channel.message_received.connect(self._published)

    @Slot()
    def _wait(self) -> None:
        """It has just been started, by us or because its process had ended."""
        self._heard.clear()
        self._told_wait = False
        self._waiting.start()
        self._asking.start()

    @Slot()
    def _ask(self) -> None:
        """Ask for a sign of life, or say that there is none to come."""
        if self._manager is None or self._client is None:
            return
        if not self._manager.is_alive():
            self._fail(self._last_words())
            return
        self._client.kernel_info()
        if not self._told_wait and self._waiting.hasExpired(PATIENCE_MS):
            self._told_wait = True
            self.kept_waiting.emit()

    def _fail(self, reason: str) -> None:
        self.stop()
        self.failed.emit(reason)

    def _last_words(self) -> str:
        """What the process said last; its errors come in one line at the end."""
        text = "" if self._log is None else Path(self._log.name).read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1][:300] if lines else "its process ended without a word."

    @Slot(object)
    def _replied(self, message: dict[str, object]) -> None:
        if message.get("msg_type") == "kernel_info_reply":
            self._hear("shell")

    @Slot(object)
    def _published(self, _message: dict[str, object]) -> None:
        self._hear("iopub")

    def _hear(self, channel: str) -> None:
        if self.is_ready or self._manager is None:
            return
        self._heard.add(channel)
        if self.is_ready:
            self._asking.stop()
            self.answered.emit()


class _OurPython(KernelSpecManager):  # type: ignore[misc, unused-ignore]
    """The Python that runs this program, whatever kernels are installed for the person or the machine."""

    def get_kernel_spec(self, _kernel_name: str) -> KernelSpec:
        """Return the one there is."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python", language="python")


def _private_folder() -> "tempfile.TemporaryDirectory[str]":
    """A folder of ours whose path is short enough for the address of a socket. Raises OSError."""
    prefix = "expertarium-kernel-"
    path_bytes = len(os.fsencode(tempfile.gettempdir())) + len(f"/{prefix}12345678/s-99999")
    is_long = sys.platform != "win32" and path_bytes > LONGEST_SOCKET_PATH
    return tempfile.TemporaryDirectory(prefix=prefix, dir="/tmp" if is_long else None)  # noqa: S108 - made by mkdtemp
