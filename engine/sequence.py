"""One request while it is being answered: what was fed, what was sampled, its routing, when it was sent.

The scheduler decides when a sequence computes; this class keeps its books and sends its events.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.answer import AnswerText, prompt_tokens
from engine.capture import rows_to_block
from engine.events import (
    CaptureLevel,
    Delta,
    Event,
    Failed,
    FailureKind,
    Finished,
    FinishReason,
    GenerateRequest,
    Timings,
    TraceChunk,
)
from engine.interventions import variant_of, width
from engine.models.base import Cache, Recorded
from engine.prefix_cache import Prefix
from engine.sampling import F32, Sampler
from engine.tokenizer import ChatTokenizer
from engine.trace import RoutingBlock, concatenate

logger = logging.getLogger(__name__)
SEND_INTERVAL_S = 1 / 45  # text and rows go out together, at most this often


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What a sequence leaves behind for the prefix cache."""

    ids: list[int]
    cache: Cache
    capture: CaptureLevel
    block: RoutingBlock | None


class Sequence:
    """Books of one request. `emit` is called with each event, in order; a Finished or Failed is the last.

    Attributes: `next_token` was sampled but not fed yet; `end_reason` is set once the answer is complete while
    its last token is still to be fed for its routing.
    """

    def __init__(self, request: GenerateRequest, emit: Callable[[Event], None], *, tokenizer: ChatTokenizer | None,
                 layers: tuple[int, ...], experts_per_token: int, context_length: int) -> None:
        self.request = request
        self.cache: Cache | None = None
        self.next_token = -1
        self.end_reason: FinishReason | None = None
        self.prompt_ids = [*request.prompt.ids, *request.continue_ids]
        room = context_length - len(self.prompt_ids)
        self._limit = room if request.max_tokens is None else min(room, request.max_tokens)
        self._emit = emit
        self._layers = layers
        self._width = width(request.interventions, experts_per_token)
        self._answer = AnswerText(request, tokenizer)
        self._prompt = prompt_tokens(request, tokenizer, self._answer.given) if self.routed else []
        self._fed: list[int] = []
        self._blocks: list[RoutingBlock] = []
        self._rows: list[tuple[Recorded, int]] = []
        self._num_cached = 0
        self._num_sampled = 0
        self._sampler = Sampler(request.sampling, history=self.prompt_ids, position=len(request.continue_ids),
                                num_top_logprobs=request.num_top_logprobs)
        self._submitted_at = time.perf_counter()
        self._prefill_s = 0.0
        self._first_token_at = 0.0
        self._last_token_at = 0.0
        self._sent_at = 0.0

    @property
    def routed(self) -> bool:
        """Whether the request wants routing."""
        return self.request.capture != "off"

    @property
    def to_prefill(self) -> list[int]:
        """Prompt tokens that did not go through the model yet."""
        return self.prompt_ids[len(self._fed):]

    @property
    def variant(self) -> str:
        """What its interventions make of the model, for the prefix cache."""
        return variant_of(self.request.interventions)

    def begin(self, cache: Cache, prefix: Prefix | None) -> None:
        """Start from an empty cache, or from a known beginning whose stored routing is sent at once."""
        self.cache = cache
        if prefix is None:
            return
        self._num_cached = prefix.length
        self._fed = self.prompt_ids[: prefix.length]
        if prefix.block is not None:
            self._send_prefill(prefix.block, 0)

    def prefilled(self, tokens: list[int], block: RoutingBlock | None, seconds: float) -> None:
        """Note that a piece of the prompt went through the model."""
        start = len(self._fed)
        self._fed += tokens
        self._prefill_s += seconds
        if block is not None:
            self._send_prefill(block, start)

    def _send_prefill(self, block: RoutingBlock, start: int) -> None:
        self._blocks.append(block)
        tokens = tuple(self._prompt[start:start + len(block)])
        self._emit(Delta(text="", chunks=(TraceChunk(phase="prefill", tokens=tokens, block=block),)))

    def sample(self, logits_V: F32, end_ids: frozenset[int]) -> None:
        """Choose the next token, and set `end_reason` when it is the last.

        Raises:
            ValueError: the logits are not numbers.
        """
        sampled = self._sampler.sample(logits_V)
        self._last_token_at = time.perf_counter()
        self._first_token_at = self._first_token_at or self._last_token_at
        self._num_sampled += 1
        self.next_token = sampled.token_id
        is_end = sampled.token_id in end_ids
        if self._answer.add(sampled, ends=is_end) or is_end:
            self.end_reason = "stop"
        elif self._num_sampled >= self._limit:
            self.end_reason = "length"
        if self.end_reason is not None:
            self._answer.finish()

    def decoded(self, recorded: Recorded | None, row: int) -> None:
        """Note that `next_token` went through the model as row `row` of a batch."""
        self._fed.append(self.next_token)
        if self.routed and recorded is not None:
            self._rows.append((recorded, row))

    def send(self, *, now: bool = False) -> None:
        """Send what is ready, unless the last sending was a moment ago."""
        time_s = time.perf_counter()
        if not now and time_s - self._sent_at < SEND_INTERVAL_S:
            return
        self._convert_rows()
        delta = self._answer.delta(routed=self.routed)
        if delta is not None:
            self._sent_at = time_s
            self._emit(delta)

    def _convert_rows(self) -> None:
        if self._rows:
            block = rows_to_block(self._rows, self._layers, full=self.request.capture == "full",
                                  width=self._width)
            self._rows = []
            self._blocks.append(block)
            self._answer.add_rows(block)

    def finish(self, reason: FinishReason) -> None:
        """Send the rest and the Finished event."""
        self._answer.finish()
        self.send(now=True)
        rest = self._answer.rest() if self.routed else None
        if rest is not None:
            self._emit(Delta(text="", chunks=(rest,)))
        timings = self._timings()
        logger.info("Answer %s: %d prompt tokens (%d cached), %d generated, %.0f tokens/s", reason,
                    len(self.prompt_ids), self._num_cached, self._num_sampled, timings.decode_tokens_per_s)
        self._emit(Finished(
            reason=reason, prompt_tokens=len(self.prompt_ids), cached_tokens=self._num_cached,
            completion_tokens=self._num_sampled, seed=self._sampler.seed, timings=timings))

    def fail(self, kind: FailureKind, message: str) -> None:
        """Send what came before, then the Failed event."""
        self._answer.finish()
        self.send(now=True)
        self._emit(Failed(kind=kind, message=message))

    def computed(self) -> Computed | None:
        """Hand over what went through the model; None when nothing did. The sequence is at its end."""
        if self.cache is None or self.cache.length != len(self._fed) or not self._fed:
            return None
        self._convert_rows()
        block = concatenate(self._blocks) if self._blocks else None
        complete = block is not None and len(block) == len(self._fed)
        return Computed(ids=self._fed, cache=self.cache, capture=self.request.capture if complete else "off",
                        block=block if complete else None)

    def _timings(self) -> Timings:
        now = time.perf_counter()
        num_prefilled = min(len(self._fed), len(self.prompt_ids)) - self._num_cached
        decode_s = self._last_token_at - self._first_token_at
        return Timings(
            prefill_tokens_per_s=num_prefilled / self._prefill_s if self._prefill_s else 0.0,
            decode_tokens_per_s=(self._num_sampled - 1) / decode_s if decode_s else 0.0,
            first_token_ms=(self._first_token_at - self._submitted_at) * 1000 if self._first_token_at else 0.0,
            total_ms=(now - self._submitted_at) * 1000,
        )
