"""Chunks and whole answers from events, where the live tests can't bring a model to them."""

import json
from typing import Any

from engine.events import Delta, Failed, Finished, Timings, TraceChunk
from engine.replies import ChatReply, failure_body, sse_data
from engine.sampling import SamplingParams
from engine.served_model import ServedModel
from engine.trace import TraceToken
from tests.engine.test_tool_calls import ANSWER

MODEL = ServedModel(
    id="m", card={"fingerprint": "f"}, context_length=10, vocab_size=10, moe_layers=(1,), end_ids=frozenset(),
    tokenizer=None, tokenizer_problem="", default_sampling=SamplingParams())
END = Finished(reason="stop", prompt_tokens=3, cached_tokens=1, completion_tokens=2, seed=9, timings=Timings(
    prefill_tokens_per_s=1, decode_tokens_per_s=1, first_token_ms=1, total_ms=1))


def reply(**options: bool) -> ChatReply:
    return ChatReply(MODEL, **{"include_usage": False, "with_tools": False, "with_logprobs": False, **options})


def test_tool_calls_leave_the_text_and_end_the_answer() -> None:
    streaming = reply(with_tools=True)
    chunks = [chunk for piece in ANSWER.split("e") for chunk in streaming.delta(Delta(text=piece + "e"))]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "Let me look."
    last: Any = streaming.last(END)[0]["choices"][0]
    assert last["finish_reason"] == "tool_calls"
    assert [call["function"]["name"] for call in last["delta"]["tool_calls"]] == ["get_weather", "run"]
    assert [call["index"] for call in last["delta"]["tool_calls"]] == [0, 1]
    whole = reply(with_tools=True)
    whole.delta(Delta(text=ANSWER))
    message: Any = whole.whole(END)["choices"][0]["message"]
    assert message["content"] == "Let me look."
    assert len(message["tool_calls"]) == 2


def test_each_trace_chunk_travels_in_one_stream_chunk() -> None:
    token = TraceToken(id=1, text="a", phase="decode", logprob=-1.0, start=0, end=1)
    parts = tuple(TraceChunk(phase="decode", tokens=(token,), block=None) for _ in range(2))
    chunks = reply().delta(Delta(text="a", chunks=parts))
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [{"content": "a"}, {}]
    assert all(len(chunk["expertarium"]["tokens"]) == 1 for chunk in chunks)
    json.dumps(chunks)


def test_characters_that_clients_take_for_line_ends_are_escaped() -> None:
    text = "a\u2028b\x85c\u2029d\x0ce\r\nf"
    event = sse_data({"text": text})
    assert len(event.decode().rstrip("\n").splitlines()) == 1
    assert json.loads(event.removeprefix(b"data: "))["text"] == text


def test_nothing_new_is_no_chunk() -> None:
    assert reply().delta(Delta(text="")) == []


def test_a_failure_is_split_into_cause_and_next_step() -> None:
    status, body = failure_body(Failed(kind="out_of_memory", message="The memory is full. Load a smaller model."))
    assert status == 500
    assert body["error"]["message"] == "The memory is full."
    assert body["error"]["next_step"] == "Load a smaller model."
    assert failure_body(Failed(kind="shutting_down", message="Bye."))[0] == 503
