"""The file list follows the disk."""

import pytest

from app.core.workspace import Workspace
from app.models.files import FileRole, ProjectFilesModel


@pytest.fixture
def model(qapp, qtmodeltester):
    made = ProjectFilesModel()
    qtmodeltester.check(made)
    return made


def paths(model):
    return [model.index(row).data() for row in range(model.rowCount())]


def test_files_written_by_anyone_appear(model, tmp_path, qtbot, qtmodeltester):
    workspace = Workspace(tmp_path / "project")
    model.set_workspace(workspace)
    assert paths(model) == []
    with qtbot.waitSignal(model.files_changed, timeout=30_000) as changed:
        workspace.write_text("index.html", "one")
    assert changed.args[0] == ["index.html"]
    with qtbot.waitSignal(model.files_changed, timeout=30_000) as changed:
        (workspace.root / "src").mkdir()
        (workspace.root / "src" / "a.js").write_text("a")
    assert paths(model) == ["index.html", "src/a.js"]
    assert model.index(1).data(FileRole.SIZE_BYTES) == 1
    with qtbot.waitSignal(model.files_changed, timeout=30_000) as changed:
        workspace.write_text("index.html", "changed")
    assert changed.args[0] == ["index.html"]
    qtmodeltester.check(model)


def test_another_project_is_no_change(model, tmp_path, qtbot):
    first, second = Workspace(tmp_path / "a"), Workspace(tmp_path / "b")
    first.write_text("a.txt", "a")
    second.write_text("b.txt", "b")
    with qtbot.assertNotEmitted(model.files_changed):
        model.set_workspace(first)
        model.set_workspace(second)
    assert paths(model) == ["b.txt"]
    model.set_workspace(None)
    assert paths(model) == []


def test_a_folder_that_cannot_be_read_is_told(model, tmp_path, qtbot, monkeypatch):
    workspace = Workspace(tmp_path)
    workspace.write_text("a.txt", "a")

    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("app.core.project_walk.os.scandir", refuse)
    with qtbot.waitSignal(model.problem_reported):
        model.set_workspace(workspace)
    monkeypatch.undo()
    model.refresh()
    assert paths(model) == ["a.txt"]
