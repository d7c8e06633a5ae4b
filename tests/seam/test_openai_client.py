"""The official client of OpenAI's against a live engine."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from engine.trace import RoutingTrace
from tests.seam.conftest import Engine

CANCELLED = re.compile(r"Answer cancelled: .* (\d+) generated")
SNOW: Any = [{"role": "user", "content": "a snowy mountain"}]


def chat(client: openai.OpenAI, messages: Any = SNOW, **options: Any) -> Any:
    settings = {"model": "tiny", "temperature": 0, "max_tokens": 16, **options}
    return client.chat.completions.create(messages=messages, **settings)


def stream(client: openai.OpenAI, messages: Any = SNOW, **options: Any) -> list[ChatCompletionChunk]:
    return list(chat(client, messages, stream=True, **options))


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def extra(chunk: Any, name: str) -> Any:
    return (chunk.model_extra or {}).get(name)


def trace_of(chunks: list[ChatCompletionChunk]) -> RoutingTrace:
    trace = RoutingTrace(num_experts=8)
    for chunk in chunks:
        if extra(chunk, "expertarium"):
            trace.append_wire(extra(chunk, "expertarium"))
    return trace


def test_the_model_is_described(client: openai.OpenAI) -> None:
    models = list(client.models.list())
    assert [model.id for model in models] == ["tiny"]
    card = models[0].model_extra or {}
    assert card["num_layers"] == 3
    assert card["moe_layers"] == [1, 2]
    assert (card["num_experts"], card["experts_per_token"], card["num_shared_experts"]) == (8, 2, 1)
    assert card["context_length"] == 512
    assert 0 < card["active_parameters"] < card["parameters"]
    assert client.models.retrieve("tiny").model_extra == card
    assert chat(client).system_fingerprint == card["fingerprint"]


def test_streamed_and_whole_answers_agree(client: openai.OpenAI) -> None:
    whole = chat(client)
    chunks = stream(client)
    assert whole.choices[0].message.content
    assert text_of(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert whole.object == "chat.completion"


def test_the_last_chunk_carries_usage_and_timings(client: openai.OpenAI) -> None:
    last = stream(client)[-1]
    assert last.usage is not None
    assert last.usage.completion_tokens == 16
    assert last.usage.total_tokens == last.usage.prompt_tokens + 16
    timings = extra(last, "timings")
    assert timings["decode_tokens_per_s"] > 0
    assert timings["first_token_ms"] > 0
    wanted = stream(client, stream_options={"include_usage": True})
    assert wanted[-1].choices == []
    assert wanted[-1].usage == last.usage or wanted[-1].usage is not None


def test_a_seed_repeats_an_answer(client: openai.OpenAI) -> None:
    first = text_of(stream(client, temperature=1.5, seed=11))
    assert text_of(stream(client, temperature=1.5, seed=11)) == first
    assert text_of(stream(client, temperature=1.5, seed=12)) != first


def test_stop_strings(client: openai.OpenAI) -> None:
    whole = text_of(stream(client, max_tokens=30))
    chunks = stream(client, max_tokens=30, stop=[whole[8:10]])
    assert text_of(chunks) == whole[: whole.index(whole[8:10])]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_log_probabilities(client: openai.OpenAI) -> None:
    answer = chat(client, logprobs=True, top_logprobs=2, max_tokens=5)
    scores = answer.choices[0].logprobs.content
    assert len(scores) == 5
    assert all(len(score.top_logprobs) == 2 and score.top_logprobs[0].logprob == score.logprob for score in scores)
    assert bytes(scores[0].bytes).decode() == scores[0].token
    streamed = stream(client, logprobs=True, top_logprobs=2, max_tokens=5)
    pieces = [score.token for chunk in streamed if chunk.choices[0].logprobs
              for score in chunk.choices[0].logprobs.content or []]
    assert pieces == [score.token for score in scores]


def test_routing_comes_with_the_stream_and_maps_onto_the_text(client: openai.OpenAI) -> None:
    chunks = stream(client, extra_body={"routing": "full"})
    trace, text = trace_of(chunks), text_of(chunks)
    usage = chunks[-1].usage
    assert usage is not None
    assert len(trace) == usage.prompt_tokens + usage.completion_tokens
    assert len(trace.rows_of("decode")) == 16
    assert trace.layers == (1, 2)
    assert trace.candidates is not None
    for token in trace.tokens:
        source = text if token.phase == "decode" else SNOW[token.message or 0]["content"]
        if token.start is not None:
            assert source[token.start:token.end] == token.text
    assert trace_of(stream(client)).tokens == []
    whole = chat(client, extra_body={"routing": "full"})
    assert sum(len(part["tokens"]) for part in extra(whole, "expertarium")) == len(trace)


def test_the_second_turn_is_served_from_the_prefix_cache_unchanged(client: openai.OpenAI) -> None:
    options: Any = {"extra_body": {"routing": "ids"}}
    first = stream(client, **options)
    messages = [*SNOW, {"role": "assistant", "content": text_of(first)}, {"role": "user", "content": "more snow"}]
    cold = stream(client, [{"role": "user", "content": "something else"}], **options)
    assert cold[-1].usage is not None
    warm = stream(client, messages, **options)
    again = stream(client, messages, **options)
    assert again[-1].usage is not None
    assert again[-1].usage.prompt_tokens_details is not None
    assert again[-1].usage.prompt_tokens_details.cached_tokens == again[-1].usage.prompt_tokens - 1
    assert warm[-1].usage is not None
    assert warm[-1].usage.prompt_tokens_details is not None
    assert warm[-1].usage.prompt_tokens_details.cached_tokens or 0 > 10
    assert text_of(warm) == text_of(again)
    assert (trace_of(warm).ids == trace_of(again).ids).all()


def test_an_answer_goes_on_from_its_text_and_from_its_tokens(client: openai.OpenAI) -> None:
    whole = stream(client, max_tokens=20, extra_body={"routing": "ids"})
    tokens = [token for token in trace_of(whole).tokens if token.phase == "decode"]
    begun = [token.id for token in tokens[:8]]
    rest = stream(client, max_tokens=12, extra_body={"continue_from": begun, "routing": "ids"})
    begun_text = text_of(whole)[: tokens[8].start]
    assert begun_text + text_of(rest) == text_of(whole)
    first = next(token for token in trace_of(rest).tokens if token.phase == "decode")
    assert first.start == tokens[8].start
    assert stream(client, max_tokens=3, extra_body={"continue_from": begun_text})[-1].usage


def test_a_prompt_may_be_given_as_tokens(client: openai.OpenAI) -> None:
    ids = [token.id for token in trace_of(stream(client, extra_body={"routing": "ids"})).tokens
           if token.phase == "prefill"]
    by_tokens = stream(client, [], extra_body={"prompt_token_ids": ids})
    assert text_of(by_tokens) == text_of(stream(client))


def test_plain_completions(client: openai.OpenAI) -> None:
    options: Any = {"model": "tiny", "max_tokens": 6, "temperature": 0}
    whole = client.completions.create(prompt="the quick", logprobs=1, **options)
    assert whole.choices[0].text
    assert whole.choices[0].finish_reason == "length"
    assert whole.choices[0].logprobs is not None
    assert len(whole.choices[0].logprobs.tokens or []) == 6
    pieces = client.completions.create(prompt="the quick", stream=True, **options)
    assert "".join(piece.choices[0].text for piece in pieces) == whole.choices[0].text
    by_ids = client.completions.create(prompt=[40, 41], **options)
    assert by_ids.usage is not None
    assert by_ids.usage.prompt_tokens == 2


def test_tools_are_accepted_and_an_ordinary_answer_stays_text(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", "function": {"name": "run_scene", "parameters": {"type": "object"}}}]
    chunks = stream(client, tools=tools, tool_choice="auto")
    assert text_of(chunks) == text_of(stream(client))


def num_generated_when_cancelled(engine: Engine, already: int) -> int:
    """Wait for the engine's log to tell of one more cancelled answer; give how many tokens it had."""
    pause = threading.Event()
    while len(found := CANCELLED.findall(engine.log.read_text())) == already:
        pause.wait(0.02)
    return int(found[-1])


