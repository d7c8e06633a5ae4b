"""A kind whose programs don't run clean is not trained."""

import shutil
from pathlib import Path

import pytest

from engine.train.__main__ import with_clean_kinds
from engine.train.corpus import CORPUS_FOLDER, Corpus
from engine.train.evaluate.clean_kinds import PROGRAMS, unclean_kinds
from engine.train.plan import Plan
from tests.engine.train.evaluate.test_run import Reading


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Two kinds, of which one calls what is not there."""
    monkeypatch.setattr("engine.train.evaluate.pages.Checker", Reading)
    shutil.copytree(CORPUS_FOLDER, tmp_path / "corpus")
    kind = tmp_path / "corpus" / "kinds" / "snake.toml"
    kind.write_text(kind.read_text("utf-8").replace("addEventListener('keydown'", "BROKEN('keydown'"), "utf-8")
    return Corpus(1, "train", kinds=("snake", "pong"), folder=tmp_path / "corpus")


def test_a_kind_is_told_with_its_fault(corpus: Corpus, tmp_path: Path) -> None:
    assert unclean_kinds(corpus, tmp_path, lambda _text: None) == {
        "snake": "Uncaught ReferenceError: BROKEN is not defined"}
    assert len(list((tmp_path / "pages" / "used").glob("*.json"))) == 2 * PROGRAMS


def test_the_plan_goes_on_without_it(corpus: Corpus, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("engine.train.__main__.Corpus", lambda *_args, **_named: corpus)
    plan = with_clean_kinds(Plan(folder=tmp_path, minutes=1), tmp_path)
    assert plan.kinds == ("pong",)
    told = "snake is not trained, because a program of it did not run clean: Uncaught ReferenceError: BROKEN is not"
    assert f"{told} defined. Mend" in capsys.readouterr().err
    del corpus.kinds["pong"]
    with pytest.raises(ValueError, match="No kind of program runs clean"):
        with_clean_kinds(plan, tmp_path)
