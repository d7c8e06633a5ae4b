"""The mixture-of-experts block: router, expert matrices, and the sorted pass over many tokens.

The router is DeepSeek-V3's: sigmoid scores choose with a correction bias added, and weigh without it; weights
are renormalised first and scaled after. Legend: N tokens, D model width, E experts, K experts per token, F inner
width of an expert, C = 2F (gate and up side by side), M = N * K token-expert pairs, B best-scored experts.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.config import ModelConfig
from engine.models.k2.layers import SwiGlu
from engine.models.router_changes import RouterChange

_MUTED_VOTE = -1e6  # far below any score, and still a number


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the router decided for N tokens, and what it decided by."""

    ids_NK: Tensor
    weights_NK: Tensor
    raw_NE: Tensor
    best_ids_NB: Tensor  # by biased score, best first; B >= K as asked for
    best_scores_NB: Tensor
    unused_NK: Tensor | None = None  # places that stay empty, with weight 0; this and the next under a change only
    margin_N: Tensor | None = None  # biased score of the last chosen minus the best rejected


class Router(nn.Module):
    """Scores and chooses experts, always in float32."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(config.num_experts, config.hidden_size))
        self.e_score_correction_bias: Tensor
        self.register_buffer("e_score_correction_bias", torch.zeros(config.num_experts))

    def choose(
        self,
        x_ND: Tensor,
        *,
        num_best: int,
        pinned_NK: Tensor | None = None,
        change: RouterChange | None = None,
    ) -> Choice:
        """Route tokens; `num_best` (at least K) is how many of the best are reported, `pinned_NK` overrules ids."""
        raw_NE = F.linear(x_ND.float(), self.weight).sigmoid()
        biased_NE = raw_NE.detach() + self.e_score_correction_bias
        if change is not None:
            biased_NE = biased_NE + change.added_NE
        own_NE = biased_NE
        if self.config.num_groups > 1:
            biased_NE = keep_best_groups(biased_NE, self.config)
        if change is not None:
            return self._choose_changed(raw_NE, own_NE, biased_NE, change, num_best)
        scores_NB, best_NB = biased_NE.topk(num_best)
        ids_NK = best_NB[:, : self.config.experts_per_token] if pinned_NK is None else pinned_NK
        return Choice(
            ids_NK=ids_NK,
            weights_NK=self._weights(raw_NE.gather(1, ids_NK)),
            raw_NE=raw_NE,
            best_ids_NB=best_NB,
            best_scores_NB=scores_NB,
        )

    def _choose_changed(
        self, raw_NE: Tensor, own_NE: Tensor, biased_NE: Tensor, change: RouterChange, num_best: int
    ) -> Choice:
        """Choose under a change: forced experts push out the last ones, a row has as many places as it is given.

        `own_NE` are the biased scores before groups were left out: a forced expert keeps its own.
        """
        forced_NE = change.forced_NE.expand_as(biased_NE)
        rank_NE = biased_NE.masked_fill(forced_NE, torch.inf)
        ids_NK = rank_NE.topk(change.width).indices
        surplus_NK = torch.arange(change.width, device=ids_NK.device) >= change.places_N.unsqueeze(-1)
        score_NK = torch.where(forced_NE, own_NE, biased_NE).gather(1, ids_NK).masked_fill(surplus_NK, -torch.inf)
        order_NK = score_NK.sort(descending=True, stable=True)  # forced experts stand where their own score says
        ids_NK = ids_NK.gather(1, order_NK.indices)
        unused_NK = order_NK.values.isinf()
        rejected_NE = biased_NE.scatter(1, ids_NK, torch.where(unused_NK, biased_NE.gather(1, ids_NK), -torch.inf))
        last_N = order_NK.values.masked_fill(unused_NK, torch.inf).amin(-1)
        scores_NB, best_NB = biased_NE.topk(num_best)
        return Choice(
            ids_NK=ids_NK,
            weights_NK=self._weights(raw_NE.gather(1, ids_NK).masked_fill(unused_NK, 0.0)),
            raw_NE=raw_NE,
            best_ids_NB=best_NB,
            best_scores_NB=scores_NB,
            unused_NK=unused_NK,
            margin_N=last_N - rejected_NE.amax(-1),
        )

    def _weights(self, chosen_NK: Tensor) -> Tensor:
        scale = self.config.routed_scaling_factor
        if self.config.norm_topk_prob:
            return chosen_NK / (chosen_NK.sum(-1, keepdim=True) + 1e-20) * scale
        return chosen_NK * scale


class Experts(nn.Module):
    """The matrices of all experts of a layer, stacked, rows by input: gate|up [E, D, C] and down [E, F, D].

    A product is then a weighted sum of rows, which decoding computes for all chosen experts at once.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        num, inner, width = config.num_experts, config.expert_width, config.hidden_size
        self.gate_up_EDC = nn.Parameter(torch.empty(num, width, 2 * inner))
        self.down_EFD = nn.Parameter(torch.empty(num, inner, width))

    def forward(self, x_ND: Tensor, ids_NK: Tensor, weights_NK: Tensor) -> Tensor:
        """Weighted sum [N, D] of the chosen experts' outputs: tokens sorted by expert, one product each."""
        flat_M = ids_NK.flatten()
        order_M = flat_M.argsort(stable=True)
        rows_M = order_M // ids_NK.shape[1]
        sorted_MD = x_ND.index_select(0, rows_M)
        weights_M1 = weights_NK.flatten().index_select(0, order_M).unsqueeze(-1).to(x_ND.dtype)
        counts_E = torch.bincount(flat_M, minlength=len(self.down_EFD))
        aligned = all(size % 8 == 0 for size in self.down_EFD.shape[1:])  # the grouped kernel loads 16 bytes at once
        run = _grouped if x_ND.is_cuda and x_ND.dtype == torch.bfloat16 and aligned else _one_by_one
        out_MD = run(sorted_MD, weights_M1, counts_E, self.gate_up_EDC, self.down_EFD)
        return torch.zeros_like(x_ND).index_add(0, rows_M, out_MD)


