"""A workspace writes whole files or none, and never outside its folder."""

import errno
import os
from pathlib import Path

import pytest

from app.core.atomic import write_files
from app.core.problem import Problem
from app.core.workspace import MAX_PROMPT_FILE_BYTES, Workspace


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "project")


def test_files_are_listed_and_read_back_as_written(workspace):
    assert workspace.list_files() == []
    workspace.write_many({"index.html": "a\r\nb\n", "src/game.js": "let x = 'ü😀';"})
    assert [file.path for file in workspace.list_files()] == ["index.html", "src/game.js"]
    assert workspace.read_text("index.html") == "a\r\nb\n"
    assert workspace.text_files()["src/game.js"] == "let x = 'ü😀';"


def test_other_tools_folders_and_links_are_no_project_files(workspace, tmp_path):
    workspace.write_text("index.html", "x")
    for name in ("node_modules", ".git"):
        (workspace.root / name).mkdir()
        (workspace.root / name / "a.js").write_text("x")
    (tmp_path / "secret").write_text("s")
    (workspace.root / "link").symlink_to(tmp_path / "secret")
    assert [file.path for file in workspace.list_files()] == ["index.html"]


def test_prompts_get_no_binary_and_no_huge_files(workspace):
    workspace.write_text("index.html", "x")
    workspace.write_text("data.csv", "1" * (MAX_PROMPT_FILE_BYTES + 1))
    (workspace.root / "a.png").write_bytes(b"\x89PNG\xff")
    (workspace.root / "b.bin").write_bytes(b"a\0b")
    assert list(workspace.text_files()) == ["index.html"]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "..\\x", "C:\\x", "", "~/x", ".git/hooks/x"])
def test_paths_that_leave_the_project_are_refused(workspace, path):
    with pytest.raises(Problem, match="refused"):
        workspace.write_text(path, "x")
    with pytest.raises(Problem, match="refused"):
        workspace.read_text(path)


def test_symbolic_links_do_not_lead_out(workspace, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    workspace.write_text("index.html", "x")
    (workspace.root / "dir").symlink_to(outside)
    (workspace.root / "file").symlink_to(outside / "file")
    for path in ("dir/new.txt", "dir/file", "file"):
        with pytest.raises(Problem, match="symbolic link"):
            workspace.write_text(path, "changed")
    assert (outside / "file").read_text() == "kept"
    assert not (outside / "new.txt").exists()


def test_a_project_reached_through_a_link_works(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    workspace = Workspace(tmp_path / "link")
    workspace.write_text("index.html", "x")
    assert (tmp_path / "real" / "index.html").read_text() == "x"


def test_a_full_disk_keeps_every_old_file_and_leaves_no_litter(workspace, monkeypatch):
    workspace.write_many({"a.txt": "old a", "b.txt": "old b"})
    synced = []

    def full_at_the_second_file(descriptor):
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_at_the_second_file)
    with pytest.raises(Problem, match="disk is full") as caught:
        workspace.write_many({"a.txt": "new a", "b.txt": "new b"})
    assert "nothing that was there has been changed" in str(caught.value)
    assert workspace.text_files() == {"a.txt": "old a", "b.txt": "old b"}
    assert sorted(path.name for path in workspace.root.iterdir()) == ["a.txt", "b.txt"]


def test_an_unreadable_folder_is_told(workspace, monkeypatch):
    workspace.write_text("index.html", "x")

    def refuse(_path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(Problem, match="permission"):
        workspace.list_files()


def test_a_file_that_is_no_text_or_too_large_is_told(workspace):
    workspace.root.mkdir()
    (workspace.root / "a.png").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Problem, match="not UTF-8"):
        workspace.read_text("a.png")
    with pytest.raises(Problem, match="not there"):
        workspace.read_text("missing.txt")
    with (workspace.root / "big.txt").open("wb") as file:
        file.truncate(5_000_000)
    with pytest.raises(Problem, match="too large"):
        workspace.read_text("big.txt")


def test_rename_and_delete_tidy_up_and_overwrite_nothing(workspace):
    workspace.write_many({"src/a.js": "a", "b.js": "b"})
    with pytest.raises(Problem, match="already"):
        workspace.rename("src/a.js", "b.js")
    workspace.rename("src/a.js", "lib/a.js")
    assert [file.path for file in workspace.list_files()] == ["b.js", "lib/a.js"]
    assert not (workspace.root / "src").exists()
    workspace.delete("lib/a.js")
    assert not (workspace.root / "lib").exists()
    with pytest.raises(Problem, match="not there"):
        workspace.delete("lib/a.js")


def test_a_replaced_file_keeps_its_permissions(workspace):
    workspace.write_text("run.sh", "x")
    (workspace.root / "run.sh").chmod(0o755)
    workspace.write_text("run.sh", "y")
    assert (workspace.root / "run.sh").stat().st_mode & 0o777 == 0o755


def test_a_file_in_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "project").write_text("a file")
    with pytest.raises(Problem, match="could not be saved"):
        Workspace(tmp_path / "project").write_text("index.html", "x")


def test_write_files_with_nothing_does_nothing(tmp_path: Path):
    write_files({})
    assert list(tmp_path.iterdir()) == []
