"""A chat session over a live engine process with a tiny model: loading, routing, stop, kill -9, continue."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import shiboken6
from pytestqt.qtbot import QtBot

from app.core.history import History
from app.core.snapshots import SnapshotStore
from app.core.wire import Sampling
from app.paths import DataPaths
from app.services.chat_session import ChatSession
from app.services.engine_process import EngineProcess
from tests.tiny_model import make_tiny_checkpoint

WAIT_MS = 90_000
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def session(
    checkpoint: Path, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ChatSession]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    paths = DataPaths(tmp_path / "data")
    paths.create()
    history = History(paths.database)
    engine = EngineProcess(model_dir=checkpoint, first_delay_ms=10)
    made = ChatSession(
        history=history, snapshots=SnapshotStore(paths.snapshots), paths=paths, endpoint=engine.endpoint, engine=engine
    )
    engine.setParent(made)
    yield made
    made.shut_down()
    engine.stop()
    shiboken6.delete(made)
    history.close()


def engine_of(session: ChatSession) -> EngineProcess:
    return session.findChild(EngineProcess)


def test_a_request_made_while_the_model_loads_is_answered_with_routing(session: ChatSession, qtbot: QtBot) -> None:
    session.sampling = Sampling(temperature=0.0, seed=1, max_tokens=24)
    engine_of(session).start()
    with qtbot.waitSignal(session.answer_finished, timeout=WAIT_MS) as finished:
        session.send("a snowy mountain scene")
    answer = finished.args[0]
    assert (answer.state, answer.error) == ("length", "")
    assert answer.usage["completion_tokens"] == 24
    assert answer.fingerprint
    assert answer.timings["decode_tokens_per_s"] > 0
    trace = session.load_trace(answer.id)
    assert trace is not None
    assert trace.fingerprint == answer.fingerprint
    decoded = [token for token in trace.tokens if token.phase == "decode"]
    assert "".join(answer.text[token.start : token.end] for token in decoded) == answer.text[: decoded[-1].end]
    assert trace.layers == (1, 2)

    with qtbot.waitSignal(session.answer_finished, timeout=WAIT_MS) as again:
        session.continue_answer(answer.id)
    longer = again.args[0]
    assert longer.text.startswith(answer.text)
    assert len(longer.text) > len(answer.text)
    trace = session.load_trace(answer.id)
    assert trace is not None
    starts = [token.start for token in trace.tokens if token.phase == "decode" and token.start is not None]
    assert starts == sorted(starts)
    assert starts[-1] >= len(answer.text)


def test_kill_9_of_the_engine_in_mid_answer(session: ChatSession, qtbot: QtBot) -> None:
    engine = engine_of(session)
    session.sampling = Sampling(temperature=1.0, seed=1, max_tokens=400)
    engine.start()
    qtbot.waitUntil(lambda: engine.state.phase == "ready", timeout=WAIT_MS)
    with (
        qtbot.waitSignal(engine.died, timeout=WAIT_MS),
        qtbot.waitSignal(session.answer_finished, timeout=WAIT_MS) as finished,
    ):
        with qtbot.waitSignal(session.answer_grew, timeout=WAIT_MS):
            session.send("bouncing balls")
        os.kill(engine.pid, signal.SIGKILL)
    kept = finished.args[0]
    assert kept.state == "interrupted"
    assert kept.text
    with qtbot.waitSignal(session.answer_finished, timeout=WAIT_MS) as again:
        session.continue_answer(kept.id)
    assert again.args[0].text.startswith(kept.text)
    assert again.args[0].state in ("complete", "length")
