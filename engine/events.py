"""What goes into generation and what comes out: requests and events as values. No torch, no threads, no HTTP."""

from dataclasses import dataclass, field
from typing import Literal

from engine.interventions import Intervention
from engine.sampling import SamplingParams
from engine.tokenizer import PromptText
from engine.trace import Phase, RoutingBlock, TraceToken

CaptureLevel = Literal["off", "ids", "full"]
FinishReason = Literal["stop", "length", "cancelled"]
FailureKind = Literal["model_error", "model_changed", "out_of_memory", "shutting_down"]
CAPTURE_LEVELS: tuple[CaptureLevel, ...] = ("off", "ids", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """One answer to generate. `continue_ids` are tokens that the answer has already (it goes on after them).

    `max_tokens` None means as many as the context has room for.
    """

    prompt: PromptText
    continue_ids: tuple[int, ...] = ()
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    capture: CaptureLevel = "off"
    interventions: tuple[Intervention, ...] = ()
    num_top_logprobs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScore:
    """A generated token with its log probability and the likeliest alternatives (token, text, logprob)."""

    token_id: int
    text: str
    logprob: float
    top: tuple[tuple[int, str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceChunk:
    """Consecutive tokens of one phase and their routing (None when it was not recorded)."""

    phase: Phase
    tokens: tuple[TraceToken, ...]
    block: RoutingBlock | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """New text of the answer, scores of the tokens behind it, and token rows that became known."""

    text: str
    scores: tuple[TokenScore, ...] = ()
    chunks: tuple[TraceChunk, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long an answer took. Rates are 0 where nothing was measured; prefill counts uncached tokens only."""

    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    first_token_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The answer is complete, or was cancelled. `seed` repeats it."""

    reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seed: int
    timings: Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The answer can't go on; `message` says what happened and what to do."""

    kind: FailureKind
    message: str


Event = Delta | Finished | Failed
EndEvent = Finished | Failed
