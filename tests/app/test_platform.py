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
    [({}, "offscreen"), ({"DISPLAY": ":0"}, None), ({"WAYLAND_DISPLAY": "wayland-0"}, None),
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
def test_the_program_says_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-m", "app", "--basedir", str(tmp_path / "data")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == EXIT_REFUSED
    assert "no screen" in done.stderr
    assert "--screenshot" in done.stderr
    assert not (tmp_path / "data").exists()
