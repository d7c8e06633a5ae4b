"""The bodies of API requests, as pydantic models, and their translation into a GenerateRequest.

Fields of OpenAI's that change nothing here are passed over; those that ask for what this engine can't do are
refused. No routes and no streaming here.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.api_errors import ApiError, from_value_error
from engine.events import GenerateRequest
from engine.interventions import Intervention, parse_interventions
from engine.sampling import MAX_TOP_LOGPROBS, SamplingParams
from engine.served_model import ServedModel
from engine.tokenizer import ChatTokenizer, PromptText

MAX_STOP_STRINGS = 16
TokenId = int


class StreamOptions(BaseModel):
    """OpenAI's stream options."""

    include_usage: bool = False


class SharedFields(BaseModel):
    """What chat and plain completions have in common. The last five are Expertarium's own."""

    model_config = ConfigDict(extra="allow")

    model: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int = 1
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    routing: Literal["off", "ids", "full"] = "off"
    interventions: list[dict[str, Any]] = Field(default_factory=list)
    prompt_token_ids: list[TokenId] | None = Field(None, description="The prompt as tokens, in place of its text.")
    continue_from: str | list[TokenId] = Field(
        "", description="The answer so far, as text or exact tokens; the model goes on behind it.")


class ChatMessage(BaseModel):
    """One message; further fields go to the chat template as they are."""

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | list[dict[str, Any]] | None = None


class ChatBody(SharedFields):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage] = Field(default_factory=list)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None


class CompletionBody(SharedFields):
    """POST /v1/completions."""

    prompt: str | list[TokenId] | list[str] | list[list[TokenId]] = ""
    max_tokens: int | None = Field(16, ge=1)
    logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    echo: bool = False
    best_of: int | None = None
    suffix: str | None = None


class LoadBody(BaseModel):
    """POST /v1/models/load. `model` is the folder of a checkpoint."""

    model: str


def chat_request(body: ChatBody, model: ServedModel) -> GenerateRequest:
    """Translate a chat request.

    Raises:
        ApiError: it asks for what can't be done, or its prompt has no room.
    """
    _refuse_shared(body)
    kind = (body.response_format or {}).get("type", "text")
    if kind != "text":
        raise _unsupported("response_format", f"the response format {kind!r}", "Ask for JSON in the prompt instead.")
    if body.tool_choice not in (None, "auto", "none"):
        raise _unsupported("tool_choice", "forcing a tool call", 'Use "auto" or "none".')
    tools = body.tools if body.tools and body.tool_choice != "none" else None
    if body.prompt_token_ids is not None:
        prompt = PromptText(ids=tuple(body.prompt_token_ids))
    elif not body.messages:
        raise ApiError(400, "invalid_value", "messages is empty.", "Send at least one message.", param="messages")
    else:
        try:
            prompt = _tokenizer(model).render_chat([_plain(message) for message in body.messages], tools=tools)
        except ValueError as error:
            raise from_value_error(error, param="messages") from error
    limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    return _request(body, model, prompt, max_tokens=limit, top=(body.top_logprobs or 0) if body.logprobs else 0)


def completion_request(body: CompletionBody, model: ServedModel) -> GenerateRequest:
    """Translate a completion request. Raises ApiError as `chat_request` does."""
    _refuse_shared(body)
    if body.echo or body.suffix or (body.best_of or 1) != 1:
        raise _unsupported("echo", "echo, suffix and best_of", "Leave them out.")
    ids = body.prompt_token_ids
    text: Any = body.prompt
    if isinstance(text, list) and len(text) == 1 and isinstance(text[0], str | list):
        text = text[0]
    if isinstance(text, list) and all(isinstance(item, int) for item in text):
        ids, text = ids or text, ""
    if not isinstance(text, str):
        raise _unsupported("prompt", "several prompts in one request", "Send one request for each prompt.")
    prompt = PromptText(ids=tuple(ids)) if ids is not None else _tokenizer(model).encode_text(_clean(text))
    return _request(body, model, prompt, max_tokens=body.max_tokens, top=body.logprobs or 0)


