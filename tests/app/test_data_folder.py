"""The data folder: where it is, its log, and that one program has it at a time."""

import logging
import subprocess
import sys

import platformdirs
import pytest

from app.core.problem import Problem
from app.log import set_up_logging
from app.paths import data_paths
from app.services.instance_lock import InstanceLock


def test_the_base_folder_is_the_users_unless_given(tmp_path):
    assert str(data_paths(None).base) == platformdirs.user_data_dir("expertarium", appauthor=False)
    paths = data_paths(tmp_path / "x")
    paths.create()
    assert paths.projects.is_dir()
    assert all(path.is_relative_to(paths.base) for path in (paths.database, paths.log, paths.lock, paths.settings))


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(Problem, match=r"cannot be used.* --basedir"):
        data_paths(tmp_path / "file" / "data").create()


HOLDER = """
import sys
from pathlib import Path
from app.services.instance_lock import InstanceLock
lock = InstanceLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_program_is_told_and_a_killed_one_does_not_lock_for_ever(tmp_path):
    lock_file = tmp_path / "in-use.lock"
    command = [sys.executable, "-c", HOLDER, str(lock_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Problem, match=f"(?s)already open.*{holder.pid}"):
            InstanceLock(lock_file).acquire()
        holder.kill()
    lock = InstanceLock(lock_file)
    lock.acquire()
    lock.release()
    assert not lock_file.exists()


def test_the_log_is_written_and_read(tmp_path, capsys):
    log_file = tmp_path / "logs" / "app.log"
    try:
        set_up_logging(log_file)
        set_up_logging(log_file)
        logging.getLogger("app.test").info("to the file")
        logging.getLogger("app.test").warning("to both")
        text = log_file.read_text()
        assert text.count("to the file") == 1
        assert "to both" in text
        stderr = capsys.readouterr().err
        assert "to both" in stderr
        assert "to the file" not in stderr
    finally:
        forget_handlers()


def forget_handlers() -> None:
    logger = logging.getLogger("app")
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()


def test_a_log_that_cannot_be_written_is_no_obstacle(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "a-folder"
    folder.mkdir()
    try:
        set_up_logging(folder)
        assert "no log file" in capsys.readouterr().err
        set_up_logging(tmp_path / "app.log")
        handler = logging.getLogger("app").handlers[-1]

        def full(_text):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(handler.stream, "write", full)
        logging.getLogger("app.test").warning("lost")
        assert "Traceback" not in capsys.readouterr().err
    finally:
        monkeypatch.undo()
        forget_handlers()
