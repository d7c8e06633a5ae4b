"""The loop: a run that was stopped and resumed ends with the weights of one that was not; batches and schedule."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.train.data import Document, fill, pack
from engine.train.loop import LOAD_REPORTS, Trainer, mean_load, read_position, run
from engine.train.plan import NANO_CONFIG, Plan, rate_factor, stage

CONFIG: dict[str, Any] = {
    **NANO_CONFIG, "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48,
    "moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2, "q_lora_rank": 24, "kv_lora_rank": 16,
    "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "num_attention_heads": 2,
    "max_position_embeddings": 128,
}


def draw(index: int, _progress: float) -> Document:
    """Sequences that count upwards from anywhere: learnable in a few steps."""
    generator = np.random.default_rng(index)
    ids = (generator.integers(0, 64) + np.arange(generator.integers(8, 60))) % 64
    return Document(ids=ids.astype(np.int64), weights=np.ones(len(ids), np.float32), kind="count", type="create",
                    prompt_tokens=0)


def trainer(folder: Path, minutes: float = 1.0) -> Trainer:
    plan = Plan(folder=folder, minutes=minutes, batch_tokens=256, lr=5e-3)
    return Trainer(plan, CONFIG, torch.device("cpu"), torch.float32)


def test_stopped_and_resumed_gives_the_same_weights(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole = trainer(tmp_path)
    for _ in range(6):
        whole.step(draw, 0.1)
    first = trainer(tmp_path)
    for _ in range(3):
        first.step(draw, 0.1)
    first.save(first.plan.checkpoint)
    second = trainer(tmp_path)
    second.resume(second.plan.checkpoint)
    for _ in range(3):
        second.step(draw, 0.1)
    assert second.position == whole.position
    assert all(torch.equal(second.masters[name], whole.masters[name]) for name in whole.masters)
    assert torch.equal(second.biases_LE, whole.biases_LE)


def test_training_learns_and_reports(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    trained = trainer(tmp_path)
    first = trained.step(draw, 0.0)
    for _ in range(60):
        last = trained.step(draw, 0.0)
    assert last.answer_loss < first.answer_loss / 3
    assert last.by_type == {"create": sum(last.by_type.values())}
    assert len(last.load) == 1


def test_a_run_saves_when_it_is_stopped(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    trained = trainer(tmp_path, minutes=1e6)
    run(trained, draw, lambda: trained.position.step >= 3)
    again = trainer(tmp_path)
    again.resume(again.plan.checkpoint)
    assert again.position.step == 3
    assert again.position.seconds > 0


def test_the_load_at_the_end_is_that_of_the_last_reports(tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path, minutes=1)
    assert mean_load(plan) == []
    lines = [{"load": [9.0, 9.0]}] * 5 + [{"load": [1.0, 2.0]}, {"load": [2.0, 4.0]}] * (LOAD_REPORTS // 2)
    whole = "".join(json.dumps(line) + "\n" for line in lines)
    plan.metrics.write_text('{"load": [7.' + '{"load": [7.0, 7.0]}\n' + whole)  # cut off when it was killed
    assert mean_load(plan) == [1.5, 3.0]
    plan.metrics.write_text(whole + '{"load": [7.')
    assert mean_load(plan) == [1.5, 3.0]


def test_a_loss_that_is_no_number_changes_nothing(tmp_path: Path) -> None:
    broken = trainer(tmp_path)
    broken.network.weights["embed"].data.fill_(float("nan"))
    before = {name: master.clone() for name, master in broken.masters.items()}
    with pytest.raises(ValueError, match=r"not a number at step 0.* lower --lr"):
        broken.step(draw, 0.0)
    assert all(torch.equal(broken.masters[name], master) for name, master in before.items())
    with pytest.raises(ValueError, match="There is no training state"):
        read_position(broken.plan.checkpoint)


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    trained = trainer(tmp_path)
    trained.save(trained.plan.checkpoint)
    other = Trainer(trained.plan, {**CONFIG, "vocab_size": 48}, torch.device("cpu"), torch.float32)
    with pytest.raises(ValueError, match="another model"):
        other.resume(trained.plan.checkpoint)


def test_batches_keep_the_budget_and_lose_no_sample() -> None:
    documents, index = fill(lambda i: draw(i, 0.0), 0, 256, 50)
    again, _end = fill(lambda i: draw(i, 0.0), index, 256, 50)
    lengths = [len(draw(i, 0.0).ids) for i in range(100)]
    wanted = [length for length in lengths if length - 1 <= 50]
    got = [len(document.ids) for document in documents + again]
    assert got == wanted[: len(got)]
    batch = pack(documents, torch.device("cpu"), torch.float32)
    assert len(batch.tokens_T) == sum(len(document.ids) - 1 for document in documents) <= 256
    assert batch.segments[-1].stop == len(batch.tokens_T)


def test_the_rate_warms_up_and_falls_with_time() -> None:
    assert rate_factor(0, 0.0) < 0.05
    assert rate_factor(1000, 0.1) == 1.0
    assert rate_factor(1000, 0.6) < 1.0
    assert rate_factor(1000, 1.0) == pytest.approx(0.03)


def test_edits_come_when_the_plan_says() -> None:
    plan = Plan(folder=Path(), minutes=1, edits_from=0.5)
    assert stage(plan, 0.4) == "short"
    assert stage(plan, 0.6) == "full"
