"""Continuous batching: whose prompt is read next and who takes part in the next decoding step.

Each step reads one piece of one waiting prompt (waiting prompts take turns) and then gives one token to every
running answer, so panes and API clients share the model evenly and a long prompt stops nobody. Runs on the worker
thread only; it knows no queues and no HTTP.
"""

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from engine.capture import to_block
from engine.events import CAPTURE_LEVELS, CaptureLevel, FailureKind
from engine.models.base import MoeModel
from engine.prefix_cache import PrefixCache
from engine.sampling import F32
from engine.sequence import Sequence

SMALL_MODEL_PARAMETERS = 200_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`prefill_piece` tokens are read at once: cancel takes effect between pieces."""

    prefill_piece: int
    max_batch: int = 16
    max_cached_tokens: int = 65_536


def limits_for(model: MoeModel) -> Limits:
    """Choose limits by the size of a model alone, so that they don't vary from run to run."""
    if model.shape.num_active_parameters < SMALL_MODEL_PARAMETERS:
        return Limits(prefill_piece=512)
    return Limits(prefill_piece=64, max_cached_tokens=model.shape.context_length)


class Scheduler:
    """Owns the sequences of one model. Not thread-safe."""

    def __init__(self, model: MoeModel, *, end_ids: frozenset[int], limits: Limits | None = None) -> None:
        self._model = model
        self._layers = model.shape.moe_layers
        self._end_ids = end_ids
        self._limits = limits or limits_for(model)
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._prefixes = PrefixCache(self._limits.max_cached_tokens)

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._waiting or self._running)

    def submit(self, sequence: Sequence) -> None:
        """Queue a new sequence. Its prompt must fit the context."""
        assert 0 < len(sequence.prompt_ids) < self._model.shape.context_length
        self._waiting.append(sequence)

    def cancel(self, sequence: Sequence) -> None:
        """End a sequence now, keeping what it computed; nothing happens when it has ended already."""
        if sequence in self._waiting or sequence in self._running:
            self._finish(sequence, cancelled=True)

    def fail_all(self, kind: FailureKind, message: str) -> None:
        """End every sequence with a failure."""
        for sequence in [*self._waiting, *self._running]:
            self._fail(sequence, kind, message)

    def step(self) -> None:
        """Read one piece of a prompt, then decode one token of every running answer."""
        if self._waiting and len(self._running) < self._limits.max_batch:
            for other in self._running:
                other.send(now=True)  # a prompt may take a while
            sequence = self._waiting[0]
            with self._failing([sequence]):
                self._prefill(sequence)
        if self._running:
            batch = list(self._running)
            with self._failing(batch):
                self._decode(batch)

    def _prefill(self, sequence: Sequence) -> None:
        capture = sequence.request.capture
        if sequence.cache is None:
            prefix = self._prefixes.take(sequence.prompt_ids, capture, variant=sequence.variant)
            sequence.begin(self._model.new_cache() if prefix is None else prefix.cache, prefix)
        assert sequence.cache is not None
        tokens = sequence.to_prefill[: self._limits.prefill_piece]
        started = time.perf_counter()
        forward = self._model.prefill(tokens, sequence.cache, capture=capture,
                                      interventions=sequence.request.interventions)
        logits_V = forward.logits[-1].cpu().numpy()  # waits for the device
        block = None if forward.recorded is None else to_block(forward.recorded.routing(), self._layers)
        sequence.prefilled(tokens, block, time.perf_counter() - started)
        self._waiting.popleft()
        if sequence.to_prefill:
            self._waiting.append(sequence)
            return
        self._running.append(sequence)
        self._sample(sequence, logits_V)

    def _decode(self, batch: list[Sequence]) -> None:
        levels = [CAPTURE_LEVELS.index(sequence.request.capture) for sequence in batch]
        capture: CaptureLevel = CAPTURE_LEVELS[max(levels)]
        caches = [sequence.cache for sequence in batch if sequence.cache is not None]
        forward = self._model.decode([sequence.next_token for sequence in batch], caches, capture=capture,
                                     interventions=[sequence.request.interventions for sequence in batch])
        logits_BV = forward.logits.cpu().numpy()
        for row, sequence in enumerate(batch):
            sequence.decoded(forward.recorded, row)
            if sequence.end_reason is not None:
                self._finish(sequence)
            else:
                self._sample(sequence, logits_BV[row])

    def _sample(self, sequence: Sequence, logits_V: F32) -> None:
        with self._failing([sequence]):
            sequence.sample(logits_V, self._end_ids)
            if sequence.end_reason is not None and not sequence.routed:
                self._finish(sequence)
            else:
                sequence.send(now=sequence.end_reason is not None)

    def _finish(self, sequence: Sequence, *, cancelled: bool = False) -> None:
        self._remove(sequence)
        sequence.finish("cancelled" if cancelled or sequence.end_reason is None else sequence.end_reason)
        computed = sequence.computed()
        if computed is not None:
            self._prefixes.put(computed.ids, computed.cache, computed.capture, computed.block,
                               variant=sequence.variant)

    @contextlib.contextmanager
    def _failing(self, sequences: list[Sequence]) -> Iterator[None]:
        """Turn an error of the model into a failure of these sequences; the others go on."""
        try:
            yield
        except (MemoryError, torch.OutOfMemoryError):
            self._prefixes.clear()
            for sequence in sequences:
                self._fail(sequence, "out_of_memory", "The device ran out of memory. Shorten the conversation, close "
                           "other programs, or load a smaller model.")
        except (ValueError, RuntimeError) as error:
            for sequence in sequences:
                self._fail(sequence, "model_error", str(error))

    def _fail(self, sequence: Sequence, kind: FailureKind, message: str) -> None:
        self._remove(sequence)
        sequence.fail(kind, message)

    def _remove(self, sequence: Sequence) -> None:
        if sequence in self._waiting:
            self._waiting.remove(sequence)
        if sequence in self._running:
            self._running.remove(sequence)
