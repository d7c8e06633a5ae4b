"""The console: a Jupyter console on a kernel of its own, for Python files and data analysis."""

from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMessageBox, QPushButton, QStackedWidget, QVBoxLayout, QWidget
from qtconsole.rich_jupyter_widget import RichJupyterWidget

from app.services.kernel import PATIENCE_MS, Kernel
from app.theme.theme import Theme

PRELUDE = (
    "%matplotlib inline\n"
    "import numpy as np\n"
    "import pandas as pd\n"
    "import matplotlib.pyplot as plt\n"
)
START_TEXT = "A Python console with NumPy, pandas and matplotlib; figures show inline."
SLOW_TEXT = (
    f"Python has not answered for {PATIENCE_MS // 1000} seconds; the computer may be busy.\n"
    "It is still being waited for. You can also start it afresh."
)


class ConsolePane(QWidget):
    """Starts its kernel when first needed, in the project's folder.

    Signals:
        kernel_started: the kernel answers; after each start.
    """

    kernel_started = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._folder: Path | None = None
        self._waiting: list[str] = []
        self._console: RichJupyterWidget | None = None
        self.kernel = Kernel(self)
        self.kernel.answered.connect(self._prepare)
        self.kernel.kept_waiting.connect(self._show_slow)
        self.kernel.failed.connect(self._show_failure)
        self.state = QLabel(START_TEXT, self)
        self.start_button = QPushButton("Start console", self)
        self._pages = QStackedWidget(self)
        self._build()
        theme.theme_changed.connect(self._apply_theme)

    def set_folder(self, folder: Path | None) -> None:
        """Run in this folder from now on."""
        self._folder = folder
        if self.kernel.is_ready:
            self._enter_folder()

    def run_file(self, path: Path, *, written_by_model: bool) -> bool:
        """Run a Python file; one that a model wrote only after the person says so. Say whether it was sent."""
        if written_by_model and not self._confirmed(path):
            return False
        self._waiting.append(f"%run {str(path)!r}")
        self.start()
        self._run_waiting()
        return True

    def widget(self) -> RichJupyterWidget | None:
        """Return the console widget once it exists."""
        return self._console

    @Slot()
    def start(self) -> None:
        """Start the kernel unless it runs."""
        if self.kernel.manager is not None:
            return
        self._show_state("Starting Python…", button="")
        if not self.kernel.start(self._folder):
            return
        # A size in points: left out, the console would take the window font's, which is in pixels.
        self._console = RichJupyterWidget(self, font_size=max(1, round(self._code_points())))
        self._console.banner = ""
        self._console.kernel_manager = self.kernel.manager
        self._console.kernel_client = self.kernel.client
        self._console.custom_restart = True
        self._console.custom_restart_requested.connect(self._ask_restart)
        self._pages.addWidget(self._console)
        self._apply_theme()

    def stop(self) -> None:
        """End the kernel; its process goes with it."""
        self.kernel.stop()
        self._drop_console()

    @Slot()
    def interrupt(self) -> None:
        """Interrupt what runs."""
        self.kernel.interrupt()

    @Slot()
    def restart(self) -> None:
        """Start the kernel afresh: every name is forgotten."""
        if self._console is None:
            self.start()
            return
        if not self.kernel.is_ready:
            self._show_state("Starting Python…", button="")
        self.kernel.restart()
        if self._console is not None:
            self._console.reset(clear=True)

    def _build(self) -> None:
        self.state.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.state.setProperty("tone", "dim")
        self.state.setWordWrap(True)
        self.state.setTextFormat(Qt.TextFormat.PlainText)
        self.start_button.clicked.connect(self.restart)
        start_page = QWidget(self)
        column = QVBoxLayout(start_page)
        column.addStretch(1)
        column.addWidget(self.state)
        column.addWidget(self.start_button, 0, Qt.AlignmentFlag.AlignCenter)
        column.addStretch(1)
        self._pages.addWidget(start_page)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._pages)

    def _confirmed(self, path: Path) -> bool:
        buttons = QMessageBox.StandardButton
        answer = QMessageBox.question(
            self, "Run Python",
            f"{path.name} was written by a model. It will run with your rights: it can read and change your files.\n\n"
            "Run it?", buttons.Yes | buttons.Cancel, buttons.Cancel,
        )
        return bool(answer == buttons.Yes)

    # --- what the kernel says

    @Slot()
    def _prepare(self) -> None:
        if self._console is None:
            return
        self._pages.setCurrentWidget(self._console)
        self._console.execute(PRELUDE, hidden=True)
        self._enter_folder()
        self._run_waiting()
        self.kernel_started.emit()

    def _enter_folder(self) -> None:
        if self._console is not None and self._folder is not None:
            # not %cd, which would read $ and {} in the path as names of the person
            self._console.execute(f"__import__('os').chdir({str(self._folder)!r})", hidden=True)

    def _run_waiting(self) -> None:
        if self._console is None or not self.kernel.is_ready:
            return
        waiting, self._waiting = self._waiting, []
        for code in waiting:
            self._console.execute(code)

    @Slot()
    def _show_slow(self) -> None:
        self._show_state(SLOW_TEXT, button="Restart")

    @Slot(str)
    def _show_failure(self, reason: str) -> None:
        self._drop_console()
        self._waiting.clear()
        self._show_state(
            f"Python did not start: {reason}\n"
            "If a package is missing, install the program's requirements again (make setup).",
            button="Start again",
        )

    @Slot()
    def _ask_restart(self) -> None:
        buttons = QMessageBox.StandardButton
        text = "Restart Python? What runs is ended, and every name is forgotten."
        if QMessageBox.question(self, "Restart Python", text, buttons.Yes | buttons.Cancel) == buttons.Yes:
            self.restart()

    def _show_state(self, text: str, *, button: str) -> None:
        self.state.setText(text)
        self.start_button.setText(button)
        self.start_button.setVisible(bool(button))
        self._pages.setCurrentIndex(0)

    def _drop_console(self) -> None:
        if self._console is not None:
            self._pages.removeWidget(self._console)
            self._console.deleteLater()
            self._console = None

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
