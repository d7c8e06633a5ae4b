"""What the API's JSON means, from our engine and from servers that know nothing of it."""

import json

import pytest

from app.core.wire import ChatRequest, EndpointError, Sampling, StreamReader, error_of_body, health_of, models_of


def chunk(**values):
    return json.dumps({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}], **values})


def test_our_extension_goes_to_our_engine_only():
    request = ChatRequest(
        messages=({"role": "user", "content": "hi"},), sampling=Sampling(seed=3), continue_from="Half"
    )
    local = request.as_json(is_local=True)
    assert (local["routing"], local["continue_from"], len(local["messages"])) == ("full", "Half", 1)
    remote = request.as_json(is_local=False)
    assert "routing" not in remote
    assert "continue_from" not in remote
    assert remote["messages"][-1] == {"role": "assistant", "content": "Half"}
    assert (remote["seed"], remote["stream"]) == (3, True)
    assert "max_tokens" not in remote


def test_a_plain_servers_stream():
    reader = StreamReader()
    assert reader.read(chunk(model="m")).text == "x"
    assert reader.read('{"choices":[{"delta":{"role":"assistant"},"finish_reason":null}]}') is None
    assert not reader.has_ended
    assert reader.read('{"choices":[{"delta":{},"finish_reason":"length"}]}').finish_reason == "length"
    assert reader.read('{"choices":[],"usage":{"prompt_tokens":4}}') is None
    assert reader.read("[DONE]") is None
    completion = reader.completion()
    assert (completion.text, completion.finish_reason, completion.model) == ("x", "length", "m")
    assert completion.usage == {"prompt_tokens": 4}


@pytest.mark.parametrize(
    "event", ["{", "[1]", '{"choices": 3}', '{"choices":[{"delta":{"content":5}}]}', '{"choices":[{"delta":"x"}]}']
)
def test_malformed_pieces_are_errors_not_crashes(event):
    error = StreamReader().read(event)
    assert isinstance(error, EndpointError)
    assert error.kind == "malformed"


def test_routing_and_timings_are_taken():
    reader = StreamReader()
    wire = {"phase": "decode", "tokens": [{"id": 1}]}
    assert reader.read(chunk(expertarium=wire)).routing == wire
    reader.read('{"choices":[],"expertarium":{"timings":{"decode_tokens_per_s":5}},"system_fingerprint":"f"}')
    assert reader.completion().timings == {"decode_tokens_per_s": 5}
    assert reader.completion().fingerprint == "f"


def test_errors_of_many_forms():
    body = {"error": {"message": "5000 of 4096", "code": "context_length_exceeded", "next_step": "Shorten it."}}
    error = error_of_body(body, http_status=400)
    assert (error.kind, error.next_step) == ("context_length", "Shorten it.")
    long = {"error": {"message": "This model's maximum context length is 8192 tokens", "type": "BadRequestError"}}
    assert error_of_body(long, http_status=400).kind == "context_length"
    assert error_of_body({"detail": "Not Found"}, http_status=404).why == "Not Found"
    assert error_of_body({"error": "plain"}, http_status=500).why == "plain"
    assert error_of_body([], http_status=502).why == "The server answered with status 502."
    assert error_of_body({"error": {"message": "no"}}, http_status=401).kind == "refused"
    assert isinstance(StreamReader().read('{"error": {"message": "out of memory"}}'), EndpointError)


def test_models_and_health():
    models = models_of({"data": [{"id": "a", "max_model_len": 9}, {"no": "id"}, {"id": "b", "num_experts": 8}, "x"]})
    assert [(model.id, model.context_tokens, model.num_experts) for model in models] == [("a", 9, None), ("b", None, 8)]
    assert models_of("nonsense") == []
    assert health_of({"status": "loading", "progress": 0.25}).progress == 0.25
    assert health_of({"status": "ok"}).status == "ready"
    assert health_of([]).status == "ready"
