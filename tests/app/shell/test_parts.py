"""Palette, docks, settings dialog, model names, command line: the window's parts one by one."""

from functools import partial
from types import SimpleNamespace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QCheckBox, QComboBox, QLabel, QSpinBox, QWidget

from app.cli import window_parser
from app.core.model_names import device_label, model_facts, model_name, model_title, short_number
from app.core.wire import ModelInfo
from app.settings import SETTINGS, Settings
from app.shell.actions import COMMANDS, make_actions
from app.shell.command_palette import CommandPalette, match_score
from app.shell.docks import BottomPanel
from app.shell.parts import sampling_of
from app.shell.settings_dialog import SettingsDialog
from app.shell.status_bar import StatusBar
from app.shell.token_links import range_of_tokens, tokens_of_range

# --- commands


def test_commands_are_unique_and_have_names():
    assert len({command.key for command in COMMANDS}) == len(COMMANDS)
    shortcuts = [command.shortcut for command in COMMANDS if command.shortcut]
    assert len(set(shortcuts)) == len(shortcuts)
    assert all(command.text for command in COMMANDS)


def test_actions_run_their_handlers(qtbot):
    window = QWidget()
    qtbot.addWidget(window)
    called = []
    actions = make_actions(window, {"chat.new": lambda: called.append("new")})
    assert list(actions) == ["chat.new"]
    actions["chat.new"].trigger()
    assert called == ["new"]
    with pytest.raises(AssertionError):
        make_actions(window, {"no.such": print})


@pytest.mark.parametrize(("query", "best", "other"), [
    ("new", "New chat", "Show the preview"),
    ("prev", "Show the preview", "Open a model folder"),
    ("exmd", "Export this chat to Markdown", "New chat"),
])
def test_the_better_match_scores_higher(query, best, other):
    assert match_score(query, best) is not None
    assert (match_score(query, other) or -1) < match_score(query, best)


def test_letters_in_the_wrong_order_do_not_match():
    assert match_score("tahc", "New chat") is None


def record(called: list[str], action: QAction, *_checked: bool) -> None:
    called.append(action.text())


def test_the_palette_filters_moves_and_runs(qtbot, theme):
    window = QWidget()
    qtbot.addWidget(window)
    window.resize(800, 600)
    window.show()
    called = []
    texts = ("New chat", "Show the code", "Show the preview")
    actions = [QAction(text, window) for text in texts]
    for action in actions:
        action.triggered.connect(partial(record, called, action))
    disabled = QAction("Show nothing", window)
    disabled.setEnabled(False)
    palette = CommandPalette(theme, window)
    palette.open_with([*actions, disabled])
    qtbot.keyClicks(palette.field, "show")
    assert palette.list.model().rowCount() == 2
    qtbot.keyClick(palette.field, Qt.Key.Key_Down)
    qtbot.keyClick(palette.field, Qt.Key.Key_Return)
    assert called == ["Show the preview"]
    assert not palette.isVisible()


# --- panel


def test_panes_of_the_panel_are_made_when_first_shown(qtbot, theme):
    panel = BottomPanel(theme)
    qtbot.addWidget(panel)
    made = []

    def maker(name: str):
        def make() -> QLabel:
            made.append(name)
            return QLabel(name)

        return make

    panel.add_pane("one", "One", maker("one"))
    panel.add_pane("two", "Two", maker("two"), at_right=True)
    panel.show()
    assert made == []
    qtbot.mouseClick(panel.tabs.button("two"), Qt.MouseButton.LeftButton)
    assert (made, panel.current) == (["two"], "two")
    qtbot.mouseClick(panel.fold_button, Qt.MouseButton.LeftButton)
    assert panel.is_folded
    qtbot.mouseClick(panel.tabs.button("two"), Qt.MouseButton.LeftButton)
    assert not panel.is_folded
    assert made == ["two"]


# --- settings


def test_every_setting_has_a_field_and_a_change_is_kept(qtbot, tmp_path, theme):
    settings = Settings(tmp_path / "settings.json")
    dialog = SettingsDialog(settings)
    qtbot.addWidget(dialog)
    assert set(dialog.fields) == {setting.key for setting in SETTINGS}
    combo, spin, check = (dialog.fields[key] for key in ("theme", "seed", "confirm_model_code"))
    assert isinstance(combo, QComboBox)
    assert isinstance(spin, QSpinBox)
    assert isinstance(check, QCheckBox)
    with qtbot.waitSignal(dialog.setting_changed) as changed:
        combo.setCurrentText("light")
    assert changed.args == ["theme"]
    spin.setValue(12)
    check.click()
    again = Settings(tmp_path / "settings.json")
    assert (again.text("theme"), again.whole("seed"), again.flag("confirm_model_code")) == ("light", 12, False)


