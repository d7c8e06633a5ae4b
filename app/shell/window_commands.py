"""What each command of the window does."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog

from app.core.atomic import write_file
from app.core.conversation import ConversationTree
from app.core.export import export_markdown
from app.core.problem import Problem, ProblemText, problem_of_os_error
from app.core.report import diagnostics, free_space
from app.panes.chat.pane import ChatPane
from app.services.web_flags import FLAGS_VARIABLE, draws_in_software
from app.shell.actions import make_actions
from app.shell.command_palette import CommandPalette
from app.shell.parts import sampling_of
from app.shell.settings_dialog import SettingsDialog
from app.theme.theme import Mode

if TYPE_CHECKING:
    from app.shell.main_window import MainWindow


class WindowCommands(QObject):
    """Handlers by command key, and the actions made from them."""

    def __init__(self, window: "MainWindow") -> None:
        super().__init__(window)
        self._window = window
        self._parts = window.parts
        self.palette = CommandPalette(window.parts.theme, window)
        self.actions = make_actions(window, {
            "chat.new": self.new_chat, "chat.search": self._search, "chat.write": self._write,
            "chat.stop": self._stop, "chat.again": self._again, "chat.rename": self._rename_current,
            "chat.export": self._export_current, "chat.delete": self._delete_current,
            "chat.split": window.chats.add_pane, "chat.unsplit": self._close_pane,
            "view.code": self._show_code, "view.split": self._show_split, "view.preview": self._show_preview,
            "view.experts": self._show_experts, "view.tint": self._toggle_tint,
            "trace.open": window.traces.ask_open, "trace.save": window.traces.ask_save,
            "view.console": self._show_console,
            "view.problems": self._show_problems, "view.sidebar": window.toggle_sidebar,
            "view.dock": window.toggle_panel, "file.save_all": window.editor.save_all, "file.run": self._run_file,
            "theme.light": self._use_light, "theme.dark": self._use_dark, "theme.system": self._use_system,
            "model.open": self._open_model, "model.nano": self._use_nano, "engine.restart": self._parts.engine.restart,
            "app.palette": self.open_palette, "app.settings": self._open_settings,
            "app.diagnostics": self._copy_diagnostics, "app.quit": window.close,
        })  # fmt: skip
        sidebar = window.sidebar
        sidebar.new_chat_requested.connect(self.new_chat)
        sidebar.conversation_chosen.connect(self._open_conversation)
        sidebar.export_requested.connect(self._export)
        sidebar.delete_requested.connect(self._delete)
        sidebar.undo_delete_requested.connect(self._undo_delete)
        sidebar.file_chosen.connect(window.links.open_file)
        self._parts.chats.conversation_deleted.connect(self._deleted)
        self._parts.chats.dataChanged.connect(window.show_titles)
        self._parts.chats.problem_reported.connect(self._problem_reported)
        self._parts.files.problem_reported.connect(self._problem_reported)

    # --- conversations

    def open_in(self, pane: ChatPane, conversation_id: int) -> None:
        """Show a conversation in a pane."""
        pane.store_draft()
        try:
            pane.session.open_conversation(conversation_id)
        except Problem as problem:
            pane.problem_bar.show_text(str(problem))

    @Slot()
    def new_chat(self) -> None:
        """Show an empty conversation in the active pane."""
        pane = self._window.chats.active
        pane.store_draft()
        pane.session.open_new()
        pane.focus_composer()

    @Slot(int, int)
    def _open_conversation(self, conversation_id: int, message_id: int) -> None:
        pane = self._window.chats.pane_of(conversation_id) or self._window.chats.active
        self._window.chats.set_active(pane)
        shown = pane.session.conversation
        if shown is None or shown.id != conversation_id:
            self.open_in(pane, conversation_id)
        if message_id >= 0:
            pane.show_message(message_id)

    def _current_id(self) -> int | None:
        conversation = self._window.chats.active.session.conversation
        return conversation.id if conversation is not None else None

    @Slot(int)
    def _export(self, conversation_id: int) -> None:
        self._guard(self._export_to_file, conversation_id)

    def _export_to_file(self, conversation_id: int) -> None:
        """Raises Problem; a file that was there stays then."""
        conversation = self._parts.history.conversation(conversation_id)
        name = "".join(c if c.isalnum() or c in " -_" else "-" for c in conversation.title).strip() or "chat"
        file, _ = QFileDialog.getSaveFileName(self._window, "Export to Markdown", f"{name}.md", "Markdown (*.md)")
        if not file:
            return
        tree = ConversationTree(self._parts.history.messages(conversation_id), conversation.active_leaf)
        try:
            write_file(Path(file), export_markdown(conversation, tree.path()).encode("utf-8", "replace"))
        except OSError as error:
            raise problem_of_os_error(f"{file} was not written.", error) from error

    @Slot(int)
    def _delete(self, conversation_id: int) -> None:
        self._parts.chats.delete(conversation_id)
        for pane in self._window.chats.panes():
            conversation = pane.session.conversation
            if conversation is not None and conversation.id == conversation_id:
                pane.session.stop()
                pane.session.open_new()

    @Slot(object)
    def _problem_reported(self, problem: ProblemText) -> None:
        self._window.links.add_problem(problem)
        self._show_problems()

    @Slot(int, str)
    def _deleted(self, _conversation_id: int, title: str) -> None:
        self._window.sidebar.show_undo(title)

    @Slot()
    def _undo_delete(self) -> None:
        conversation_id = self._parts.chats.undo_delete()
        if conversation_id is not None:
            self.open_in(self._window.chats.active, conversation_id)

    @Slot()
    def _rename_current(self) -> None:
        if (conversation_id := self._current_id()) is not None:
            self._window.sidebar.rename_conversation(conversation_id)

    @Slot()
    def _export_current(self) -> None:
        if (conversation_id := self._current_id()) is not None:
            self._export(conversation_id)

    @Slot()
    def _delete_current(self) -> None:
        if (conversation_id := self._current_id()) is not None:
            self._delete(conversation_id)

    @Slot()
    def _close_pane(self) -> None:
        self._window.chats.close_pane(self._window.chats.active)

    # --- the chat

    @Slot()
    def _search(self) -> None:
        self._window.sidebar.show()
        self._window.sidebar.search.setFocus()
        self._window.sidebar.search.selectAll()

    @Slot()
    def _write(self) -> None:
        self._window.chats.active.focus_composer()

    @Slot()
    def _stop(self) -> None:
        self._window.chats.active.session.stop()

    @Slot()
    def _again(self) -> None:
        session = self._window.chats.active.session
        answers = [message for message in session.tree.path() if message.role == "assistant"]
        if answers and not session.is_busy:
            session.regenerate(answers[-1].id)

    # --- views

    @Slot()
    def _show_code(self) -> None:
        self._window.right.set_mode("code")

    @Slot()
    def _show_split(self) -> None:
        self._window.right.set_mode("split")

    @Slot()
    def _show_preview(self) -> None:
        self._window.right.set_mode("preview")

    @Slot()
    def _show_experts(self) -> None:
        self._window.panel.show_pane("experts")

    @Slot()
    def _toggle_tint(self) -> None:
        self._window.right.make_code_visible()
        self._window.editor.tint_bar.switch.toggle()

    @Slot()
    def _show_console(self) -> None:
        self._window.panel.show_pane("console")

    @Slot()
    def _show_problems(self) -> None:
        self._window.panel.show_pane("problems")

    @Slot()
    def _run_file(self) -> None:
        """Run the current Python file; what a model wrote is asked about unless the person turned that off."""
        path = self._window.editor.current_path()
        workspace = self._window.chats.active.session.workspace
        if workspace is None or not path.endswith(".py"):
            return
        self._window.editor.save()
        self._window.panel.show_pane("console")
        console = self._window.console
        assert console is not None
        asks = self._parts.settings.flag("confirm_model_code") and self._written_by_model(path)
        console.run_file(workspace.resolve(path), written_by_model=asks)

    def _written_by_model(self, path: str) -> bool:
        tree = self._window.chats.active.session.tree
        return any(change["path"] == path for message in tree.path() for change in message.applied.get("changes", ()))

    # --- the program

    def _set_theme(self, mode: Mode) -> None:
        self._guard(self._parts.settings.set, "theme", mode)
        self._parts.theme.set_mode(mode)

    @Slot()
    def _use_light(self) -> None:
        self._set_theme("light")

    @Slot()
    def _use_dark(self) -> None:
        self._set_theme("dark")

    @Slot()
    def _use_system(self) -> None:
        self._set_theme("system")

    @Slot()
    def _open_model(self) -> None:
        folder = QFileDialog.getExistingDirectory(self._window, "Open a model folder (config.json and safetensors)")
        if folder:
            self._use_model(folder)

    @Slot()
    def _use_nano(self) -> None:
        self._use_model("")

    def _use_model(self, folder: str) -> None:
        if self._guard(self._parts.settings.set, "model_dir", folder):
            self._parts.engine.set_model_dir(Path(folder) if folder else None)
            self._parts.engine.restart()

    @Slot()
    def open_palette(self) -> None:
        """Show every command."""
        self.palette.open_with(action for key, action in self.actions.items() if key != "app.palette")

    @Slot()
    def _open_settings(self) -> None:
        dialog = SettingsDialog(self._parts.settings, self._window)
        dialog.setting_changed.connect(self._setting_changed)
        dialog.open()

    @Slot(str)
    def _setting_changed(self, key: str) -> None:
        settings = self._parts.settings
        if key == "theme":
            mode: dict[str, Mode] = {"light": "light", "dark": "dark", "system": "system"}
            self._parts.theme.set_mode(mode[settings.text("theme")])
        elif key == "model_dir":
            folder = settings.text("model_dir")
            self._parts.engine.set_model_dir(Path(folder) if folder else None)
            self._parts.engine.restart()
        elif key == "code_font_size":
            self._parts.theme.set_code_size(settings.whole("code_font_size"))
        elif key in ("temperature", "top_p", "seed", "max_tokens", "system_prompt"):
            for pane in self._window.chats.panes():
                pane.session.sampling = sampling_of(settings)
                pane.session.default_system_prompt = settings.text("system_prompt")

    @Slot()
    def _copy_diagnostics(self) -> None:
        window, engine = self._window, self._parts.engine
        facts = {
            "engine": f"{engine.state.phase} {engine.state.message}".strip(),
            "engine restarts": str(engine.state.restarts),
            "model": window.header.chip.name.full_text(),
            "device": window.header.device.text() or "unknown",
            "theme": f"{self._parts.theme.mode} ({'dark' if self._parts.theme.is_dark else 'light'})",
            "window": f"{window.width()}x{window.height()} at {window.devicePixelRatioF():g}",
            "platform plugin": QGuiApplication.platformName(),
            "web pages are drawn by": "the processor" if draws_in_software(os.environ) else "the graphics device",
            "web flags": os.environ.get(FLAGS_VARIABLE, ""),
            "free space in the data folder": free_space(self._parts.paths.base),
        }
        report = diagnostics(facts, app_log=self._parts.paths.log, engine_log=engine.log_tail())
        QGuiApplication.clipboard().setText(report)
        window.status.flash("Diagnostics copied")

    def restart_with_webgl(self) -> bool:
        """Have the next start draw WebGL in software; say whether it will."""
        return self._guard(self._parts.settings.set, "software_webgl", True)  # noqa: FBT003 - a setting's value

    def _guard(self, call: Callable[..., object], *arguments: object) -> bool:
        """Call; a Problem is listed and told. Say whether it went well."""
        try:
            call(*arguments)
        except Problem as problem:
            self._problem_reported(problem.text)
            return False
        return True
