"""Collects routing layer by layer during one pass and hands it over as one value.

Kept cheap: per layer a few references (for a prompt, two norms too), and everything else once at the end of the pass.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.config import ModelConfig
from engine.models.base import Capture, Routing
from engine.models.k2.moe import Choice
from engine.trace import UNUSED_EXPERT

_FEW_TOKENS = 16  # up to these, outputs are kept for one norm at the end; those of a long prompt would be too much


class RoutingRecorder:
    """One per pass. `num_best` tells the router how many of the best experts to report."""

    def __init__(self, config: ModelConfig, capture: Capture, *, pinned: bool) -> None:
        self._per_token = config.experts_per_token
        self._num_candidates = min(2 * self._per_token, config.num_experts)
        self._full = capture == "full"
        self._pinned = pinned
        wanted = max(self._num_candidates, self._per_token + 1) if self._full else self._per_token + 1
        self.num_best = min(wanted, config.num_experts)
        self._choices: list[Choice] = []
        self._outputs: list[Tensor] = []  # of routed and shared experts in turn, or their norms

    def add(self, choice: Choice, routed_ND: Tensor, shared_ND: Tensor | None) -> None:
        """Take in one MoE layer."""
        self._choices.append(choice)
        if shared_ND is not None:
            outputs = (routed_ND, shared_ND)
            self._outputs += outputs if len(routed_ND) <= _FEW_TOKENS else map(_norms, outputs)

    def routing(self) -> Routing | None:
        """Everything collected; None for a model without MoE layers."""
        if not self._choices:
            return None
        width = max(choice.ids_NK.shape[1] for choice in self._choices)
        best_scores = torch.stack([choice.best_scores_NB for choice in self._choices], dim=1)
        candidates = raw = biased = None
        if self._full:
            best_ids = torch.stack([choice.best_ids_NB for choice in self._choices], dim=1)
            candidates = best_ids[..., : self._num_candidates]
            raw = torch.stack([choice.raw_NE for choice in self._choices], dim=1).gather(-1, candidates)
            biased = best_scores[..., : self._num_candidates]
        return Routing(
            ids_NLK=torch.stack([_used_ids(choice, width) for choice in self._choices], dim=1),
            weights_NLK=torch.stack([_padded(choice.weights_NK, width, 0.0) for choice in self._choices], dim=1),
            margin_NL=None if self._pinned else self._margins(best_scores),
            shared_NL=self._shares(),
            candidates_NLC=candidates,
            raw_NLC=raw,
            biased_NLC=biased,
        )

    def _margins(self, best_scores_NLB: Tensor) -> Tensor:
        changed = [choice.margin_N for choice in self._choices if choice.margin_N is not None]
        if changed:
            return torch.stack(changed, dim=1)
        last = best_scores_NLB[..., self._per_token - 1]
        if best_scores_NLB.shape[-1] == self._per_token:  # nobody is left to reject
            return torch.full_like(last, torch.inf)
        return last - best_scores_NLB[..., self._per_token]

    def _shares(self) -> Tensor | None:
        if not self._outputs:
            return None
        outputs = torch.stack(self._outputs, dim=1)
        norms_NM = outputs if outputs.ndim == 2 else _norms(outputs)
        routed_NL, shared_NL = norms_NM[:, ::2], norms_NM[:, 1::2]
        return shared_NL / (shared_NL + routed_NL).clamp_min(1e-30)


def _used_ids(choice: Choice, width: int) -> Tensor:
    """Ids as the trace has them: UNUSED_EXPERT in places that stay empty."""
    ids_NK = choice.ids_NK if choice.unused_NK is None else choice.ids_NK.masked_fill(choice.unused_NK, UNUSED_EXPERT)
    return _padded(ids_NK, width, UNUSED_EXPERT)


def _padded(values_NK: Tensor, width: int, filler: float) -> Tensor:
    if values_NK.shape[1] == width:
        return values_NK
    return F.pad(values_NK, (0, width - values_NK.shape[1]), value=filler)


def _norms(x_ND: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(x_ND, dim=-1, dtype=torch.float32)
    return norms
