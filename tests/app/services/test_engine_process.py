"""The engine process is started, watched, restarted, and ends with us."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from app.core.wire import ChatRequest
from app.services.engine_process import MAX_QUICK_DEATHS, EngineProcess

WAIT_MS = 60_000
ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, str(ROOT / "tests" / "fake_engine.py"), "serve", "--exit-with-parent"]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def make(qapp):
    made = []

    def start(*arguments, **options):
        process = EngineProcess([*COMMAND, *arguments], first_delay_ms=10, **options)
        made.append(process)
        return process

    yield start
    for process in made:
        process.stop()
        process.deleteLater()


def wait_until_ready(qtbot, process):
    with qtbot.waitSignal(process.model_described, timeout=WAIT_MS) as described:
        process.start()
    return described.args[0]


def test_it_loads_with_progress_and_then_answers(make, qtbot):
    process = make("--loading", "2", "--text", "Hi there.")
    states = []
    process.state_changed.connect(states.append)
    model = wait_until_ready(qtbot, process)
    assert (model.id, model.num_experts) == ("fake-moe", 8)
    assert [state.phase for state in states] == ["starting", "loading", "loading", "ready"]
    assert states[2].progress == 0.5
    assert process.state.model == "fake-moe"
    reply = process.endpoint.chat(ChatRequest(messages=({"role": "user", "content": "hi"},)))
    with qtbot.waitSignal(reply.finished, timeout=WAIT_MS) as finished:
        pass
    assert finished.args[0].text == "Hi there."
    assert "engine log line" in process.log_tail()


def test_after_kill_9_it_says_so_and_comes_back(make, qtbot):
    process = make()
    wait_until_ready(qtbot, process)
    first = process.pid
    with qtbot.waitSignals([process.died, process.model_described], timeout=WAIT_MS):
        os.kill(first, signal.SIGKILL)
    assert process.pid != first
    assert (process.state.phase, process.state.restarts) == ("ready", 1)


def test_an_engine_that_cannot_start_is_given_up_with_its_reason(make, qtbot):
    process = make("--broken")
    reasons = []
    process.died.connect(reasons.append)
    process.start()
    qtbot.waitUntil(lambda: process.state.phase == "failed", timeout=WAIT_MS)
    assert len(reasons) == MAX_QUICK_DEATHS
    assert "no such weights" in process.state.message


def test_a_command_that_is_not_there_is_told(qapp, qtbot):
    process = EngineProcess(["/no/such/python"], first_delay_ms=1)
    process.start()
    qtbot.waitUntil(lambda: process.state.phase == "failed", timeout=WAIT_MS)
    assert "could not be started" in process.state.message
    process.stop()


def test_a_model_that_cannot_be_loaded_is_told_without_restarts(make, qtbot, tmp_path):
    process = make("--refuse-model", model_dir=tmp_path)
    process.start()
    qtbot.waitUntil(lambda: process.state.phase == "failed", timeout=WAIT_MS)
    assert process.state.message == f"{tmp_path} has no config.json."
    assert process.pid


def test_stop_ends_it_and_restart_starts_another(make, qtbot):
    process = make()
    wait_until_ready(qtbot, process)
    first = process.pid
    deaths = []
    process.died.connect(deaths.append)
    with qtbot.waitSignal(process.model_described, timeout=WAIT_MS):
        process.restart()
        assert (process.state.phase, process.pid) == ("starting", 0)  # the first one is not waited for
        process.start()  # what is under way is not begun twice
    assert not psutil.pid_exists(first)
    second = process.pid
    process.restart()
    process.stop()
    assert not psutil.pid_exists(second)
    qtbot.wait(50)  # the next one would have been started by now
    assert process.pid == 0
    process.start()
    wait_until_ready(qtbot, process)
    process.stop()
    assert (process.state.phase, process.pid, deaths) == ("stopped", 0, [])


OWNER = """
import sys
from PySide6.QtCore import QCoreApplication
from app.services.engine_process import EngineProcess
app = QCoreApplication([])
process = EngineProcess(sys.argv[1:])
process.model_described.connect(lambda model: print(process.pid, flush=True))
process.start()
app.exec()
"""


def test_it_ends_when_the_program_is_killed(qapp):
    command = [sys.executable, "-c", OWNER, *COMMAND]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        line = owner.stdout.readline()
        owner.kill()
    engine = int(line)
    try:
        psutil.Process(engine).wait(timeout=30)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        os.kill(engine, signal.SIGKILL)
        raise
