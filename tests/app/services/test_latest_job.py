"""Background computations: only the newest request's result is told, and a fault does not end them."""

import threading

import pytest
from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot

from app.services.latest_job import LatestJob


def test_requests_that_were_overtaken_are_not_told(qtbot: QtBot) -> None:
    owner = QObject()
    job = LatestJob(owner)
    told: list[object] = []
    job.done.connect(told.append)
    gate = threading.Event()
    job.start(lambda: gate.wait(10) and "first")
    job.start(lambda: "second")
    job.start(lambda: "third")
    gate.set()
    qtbot.waitUntil(lambda: not job.is_busy)
    assert told == ["third"]


def test_a_fault_is_logged_and_the_next_request_runs(qtbot: QtBot, caplog: pytest.LogCaptureFixture) -> None:
    owner = QObject()
    job = LatestJob(owner)
    job.start(lambda: 1 // 0)
    qtbot.waitUntil(lambda: not job.is_busy)
    assert "failed" in caplog.text
    with qtbot.waitSignal(job.done) as done:
        job.start(lambda: 5)
    assert done.args == [5]


def test_with_a_pause_results_are_told_between_and_the_newest_request_ends_it(qtbot: QtBot) -> None:
    owner = QObject()
    job = LatestJob(owner, pause_ms=20)
    told: list[object] = []
    job.done.connect(told.append)
    for number in range(5):
        job.start(lambda number=number: number)  # type: ignore[misc]
    qtbot.waitUntil(lambda: not job.is_busy)
    assert told == [0, 4]
