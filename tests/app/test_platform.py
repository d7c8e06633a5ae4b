"""Without a screen: pictures are drawn in memory, a window is refused with a reason."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.bootstrap import EXIT_REFUSED, choose_platform
from app.core.problem import Problem


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [({}, "offscreen"), ({"DISPLAY": ":0"}, "xcb;offscreen"), ({"WAYLAND_DISPLAY": "wayland-0"}, "wayland;offscreen"),
     ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0", "XDG_SESSION_TYPE": "wayland"}, "wayland;xcb;offscreen"),
     ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0"}, "xcb;wayland;offscreen"),
     ({"QT_QPA_PLATFORM": "vnc"}, "vnc")],
)  # fmt: skip
def test_a_picture_needs_no_screen(environment: dict[str, str], chosen: str | None) -> None:
    choose_platform(environment, wants_screen=False, system="linux")
    assert environment.get("QT_QPA_PLATFORM") == chosen


def test_other_systems_always_have_a_screen() -> None:
    environment: dict[str, str] = {}
    choose_platform(environment, wants_screen=True, system="darwin")
    assert environment == {}


def test_a_window_without_a_screen_is_refused() -> None:
    with pytest.raises(Problem, match="no screen"):
        choose_platform({}, wants_screen=True, system="linux")


@pytest.mark.skipif(sys.platform != "linux", reason="only there a screen can be missing")
@pytest.mark.parametrize(("display", "words"), [("", "no screen"), ("localhost:99", "cannot be opened")])
def test_the_program_says_so_and_leaves_nothing_behind(tmp_path: Path, display: str, words: str) -> None:
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | {"DISPLAY": display}
    command = [sys.executable, "-m", "app", "--basedir", str(tmp_path / "data")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == EXIT_REFUSED
    assert words in done.stderr.splitlines()[-1]
    assert not (tmp_path / "data").exists()