def test_closing_the_stream_stops_the_model(client: openai.OpenAI, engine: Engine) -> None:
    already = len(CANCELLED.findall(engine.log.read_text()))
    long = chat(client, stream=True, max_tokens=480)
    next(iter(long))
    long.close()
    assert num_generated_when_cancelled(engine, already) < 480
    assert chat(client, max_tokens=1).choices[0].finish_reason == "length"


def test_giving_up_on_a_whole_answer_stops_the_model_too(client: openai.OpenAI, engine: Engine) -> None:
    already = len(CANCELLED.findall(engine.log.read_text()))
    with ThreadPoolExecutor(12) as pool:  # they share the model, so that none is complete in time
        waiting = [pool.submit(chat, client, max_tokens=480, timeout=0.2) for _ in range(12)]
    assert all(isinstance(answer.exception(), openai.APITimeoutError) for answer in waiting)
    assert num_generated_when_cancelled(engine, already) < 480


def test_several_clients_at_once_get_what_each_gets_alone(client: openai.OpenAI) -> None:
    questions = [[{"role": "user", "content": text}] for text in ("snow", "balls", "the moon and the sun")]
    alone = [text_of(stream(client, question, max_tokens=40)) for question in questions]
    found: dict[int, str] = {}

    def ask(index: int) -> None:
        found[index] = text_of(stream(client, questions[index], max_tokens=40))

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [found[index] for index in range(3)] == alone