class MoeBlock(nn.Module):
    """Router, routed experts and shared experts of one layer. Parameter names follow the checkpoint's."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = Router(config)
        self.experts = Experts(config)
        self.shared_experts: SwiGlu | None = None
        if config.num_shared_experts:
            self.shared_experts = SwiGlu(config.hidden_size, config.expert_width * config.num_shared_experts)

    def forward(
        self, x_ND: Tensor, *, num_best: int, pinned_NK: Tensor | None = None, change: RouterChange | None = None
    ) -> tuple[Tensor, Tensor | None, Choice]:
        """Output of the routed experts [N, D], of the shared ones (if there are any), and the choice."""
        choice = self.gate.choose(x_ND, num_best=num_best, pinned_NK=pinned_NK, change=change)
        routed_ND = self.experts(x_ND, choice.ids_NK, choice.weights_NK)
        return routed_ND, None if self.shared_experts is None else self.shared_experts(x_ND), choice


def keep_best_groups(biased_NE: Tensor, config: ModelConfig) -> Tensor:
    """Set experts outside the best `groups_per_token` groups to -inf; a group counts its two best scores.

    A muted expert's score is -inf already: its group comes behind all with two others, and before those with none.
    """
    grouped = biased_NE.view(*biased_NE.shape[:-1], config.num_groups, -1)
    votes_NG = grouped.topk(2, dim=-1).values.clamp_min(_MUTED_VOTE).sum(-1)
    best = votes_NG.topk(config.groups_per_token, dim=-1).indices
    lost_NG = torch.ones_like(votes_NG, dtype=torch.bool).scatter(-1, best, value=False)
    return grouped.masked_fill(lost_NG.unsqueeze(-1), -torch.inf).view_as(biased_NE)


def gated(inner: Tensor) -> Tensor:
    """silu(gate) * up of [..., C] with both side by side."""
    gate, up = inner.chunk(2, dim=-1)
    return F.silu(gate) * up


def _one_by_one(
    sorted_MD: Tensor, weights_M1: Tensor, counts_E: Tensor, gate_up_EDC: Tensor, down_EFD: Tensor
) -> Tensor:
    # unbind, not indexing: its backward is one stack instead of a zero-filled tensor of all experts for each.
    counts = counts_E.tolist()
    parts = zip(
        torch.split(sorted_MD, counts),
        torch.split(weights_M1, counts),
        gate_up_EDC.unbind(),
        down_EFD.unbind(),
        strict=True,
    )
    return torch.cat([(gated(x @ gate_up) * weight) @ down for x, weight, gate_up, down in parts if len(x)])


def _grouped(
    sorted_MD: Tensor, weights_M1: Tensor, counts_E: Tensor, gate_up_EDC: Tensor, down_EFD: Tensor
) -> Tensor:
    # No counts on the host: nothing waits for the device.
    ends_E = counts_E.cumsum(0, dtype=torch.int32)
    inner_MF = gated(F.grouped_mm(sorted_MD, gate_up_EDC, offs=ends_E)) * weights_M1
    return F.grouped_mm(inner_MF, down_EFD, offs=ends_E)
