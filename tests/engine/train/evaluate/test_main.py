"""What `make eval` keeps: the usual whole, in the card; anything less is printed alone."""

import json
from pathlib import Path

import pytest

from engine.train.evaluate import __main__ as evaluate

NANO = Path(__file__).parents[4] / "resources" / "models" / "nano"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder whose evaluation is one with a mark in it."""
    report = json.loads((NANO / "evaluation.json").read_text("utf-8"))
    report["greedy"]["clean"] = {"share": 0.123, "of": 1000}
    monkeypatch.setattr(evaluate, "evaluate", lambda *_: {**report, "wrong": []})
    (tmp_path / "training.json").write_text((NANO / "training.json").read_text("utf-8"), "utf-8")
    (tmp_path / "README.md").write_text("the card", "utf-8")
    return tmp_path


def test_the_usual_whole_is_kept(model: Path, capsys) -> None:
    evaluate.main(["--model", str(model), "--cache", str(model / "cache")])
    assert "12% (1000)" in (model / "README.md").read_text("utf-8")
    assert json.loads((model / "evaluation.json").read_text("utf-8"))["greedy"]["clean"]["of"] == 1000
    assert json.loads(capsys.readouterr().out)["wrong"] == []


@pytest.mark.parametrize("less", [["--seed", "2"], ["--count", "24"], ["--kinds", "snake"], ["--no-pages"]])
def test_less_is_only_printed(model: Path, capsys, less: list[str]) -> None:
    evaluate.main(["--model", str(model), "--cache", str(model / "cache"), *less])
    assert (model / "README.md").read_text("utf-8") == "the card"
    assert not (model / "evaluation.json").exists()
    assert json.loads(capsys.readouterr().out)["greedy"]["clean"]["of"] == 1000
