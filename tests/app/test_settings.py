"""Settings survive, refuse nonsense and keep what they do not know."""

import json
from pathlib import Path

import pytest

from app.core.problem import Problem
from app.settings import SETTINGS, Setting, Settings, WindowState

TABLE = (
    Setting(key="theme", kind="choice", default="system", choices=("system", "light", "dark"), text="Colours"),
    Setting(key="temperature", kind="number", default=0.4, minimum=0, maximum=2, text="Temperature"),
    Setting(key="seed", kind="whole", default=-1, minimum=-1, maximum=100, text="Seed"),
    Setting(key="network", kind="flag", default=False, text="Network"),
)


def test_every_default_fits_its_own_row():
    keys = [setting.key for setting in SETTINGS]
    assert len(keys) == len(set(keys))
    for setting in SETTINGS:
        assert setting.check(setting.default) == setting.default
        assert setting.text


def test_values_come_back(tmp_path):
    settings = Settings(tmp_path / "settings.json", TABLE)
    assert settings.text("theme") == "system"
    settings.set("theme", "dark")
    settings.set("temperature", 1)
    settings.set("seed", 5)
    settings.set("network", True)
    again = Settings(tmp_path / "settings.json", TABLE)
    assert (again.text("theme"), again.number("temperature"), again.whole("seed")) == ("dark", 1.0, 5)
    assert again.flag("network")
    assert again.problems == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("theme", "pink"), ("temperature", 9), ("temperature", "a"), ("seed", 1.5), ("seed", True), ("network", 1),
     ("seed", float("inf")), ("temperature", float("nan"))],
)
def test_nonsense_is_refused(tmp_path, key, value):
    settings = Settings(tmp_path / "settings.json", TABLE)
    with pytest.raises(Problem, match=key):
        settings.set(key, value)
    assert not (tmp_path / "settings.json").exists()


def test_unknown_keys_are_kept_and_reported(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"from_the_future": [1], "theme": "light", "seed": "x"}))
    settings = Settings(path, TABLE)
    assert settings.unknown == {"from_the_future": [1]}
    assert len(settings.problems) == 2
    settings.set("theme", "dark")
    assert json.loads(path.read_text()) == {"from_the_future": [1], "theme": "dark"}


def test_a_damaged_file_is_kept_aside(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text('{"theme": "da')
    settings = Settings(path, TABLE)
    assert settings.text("theme") == "system"
    assert "not JSON" in settings.problems[0]
    assert (tmp_path / "settings.damaged.json").read_text() == '{"theme": "da'


@pytest.mark.parametrize("content", [b"[1, 2]", b'"dark"', b"\xff\xfe", b"[" * 100_000])
def test_whatever_is_in_the_file_it_is_kept_and_said(tmp_path, content):
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    settings = Settings(path, TABLE)
    assert len(settings.problems) == 1
    settings.set("theme", "dark")
    assert (tmp_path / "settings.damaged.json").read_bytes() == content


def test_infinity_in_the_file_is_no_obstacle(tmp_path):
    (tmp_path / "settings.json").write_text('{"seed": Infinity, "temperature": NaN, "theme": "dark"}')
    settings = Settings(tmp_path / "settings.json", TABLE)
    assert (settings.whole("seed"), settings.number("temperature"), settings.text("theme")) == (-1, 0.4, "dark")
    assert len(settings.problems) == 2


def test_a_damaged_file_in_a_folder_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    path = tmp_path / "settings.json"
    path.write_text("{")

    def refuse(*_arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    assert "the defaults are used" in Settings(path, TABLE).problems[0]


def test_window_state(tmp_path):
    state = WindowState(tmp_path / "window")
    assert state.load("layout") is None
    state.store("layout", b"\x00\xff")
    state.store_json("tabs.json", {"open": ["ü"]})
    again = WindowState(tmp_path / "window")
    assert again.load("layout") == b"\x00\xff"
    assert again.load_json("tabs.json", None) == {"open": ["ü"]}
    again.store("tabs.json", b"{broken")
    assert again.load_json("tabs.json", "default") == "default"
