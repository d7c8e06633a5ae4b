"""From events to the JSON of the API: stream chunks and whole answers, for chat and for plain completions.

A reply object collects one answer. It knows no HTTP and no worker.
"""

import json
import time
import uuid
from typing import Any, Protocol

from engine.api_errors import error_body, split_next_step
from engine.events import Delta, Failed, Finished, TokenScore, TraceChunk
from engine.served_model import ServedModel
from engine.tool_calls import ToolCall, ToolCallSplitter
from engine.trace import to_wire

Json = dict[str, Any]


class Reply(Protocol):
    """One answer in the making: each event gives chunks to stream; `whole` is the answer for who doesn't stream."""

    def opening(self) -> list[Json]:
        """Chunks to send before the first event."""
        ...

    def delta(self, event: Delta) -> list[Json]:
        """Chunks of an event."""
        ...

    def last(self, event: Finished) -> list[Json]:
        """Chunks of the end, with usage and timings."""
        ...

    def whole(self, event: Finished) -> Json:
        """Everything in one object."""
        ...


class _Base:
    """What both kinds of reply share: identity, usage, timings, trace chunks."""

    def __init__(self, model: ServedModel, *, prefix: str, kind: str, include_usage: bool) -> None:
        self._head: Json = {
            "id": f"{prefix}-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model.id,
            "system_fingerprint": model.fingerprint,
        }
        self._include_usage = include_usage
        self._text: list[str] = []
        self._scores: list[TokenScore] = []
        self._traces: list[Json] = []

    def _collect(self, event: Delta) -> list[Json]:
        """Remember an event for `whole`; give its trace chunks in wire form."""
        self._scores += event.scores
        wires = [_wire(chunk) for chunk in event.chunks]
        self._traces += wires
        return wires

    def _chunks(self, choice: Json | None, wires: list[Json]) -> list[Json]:
        """Put a choice and trace chunks into as few stream chunks as they need: one trace chunk each."""
        idle = self._idle_choice()
        chunks = [] if choice is None and wires else [{**self._head, "choices": [choice or idle]}]
        for wire in wires:
            if chunks and "expertarium" not in chunks[-1]:
                chunks[-1]["expertarium"] = wire
            else:
                chunks.append({**self._head, "choices": [idle], "expertarium": wire})
        return chunks

    def _idle_choice(self) -> Json:
        raise NotImplementedError

    def _ending(self, choice: Json, event: Finished) -> list[Json]:
        chunk = {**self._head, "choices": [choice], **_costs(event)}
        extra = [{**self._head, "choices": [], **_costs(event)}] if self._include_usage else []
        return [chunk, *extra]

    def _complete(self, choice: Json, event: Finished) -> Json:
        reply = {**self._head, "object": self._head["object"].removesuffix(".chunk"), "choices": [choice],
                 **_costs(event)}
        return {**reply, "expertarium": self._traces} if self._traces else reply


class ChatReply(_Base):
    """A chat completion."""

    def __init__(self, model: ServedModel, *, include_usage: bool, with_tools: bool, with_logprobs: bool) -> None:
        super().__init__(model, prefix="chatcmpl", kind="chat.completion.chunk", include_usage=include_usage)
        self._tools = ToolCallSplitter() if with_tools else None
        self._with_logprobs = with_logprobs

    def opening(self) -> list[Json]:
        """Name the speaker."""
        return self._chunks(self._choice({"role": "assistant", "content": ""}), [])

    def delta(self, event: Delta) -> list[Json]:
        """Give new text, its log probabilities and trace chunks."""
        wires = self._collect(event)
        text = self._tools.feed(event.text) if self._tools else event.text
        self._text.append(text)
        if not text and not (self._with_logprobs and event.scores):
            return self._chunks(None, wires) if wires else []
        return self._chunks(self._choice({"content": text}, scores=event.scores), wires)

    def last(self, event: Finished) -> list[Json]:
        """Give tool calls if there are any, then the reason, usage and timings."""
        rest, calls = self._tools.finish() if self._tools else ("", [])
        delta: Json = {"content": rest} if rest else {}
        if calls:
            delta["tool_calls"] = [_tool_call(index, call) for index, call in enumerate(calls)]
        return self._ending(self._choice(delta, reason=_reason(event, calls)), event)

    def whole(self, event: Finished) -> Json:
        """Give the answer as one message."""
        rest, calls = self._tools.finish() if self._tools else ("", [])
        message: Json = {"role": "assistant", "content": "".join(self._text) + rest, "refusal": None}
        if calls:
            message["tool_calls"] = [_tool_call(None, call) for call in calls]
        choice = {"index": 0, "message": message, "logprobs": self._logprobs(self._scores),
                  "finish_reason": _reason(event, calls)}
        return self._complete(choice, event)

    def _choice(self, delta: Json, *, scores: tuple[TokenScore, ...] = (), reason: str | None = None) -> Json:
        return {"index": 0, "delta": delta, "logprobs": self._logprobs(scores), "finish_reason": reason}

    def _idle_choice(self) -> Json:
        return self._choice({})

    def _logprobs(self, scores: list[TokenScore] | tuple[TokenScore, ...]) -> Json | None:
        return {"content": [_chat_score(score) for score in scores]} if self._with_logprobs and scores else None


