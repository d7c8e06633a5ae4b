"""Open files: edits, saving, changes on the disk, and unsaved text after a crash."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.documents import Documents, TextChange, apply_changes, codepoint_offset
from app.core.problem import Problem
from app.core.workspace import Workspace


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    project = tmp_path / "project"
    project.mkdir()
    (project / "index.html").write_text("one\ntwo\n")
    return Documents(Workspace(project), tmp_path / "drafts" / "project.json")


def reopened(documents: Documents, tmp_path: Path) -> Documents:
    return Documents(documents.workspace, tmp_path / "drafts" / "project.json")


def test_an_edit_makes_a_file_dirty_and_saving_writes_it(documents: Documents) -> None:
    documents.open("index.html")
    documents.edit("index.html", [TextChange(0, 3, "three")])
    assert documents.dirty_paths() == ["index.html"]
    documents.save("index.html")
    assert documents.dirty_paths() == []
    assert documents.workspace.read_text("index.html") == "three\ntwo\n"


@given(st.text(alphabet="ab😀é\n", max_size=30), st.data())
def test_changes_count_in_utf16_units(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    units = [len(text[:offset].encode("utf-16-le")) // 2 for offset in (start, end)]
    changed = apply_changes(text, [TextChange(units[0], units[1] - units[0], "😀x")])
    assert changed == text[:start] + "😀x" + text[end:]
    assert codepoint_offset(text, units[1]) == end


def test_several_changes_of_one_edit_count_in_the_text_before_it() -> None:
    assert apply_changes("abcdef", [TextChange(1, 1, "BB"), TextChange(4, 1, "")]) == "aBBcdf"
    with pytest.raises(ValueError, match="outside"):
        apply_changes("abc", [TextChange(2, 5, "")])


def test_unsaved_text_and_open_tabs_are_back_after_a_crash(documents: Documents, tmp_path: Path) -> None:
    documents.open("index.html")
    documents.set_text("index.html", "typed")
    documents.store_drafts()
    again = reopened(documents, tmp_path)
    assert again.paths() == ["index.html"]
    assert again["index.html"].text == "typed"
    assert again.dirty_paths() == ["index.html"]


def test_a_clean_file_takes_what_is_on_the_disk(documents: Documents) -> None:
    documents.open("index.html")
    documents.workspace.write_text("index.html", "from outside")
    assert [(change.path, change.kind) for change in documents.check_disk()] == [("index.html", "reloaded")]
    assert documents["index.html"].text == "from outside"
    assert documents.check_disk() == []


def test_a_dirty_file_keeps_what_was_typed_until_the_person_decides(documents: Documents) -> None:
    documents.open("index.html")
    documents.set_text("index.html", "typed")
    documents.workspace.write_text("index.html", "from outside")
    assert [change.kind for change in documents.check_disk()] == ["conflict"]
    assert documents["index.html"].text == "typed"
    documents.take_disk("index.html")
    assert documents["index.html"].text == "from outside"
    assert documents.dirty_paths() == []


def test_a_file_deleted_on_the_disk_stays_open_as_unsaved(documents: Documents, tmp_path: Path) -> None:
    documents.open("index.html")
    documents.workspace.delete("index.html")
    assert [change.kind for change in documents.check_disk()] == ["deleted"]
    assert documents.dirty_paths() == ["index.html"]
    documents.store_drafts()
    assert reopened(documents, tmp_path)["index.html"].text == "one\ntwo\n"
    documents.save("index.html")
    assert documents.workspace.read_text("index.html") == "one\ntwo\n"


def test_damaged_drafts_are_no_obstacle(documents: Documents, tmp_path: Path) -> None:
    (tmp_path / "drafts").mkdir()
    (tmp_path / "drafts" / "project.json").write_text('{"open": 3')
    assert reopened(documents, tmp_path).paths() == []


def test_a_file_that_cannot_be_saved_stays_unsaved(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    documents.open("index.html")
    documents.set_text("index.html", "typed")

    def full(_path: str, _text: str) -> None:
        raise Problem("index.html could not be saved", "the disk is full", "free some space and save again")

    monkeypatch.setattr(documents.workspace, "write_text", full)
    with pytest.raises(Problem, match="disk is full"):
        documents.save("index.html")
    assert documents.dirty_paths() == ["index.html"]


def test_drafts_that_cannot_be_kept_are_told(documents: Documents, tmp_path: Path) -> None:
    documents.open("index.html")
    documents.set_text("index.html", "typed")
    (tmp_path / "drafts").mkdir(exist_ok=True)
    drafts = tmp_path / "drafts" / "project.json"
    drafts.unlink(missing_ok=True)
    (drafts / "in the way").mkdir(parents=True)
    documents.store_drafts()
    assert "cannot be kept" in str(documents.drafts_problem)
    (drafts / "in the way").rmdir()
    drafts.rmdir()
    documents.store_drafts()
    assert documents.drafts_problem is None
