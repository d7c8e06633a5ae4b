"""The client against a real server: streams, errors, cancel, lost connections."""

import threading

import pytest
import shiboken6

from app.core.wire import ChatRequest, models_of
from app.services.endpoint import Endpoint, EndpointConfig
from tests.fake_engine import Answer, FakeEngine

WAIT_MS = 30_000

REQUEST = ChatRequest(messages=({"role": "user", "content": "hi"},))


@pytest.fixture
def engine():
    with FakeEngine() as running:
        yield running


@pytest.fixture
def endpoint(engine, qapp):
    made = Endpoint()
    made.set_config(EndpointConfig(base_url=engine.base_url, key=engine.key, is_local=True))
    yield made
    # Deleted here, so that no collection in the fake engine's thread ever deletes it.
    shiboken6.delete(made)


def failure_of(qtbot, reply):
    with qtbot.waitSignal(reply.failed, timeout=WAIT_MS) as caught:
        pass
    return caught.args[0]


def test_an_answer_streams_with_its_routing(engine, endpoint, qtbot):
    engine.answers.append(Answer(text="One two three four."))
    reply = endpoint.chat(REQUEST)
    chunks = []
    reply.tokens_received.connect(chunks.append)
    started = []
    reply.request_started.connect(lambda: started.append(True))
    with qtbot.waitSignal(reply.finished, timeout=WAIT_MS) as finished:
        pass
    assert started == [True]
    completion = finished.args[0]
    assert completion.text == "One two three four."
    assert "".join(chunk.text for chunk in chunks) == completion.text
    assert [chunk.routing["phase"] for chunk in chunks if chunk.routing] == ["prefill", "decode", "decode"]
    assert (completion.model, completion.fingerprint, completion.finish_reason) == ("fake-moe", "fp-fake", "stop")
    assert completion.usage["completion_tokens"] == 4
    assert completion.timings["decode_tokens_per_s"] == 50.0
    assert engine.requests[0]["routing"] == "full"


def test_any_openai_compatible_server_will_do(engine, endpoint, qtbot):
    engine.extension = False
    endpoint.set_config(EndpointConfig(base_url=engine.base_url + "/", key=engine.key))
    engine.answers.append(Answer(text="Plain."))
    reply = endpoint.chat(REQUEST)
    with qtbot.waitSignal(reply.finished, timeout=WAIT_MS) as finished:
        pass
    assert finished.args[0].text == "Plain."
    assert "routing" not in engine.requests[0]


def test_cancel_stops_the_server_and_no_signal_follows(engine, endpoint, qtbot):
    hold = threading.Event()
    engine.answers.append(Answer(text="One two three four.", hold=hold, hold_after=2))
    reply = endpoint.chat(REQUEST)
    seen = []
    reply.finished.connect(seen.append)
    reply.failed.connect(seen.append)
    with qtbot.waitSignal(reply.tokens_received, timeout=WAIT_MS):
        pass
    reply.cancel()
    qtbot.waitUntil(engine.cancelled.is_set, timeout=WAIT_MS)
    assert seen == []


def test_a_connection_lost_in_the_middle_is_told_and_keeps_what_came(engine, endpoint, qtbot):
    engine.answers.append(Answer(text="One two three four.", die_after=3))
    reply = endpoint.chat(REQUEST)
    error = failure_of(qtbot, reply)
    assert error.kind == "lost"
    assert reply.text == "One two"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "too long", "code": "context_length_exceeded"}}, "context_length"),
        (500, {"error": {"message": "boom"}}, "server"),
        (302, {}, "refused"),
    ],
)
def test_refusals(engine, endpoint, qtbot, status, body, kind):
    engine.answers.append(Answer(error=(status, body)))
    assert failure_of(qtbot, endpoint.chat(REQUEST)).kind == kind


def test_a_wrong_key_an_absent_server_and_nonsense_are_told(engine, endpoint, qtbot):
    engine.answers += [Answer(raw=b"data: {broken\n\n"), Answer(raw=b"<html>hello</html>")]
    assert failure_of(qtbot, endpoint.chat(REQUEST)).kind == "malformed"
    assert failure_of(qtbot, endpoint.chat(REQUEST)).kind == "lost"
    endpoint.set_config(EndpointConfig(base_url=engine.base_url, key="wrong", is_local=True))
    assert failure_of(qtbot, endpoint.chat(REQUEST)).kind == "refused"
    assert failure_of(qtbot, endpoint.fetch_models()).kind == "refused"
    endpoint.set_config(EndpointConfig(base_url="http://127.0.0.1:9/v1", is_local=True))
    assert failure_of(qtbot, endpoint.chat(REQUEST)).kind == "unreachable"


def test_a_request_on_a_connection_that_just_closed_is_asked_again(engine, endpoint, qtbot):
    engine.answers += [Answer(drop=True), Answer(text="Here.")]
    reply = endpoint.chat(REQUEST)
    with qtbot.waitSignal(reply.finished, timeout=WAIT_MS) as finished:
        pass
    assert finished.args[0].text == "Here."
    engine.answers += [Answer(drop=True), Answer(drop=True)]
    assert failure_of(qtbot, endpoint.chat(REQUEST)).kind == "unreachable"


def test_an_error_inside_the_stream_is_told(engine, endpoint, qtbot):
    engine.answers.append(Answer(text="Some text", error_inside={"message": "out of memory", "type": "server_error"}))
    reply = endpoint.chat(REQUEST)
    with qtbot.waitSignal(reply.failed) as caught:
        pass
    assert "out of memory" in str(caught.args[0])


def test_models_and_health(engine, endpoint, qtbot):
    reply = endpoint.fetch_models()
    with qtbot.waitSignal(reply.received, timeout=WAIT_MS) as models:
        pass
    assert models_of(models.args[0])[0].num_experts == 8
    reply = endpoint.fetch_health()
    with qtbot.waitSignal(reply.received, timeout=WAIT_MS) as health:
        pass
    assert health.args[0]["status"] == "ready"


def test_two_answers_at_once_do_not_mix(engine, endpoint, qtbot):
    hold = threading.Event()
    engine.answers += [Answer(text="First answer here.", hold=hold), Answer(text="Second answer.")]
    first = endpoint.chat(REQUEST)
    qtbot.waitUntil(lambda: len(engine.requests) == 1, timeout=WAIT_MS)
    second = endpoint.chat(REQUEST)
    with qtbot.waitSignal(second.finished, timeout=WAIT_MS) as finished_second:
        pass
    with qtbot.waitSignal(first.finished, timeout=WAIT_MS) as finished_first:
        hold.set()
    assert finished_first.args[0].text == "First answer here."
    assert finished_second.args[0].text == "Second answer."
