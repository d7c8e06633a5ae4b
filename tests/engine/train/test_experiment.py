"""The experiment: what a spike is, the methods differ in what they are meant to, runs are kept, the page is written."""

import json
from pathlib import Path

import torch

from engine.train import experiment
from engine.train.experiment import METHODS, Bytes, Course, Run, count_spikes, main

SMALL = Course(steps=4, documents=2, length=64)


def test_a_spike_is_far_above_the_steps_before_it_and_counts_once() -> None:
    calm = [1.0 + 0.01 * (step % 7) for step in range(200)]
    assert count_spikes(calm) == 0
    high = list(calm)
    high[100:104] = [3.0, 4.0, 3.5, 2.0]
    high[170] = float("nan")
    assert count_spikes(high) == 2


def test_methods_share_start_and_batches_and_differ_in_steps() -> None:
    torch.set_num_threads(1)
    data = Bytes("train")
    runs = {method: Run(method, 1, SMALL) for method in METHODS}
    first = {method: run.step(data.batch("1/0", SMALL), 0) for method, run in runs.items()}
    assert len({report["loss"] for report in first.values()}) == 1
    matrix = {method: run.masters["layers.0.q_b"] for method, run in runs.items()}
    assert not torch.equal(matrix["AdamW"], matrix["Muon"])
    assert torch.equal(matrix["Muon"], matrix["MuonClip"])
    norms = {method: run.masters["norm"] for method, run in runs.items()}
    assert torch.equal(norms["AdamW"], norms["Muon"])


def test_only_muonclip_clips() -> None:
    torch.set_num_threads(1)
    course = Course(steps=1, documents=2, length=64, tau=0.01)
    data = Bytes("train")
    clipped = {method: Run(method, 1, course).step(data.batch("1/0", course), 0)["clipped"] for method in METHODS}
    assert clipped["MuonClip"] > 0
    assert clipped["Muon"] == clipped["AdamW"] == 0


def test_runs_are_kept_and_written_up(tmp_path: Path, monkeypatch) -> None:
    arguments = ["--out", str(tmp_path), "--steps", "3", "--seeds", "1"]
    main(arguments)
    document = json.loads((tmp_path / "muonclip.json").read_text("utf-8"))
    assert [run["method"] for run in document["runs"]] == list(METHODS)
    assert all(len(run["losses"]) == 3 and len(run["load"]) == 2 for run in document["runs"])
    page = (tmp_path / "muonclip.md").read_text("utf-8")
    assert "| largest logit of any head, ever | " in page
    assert "A spike is a step" in page
    held_out = {run["method"]: run["held_out_loss"] for run in document["runs"]}
    assert f"Held-out loss was {held_out['MuonClip']:.2f} with the clip and\n  {held_out['Muon']:.2f} without" in page
    assert (tmp_path / "muonclip.png").stat().st_size > 10_000
    done: list[tuple[str, int]] = []
    measured = {run["method"]: run for run in document["runs"]}
    monkeypatch.setattr(experiment, "measure", lambda method, seed, *_: done.append((method, seed)) or measured[method])
    main([*arguments, "--draw"])
    assert done == []
    main(arguments)  # all are there: anew
    assert done == [(method, 1) for method in METHODS]
    (tmp_path / "muonclip.json").write_text(json.dumps({**document, "runs": document["runs"][:2]}))
    done.clear()
    main(arguments)  # stopped after two
    assert done == [(method, 1) for method in list(METHODS)[2:]]