def test_settings_become_sampling(tmp_path):
    settings = Settings(tmp_path / "settings.json")
    assert sampling_of(settings).seed is None
    assert sampling_of(settings).max_tokens is None
    settings.set("seed", 5)
    settings.set("max_tokens", 64)
    settings.set("temperature", 0)
    sampling = sampling_of(settings)
    assert (sampling.seed, sampling.max_tokens, sampling.temperature) == (5, 64, 0.0)


# --- model and status


def test_a_model_is_named_with_what_it_is():
    card = {"architecture": "deepseek_v3", "parameters": 19_200_000, "active_parameters": 4_100_000}
    assert model_title(ModelInfo(id="nano", context_tokens=4096, card=card)) == "Nano · K2 19M (4.1M active)"
    assert model_title(ModelInfo(id="some-model", context_tokens=None, card={})) == "some-model"
    assert model_name("") == "Model"


@pytest.mark.parametrize(
    ("device", "label"),
    [("CPU, 1 thread", "CPU"), ("NVIDIA H200", "NVIDIA"), ("Apple GPU", "APPLE"), ("cuda:0", "CUDA"), (None, "")],
)
def test_the_device_is_named_in_one_word(device, label):
    assert device_label({"device": device}) == label


def test_numbers_of_parameters():
    assert [short_number(value) for value in (950, 4e6, 19.2e6, 1.04e12)] == ["950", "4M", "19M", "1T"]


def test_facts_of_a_model():
    card = {"num_layers": 6, "moe_layers": [1, 2, 3, 4, 5], "num_experts": 32, "experts_per_token": 4,
            "num_shared_experts": 1, "context_length": 4096, "fingerprint": "abcdef0123456789"}
    assert model_facts(card) == [
        "6 layers, 5 of them with experts", "32 experts, top 4 + 1 shared", "context of 4096 tokens",
        "weights abcdef012345",
    ]  # fmt: skip
    assert model_facts({"num_experts": 8}) == ["8 experts"]


def test_the_status_bar_leaves_unknown_facts_out(qtbot, theme):
    status = StatusBar(theme)
    qtbot.addWidget(status)
    assert status.speed.isHidden()
    assert status.context.isHidden()
    status.show_context(1024, 4096)
    status.show_memory(410 * 2**20)
    status.show_speed(412.4)
    status.show_first_token(80)
    assert status.context_share.text() == "25%"
    assert status.memory.text() == "engine 410 MB"
    assert status.speed.text() == "412 tok/s"
    assert status.first_token.text() == "first token 80 ms"
    status.show_memory(0)
    assert status.memory.isHidden()


# --- tokens and text


def placed(phase: str, start: int | None, end: int | None) -> SimpleNamespace:
    return SimpleNamespace(phase=phase, start=start, end=end)


TOKENS = [placed("prefill", 0, 5), placed("decode", 0, 4), placed("decode", 4, 7), placed("decode", 7, 9),
          placed("decode", None, None)]


@pytest.mark.parametrize(("start", "end", "expected"), [
    (0, 4, (1, 1)), (0, 5, (1, 2)), (5, 5, (2, 2)), (4, 9, (2, 3)), (8, 40, (3, 3)), (9, 12, None),
])
def test_tokens_that_wrote_a_range(start, end, expected):
    assert tokens_of_range(TOKENS, start, end) == expected


def test_the_range_that_tokens_wrote():
    assert range_of_tokens(TOKENS, 1, 2) == (0, 7)
    assert range_of_tokens(TOKENS, 3, 4) == (7, 9)
    assert range_of_tokens(TOKENS, 0, 0) is None


# --- command line


def test_the_surface_of_the_command_line():
    options = window_parser().parse_args(
        ["--basedir", "d", "--screenshot", "o.png", "--size", "1600x1000", "--theme", "light", "--prompt", "hi"]
    )
    assert (options.basedir, options.size, options.theme, options.prompt) == ("d", (1600, 1000), "light", "hi")
    assert str(options.screenshot) == "o.png"
    nothing = window_parser().parse_args([])
    assert (nothing.basedir, nothing.screenshot, nothing.size, nothing.theme, nothing.prompt) == (None,) * 4 + ("",)


@pytest.mark.parametrize("size", ["1600", "x", "0x5", "-1x4", "axb"])
def test_a_wrong_size_is_refused_with_a_hint(size, capsys):
    with pytest.raises(SystemExit) as left:
        window_parser().parse_args([f"--size={size}"])
    assert left.value.code == 2
    assert "1600x1000" in capsys.readouterr().err
