"""`expertarium check` as scripts use it: a process, its exit code, and JSON on stdout."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtGui import QImage

MOVING = """<!-- moves and listens to keys -->
<!DOCTYPE html><canvas id="c" width="300" height="200"></canvas><script>
const g = c.getContext('2d');
let x = 0, y = 50;
addEventListener('keydown', (event) => { if (event.key === 'ArrowUp') y = 120; });
(function draw() {
  requestAnimationFrame(draw); x = (x + 1) % 300; g.clearRect(0, 0, 300, 200); g.fillRect(x, y, 30, 30);
})();
</script>"""
STILL = """<!DOCTYPE html><h1>Text that can be selected, in the middle of the page</h1>
<button onclick="document.body.append(' pressed')">Press</button>"""
CHOOSER = """<!DOCTYPE html><input type="file" style="width: 400px; height: 300px">
<script>document.querySelector('input').oncancel = () => document.body.append('nothing chosen');</script>"""
FAULTY = """<!DOCTYPE html><p>text</p>
<img src="https://example.com/picture.png">
<script>
missing();
</script>"""
SCENE = """<!DOCTYPE html><body><script type="module">
import * as THREE from 'https://cdn.jsdelivr.net/npm/three@0.160.0/build/three.module.js';
const scene = new THREE.Scene(); const camera = new THREE.PerspectiveCamera(60, 1, 0.1, 100); camera.position.z = 4;
const renderer = new THREE.WebGLRenderer(); renderer.setSize(200, 200); document.body.append(renderer.domElement);
const cube = new THREE.Mesh(new THREE.BoxGeometry(), new THREE.MeshNormalMaterial()); scene.add(cube);
renderer.setAnimationLoop(() => { cube.rotation.y += 0.05; renderer.render(scene, camera); });
</script>"""


def check(*arguments: str | Path) -> tuple[int, Any, str]:
    command = [sys.executable, "-m", "app", "check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else None, done.stderr


def page(folder: Path, name: str, text: str) -> Path:
    file = folder / f"{name}.html"
    file.write_text(text)
    return file


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One started checker over several pages; the hung one in the middle must not spoil those after it."""
    folder = tmp_path_factory.mktemp("pages")
    pages = {
        "moving": MOVING, "hung": "<p>x</p><script>for (;;);</script>", "still": STILL, "faulty": FAULTY,
        "chooser": CHOOSER, "blank": "<!DOCTYPE html><body></body>", "scene": SCENE,
    }  # fmt: skip
    paths = [page(folder, name, text) for name, text in pages.items()]
    code, values, _ = check("--json", "--seconds", "0.8", "--screenshot", folder / "shot.png", *paths)
    assert code == 1
    found = dict(zip(pages, values, strict=True))
    found["folder"] = folder
    return found


def test_a_moving_page_that_reacts_to_keys(reports: dict[str, Any]) -> None:
    report = reports["moving"]
    assert (report["ok"], report["blank"], report["moved"]) == (True, False, True)
    assert (report["reacted"], report["reacted_to"]) == (True, ["keys"])
    assert report["fps"] > 5
    assert report["scene"] is None


def test_a_page_that_loops_for_ever_is_reported(reports: dict[str, Any]) -> None:
    report = reports["hung"]
    assert not report["ok"]
    assert [error["kind"] for error in report["errors"]] == ["stopped"]
    assert "did not answer" in report["errors"][0]["message"]


def test_a_page_that_stands_still_reacts_to_its_button_and_not_to_selected_text(reports: dict[str, Any]) -> None:
    report = reports["still"]
    assert (report["ok"], report["moved"], report["reacted_to"]) == (True, False, ["mouse"])
    assert report["fps"] is None
    assert (reports["faulty"]["moved"], reports["faulty"]["reacted"]) == (False, False)


def test_a_page_that_asks_for_a_file_waits_for_nobody(reports: dict[str, Any]) -> None:
    assert reports["chooser"]["ok"]
    assert reports["chooser"]["reacted"]


def test_errors_and_refused_requests_are_listed(reports: dict[str, Any]) -> None:
    report = reports["faulty"]
    assert not report["ok"]
    assert [(error["path"], error["line"]) for error in report["errors"]] == [("faulty.html", 4)]
    assert report["blocked_requests"] == [{"address": "https://example.com/picture.png", "kind": "img-src"}]


def test_an_empty_page_is_blank_and_not_ok(reports: dict[str, Any]) -> None:
    report = reports["blank"]
    assert (report["ok"], report["blank"], report["errors"]) == (False, True, [])


def test_a_scene_is_counted(reports: dict[str, Any]) -> None:
    report = reports["scene"]
    assert report["ok"], report
    assert (report["scene"]["meshes"], report["scene"]["triangles"], report["scene"]["lights"]) == (1, 12, 0)
    assert report["moved"]


def test_every_page_has_its_screenshot(reports: dict[str, Any]) -> None:
    picture = QImage(reports["scene"]["screenshot"])
    assert (picture.width(), picture.height()) == (800, 500)
    assert Path(reports["moving"]["screenshot"]) == reports["folder"] / "shot-1.png"
    assert reports["hung"]["screenshot"] is None


def test_a_clean_project_folder_exits_with_zero(tmp_path: Path) -> None:
    page(tmp_path, "index", STILL)
    code, value, _ = check(tmp_path, "--seconds", "0.3", "--no-input", "--json")
    assert code == 0
    assert (value["ok"], value["path"]) == (True, str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nowhere.html"], "does not exist"),
        (["."], "no HTML file"),
        ([__file__, "--seconds", "-1"], "--seconds"),
        ([__file__, "--keys", "Sideways"], "Sideways"),
        ([__file__, "--size", "big"], "--size"),
    ],
)
def test_wrong_arguments_are_told(
    arguments: list[str], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from app import cli

    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", *arguments]) == 2
    assert word in capsys.readouterr().err


def test_a_served_checker_answers_line_by_line(tmp_path: Path) -> None:
    good, picture = page(tmp_path, "good", STILL), tmp_path / "good.png"
    orders = [json.dumps({"path": str(good), "screenshot": str(picture)}), json.dumps({"path": "nowhere.html"}), "no"]
    command = [sys.executable, "-m", "app", "check", "--serve", "--no-input", "--seconds", "0.3"]
    done = subprocess.run(command, input="\n".join(orders), capture_output=True, text=True, timeout=150, check=False)
    first, second, third = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, first["ok"], first["screenshot"]) == (0, True, str(picture))
    assert picture.exists()
    assert "does not exist" in second["problem"]
    assert third["problem"]
    assert check("--json")[0] == 2
