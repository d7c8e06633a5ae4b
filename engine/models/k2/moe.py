"""The mixture-of-experts block: router, expert matrices, and the sorted pass over many tokens.

The router is DeepSeek-V3's: sigmoid scores choose with a correction bias added, and weigh without it; weights
are renormalised first and scaled after. Legend: N tokens, D model width, E experts, K experts per token, F inner
width of an expert, M = N * K token-expert pairs.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.config import ModelConfig
from engine.models.k2.layers import SwiGlu


class Router(nn.Module):
    """Scores and chooses experts, always in float32."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(config.num_experts, config.hidden_size))
        self.e_score_correction_bias: Tensor
        self.register_buffer("e_score_correction_bias", torch.zeros(config.num_experts))

    def scores(self, x_ND: Tensor) -> Tensor:
        """Raw scores [N, E] in 0..1."""
        return F.linear(x_ND.float(), self.weight.float()).sigmoid()

    def biased(self, raw_NE: Tensor) -> Tensor:
        """Scores [N, E] that the choice goes by: bias added, groups that lost the vote at -inf."""
        biased_NE = raw_NE + self.e_score_correction_bias
        return biased_NE if self.config.num_groups == 1 else keep_best_groups(biased_NE, self.config)

    def weights(self, raw_NE: Tensor, ids_NK: Tensor) -> Tensor:
        """Mixing weights [N, K] of the chosen experts."""
        weights_NK = raw_NE.gather(1, ids_NK)
        if self.config.norm_topk_prob:
            weights_NK = weights_NK / (weights_NK.sum(-1, keepdim=True) + 1e-20)
        return weights_NK * self.config.routed_scaling_factor


class Experts(nn.Module):
    """The matrices of all experts of a layer, stacked: gate and up [E, F, D], down [E, D, F]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        num, inner, width = config.num_experts, config.expert_width, config.hidden_size
        self.gate_EFD = nn.Parameter(torch.empty(num, inner, width))
        self.up_EFD = nn.Parameter(torch.empty(num, inner, width))
        self.down_EDF = nn.Parameter(torch.empty(num, width, inner))

    def forward(self, x_ND: Tensor, ids_NK: Tensor, weights_NK: Tensor) -> Tensor:
        """Weighted sum [N, D] of the chosen experts' outputs: tokens sorted by expert, one product each."""
        num_experts, per_token = self.gate_EFD.shape[0], ids_NK.shape[1]
        flat_M = ids_NK.flatten()
        order_M = flat_M.argsort(stable=True)
        rows_M = order_M // per_token
        sorted_MD = x_ND.index_select(0, rows_M)
        weights_M1 = weights_NK.flatten().index_select(0, order_M).unsqueeze(-1).to(x_ND.dtype)
        counts_E = torch.bincount(flat_M, minlength=num_experts)
        matrices = [each.to(x_ND.dtype) for each in (self.gate_EFD, self.up_EFD, self.down_EDF)]
        run = _grouped if x_ND.is_cuda and x_ND.dtype == torch.bfloat16 else _one_by_one
        out_MD = run(sorted_MD, weights_M1, counts_E, matrices)
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
        self.experts_per_token = config.experts_per_token

    def forward(self, x_ND: Tensor) -> tuple[Tensor, Tensor]:
        """The block's output [N, D] and the ids it chose [N, K]."""
        raw_NE = self.gate.scores(x_ND)
        ids_NK = self.gate.biased(raw_NE.detach()).topk(self.experts_per_token).indices
        out_ND = self.experts(x_ND, ids_NK, self.gate.weights(raw_NE, ids_NK))
        if self.shared_experts is not None:
            out_ND = out_ND + self.shared_experts(x_ND)
        return out_ND, ids_NK


def keep_best_groups(biased_NE: Tensor, config: ModelConfig) -> Tensor:
    """Set experts outside the best `groups_per_token` groups to -inf; a group counts its two best scores."""
    grouped = biased_NE.view(*biased_NE.shape[:-1], config.num_groups, -1)
    votes_NG = grouped.topk(2, dim=-1).values.sum(-1)
    best = votes_NG.topk(config.groups_per_token, dim=-1).indices
    lost_NG = torch.ones_like(votes_NG, dtype=torch.bool).scatter(-1, best, value=False)
    return grouped.masked_fill(lost_NG.unsqueeze(-1), -torch.inf).view_as(biased_NE)


def _one_by_one(
    sorted_MD: Tensor, weights_M1: Tensor, counts_E: Tensor, matrices: Sequence[Tensor]
) -> Tensor:
    # unbind, not indexing: its backward is one stack instead of a zero-filled [E, F, D] per expert.
    counts = counts_E.tolist()
    gates, ups, downs = (each.unbind() for each in matrices)
    outputs = []
    for x, weight, gate, up, down in zip(
        torch.split(sorted_MD, counts), torch.split(weights_M1, counts), gates, ups, downs, strict=True
    ):
        if len(x):
            inner = F.silu(F.linear(x, gate)) * F.linear(x, up)
            outputs.append(F.linear(inner * weight, down))
    return torch.cat(outputs)


def _grouped(sorted_MD: Tensor, weights_M1: Tensor, counts_E: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    # No counts on the host: nothing waits for the device.
    ends_E = counts_E.cumsum(0, dtype=torch.int32)
    gate, up, down = (each.transpose(1, 2) for each in matrices)
    inner = F.silu(F.grouped_mm(sorted_MD, gate, offs=ends_E)) * F.grouped_mm(sorted_MD, up, offs=ends_E)
    return F.grouped_mm(inner * weights_M1, down, offs=ends_E)
