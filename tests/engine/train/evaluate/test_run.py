"""The course of an evaluation with a model that answers from a list: answers kept, pages run, one retry, the sheet."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, cast

import pytest
from PIL import Image

from engine.train.evaluate.answers import Answers, Question, answering
from engine.train.evaluate.items import Item
from engine.train.evaluate.pages import Checker, Pages, Runners, was_stopped
from engine.train.evaluate.run import Evaluation, Wanted, run_corpus
from engine.train.evaluate.sheet import CELL, COLUMNS, draw_sheet
from engine.train.faults import misspell, report_errors

NANO = Path(__file__).parents[4] / "resources" / "models" / "nano"
WANTED = Wanted(kinds=("snake",), count=24, sampled=1)


class Listed:
    """Stands for Answers: says what the corpus says, but for what is put in `other`."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}
        self.other: dict[str, str] = {}
        self.asked: list[Question] = []

    def __getitem__(self, question: Question) -> str:
        return self.other.get(question.key, self.said.get(question.key.split("@")[0], "No."))

    def ask(self, questions: Sequence[Question], tell: Callable[[str], None]) -> None:
        self.asked += questions


class Reading(Checker):
    """Says what is wrong from the text, without a browser.

    A page that says DEAF reacts to nothing; one that says SLOW is stopped the first time.
    """

    slow: ClassVar[set[str]] = set()

    def ask(self, order: dict[str, str]) -> dict[str, object]:
        text = Path(order["path"]).read_text("utf-8")
        Image.new("RGB", (80, 50), "red" if "BROKEN" in text else "green").save(order["screenshot"])
        errors: list[dict[str, object]] = []
        if "BROKEN" in text:
            errors.append({"kind": "error", "message": "Uncaught ReferenceError: BROKEN is not defined", "line": 2})
        if "SLOW" in text and text not in self.slow:
            self.slow.add(text)
            errors.append({"kind": "stopped", "message": "The page was stopped.", "line": None})
        return {"ok": not errors, "blank": False, "moved": True, "errors": errors, "page": {}, "scene": None,
                "reacted_to": ["keys"] if "DEAF" not in text else []}


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.train.evaluate.pages.Checker", Reading)


def evaluation(folder: Path, listed: Listed) -> Evaluation:
    used = Pages(folder / "used", use_input=True)
    runners = Runners(used=used, seen=Pages(folder / "seen", use_input=False, fuller=used))
    made = Evaluation(WANTED, cast("Answers", listed), runners)
    for item in made.items:
        listed.said[Question(messages=item.sample.messages).key.split("@")[0]] = item.sample.answer
    return made


@pytest.mark.usefixtures("reading")
def test_a_broken_page_is_sent_back_once_and_only_the_retry_counts_it_as_mended(tmp_path: Path) -> None:
    listed = Listed()
    made = evaluation(tmp_path, listed)
    item = next(item for item in made.items if item.sample.type == "create")
    broken = item.sample.program.replace("\n", "\nBROKEN();\n", 1)
    listed.other[Question(messages=item.sample.messages).key] = f"```html index.html\n{broken}```"
    report = made.report()
    assert report["greedy"]["clean"]["share"] < 1
    assert report["greedy"]["asked_in_source"]["share"] == 1
    retry = listed.asked[-1]
    assert retry.messages[0]["content"].endswith("BROKEN is not defined\n  `BROKEN();`")
    assert report["after_one_retry"]["clean"] == report["greedy"]["clean"]
    listed.other[retry.key] = f"```html index.html\n{item.sample.program}```"
    assert made.report()["after_one_retry"]["clean"]["share"] == 1
    assert [record["errors"] for record in report["wrong"]] == [["Uncaught ReferenceError: BROKEN is not defined"]]


@pytest.mark.usefixtures("reading")
def test_the_right_answers_have_full_marks(tmp_path: Path) -> None:
    report = evaluation(tmp_path, Listed()).report()
    assert all(figure["share"] == 1 for figure in report["greedy"].values())
    assert report["below_aims"] == report["far_below_aims"] == {}
    assert report["greedy"]["by_hand_exact"]["share"] == 1
    assert report["sampled"]["clean"]["of"] == 3
    assert report["wrong"] == []


@pytest.mark.usefixtures("reading")
def test_a_page_is_to_react_as_the_corpus_s_page_for_the_same_request_does(tmp_path: Path) -> None:
    listed = Listed()
    made = evaluation(tmp_path, listed)
    first, second = [item for item in made.items if item.sample.type == "create"][:2]
    for item in (first, second):
        deaf = item.sample.program.replace("\n", "\n// DEAF\n", 1)
        listed.other[Question(messages=item.sample.messages).key] = f"```html index.html\n{deaf}```"
    made.items[made.items.index(first)] = Item(
        key=first.key, sample=replace(first.sample, program=first.sample.program.replace("\n", "\n// DEAF\n", 1)))
    figures = made.report()["greedy"]
    new = [item for item in made.items if item.sample.type in {"create", "switch"}]
    assert figures["reacts"] == {"share": round(1 - 1 / (len(new) - 1), 4), "of": len(new) - 1}


