"""The commands of the README, as a person's shell runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

from PySide6.QtGui import QImage

PROMPT = "a snowy mountain scene"


SCREEN = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as on a machine without a screen, where it has to find that out by itself."""
    environment = {name: value for name, value in os.environ.items() if name not in SCREEN}
    return subprocess.run([sys.executable, "-m", *arguments], env=environment, capture_output=True, text=True,
                          timeout=170)


def test_screenshot_asks_waits_and_pictures_the_running_program(tmp_path: Path) -> None:
    picture = tmp_path / "window.png"
    done = run("app", "--basedir", str(tmp_path / "data"), "--screenshot", str(picture), "--size", "1200x800",
               "--theme", "light", "--prompt", PROMPT, "--view", "experts")
    assert done.returncode == 0, done.stderr
    image = QImage(str(tmp_path / "experts-window.png"))  # one of the view that was asked for
    assert (image.width(), image.height()) == (1200, 800)
    page = next((tmp_path / "data" / "projects").rglob("index.html"))
    assert page.read_text().startswith("<!-- mountains")


def test_what_generate_writes_runs_clean(tmp_path: Path) -> None:
    out, trace = tmp_path / "out", tmp_path / "answer.moetrace"
    done = run("engine", "generate", "--prompt", PROMPT, "--temperature", "0", "--seed", "1", "--out", str(out),
               "--trace", str(trace), "--json")
    assert done.returncode == 0, done.stderr
    turn = json.loads(done.stdout)["turns"][0]
    assert turn["completion_tokens"] > 200
    assert turn["rejects"] == []
    assert (out / "index.html").is_file()
    assert trace.stat().st_size > 1000
    checked = run("app", "check", str(out), "--seconds", "3", "--json")
    assert checked.returncode == 0, checked.stdout
    report = json.loads(checked.stdout)
    assert report["ok"]
    assert report["errors"] == []
    assert not report["blank"]
    assert report["scene"]["meshes"] >= 1
