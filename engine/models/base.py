"""What every model family offers the engine: one protocol, and the values that pass through it.

Logits and routing are values returned by each call, never hooks or state. Nothing here knows how a family computes.
Legend: N tokens of a call in order (a prompt's, or one per sequence of a decoding step), L MoE layers, E experts,
K experts per token, C = 2K candidates, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from torch import Tensor

from engine.interventions import Intervention

Capture = Literal["off", "ids", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Which experts fired, for every token and MoE layer. Tensors lie on the model's device.

    Experts of a token are ordered by biased score, best first (but in the given order where routing was pinned).
    """

    ids_NLK: Tensor  # int64; engine.trace.UNUSED_EXPERT where an intervention left a place empty
    weights_NLK: Tensor  # float32, as mixed: renormalised and scaled
    margin_NL: Tensor | None  # float32, biased score of the last chosen minus the first rejected; None when pinned
    shared_NL: Tensor | None  # float32 0..1: |shared| / (|shared| + |routed|); None without shared experts
    candidates_NLC: Tensor | None = None  # int64, the best C experts by biased score; this and the next: "full" only
    raw_NLC: Tensor | None = None  # float32 scores of the candidates as the router gave them
    biased_NLC: Tensor | None = None  # float32 scores the choice went by; -inf for experts of a group that lost


class Recorded(Protocol):
    """What a call kept of its tokens' routing. Several calls' are computed in one go, which costs hardly more."""

    def __len__(self) -> int:
        """Tokens of the call."""
        ...

    def routing(self, later: Sequence[Self] = ()) -> Routing:
        """The routing of this call's tokens and then of `later` calls'."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Result of one call: float32 logits [N or 1, V], and what was recorded of the routing.

    `recorded` is None when capture was off, or the model has no MoE layers.
    """

    logits: Tensor
    recorded: Recorded | None

    @property
    def routing(self) -> Routing | None:
        """The routing of the call's tokens."""
        return None if self.recorded is None else self.recorded.routing()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What a model card, the inspector and the scheduler need to know of any family."""

    num_layers: int
    moe_layers: tuple[int, ...]  # absolute numbers, as the checkpoint counts from 0
    num_experts: int
    experts_per_token: int
    num_shared_experts: int
    num_heads: int
    vocab_size: int
    context_length: int
    num_parameters: int
    num_active_parameters: int


class Cache(Protocol):
    """What a model remembers of one sequence. Created by `MoeModel.new_cache`, changed by prefill and decode."""

    @property
    def length(self) -> int:
        """Tokens held."""
        ...

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens; ValueError when fewer are held."""
        ...

    def copy(self) -> "Cache":
        """An independent cache with the same content: a branch of the conversation."""
        ...


class MoeModel(Protocol):
    """A mixture-of-experts language model, ready to run. Not thread-safe: one worker thread owns it."""

    @property
    def shape(self) -> ModelShape:
        """Sizes for cards and displays."""
        ...

    def new_cache(self) -> Cache:
        """An empty cache for one sequence."""
        ...

    def prefill(
        self,
        tokens: Sequence[int],
        cache: Cache,
        *,
        capture: Capture = "off",
        all_logits: bool = False,
        pinned_NLK: Tensor | None = None,
        interventions: tuple[Intervention, ...] = (),
    ) -> Forward:
        """Append `tokens` to the sequence in `cache` (empty, or holding its beginning).

        Logits are of the last token, or of every token with `all_logits`. `pinned_NLK` gives the experts
        instead of the router's choice, `interventions` change it (one or the other). ValueError when the tokens
        don't fit the context or the vocabulary.
        """
        ...

    def decode(
        self,
        tokens: Sequence[int],
        caches: Sequence[Cache],
        *,
        capture: Capture = "off",
        pinned_NLK: Tensor | None = None,
        interventions: Sequence[tuple[Intervention, ...]] = (),
    ) -> Forward:
        """Append one token to each of several sequences, of any lengths, in one step.

        Row i of logits, routing and `interventions` (none at all, or one entry a row) belongs to sequence i.
        ValueError as for `prefill`.
        """
        ...