@pytest.mark.usefixtures("reading")
def test_the_corpus_s_own_pages_need_no_model(tmp_path: Path) -> None:
    clean = run_corpus(WANTED, tmp_path)
    assert list(clean) == ["snake"]
    assert clean["snake"]["share"] == 1
    assert (clean["snake"]["of"] or 0) > 20
    assert len(list((tmp_path / "pages" / "used").glob("*.json"))) >= 12


@pytest.mark.usefixtures("reading")
def test_the_sheet_shows_new_programs_in_order(tmp_path: Path) -> None:
    shown = draw_sheet(evaluation(tmp_path, Listed()), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > COLUMNS * CELL[0]
        assert shown["pictures"] >= 12
        pixel = sheet.convert("RGB").getpixel((40, 40))
        assert isinstance(pixel, tuple)
        assert pixel[1] > 100 > pixel[0]


@pytest.mark.usefixtures("reading")
def test_reports_are_kept_and_a_fuller_one_serves(tmp_path: Path) -> None:
    used = Pages(tmp_path / "used", use_input=True)
    seen = Pages(tmp_path / "seen", use_input=False, fuller=used)
    told: list[str] = []
    used.run(["<p>a</p>", "<p>a</p>"], told.append)
    seen.run(["<p>a</p>", "<p>b</p>"], told.append)
    assert told == ["pages: 1 of 1", "pages: 1 of 1"]
    report = seen.report("<p>a</p>")
    assert report is not None
    assert len(report["colors"]) == 40
    assert seen.picture("<p>a</p>").exists()
    assert used.report("<p>b</p>") is None


@pytest.mark.usefixtures("reading")
def test_a_page_that_was_stopped_beside_others_is_run_again_by_itself(tmp_path: Path) -> None:
    pages = Pages(tmp_path, use_input=True)
    pages.run(["<p>SLOW</p>", "<p>fast</p>", "<p>SLOW and BROKEN</p>"], lambda _text: None)
    reports = [pages.report(text) for text in ("<p>SLOW</p>", "<p>SLOW and BROKEN</p>")]
    assert [report["ok"] for report in reports if report] == [True, False]
    assert not any(was_stopped(report) for report in reports)


def test_a_checker_really_runs_pages_one_after_the_other(tmp_path: Path) -> None:
    pages = Pages(tmp_path, use_input=False)
    good = "<!DOCTYPE html><body style='background: teal'><h1>Hello there</h1>"
    bad = "<!DOCTYPE html><h1>x</h1>\n<script>\nmissing();\n</script>"
    try:
        pages.run([good, bad], lambda _text: None)
    finally:
        pages.close()
    first, second = pages.report(good), pages.report(bad)
    assert first is not None
    assert second is not None
    assert first["ok"]
    assert first["colors"][-1] == [0, 128, 128]
    assert pages.picture(good).exists()
    assert second["errors"][0]["line"] == 3
    assert report_errors(second["errors"], bad).endswith(
        "- index.html:3: Uncaught ReferenceError: missing is not defined\n  `missing();`")


def test_where_no_page_can_be_run_that_is_said_and_nothing_is_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("engine.train.evaluate.pages.sys.executable", "false")
    pages = Pages(tmp_path, use_input=False)
    with pytest.raises(ValueError, match="no page can be run here"):
        pages.run(["<p>good</p>"], lambda _text: None)
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_ends_the_checker_is_said_to(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Checker, "_asked", lambda _self, order: {"ok": True} if "plain" in order["path"] else None)
    (tmp_path / "page.html").touch()
    report = Checker(use_input=False).ask({"path": str(tmp_path / "page.html")})
    assert report["errors"][0]["kind"] == "stopped"


def test_answers_are_kept_and_not_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question(messages=({"role": "user", "content": "hello"},))
    monkeypatch.setattr("engine.train.evaluate.answers.ANSWER_TOKENS", 6)
    with answering(NANO, tmp_path) as answers:
        answers.ask([question], lambda _text: None)
        text = answers[question]
    (path,) = tmp_path.glob("*/answers.jsonl")
    assert json.loads(path.read_text("utf-8")) == {"key": question.key, "text": text}
    with path.open("a") as file:
        file.write('{"key": "cut o')  # killed while it wrote
    with answering(NANO, tmp_path) as again:
        again.ask([question], pytest.fail)
        assert again[question] == text


def test_reports_of_faults_are_those_of_the_checker() -> None:
    import random

    fault = misspell("\nconst scene = new THREE.Scene();\nrenderer.setSize(1);\n", random.Random(1))
    assert fault.report() == report_errors([{"message": fault.message, "line": fault.line}], fault.program)
