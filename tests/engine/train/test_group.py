"""Two processes that train together take the step that one takes on all their documents, and stop together."""

import json
import time
from functools import partial
from pathlib import Path
from threading import Event

import pytest
import torch

from engine.train.group import Alone, Group, run_together
from engine.train.loop import Trainer, run
from engine.train.plan import Plan
from tests.engine.train.test_loop import CONFIG, draw

DOCUMENTS = 8


def trainer(folder: Path, group: Group, minutes: float = 1.0) -> Trainer:
    torch.set_num_threads(1)
    plan = Plan(folder=folder, minutes=minutes, batch_tokens=DOCUMENTS * 56 // group.size, lr=5e-3, report_steps=1)
    return Trainer(plan, CONFIG, torch.device("cpu"), torch.float32, group)


def take_steps(folder: Path, group: Group) -> None:
    made = trainer(folder, group)
    reports = [made.step(same_length, 0.1) for _ in range(3)]
    made.save(folder / f"{group.rank}.safetensors")
    (folder / f"{group.rank}.json").write_text(json.dumps([[report.loss, report.tokens] for report in reports]))


def same_length(index: int, _progress: float):
    """Documents of one length, so that as many fit two halves of a batch as the whole."""
    document = draw(index, 0.0)
    return type(document)(ids=(document.ids[0] + torch.arange(57).numpy()) % 64, kind="count", type="create",
                          weights=torch.ones(57).numpy(), prompt_tokens=0)


def train_until_told(folder: Path, group: Group) -> None:
    stop = Event()
    made = trainer(folder, group, minutes=5.0)

    def drawn(index: int, progress: float):
        if made.position.step == 4 and group.rank == 0:
            stop.set()
        return draw(index, progress)

    run(made, drawn, stop.is_set)
    (folder / f"stopped-{group.rank}").write_text(str(made.position.step))


def wait_for(path: Path) -> str:
    while not path.exists():
        time.sleep(0.01)
    return path.read_text()


def test_two_members_take_the_step_of_one(tmp_path: Path) -> None:
    run_together(2, partial(take_steps, tmp_path))
    alone = trainer(tmp_path, Alone())
    wanted = [alone.step(same_length, 0.1) for _ in range(3)]
    for rank in (0, 1):
        reports = json.loads((tmp_path / f"{rank}.json").read_text())
        assert [tokens for _loss, tokens in reports] == [report.tokens for report in wanted]
        assert [loss for loss, _tokens in reports] == pytest.approx([report.loss for report in wanted], rel=1e-3)
    first, second = trainer(tmp_path, Alone()), trainer(tmp_path, Alone())
    first.resume(tmp_path / "0.safetensors")
    second.resume(tmp_path / "1.safetensors")
    assert first.position == second.position
    for name, master in first.masters.items():
        assert torch.equal(master, second.masters[name])
        assert torch.allclose(master, alone.masters[name], atol=2e-3)
    assert torch.equal(first.biases_LE, alone.biases_LE)


def test_the_first_member_decides_when_to_stop_and_alone_saves(tmp_path: Path) -> None:
    run_together(2, partial(train_until_told, tmp_path))
    assert wait_for(tmp_path / "stopped-1") == wait_for(tmp_path / "stopped-0") == "5"
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 5
