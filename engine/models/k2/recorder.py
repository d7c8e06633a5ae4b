"""Collects routing layer by layer during a pass, and computes it as one value when it is wanted.

Kept cheap: per layer a few references (for a prompt, two norms too). All else is done for many decoding steps at
once, since in small models a step of its own for each would cost more than it computes.
"""

from collections.abc import Sequence
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.config import ModelConfig
from engine.models.base import Capture, Routing
from engine.models.k2.moe import Choice
from engine.trace import UNUSED_EXPERT

_FEW_TOKENS = 16  # up to these, outputs are kept for their norms later; those of a long prompt would be too much


class RoutingRecorder:
    """One per pass over N tokens. `num_best` tells the router how many of the best experts to report."""

    def __init__(self, config: ModelConfig, capture: Capture, *, pinned: bool) -> None:
        self.per_token = config.experts_per_token
        self.num_candidates = min(2 * self.per_token, config.num_experts)
        self.is_full = capture == "full"
        self.is_pinned = pinned
        wanted = max(self.num_candidates, self.per_token + 1) if self.is_full else self.per_token + 1
        self.num_best = min(wanted, config.num_experts)
        self.choices: list[Choice] = []
        self.outputs: list[Tensor] = []  # of routed and shared experts in turn, or their norms

    def __len__(self) -> int:
        return len(self.choices[0].ids_NK) if self.choices else 0

    def add(self, choice: Choice, routed_ND: Tensor, shared_ND: Tensor | None) -> None:
        """Take in one MoE layer."""
        self.choices.append(choice)
        if shared_ND is not None:
            outputs = (routed_ND, shared_ND)
            self.outputs += outputs if len(routed_ND) <= _FEW_TOKENS else map(_norms, outputs)

    def routing(self, later: Sequence["RoutingRecorder"] = ()) -> Routing:
        """Everything collected here and then in `later` passes of the same model, as one value."""
        return _Passes((self, *later)).routing()


class _Passes:
    """Several passes after each other. Fields are joined layer by layer, in each layer pass by pass."""

    def __init__(self, passes: Sequence[RoutingRecorder]) -> None:
        self._passes = passes
        self._choices = list(chain.from_iterable(zip(*(each.choices for each in passes), strict=True)))
        self._num_layers = len(passes[0].choices)
        self._is_changed = any(choice.margin_N is not None for choice in self._choices)

    def routing(self) -> Routing:
        first = self._passes[0]
        ids, weights = self._places()
        scores = self._joined(self._cut([choice.best_scores_NB for choice in self._choices]))
        candidates = raw = biased = None
        if all(each.is_full for each in self._passes):
            candidates = self._joined([choice.best_ids_NB for choice in self._choices])[..., : first.num_candidates]
            raw = self._joined([choice.raw_NE for choice in self._choices]).gather(-1, candidates)
            biased = scores[..., : first.num_candidates]
        return Routing(
            ids_NLK=self._joined(ids),
            weights_NLK=self._joined(weights),
            margin_NL=None if first.is_pinned else self._margins(scores),
            shared_NL=self._shares(),
            candidates_NLC=candidates,
            raw_NLC=raw,
            biased_NLC=biased,
        )

    def _joined(self, tensors: list[Tensor]) -> Tensor:
        return _by_layer(tensors, self._num_layers)

    def _cut(self, best: list[Tensor]) -> list[Tensor]:
        """As many of the best as every pass reports."""
        counts = {each.num_best for each in self._passes}
        return best if len(counts) == 1 else [values_NB[:, : min(counts)] for values_NB in best]

    def _places(self) -> tuple[list[Tensor], list[Tensor]]:
        """Ids and weights, as the trace has them: alike in width, UNUSED_EXPERT in places that stay empty."""
        ids, weights = [choice.ids_NK for choice in self._choices], [choice.weights_NK for choice in self._choices]
        if not self._is_changed:
            return ids, weights
        width = max(ids_NK.shape[1] for ids_NK in ids)
        unused = [choice.unused_NK for choice in self._choices]
        ids = [ids_NK if empty_NK is None else ids_NK.masked_fill(empty_NK, UNUSED_EXPERT)
               for ids_NK, empty_NK in zip(ids, unused, strict=True)]
        return [_padded(each, width, UNUSED_EXPERT) for each in ids], [_padded(each, width, 0.0) for each in weights]

    def _margins(self, scores_NLB: Tensor) -> Tensor:
        per_token = self._passes[0].per_token
        if not self._is_changed:
            return _margin(scores_NLB, per_token)
        return self._joined([_margin(choice.best_scores_NB, per_token) if choice.margin_N is None else choice.margin_N
                             for choice in self._choices])

    def _shares(self) -> Tensor | None:
        if not self._passes[0].outputs:
            return None
        outputs = list(chain.from_iterable(zip(*(each.outputs for each in self._passes), strict=True)))
        if any(output.ndim == 1 for output in outputs):
            outputs = [output if output.ndim == 1 else _norms(output) for output in outputs]
        joined = _by_layer(outputs, 2 * self._num_layers)
        norms_NM = joined if joined.ndim == 2 else _norms(joined)
        routed_NL, shared_NL = norms_NM[:, ::2], norms_NM[:, 1::2]
        return shared_NL / (shared_NL + routed_NL).clamp_min(1e-30)


def _by_layer(tensors: list[Tensor], num_layers: int) -> Tensor:
    """Join tensors [n, ...] that are in order of layers to [N, L, ...]."""
    joined = torch.cat(tensors)
    return joined.view(num_layers, -1, *joined.shape[1:]).transpose(0, 1)


def _margin(scores_xB: Tensor, per_token: int) -> Tensor:
    last = scores_xB[..., per_token - 1]
    if scores_xB.shape[-1] == per_token:  # nobody is left to reject
        return torch.full_like(last, torch.inf)
    return last - scores_xB[..., per_token]


def _padded(values_NK: Tensor, width: int, filler: float) -> Tensor:
    if values_NK.shape[1] == width:
        return values_NK
    return F.pad(values_NK, (0, width - values_NK.shape[1]), value=filler)


def _norms(x_xD: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(x_xD, dim=-1, dtype=torch.float32)
    return norms
