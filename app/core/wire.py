"""What goes to and comes from a model's API, as values, and how they are read from its JSON.

The form is OpenAI's with our `expertarium` extension, all of which may be missing. No network here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ErrorKind = Literal["unreachable", "refused", "context_length", "server", "lost", "malformed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How the next token is drawn; None leaves it to the server. `interventions` on experts are in the API's form."""

    temperature: float = 0.4
    top_p: float = 0.95
    seed: int | None = None
    max_tokens: int | None = None
    interventions: tuple[Mapping[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Only what is set."""
        values = {
            "temperature": self.temperature, "top_p": self.top_p, "seed": self.seed, "max_tokens": self.max_tokens,
            "interventions": [dict(intervention) for intervention in self.interventions] or None,
        }  # fmt: skip
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatRequest:
    """One request. `continue_from` is the answer's text so far, behind which the model goes on."""

    messages: tuple[Mapping[str, str], ...]
    model: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    routing: Literal["off", "ids", "full"] = "full"
    continue_from: str = ""

    def as_json(self, *, is_local: bool) -> dict[str, Any]:
        """The body to send. Other servers get no extension, and the answer so far as an assistant's turn."""
        messages = [dict(message) for message in self.messages]
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.sampling.as_json(),
        }
        if is_local:
            body["routing"] = self.routing
            if self.continue_from:
                body["continue_from"] = self.continue_from
            return body
        body.pop("interventions", None)
        if self.continue_from:
            messages.append({"role": "assistant", "content": self.continue_from})
        return body


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamChunk:
    """One piece of a streamed answer. `routing` is the raw "expertarium" object, None where there is none."""

    text: str = ""
    routing: Mapping[str, Any] | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """A whole answer and what it cost."""

    text: str
    finish_reason: str
    model: str = ""
    fingerprint: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointError:
    """Why a request failed, for people and for the caller: `kind` and the server's own `code`."""

    kind: ErrorKind
    what: str
    why: str
    next_step: str
    http_status: int = 0
    code: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.next_step) if part)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """One model of an endpoint. `card` is all the server says of it (layers, experts, fingerprint, ...)."""

    id: str
    context_tokens: int | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_experts(self) -> int | None:
        """Routed experts per layer, where the server says so."""
        value = self.card.get("num_experts") or self.card.get("experts")
        return int(value) if isinstance(value, int) else None

    @property
    def fingerprint(self) -> str:
        """What the weights are recognised by; empty for servers that give none."""
        return str(self.card.get("fingerprint") or "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What /healthz says: `progress` runs from 0 to 1 while the model loads."""

    status: Literal["loading", "ready", "error"]
    progress: float = 0.0
    message: str = ""
    model: str = ""


class StreamReader:
    """Reads the events of one streamed answer into chunks and, at its end, a Completion."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._finish_reason = ""
        self._model = ""
        self._fingerprint = ""
        self._usage: dict[str, Any] = {}
        self._timings: dict[str, Any] = {}
        self.is_done = False

    @property
    def text(self) -> str:
        """All that came."""
        return "".join(self._pieces)

    @property
    def has_ended(self) -> bool:
        """Whether the server said that the answer is whole."""
        return self.is_done or bool(self._finish_reason)

    def read(self, event: str) -> StreamChunk | EndpointError | None:
        """Take one event's data; None when it says nothing new (such as the end mark)."""
        if event.strip() == "[DONE]":
            self.is_done = True
            return None
        try:
            document = json.loads(event)
        except ValueError as error:
            return _malformed(f"A piece of the answer is not JSON ({error}).")
        if not isinstance(document, dict):
            return _malformed("A piece of the answer is not a JSON object.")
        if document.get("error"):
            return error_of_body(document, http_status=0)
        try:
            return self._chunk(document)
        except (AttributeError, TypeError, KeyError, IndexError) as error:
            return _malformed(f"A piece of the answer has another form than the API's ({error!r}).")

    def completion(self) -> Completion:
        """What came, as a whole."""
        return Completion(
            text=self.text,
            finish_reason=self._finish_reason or "stop",
            model=self._model,
            fingerprint=self._fingerprint,
            usage=self._usage,
            timings=self._timings,
        )

    def _chunk(self, document: dict[str, Any]) -> StreamChunk | None:
        self._model = document.get("model") or self._model
        self._fingerprint = document.get("system_fingerprint") or self._fingerprint
        self._usage = document.get("usage") or self._usage
        extension = document.get("expertarium")
        self._timings = document.get("timings") or (extension or {}).get("timings") or self._timings
        choices = document.get("choices") or []
        choice = choices[0] if choices else {}
        text = (choice.get("delta") or {}).get("content") or ""
        if not isinstance(text, str):
            raise TypeError("content is no text")
        finish_reason = choice.get("finish_reason")
        self._finish_reason = finish_reason or self._finish_reason
        if text:
            self._pieces.append(text)
        routing = extension if extension and extension.get("tokens") else None
        if not (text or routing or finish_reason):
            return None
        return StreamChunk(text=text, routing=routing, finish_reason=finish_reason)


def error_of_body(document: Any, *, http_status: int) -> EndpointError:
    """Read an error in OpenAI's form, or whatever else a server sent."""
    error = document.get("error", document) if isinstance(document, dict) else {}
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        error = {}
    code = str(error.get("code") or error.get("type") or "")
    message = str(error.get("message") or error.get("detail") or f"The server answered with status {http_status}.")
    next_step = str(error.get("next_step") or "")
    if code == "context_length_exceeded" or "context length" in message.lower():
        return EndpointError(
            kind="context_length", what="The conversation is too long for the model.", why=message,
            next_step=next_step or "Start a new conversation or shorten the request.",
            http_status=http_status, code="context_length_exceeded",
        )
    if http_status in (401, 403):
        return EndpointError(
            kind="refused", what="The model's server refused the request.", why=message,
            next_step=next_step or "Check its key.", http_status=http_status, code=code,
        )
    return EndpointError(
        kind="server", what="The model's server could not answer.", why=message,
        next_step=next_step or "Try again.", http_status=http_status, code=code,
    )


def models_of(document: Any) -> list[ModelInfo]:
    """Read /v1/models; entries without an id are passed over."""
    entries = document.get("data", []) if isinstance(document, dict) else []
    found = []
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or not entry.get("id"):
            continue
        card = {**entry, **entry["expertarium"]} if isinstance(entry.get("expertarium"), dict) else entry
        context = next((card[name] for name in _CONTEXT_NAMES if isinstance(card.get(name), int)), None)
        found.append(ModelInfo(id=str(entry["id"]), context_tokens=context, card=card))
    return found


_CONTEXT_NAMES = ("context_length", "context", "context_window", "max_model_len", "max_context_length")


def health_of(document: Any) -> Health:
    """Read /healthz; a server that only says it is there counts as ready."""
    values = document if isinstance(document, dict) else {}
    status = values.get("status", "ready")
    progress = values.get("progress", 0.0)
    return Health(
        status="loading" if status == "loading" else "error" if status == "error" else "ready",
        progress=float(progress) if isinstance(progress, int | float) else 0.0,
        message=str(values.get("message") or ""),
        model=str(values.get("model") or ""),
    )


def _malformed(why: str) -> EndpointError:
    return EndpointError(
        kind="malformed", what="The model's server sent something unexpected.", why=why,
        next_step="Try again; if it stays, check the address of the server.",
    )
