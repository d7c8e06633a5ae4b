"""Every command of the window in one table: menus, shortcuts and the command palette are made from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `shortcut` is in portable form; Ctrl is Command on a Mac."""

    key: str
    text: str
    shortcut: str = ""


COMMANDS: tuple[Command, ...] = (
    Command("chat.new", "New chat", "Ctrl+N"),
    Command("chat.search", "Search chats and code", "Ctrl+Shift+F"),
    Command("chat.write", "Write a message", "Ctrl+L"),
    Command("chat.stop", "Stop writing", "Ctrl+."),
    Command("chat.again", "Write the last answer again", "Ctrl+Shift+R"),
    Command("chat.rename", "Rename this chat"),
    Command("chat.export", "Export this chat to Markdown…", "Ctrl+Shift+E"),
    Command("chat.delete", "Delete this chat"),
    Command("chat.split", "Open a second chat beside this one", "Ctrl+\\"),
    Command("chat.unsplit", "Close this chat's pane", "Ctrl+Shift+W"),
    Command("view.code", "Show the code", "Ctrl+1"),
    Command("view.split", "Show code and preview side by side", "Ctrl+2"),
    Command("view.preview", "Show the preview", "Ctrl+3"),
    Command("view.experts", "Show the experts", "Ctrl+Shift+X"),
    Command("view.tint", "Colour the code by the experts that wrote it", "Ctrl+Alt+X"),
    Command("trace.open", "Open a routing trace (.moetrace, vLLM, SGLang)…"),
    Command("trace.save", "Save the routing on show as a .moetrace file…"),
    Command("view.console", "Show the console", "Ctrl+Shift+C"),
    Command("view.problems", "Show the problems", "Ctrl+Shift+M"),
    Command("view.sidebar", "Show or hide the side bar", "Ctrl+B"),
    Command("view.dock", "Show or hide the bottom panel", "Ctrl+J"),
    Command("file.save_all", "Save all files", "Ctrl+Alt+S"),
    Command("file.run", "Run the current Python file in the console", "Ctrl+Shift+Return"),
    Command("theme.light", "Use light colours"),
    Command("theme.dark", "Use dark colours"),
    Command("theme.system", "Follow the system's colours"),
    Command("model.open", "Open a model folder…", "Ctrl+O"),
    Command("model.nano", "Use the model in the box"),
    Command("engine.restart", "Restart the engine"),
    Command("app.palette", "Show all commands", "Ctrl+Shift+P"),
    Command("app.settings", "Settings…", "Ctrl+,"),
    Command("app.diagnostics", "Copy diagnostics"),
    Command("app.quit", "Quit", "Ctrl+Q"),
)


def make_actions(window: QWidget, handlers: Mapping[str, Callable[[], object]]) -> dict[str, QAction]:
    """One QAction per command that has a handler, in the table's order; a handler without a command is our fault."""
    unknown = set(handlers) - {command.key for command in COMMANDS}
    assert not unknown, unknown
    actions: dict[str, QAction] = {}
    for command in COMMANDS:
        if command.key not in handlers:
            continue
        action = QAction(command.text, window)
        action.setObjectName(command.key)
        if command.shortcut:
            action.setShortcut(QKeySequence(command.shortcut))
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
        action.triggered.connect(handlers[command.key])
        window.addAction(action)
        actions[command.key] = action
    return actions
