"""A sitting: what ends it, what it may go on from, and that a run killed at any moment goes on."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from engine.train import sitting
from engine.train.__main__ import main
from engine.train.loop import Trainer, read_position
from engine.train.plan import Plan
from engine.train.sitting import Stopped, train
from engine.train.warm_start import EARLIER
from tests.engine.train.test_loop import draw, trainer

ROOT = Path(__file__).parents[3]
ENDLESS = """
import sys, torch
from dataclasses import replace
from pathlib import Path
from engine.train.loop import run
from tests.engine.train.test_loop import draw, trainer
torch.set_num_threads(1)
endless = trainer(Path(sys.argv[1]), minutes=1e6)
endless.plan = replace(endless.plan, checkpoint_seconds=0.0, report_steps=1)
run(endless, draw, lambda: False)
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where sittings train the small model of test_loop."""
    monkeypatch.setattr(sitting, "Trainer", lambda plan, *_rest: trainer(tmp_path, plan.minutes))
    monkeypatch.setattr(sitting, "make_draw", lambda _plan: draw)
    return tmp_path


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    killed = subprocess.Popen([sys.executable, "-c", ENDLESS, str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL)
    state = trainer(tmp_path).plan.checkpoint
    while not state.exists() or read_position(state).step < 3:
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    resumed = trainer(tmp_path)
    resumed.resume(state)
    whole = trainer(tmp_path)
    while whole.position.step < resumed.position.step:
        whole.step(draw, 0.0)
    assert resumed.position.sample == whole.position.sample
    for name, master in whole.masters.items():
        assert torch.equal(resumed.masters[name], master), name


def test_a_stop_is_told_and_what_comes_after_training_is_left_out(small: Path, monkeypatch) -> None:
    def stop_at_once(_trainer: Trainer, _draw: object, stopped) -> None:
        signal.raise_signal(signal.SIGTERM)
        assert stopped()
        _trainer.save(_trainer.plan.checkpoint)

    monkeypatch.setattr(sitting, "run", stop_at_once)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match=r"Stopped after 0\.0 of 5 minutes. The state is saved"):
        train(Plan(folder=small, minutes=5), 1, 1)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    monkeypatch.setattr("engine.train.__main__.make_tokenizer", lambda _plan: None)
    monkeypatch.setattr("engine.train.__main__.with_clean_kinds", lambda plan, _cache: plan)
    with pytest.raises(SystemExit, match="start again to go on"):
        main(["--folder", str(small), "--out", str(small / "model"), "--minutes", "5"])
    assert not (small / "model").exists()


def test_a_plan_that_is_done_trains_no_further(small: Path) -> None:
    done = trainer(small)
    done.position.seconds = 60.0
    done.save(done.plan.checkpoint)
    train(Plan(folder=small, minutes=1), 1, 1)
    assert read_position(done.plan.checkpoint).step == 0


def test_a_start_that_was_cut_off_is_not_gone_on_from(tmp_path: Path) -> None:
    (tmp_path / EARLIER).write_text("{}")
    with pytest.raises(ValueError, match=r"was cut off .* \(stage start\)"):
        train(Plan(folder=tmp_path, minutes=1), 1, 1)
