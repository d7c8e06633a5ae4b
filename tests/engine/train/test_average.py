"""Means of training states."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine.train.__main__ import main
from engine.train.average import average_states


def write_state(path: Path, value: float, step: int, width: int = 3) -> Path:
    tensors = {"w.embed": torch.full((2, width), value), "o.head": torch.full((4,), -value, dtype=torch.bfloat16)}
    save_file(tensors, path, metadata={"position": json.dumps({"step": step})})
    return path


def test_the_mean_goes_by_shares_and_keeps_the_last_position(tmp_path: Path) -> None:
    states = [write_state(tmp_path / "a", 1.0, 10), write_state(tmp_path / "b", 5.0, 20)]
    average_states(states, (0.25, 0.75), tmp_path / "b")
    with safe_open(tmp_path / "b", framework="pt") as file:
        assert torch.equal(file.get_tensor("w.embed"), torch.full((2, 3), 4.0))
        assert torch.equal(file.get_tensor("o.head"), torch.full((4,), -4.0, dtype=torch.bfloat16))
        assert json.loads(file.metadata()["position"]) == {"step": 20, "shares": [0.25, 0.75]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.6), (0.2, 0.3, 0.5)])
def test_shares_that_do_not_fit_are_refused(tmp_path: Path, shares: tuple[float, ...]) -> None:
    states = [write_state(tmp_path / "a", 1.0, 1), write_state(tmp_path / "b", 2.0, 2)]
    with pytest.raises(ValueError, match="one share for each state"):
        average_states(states, shares, tmp_path / "c")


def test_a_file_that_is_no_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no state")
    for name in ("text", "missing"):
        with pytest.raises(ValueError, match=f"{name} can't be read as a training state"):
            average_states([tmp_path / name], (1.0,), tmp_path / "out")


def test_the_command_names_a_state_of_another_model(tmp_path: Path) -> None:
    write_state(tmp_path / "a", 1.0, 1)
    write_state(tmp_path / "b", 1.0, 1, width=4)
    with pytest.raises(SystemExit, match="b is a state of another model"):
        main(["average", "--folder", str(tmp_path / "run"), "--states", str(tmp_path / "a"), str(tmp_path / "b"),
              "--shares", "0.5", "0.5"])
    assert not list((tmp_path / "run").iterdir())
