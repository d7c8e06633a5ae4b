"""A chat pane over a real session, a real history and a small server that speaks the engine's API."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import shiboken6
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.core.history import History
from app.core.records import Message
from app.core.snapshots import SnapshotStore
from app.core.wire import ModelInfo
from app.panes.chat.answer_view import AnswerView
from app.panes.chat.pane import ChatPane
from app.panes.chat.request_view import RequestView
from app.paths import DataPaths
from app.services.chat_session import ChatSession
from app.services.endpoint import Endpoint, EndpointConfig
from app.services.engine_process import EngineState
from app.theme.theme import Theme
from tests.fake_engine import Answer, FakeEngine

WAIT_MS = 20_000
READY = EngineState(phase="ready", progress=1.0, model="fake-moe")


class Chat:
    """The pane, and what a person does with it."""

    def __init__(self, engine: FakeEngine, theme: Theme, base: Path, qtbot: QtBot) -> None:
        self.engine, self.theme, self.qtbot = engine, theme, qtbot
        self.paths = DataPaths(base)
        self.paths.create()
        self.history = History(self.paths.database)
        self.endpoint = Endpoint()
        self.endpoint.set_config(EndpointConfig(base_url=engine.base_url, key=engine.key, is_local=True))
        self.session = ChatSession(
            history=self.history, snapshots=SnapshotStore(self.paths.snapshots), paths=self.paths,
            endpoint=self.endpoint,
        )  # fmt: skip
        model = ModelInfo(id="fake-moe", context_tokens=4096, card={"num_experts": 8})
        self.session.set_endpoint(self.endpoint, engine=None, model=model)
        self.pane = ChatPane(theme, self.session)
        qtbot.addWidget(self.pane)
        self.pane.resize(560, 700)
        self.pane.show()
        self.pane.show_engine_state(READY)
        self.text = self.pane.composer.text

    def type(self, text: str) -> None:
        self.qtbot.keyClicks(self.text, text)

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        self.qtbot.keyClick(self.text, key, modifier)

    def click(self, button: object) -> None:
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def ask(self, text: str, *answers: str | Answer) -> Message:
        """Type, press Enter, wait for the whole answer."""
        self.engine.answers += [answer if isinstance(answer, Answer) else Answer(text=answer) for answer in answers]
        with self.qtbot.waitSignal(self.session.answer_finished, timeout=WAIT_MS) as finished:
            self.type(text)
            self.press(Qt.Key.Key_Return)
        return finished.args[0]

    def wait_for_answer(self) -> Message:
        with self.qtbot.waitSignal(self.session.answer_finished, timeout=WAIT_MS) as finished:
            pass
        return finished.args[0]

    def answers(self) -> list[AnswerView]:
        return [view for view in self.pane.transcript.views() if isinstance(view, AnswerView)]

    def requests(self) -> list[RequestView]:
        return [view for view in self.pane.transcript.views() if isinstance(view, RequestView)]

    def close(self) -> None:
        self.pane.store_draft()
        self.session.shut_down()
        shiboken6.delete(self.pane)
        shiboken6.delete(self.session)
        shiboken6.delete(self.endpoint)
        self.history.close()


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as running:
        yield running


@pytest.fixture
def chat(engine: FakeEngine, theme: Theme, tmp_path: Path, qtbot: QtBot) -> Iterator[Chat]:
    made = Chat(engine, theme, tmp_path / "data", qtbot)
    yield made
    made.close()