def _request(body: SharedFields, model: ServedModel, prompt: PromptText, *, max_tokens: int | None,
             top: int) -> GenerateRequest:
    continue_ids = _continue_ids(body.continue_from, model)
    _check_ids([*prompt.ids, *continue_ids], model)
    return GenerateRequest(
        prompt=prompt, continue_ids=continue_ids, sampling=_sampling(body, model.default_sampling),
        max_tokens=max_tokens, stop=_stop_strings(body.stop), capture=body.routing, num_top_logprobs=top,
        interventions=_interventions(body.interventions, model))


def _continue_ids(given: str | list[TokenId], model: ServedModel) -> tuple[int, ...]:
    if isinstance(given, str):
        return tuple(_tokenizer(model).encode_answer(_clean(given))) if given else ()
    return tuple(given)


def _check_ids(ids: Sequence[int], model: ServedModel) -> None:
    if not ids:
        raise ApiError(400, "invalid_value", "The prompt is empty.", "Send at least one token of text.")
    wrong = next((token for token in ids if not 0 <= token < model.vocab_size), None)
    if wrong is not None:
        raise ApiError(400, "invalid_value", f"Token {wrong} is outside the model's vocabulary of {model.vocab_size}.",
                       "Use tokens of this model's tokenizer.", param="prompt_token_ids")
    if len(ids) >= model.context_length:
        raise ApiError(
            400, "context_length_exceeded", f"The prompt has {len(ids)} tokens; this model's context length is "
            f"{model.context_length} tokens, the answer included.",
            "Shorten the conversation or the files, or choose a model with a longer context.", param="messages")


def _sampling(body: SharedFields, defaults: SamplingParams) -> SamplingParams:
    wanted = {name: getattr(body, name) for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")}
    try:
        return replace(defaults, seed=body.seed, **{name: value for name, value in wanted.items() if value is not None})
    except ValueError as error:
        raise from_value_error(error) from error


def _interventions(given: list[dict[str, Any]], model: ServedModel) -> tuple[Intervention, ...]:
    try:
        return parse_interventions(given, moe_layers=model.moe_layers, num_experts=model.card["num_experts"],
                                   top_k=model.card["experts_per_token"])
    except ValueError as error:
        raise from_value_error(error, param="interventions") from error


def _stop_strings(stop: str | list[str] | None) -> tuple[str, ...]:
    strings = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(strings) > MAX_STOP_STRINGS or "" in strings:
        raise ApiError(400, "invalid_value", f"stop takes up to {MAX_STOP_STRINGS} strings, none of them empty.",
                       "Correct the list.", param="stop")
    return strings


def _refuse_shared(body: SharedFields) -> None:
    if body.n != 1:
        raise _unsupported("n", "several answers in one request", "Send n requests with different seeds.")
    if body.frequency_penalty or body.presence_penalty:
        raise _unsupported("frequency_penalty", "frequency and presence penalties", "Use repetition_penalty.")
    if body.logit_bias:
        raise _unsupported("logit_bias", "logit_bias", "Leave it out.")


def _unsupported(param: str, what: str, next_step: str) -> ApiError:
    return ApiError(400, "unsupported", f"This engine does not support {what} yet.", next_step, param=param)


def _tokenizer(model: ServedModel) -> ChatTokenizer:
    if model.tokenizer is None:
        raise from_value_error(ValueError(model.tokenizer_problem), code="no_tokenizer")
    return model.tokenizer


def _plain(message: ChatMessage) -> dict[str, Any]:
    """Give a message as templates expect it: content as one text."""
    values = message.model_dump(exclude_none=True)
    if isinstance(message.content, list):
        other = next((part.get("type") for part in message.content if part.get("type") != "text"), None)
        if other is not None:
            raise _unsupported("messages", f"message parts of the type {other!r}", "Send text only.")
        values["content"] = "".join(str(part.get("text", "")) for part in message.content)
    if isinstance(values.get("content"), str):
        values["content"] = _clean(values["content"])
    return values


def _clean(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can spell and UTF-8 can't."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
