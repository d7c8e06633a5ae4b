"""Any state comes back exactly, and no restore loses what was there."""

import errno
import os

import pytest

from app.core import snapshots as snapshots_module
from app.core.problem import Problem
from app.core.snapshots import EMPTY_STATE, SnapshotStore


@pytest.fixture
def store(tmp_path):
    return SnapshotStore(tmp_path / "states")


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def write(project, **texts):
    for name, text in texts.items():
        path = project / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def contents(project):
    return {p.relative_to(project).as_posix(): p.read_text() for p in project.rglob("*") if p.is_file()}


def test_same_files_same_state(store, project):
    assert store.take(project) == EMPTY_STATE
    assert store.take(project / "missing") == EMPTY_STATE
    write(project, index_html="one", src__a_js="a")
    first = store.take(project)
    assert store.take(project) == first
    write(project, index_html="two")
    assert store.take(project) != first
    write(project, index_html="one")
    assert store.take(project) == first


def test_restore_brings_a_state_back_and_returns_the_hand_edits(store, project):
    write(project, index_html="one", src__a_js="a")
    first = store.take(project)
    write(project, index_html="edited by hand", new_txt="new")
    (project / "src" / "a.js").unlink()
    edited = contents(project)
    before = store.restore(first, project)
    assert contents(project) == {"index.html": "one", "src/a.js": "a"}
    store.restore(before, project)
    assert contents(project) == edited
    assert not (project / "src").exists()
    store.restore(EMPTY_STATE, project)
    assert contents(project) == {}


def test_an_edit_of_the_same_size_in_the_same_instant_is_seen(store, project):
    write(project, index_html="one")
    status = (project / "index.html").stat()
    first = store.take(project)
    write(project, index_html="two")
    os.utime(project / "index.html", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert store.take(project) != first


def test_settled_files_are_not_read_again(store, project, monkeypatch):
    write(project, index_html="one")
    os.utime(project / "index.html", (1_000_000_000, 1_000_000_000))
    first = store.take(project)

    def fail(_data):
        raise AssertionError("hashed again")

    real = snapshots_module.hashlib.sha256
    monkeypatch.setattr(snapshots_module.hashlib, "sha256", lambda data: fail(data) if data == b"one" else real(data))
    assert store.take(project) == first


def test_diff(store, project):
    write(project, a_txt="a", b_txt="b")
    first = store.take(project)
    write(project, b_txt="B", c_txt="c")
    (project / "a.txt").unlink()
    difference = store.diff(first, store.take(project))
    assert (difference.added, difference.removed, difference.changed) == (("c.txt",), ("a.txt",), ("b.txt",))
    assert difference.paths == ("a.txt", "b.txt", "c.txt")
    assert store.read(first, "a.txt") == b"a"
    with pytest.raises(Problem, match="not in the project then"):
        store.read(first, "c.txt")


def test_what_is_not_stored_is_never_touched(store, project, tmp_path, monkeypatch):
    monkeypatch.setattr(snapshots_module, "MAX_STORED_FILE_BYTES", 10)
    write(project, data_csv="small")
    (project / "node_modules").mkdir()
    (project / "node_modules" / "x.js").write_text("kept")
    first = store.take(project)
    write(project, data_csv="very large now, more than ten bytes")
    (project / "link").symlink_to(tmp_path)
    with pytest.raises(Problem, match="no copy"):
        store.restore(first, project)
    assert "very large" in (project / "data.csv").read_text()
    (project / "data.csv").rename(project / "moved.csv")
    store.restore(first, project)
    assert contents(project)["data.csv"] == "small"
    assert "very large" in contents(project)["moved.csv"]
    assert (project / "node_modules" / "x.js").exists()
    assert (project / "link").is_symlink()


def test_restore_does_not_write_through_a_link(store, project, tmp_path):
    write(project, src__a_js="a")
    first = store.take(project)
    (project / "src" / "a.js").unlink()
    (project / "src").rmdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (project / "src").symlink_to(outside)
    with pytest.raises(Problem, match="link"):
        store.restore(first, project)
    assert list(outside.iterdir()) == []


def test_a_file_and_a_folder_of_one_name_change_places(store, project):
    write(project, thing="file")
    as_file = store.take(project)
    (project / "thing").unlink()
    write(project, thing__a_js="a")
    as_folder = store.take(project)
    store.restore(as_file, project)
    assert contents(project) == {"thing": "file"}
    store.restore(as_folder, project)
    assert contents(project) == {"thing/a.js": "a"}


def test_a_full_disk_leaves_the_project_as_it_was(store, project, monkeypatch):
    write(project, a_txt="old", b_txt="old")
    first = store.take(project)
    write(project, a_txt="new", b_txt="new")
    store.take(project)

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Problem, match="disk is full"):
        store.restore(first, project)
    assert contents(project) == {"a.txt": "new", "b.txt": "new"}
    write(project, a_txt="newer")
    with pytest.raises(Problem, match="disk is full"):
        store.take(project)


def test_a_damaged_store_is_noticed_before_anything_is_changed(store, project, tmp_path):
    write(project, a_txt="one")
    first = store.take(project)
    [blob] = [p for p in (tmp_path / "states" / "blobs").rglob("*") if p.is_file()]
    write(project, a_txt="two")
    store.take(project)
    blob.write_text("xxx")
    with pytest.raises(Problem, match="damaged"):
        store.restore(first, project)
    assert contents(project) == {"a.txt": "two"}
    with pytest.raises(Problem, match="not there"):
        store.files("0" * 64)
    assert store.has(first)
    assert not store.has("0" * 64)
    assert not store.has("")


def test_executable_files_stay_executable(store, project):
    write(project, run_sh="x")
    (project / "run.sh").chmod(0o755)
    first = store.take(project)
    (project / "run.sh").unlink()
    store.restore(first, project)
    assert (project / "run.sh").stat().st_mode & 0o100
