"""The tally against a fake engine and the real checker."""

from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot

from app.core.wire import ChatRequest, Sampling
from app.services.bench_tally import BenchTally, Variant
from app.services.endpoint import Endpoint, EndpointConfig
from tests.fake_engine import Answer, FakeEngine

WAIT_MS = 60_000
CLEAN = "```html index.html\n<!DOCTYPE html><h1>fine</h1>\n```"
FAULTY = "```html index.html\n<!DOCTYPE html><h1>fine</h1><script>missing()</script>\n```"
MUTE = ({"layers": [1, 1], "experts": [2], "action": "mute"},)
VARIANTS = [Variant(name="as it is"), Variant(name="changed", changes=MUTE)]


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as running:
        yield running


@pytest.fixture
def tally(engine: FakeEngine, qapp: object) -> BenchTally:
    endpoint = Endpoint(EndpointConfig(base_url=engine.base_url, key=engine.key, is_local=True))
    request = ChatRequest(messages=({"role": "user", "content": "a page"},), sampling=Sampling(temperature=0.5))
    made = BenchTally(endpoint, request, {}, VARIANTS, [1, 2])
    endpoint.setParent(made)
    return made


def test_every_variant_is_written_for_every_seed_and_run(tally: BenchTally, engine: FakeEngine, qtbot: QtBot) -> None:
    engine.answers += [Answer(text=text) for text in (CLEAN, FAULTY, CLEAN, "no page at all")]
    with qtbot.waitSignal(tally.finished, timeout=WAIT_MS) as done:
        tally.start()
    plain, changed = done.args[0]
    assert (plain.runs, plain.clean, plain.faults) == (2, 2, ())
    assert (changed.runs, changed.clean) == (2, 0)
    assert changed.faults[0] == "no page was written"
    assert "missing is not defined" in changed.faults[1]
    sent = [(body["seed"], body.get("interventions")) for body in engine.requests]
    assert sent == [(1, None), (1, [dict(MUTE[0])]), (2, None), (2, [dict(MUTE[0])])]


def test_an_engine_that_fails_ends_the_tally(tally: BenchTally, engine: FakeEngine, qtbot: QtBot) -> None:
    engine.answers.append(Answer(error=(503, {"error": {"message": "The model is loading.", "next_step": "Wait."}})))
    with qtbot.waitSignal(tally.failed, timeout=WAIT_MS) as failed:
        tally.start()
    assert "The model is loading." in failed.args[0]


def test_a_cancelled_tally_says_nothing_more(tally: BenchTally, engine: FakeEngine, qtbot: QtBot) -> None:
    engine.answers += [Answer(text=CLEAN)] * 4
    tally.start()
    tally.cancel()
    with qtbot.assertNotEmitted(tally.finished, wait=300):
        pass
