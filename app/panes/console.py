"""The console: a Jupyter console on a kernel of its own, for Python files and data analysis."""

import sys
import tempfile
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMessageBox, QPushButton, QStackedWidget, QVBoxLayout, QWidget
from qtconsole.manager import QtKernelManager
from qtconsole.rich_jupyter_widget import RichJupyterWidget

from app.theme.theme import Theme

PRELUDE = (
    "%matplotlib inline\n"
    "import numpy as np\n"
    "import pandas as pd\n"
    "import matplotlib.pyplot as plt\n"
)
HEARTBEAT_S = 30.0  # a kernel that starts on a busy machine is slow, not dead
ASK_AGAIN_MS = 500
START_TEXT = "A Python console with NumPy, pandas and matplotlib; figures show inline."


class ConsolePane(QWidget):
    """Starts its kernel when first needed, in the project's folder.

    A kernel is ready when it has answered on both channels: the one for requests, and the one it publishes output on,
    which connects in its own time and loses what is sent before. So it is asked again until both have spoken.

    Signals:
        kernel_started: the kernel answers.
    """

    kernel_started = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._folder: Path | None = None
        self._manager: QtKernelManager | None = None
        self._waiting: list[str] = []
        self._ready = False
        self._heard: set[str] = set()
        self._asking = QTimer(self, interval=ASK_AGAIN_MS)
        self._asking.timeout.connect(self._ask)
        self._console: RichJupyterWidget | None = None
        self._sockets: tempfile.TemporaryDirectory[str] | None = None
        self._state = QLabel(START_TEXT, self)
        self._pages = QStackedWidget(self)
        self._build()
        theme.theme_changed.connect(self._apply_theme)

    def set_folder(self, folder: Path | None) -> None:
        """Run in this folder from the next file or restart on."""
        self._folder = folder
        if self._ready and folder is not None:
            self._execute(f"%cd -q {folder}", hidden=True)

    def run_file(self, path: Path, *, written_by_model: bool) -> bool:
        """Run a Python file; one that a model wrote only after the person says so. Say whether it was sent."""
        if written_by_model and not self._confirmed(path):
            return False
        self._execute(f"%run {str(path)!r}")
        return True

    def widget(self) -> RichJupyterWidget | None:
        """Return the console widget once it exists."""
        return self._console

    @Slot()
    def start(self) -> None:
        """Start the kernel."""
        if self._manager is not None:
            return
        self._state.setText("Starting Python…")
        self._manager = QtKernelManager(kernel_name="python3", **self._transport())
        self._manager.start_kernel(cwd=str(self._folder) if self._folder else None)
        client = self._manager.client()
        client.hb_channel.time_to_dead = HEARTBEAT_S  # type: ignore[assignment, unused-ignore]
        client.start_channels()
        # A size in points: left out, the console would take the window font's, which is in pixels.
        self._console = RichJupyterWidget(self, font_size=max(1, round(self._code_points())))
        self._console.banner = ""
        self._console.kernel_manager = self._manager
        self._console.kernel_client = client
        self._pages.addWidget(self._console)
        self._apply_theme()
        client.shell_channel.message_received.connect(self._replied)
        client.iopub_channel.message_received.connect(self._published)
        self._asking.start()

    def stop(self) -> None:
        """End the kernel; its process goes with it."""
        if self._manager is None or self._console is None:
            return
        self._forget_answers()
        self._asking.stop()
        self._console.kernel_client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager = None
        self._pages.removeWidget(self._console)
        self._console.deleteLater()
        self._console = None
        if self._sockets is not None:
            self._sockets.cleanup()

    @Slot()
    def interrupt(self) -> None:
        """Interrupt what runs."""
        if self._manager is not None:
            self._manager.interrupt_kernel()

    @Slot()
    def restart(self) -> None:
        """Start the kernel afresh: every name is forgotten."""
        if self._manager is not None and self._console is not None:
            self._forget_answers()
            self._manager.restart_kernel(now=True)
            self._console.reset(clear=True)
            self._asking.start()

    def _transport(self) -> dict[str, str]:
        """Sockets in a folder only we can read, where the system has them: nobody else can listen in."""
        if sys.platform == "win32":
            return {}
        self._sockets = tempfile.TemporaryDirectory(prefix="expertarium-kernel-")
        return {"transport": "ipc", "ip": f"{self._sockets.name}/s"}

    def _build(self) -> None:
        self._state.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._state.setProperty("tone", "dim")
        begin = QPushButton("Start console", self)
        begin.clicked.connect(self.start)
        start_page = QWidget(self)
        column = QVBoxLayout(start_page)
        column.addStretch(1)
        column.addWidget(self._state)
        column.addWidget(begin, 0, Qt.AlignmentFlag.AlignCenter)
        column.addStretch(1)
        self._pages.addWidget(start_page)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._pages)

    def _execute(self, code: str, *, hidden: bool = False) -> None:
        self.start()
        if self._ready and self._console is not None:
            self._console.execute(code, hidden=hidden)
        else:
            self._waiting.append(code)

    def _confirmed(self, path: Path) -> bool:
        buttons = QMessageBox.StandardButton
        answer = QMessageBox.question(
            self, "Run Python",
            f"{path.name} was written by a model. It will run with your rights: it can read and change your files.\n\n"
            "Run it?", buttons.Yes | buttons.Cancel, buttons.Cancel,
        )
        return bool(answer == buttons.Yes)

    @Slot()
    def _prepare(self) -> None:
        if self._console is None:
            return
        self._console.execute(PRELUDE, hidden=True)
        if self._folder is not None:
            self._console.execute(f"%cd -q {self._folder}", hidden=True)
        waiting, self._waiting = self._waiting, []
        for code in waiting:
            self._console.execute(code)

    @Slot()
    def _ask(self) -> None:
        """Ask the kernel for a sign of life, or say that it has none to give."""
        if self._manager is None or self._console is None:
            return
        if self._manager.is_alive():
            self._console.kernel_client.kernel_info()
            return
        self.stop()
        self._waiting.clear()
        self._state.setText(
            "Python ended before it answered: most likely a package of the console is missing.\n"
            "Install the program's requirements again (make setup), then start the console."
        )
        self._pages.setCurrentIndex(0)

    @Slot(dict)
    def _replied(self, message: dict[str, object]) -> None:
        if message.get("msg_type") == "kernel_info_reply":
            self._answered_on("shell")

    @Slot(dict)
    def _published(self, _message: dict[str, object]) -> None:
        self._answered_on("iopub")

    def _answered_on(self, channel: str) -> None:
        """Note that a channel works; when both do, do what waits."""
        if self._ready or self._console is None:
            return
        self._heard.add(channel)
        if self._heard == {"shell", "iopub"}:
            self._ready = True
            self._asking.stop()
            self._pages.setCurrentWidget(self._console)
            self._prepare()
            self.kernel_started.emit()

    def _forget_answers(self) -> None:
        self._ready = False
        self._heard.clear()

    def _code_points(self) -> float:
        return self._theme.mono().pixelSize() * 72 / self.logicalDpiY()

    @Slot()
    def _apply_theme(self) -> None:
        if self._console is None:
            return
        color = self._theme.color
        self._console.set_default_style("linux" if self._theme.is_dark else "lightbg")
        self._console.syntax_style = "monokai" if self._theme.is_dark else "default"
        font = self._theme.mono()
        font.setPointSizeF(self._code_points())
        self._console.font = font
        self._console.style_sheet += (
            f"QPlainTextEdit, QTextEdit {{ background-color: {color('code').name()};"
            f" color: {color('text').name()}; border: none; }}"
            f".in-prompt {{ color: {color('ok').name()}; }} .out-prompt {{ color: {color('accent').name()}; }}"
        )