class TextReply(_Base):
    """A plain completion."""

    def __init__(self, model: ServedModel, *, include_usage: bool, with_logprobs: bool) -> None:
        super().__init__(model, prefix="cmpl", kind="text_completion", include_usage=include_usage)
        self._with_logprobs = with_logprobs
        self._offset = 0

    def opening(self) -> list[Json]:
        """Nothing comes before the text."""
        return []

    def delta(self, event: Delta) -> list[Json]:
        """Give new text, its log probabilities and trace chunks."""
        wires = self._collect(event)
        self._text.append(event.text)
        if not event.text and not (self._with_logprobs and event.scores):
            return self._chunks(None, wires) if wires else []
        return self._chunks(self._choice(event.text, list(event.scores)), wires)

    def last(self, event: Finished) -> list[Json]:
        """Give the reason, usage and timings."""
        return self._ending({**self._choice("", []), "finish_reason": _reason(event, [])}, event)

    def whole(self, event: Finished) -> Json:
        """Give the whole text."""
        self._offset = 0
        choice = self._choice("".join(self._text), self._scores)
        return self._complete({**choice, "finish_reason": _reason(event, [])}, event)

    def _choice(self, text: str, scores: list[TokenScore]) -> Json:
        logprobs = None
        if self._with_logprobs and scores:
            offsets = []
            for score in scores:
                offsets.append(self._offset)
                self._offset += len(score.text)
            logprobs = {
                "tokens": [score.text for score in scores], "token_logprobs": [score.logprob for score in scores],
                "top_logprobs": [{text: logprob for _, text, logprob in score.top} for score in scores],
                "text_offset": offsets,
            }
        return {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": None}

    def _idle_choice(self) -> Json:
        return self._choice("", [])


def sse_data(chunk: Json) -> bytes:
    """Write a chunk as a server-sent event. ASCII only: many clients take U+2028 and the like for line ends."""
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def failure_body(event: Failed) -> tuple[int, Json]:
    """Give status and error body of a failed answer."""
    cause, next_step = split_next_step(event.message)
    status = 503 if event.kind in ("model_changed", "shutting_down") else 500
    return status, error_body(status, event.kind, cause, next_step)


def _wire(chunk: TraceChunk) -> Json:
    return to_wire(chunk.phase, chunk.tokens, chunk.block)


def _costs(event: Finished) -> Json:
    timings = event.timings
    return {
        "usage": {
            "prompt_tokens": event.prompt_tokens, "completion_tokens": event.completion_tokens,
            "total_tokens": event.prompt_tokens + event.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": event.cached_tokens},
        },
        "timings": {
            "prefill_tokens_per_s": round(timings.prefill_tokens_per_s, 1),
            "decode_tokens_per_s": round(timings.decode_tokens_per_s, 1),
            "first_token_ms": round(timings.first_token_ms, 2), "total_ms": round(timings.total_ms, 2),
            "cached_tokens": event.cached_tokens, "seed": event.seed,
        },
    }


def _reason(event: Finished, calls: list[ToolCall]) -> str:
    return "tool_calls" if calls and event.reason == "stop" else event.reason


def _tool_call(index: int | None, call: ToolCall) -> Json:
    body: Json = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    return body if index is None else {"index": index, **body}


def _chat_score(score: TokenScore) -> Json:
    def entry(text: str, logprob: float) -> Json:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    top = [entry(text, logprob) for _, text, logprob in score.top]
    return {**entry(score.text, score.logprob), "top_logprobs": top}
