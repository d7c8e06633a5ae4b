"""The worker thread over a tiny real model: batching, cancel, prefix reuse, stop strings, failures."""

import dataclasses
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from engine.events import Delta, Event, Failed, Finished, GenerateRequest, TraceChunk
from engine.interventions import Intervention
from engine.sampling import SamplingParams
from engine.served_model import ServedModel
from engine.trace import RoutingTrace
from engine.worker import Worker
from tests.tiny_model import TINY_CONFIG, make_tiny_checkpoint

GREEDY = SamplingParams(temperature=0)


class Client:
    """Talks to a worker as the API does, but blocking."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    @property
    def model(self) -> ServedModel:
        model = self.worker.status.model
        assert model is not None
        return model

    def request(self, text: str = "snowy mountains", **changes: object) -> GenerateRequest:
        assert self.model.tokenizer is not None
        prompt = self.model.tokenizer.render_chat([{"role": "user", "content": text}])
        base = GenerateRequest(prompt=prompt, sampling=GREEDY, max_tokens=12)
        return dataclasses.replace(base, **changes)  # type: ignore[arg-type]

    def start(self, request: GenerateRequest) -> tuple[int, "queue.SimpleQueue[Event]"]:
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        return self.worker.submit(request, self.model, events.put), events

    def answer(self, request: GenerateRequest) -> list[Event]:
        return drain(self.start(request)[1])


def drain(events: "queue.SimpleQueue[Event]") -> list[Event]:
    found: list[Event] = []
    while not found or isinstance(found[-1], Delta):
        found.append(events.get(timeout=60))
    return found


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def chunks_of(events: list[Event]) -> list[TraceChunk]:
    return [chunk for event in events if isinstance(event, Delta) for chunk in event.chunks]


def trace_of(events: list[Event]) -> RoutingTrace:
    trace = RoutingTrace(num_experts=TINY_CONFIG.num_experts)
    for chunk in chunks_of(events):
        if chunk.block is not None:
            trace.append(chunk.tokens, chunk.block)
    return trace


def finished(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished), events[-1]
    return events[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def load(worker: Worker, folder: Path) -> None:
    worker.load(folder)
    done = threading.Event()
    while worker.status.state == "loading":
        done.wait(0.01)


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    worker = Worker(device="cpu")
    worker.start()
    load(worker, folder)
    yield Client(worker)
    worker.close()


def test_an_answer_has_text_usage_and_timings(client: Client) -> None:
    request = client.request()
    events = client.answer(request)
    end = finished(events)
    assert text_of(events)
    assert (end.reason, end.completion_tokens, end.prompt_tokens) == ("length", 12, len(request.prompt.ids))
    assert end.cached_tokens == 0
    assert end.timings.prefill_tokens_per_s > 0
    assert end.timings.decode_tokens_per_s > 0
    assert 0 < end.timings.first_token_ms <= end.timings.total_ms


def test_a_seed_repeats_an_answer_and_the_seed_of_any_answer_is_told(client: Client) -> None:
    hot = client.request(sampling=SamplingParams(temperature=1.5, seed=5), max_tokens=30)
    first = client.answer(hot)
    assert text_of(client.answer(hot)) == text_of(first)
    unseeded = client.answer(dataclasses.replace(hot, sampling=SamplingParams(temperature=1.5)))
    assert text_of(unseeded) != text_of(first)
    told = SamplingParams(temperature=1.5, seed=finished(unseeded).seed)
    assert text_of(client.answer(dataclasses.replace(hot, sampling=told))) == text_of(unseeded)


def test_every_token_has_its_routing_row(client: Client) -> None:
    request = client.request(capture="full")
    events = client.answer(request)
    trace = trace_of(events)
    assert len(trace) == len(request.prompt.ids) + 12
    assert trace.layers == (1, 2)
    assert trace.ids.shape == (len(trace), 2, 2)
    assert trace.candidates is not None
    assert np.array_equal(trace.candidates[:, :, :2], trace.ids)
    decoded = trace.take(trace.rows_of("decode"))
    assert "".join(token.text for token in decoded.tokens) == text_of(events)
    for token in decoded.tokens:
        assert text_of(events)[token.start:token.end] == token.text
    assert all(token.logprob is not None and token.logprob <= 0 for token in decoded.tokens)


def test_the_prefix_cache_changes_neither_answer_nor_routing(client: Client) -> None:
    request = client.request(capture="ids", max_tokens=20)
    first, second = client.answer(request), client.answer(request)
    assert finished(first).cached_tokens == 0
    assert finished(second).cached_tokens == len(request.prompt.ids) - 1
    assert text_of(first) == text_of(second)
    fresh, cached = trace_of(first), trace_of(second)
    assert fresh.tokens == cached.tokens or [t.id for t in fresh.tokens] == [t.id for t in cached.tokens]
    assert np.array_equal(fresh.ids, cached.ids)
    assert fresh.weights is not None
    assert cached.weights is not None
    np.testing.assert_allclose(fresh.weights.astype(float), cached.weights.astype(float), atol=2e-3)


def test_the_next_turn_reuses_the_turn_before_and_its_stored_routing(client: Client) -> None:
    assert client.model.tokenizer is not None
    first = client.answer(client.request(capture="full"))
    messages = [{"role": "user", "content": "snowy mountains"}, {"role": "assistant", "content": text_of(first)},
                {"role": "user", "content": "more"}]
    request = client.request(capture="ids", prompt=client.model.tokenizer.render_chat(messages))
    second = client.answer(request)
    fed = [token.id for token in trace_of(first).tokens]
    pairs = list(zip(fed, request.prompt.ids, strict=False))
    shared = next((n for n, (before, now) in enumerate(pairs) if before != now), len(pairs))
    assert finished(second).cached_tokens == shared > 10
    assert np.array_equal(trace_of(second).ids[:shared], trace_of(first).ids[:shared])
    assert trace_of(second).candidates is None


def test_routing_that_was_not_recorded_is_computed_again(client: Client) -> None:
    client.answer(client.request(capture="off"))
    request = client.request(capture="ids")
    events = client.answer(request)
    assert finished(events).cached_tokens == 0
    assert len(trace_of(events)) == len(request.prompt.ids) + 12
    assert finished(client.answer(client.request(capture="off"))).cached_tokens > 0


def test_several_requests_at_once_give_the_answers_they_give_alone(client: Client) -> None:
    texts = ["snow", "balls that bounce and bounce", "the moon", "a quick fox"]
    alone = [text_of(client.answer(client.request(text, max_tokens=25))) for text in texts]
    started = [client.start(client.request(text, max_tokens=25, capture="ids"))[1] for text in texts]
    assert [text_of(drain(events)) for events in started] == alone


def test_a_short_request_is_not_held_up_by_a_long_one(client: Client) -> None:
    order: list[str] = []
    ended = threading.Barrier(3)

    def watch(name: str, request: GenerateRequest) -> None:
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        client.worker.submit(request, client.model, events.put)
        drain(events)
        order.append(name)
        ended.wait(60)

    long = client.request(max_tokens=400)
    for name, request in (("long", long), ("short", client.request("moon", max_tokens=2))):
        threading.Thread(target=watch, args=(name, request)).start()
    ended.wait(60)
    assert order == ["short", "long"]


def test_cancel_stops_the_model_and_keeps_what_was_computed(client: Client) -> None:
    number, events = client.start(client.request(max_tokens=450))
    seen = [events.get(timeout=60)]
    client.worker.cancel(number)
    while isinstance(seen[-1], Delta):
        seen.append(events.get(timeout=60))
    end = finished(seen)
    assert end.reason == "cancelled"
    assert end.completion_tokens < 450
    again = client.answer(client.request(max_tokens=1))
    assert finished(again).cached_tokens > 0


def test_cancel_in_the_queue_and_of_the_unknown(client: Client) -> None:
    client.worker.cancel(12345)
    numbers = [client.start(client.request(max_tokens=40)) for _ in range(20)]
    for number, _ in numbers:
        client.worker.cancel(number)
    ends = [finished(drain(events)).reason for _, events in numbers]
    assert set(ends) <= {"cancelled", "length"}
    assert ends[-1] == "cancelled"


def test_stop_strings_cut_the_text_and_never_show(client: Client) -> None:
    whole = text_of(client.answer(client.request(max_tokens=30)))
    stop = whole[7:10]
    first = whole.index(stop)
    events = client.answer(client.request(max_tokens=30, stop=(stop, "never in the text"), capture="ids"))
    assert finished(events).reason == "stop"
    assert text_of(events) == whole[:first]
    tokens = [token for token in trace_of(events).tokens if token.phase == "decode"]
    assert max(token.end or 0 for token in tokens) == first


def test_text_that_only_looks_like_a_stop_string_comes_out(client: Client) -> None:
    whole = text_of(client.answer(client.request(max_tokens=30)))
    events = client.answer(client.request(max_tokens=30, stop=(whole[-1] + "never",)))
    assert text_of(events) == whole
    assert finished(events).reason == "length"


def test_an_end_token_ends_without_text(client: Client, folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    greedy_first = trace_of(client.answer(client.request(capture="ids", max_tokens=3))).tokens[-2].id
    tensors["lm_head.weight"][2] = tensors["lm_head.weight"][greedy_first] * 1.1
    ending = make_tiny_checkpoint(tmp_path / "ending")
    save_file(tensors, ending / "model.safetensors", metadata={"format": "pt"})
    load(client.worker, ending)
    events = client.answer(client.request(capture="ids", max_tokens=50))
    assert finished(events).reason == "stop"
    last = trace_of(events).tokens[-1]
    assert (last.id, last.text, last.start, last.phase) == (2, "<|im_end|>", None, "decode")
    assert "<|im_end|>" not in text_of(events)


def test_an_answer_restarted_from_one_of_its_tokens_goes_on_as_it_did(client: Client) -> None:
    hot = client.request(sampling=SamplingParams(temperature=1.3, seed=3), max_tokens=24, capture="ids")
    whole = client.answer(hot)
    tokens = [token for token in trace_of(whole).tokens if token.phase == "decode"]
    part = dataclasses.replace(hot, continue_ids=tuple(token.id for token in tokens[:10]), max_tokens=14)
    rest = client.answer(part)
    begun = "".join(token.text for token in tokens[:10])
    assert begun + text_of(rest) == text_of(whole)
    trace = trace_of(rest)
    assert [token.start for token in trace.tokens][-14:] == [token.start for token in tokens[10:]]
    given = trace.tokens[len(hot.prompt.ids)]
    assert (given.phase, given.start, given.message) == ("prefill", 0, None)


def test_the_context_ends_an_answer(client: Client) -> None:
    request = client.request(max_tokens=None, capture="ids")
    events = client.answer(request)
    end = finished(events)
    assert end.reason == "length"
    assert end.prompt_tokens + end.completion_tokens == TINY_CONFIG.max_position
    assert len(trace_of(events)) == TINY_CONFIG.max_position


def test_scores_name_the_likeliest_tokens(client: Client) -> None:
    events = client.answer(client.request(num_top_logprobs=3, max_tokens=4))
    scores = [score for event in events if isinstance(event, Delta) for score in event.scores]
    assert len(scores) == 4
    for score in scores:
        assert len(score.top) == 3
        assert score.top[0][0] == score.token_id
        assert score.top[0][2] == pytest.approx(score.logprob)


def test_nan_fails_the_request_and_not_the_worker(client: Client, folder: Path) -> None:
    scheduler = client.worker._scheduler
    assert scheduler is not None
    model = scheduler._model
    good = model._model.norm.weight.data  # type: ignore[attr-defined]
    kept = good.clone()
    good.fill_(float("nan"))
    failed = client.answer(client.request("other words"))[-1]
    assert isinstance(failed, Failed)
    assert failed.kind == "model_error"
    assert "not a number" in failed.message
    good.copy_(kept)
    assert text_of(client.answer(client.request("other words again")))


def test_loading_another_model_ends_requests_and_a_failed_load_keeps_the_old(client: Client, tmp_path: Path) -> None:
    _, events = client.start(client.request(max_tokens=450))
    events.get(timeout=60)
    load(client.worker, tmp_path / "nothing")
    assert client.worker.status.state == "error"
    assert "config.json" in client.worker.status.message
    end = drain(events)[-1]
    assert isinstance(end, Failed)
    assert end.kind == "model_changed"
    assert text_of(client.answer(client.request()))
    load(client.worker, make_tiny_checkpoint(tmp_path / "second", seed=9))
    assert client.model.id == "second"


@pytest.mark.parametrize(("error", "words"), [
    (KeyError("layers"), "cannot be opened (KeyError: 'layers')"),
    (RuntimeError("CUDA out of memory. Tried to allocate 3 GiB"), "not enough free memory"),
    (MemoryError(), "choose a smaller model"),
    (PermissionError(13, "Permission denied"), "Check its permissions"),
    (ImportError("No module named torch"), "set-up again"),
])
def test_no_fault_of_a_load_ends_the_thread(
        client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr("engine.weights.load.load_model", fail)
    load(client.worker, folder)
    assert client.worker.status.state == "error"
    assert words in client.worker.status.message
    assert text_of(client.answer(client.request()))


def test_a_request_for_a_model_that_was_replaced_fails(client: Client, tmp_path: Path) -> None:
    old = client.model
    load(client.worker, make_tiny_checkpoint(tmp_path / "second", seed=9))
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    client.worker.submit(client.request(), old, events.put)
    end = drain(events)[-1]
    assert isinstance(end, Failed)
    assert end.kind == "model_changed"


def test_closing_ends_what_runs(folder: Path) -> None:
    worker = Worker(device="cpu")
    worker.start()
    load(worker, folder)
    _, events = Client(worker).start(Client(worker).request(max_tokens=450))
    events.get(timeout=60)
    worker.close()
    assert isinstance(drain(events)[-1], Failed)


def test_a_model_without_tokenizer_generates_ids(client: Client, tmp_path: Path) -> None:
    request = client.request(capture="ids")
    load(client.worker, make_tiny_checkpoint(tmp_path / "bare", with_tokenizer=False))
    assert "no tokenizer" in client.model.tokenizer_problem
    events = client.answer(request)
    assert text_of(events) == ""
    assert len(trace_of(events)) == len(request.prompt.ids) + 12


def test_what_was_computed_under_interventions_is_not_reused_without_them(client: Client) -> None:
    muted = (Intervention(first=1, last=2, action="mute", experts=(0, 1)),)
    plain = client.answer(client.request(capture="ids"))
    changed = client.answer(client.request(capture="ids", interventions=muted))
    again = client.answer(client.request(capture="ids", interventions=muted))
    assert isinstance(changed[-1], Finished)
    assert isinstance(again[-1], Finished)
    assert changed[-1].cached_tokens == 0
    assert again[-1].cached_tokens > 0
    assert not np.isin(trace_of(changed).ids, (0, 1)).any()
    assert np.array_equal(trace_of(changed).ids, trace_of(again).ids)
    assert text_of(changed) == text_of(again) != text_of(plain)


def test_two_requests_with_different_widths_share_a_batch(client: Client) -> None:
    wide = (Intervention(first=1, last=2, action="top_k", value=5),)
    alone = [client.answer(client.request(capture="ids")), client.answer(client.request(capture="ids",
                                                                                          interventions=wide))]
    started = [client.start(client.request(capture="ids"))[1],
               client.start(client.request(capture="ids", interventions=wide))[1]]
    together = [drain(events) for events in started]
    for one, other in zip(alone, together, strict=True):
        assert trace_of(one).ids.shape == trace_of(other).ids.shape
        assert text_of(one) == text_of(other)
    assert trace_of(together[0]).top_k == 2
    assert trace_of(together[1]).top_k == 5