@pytest.mark.parametrize(("options", "code", "words"), [
    ({"temperature": -1}, "invalid_value", "temperature"),
    ({"n": 2}, "unsupported", "several answers"),
    ({"logit_bias": {"1": 5}}, "unsupported", "logit_bias"),
    ({"presence_penalty": 1.0}, "unsupported", "penalties"),
    ({"response_format": {"type": "json_object"}}, "unsupported", "json_object"),
    ({"tool_choice": "required", "tools": []}, "unsupported", "tool"),
    ({"stop": [""]}, "invalid_value", "stop"),
    ({"max_tokens": 0}, "invalid_value", "max_tokens"),
    ({"extra_body": {"interventions": [{"action": "mute"}]}}, "invalid_value", "interventions[0].layers"),
    ({"extra_body": {"interventions": [{"action": "mute", "layers": [1, 2], "experts": [99]}]}}, "invalid_value",
     "0 to 7"),
    ({"extra_body": {"routing": "all"}}, "invalid_value", "routing"),
    ({"extra_body": {"prompt_token_ids": [99999]}}, "invalid_value", "vocabulary"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "unsupported", "image_url"),
    ({"messages": []}, "invalid_value", "messages"),
    ({"messages": [{"role": "user", "content": "x " * 2000}]}, "context_length_exceeded", "512"),
])
def test_what_is_refused_says_why_and_what_to_do(client: openai.OpenAI, options: Any, code: str, words: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, options.pop("messages", SNOW), **options)
    error: Any = caught.value.body
    assert error["code"] == code
    assert words in error["message"]
    assert error["next_step"]
    assert error["type"] == "invalid_request_error"


def test_a_muted_expert_never_fires_and_the_answer_differs(client: openai.OpenAI) -> None:
    def experts(interventions: list[dict[str, Any]]) -> tuple[str, set[int]]:
        extra = {"routing": "ids", "interventions": interventions}
        trace, text = RoutingTrace(num_experts=8), ""
        for chunk in chat(client, temperature=0, max_tokens=20, stream=True, extra_body=extra):
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            part = (chunk.model_extra or {}).get("expertarium")
            if part and part.get("routing"):
                trace.append_wire(part)
        return text, set(trace.ids.ravel().tolist())

    plain, fired = experts([])
    muted = sorted(fired)[0]
    text, others = experts([{"layers": [1, 2], "experts": [muted], "action": "mute"}])
    assert muted not in others
    assert text != plain
    assert experts([]) == (plain, fired)


def test_another_models_name_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="loaded is 'tiny'"):
        chat(client, model="gpt-9")


def test_a_wrong_key_is_refused(engine: Engine) -> None:
    with openai.OpenAI(base_url=f"{engine.url}/v1", api_key="wrong", max_retries=0) as stranger, \
            pytest.raises(openai.AuthenticationError, match="key is wrong"):
        chat(stranger)
