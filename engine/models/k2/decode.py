"""The step that appends one token to each of several sequences: absorbed attention and row-sum experts.

Nothing is expanded per cached token: the key half of kv_b is absorbed into the queries and its value half into
the output, so each head reads the latents themselves. In small models Python's dispatch costs more than
arithmetic, hence few, fused operations. Legend: B sequences, D width, H heads, Q = nope + rope width of a head,
R latent rank, P rotary width, W = R + P, V value width, S cached tokens, K experts per token, F inner width of
an expert.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.config import ModelConfig
from engine.models.k2.attention import LatentAttention
from engine.models.k2.kv_cache import LatentCache
from engine.models.k2.layers import RmsNorm, SwiGlu
from engine.models.k2.model import DecoderLayer
from engine.models.k2.moe import Choice, Experts, MoeBlock, gated
from engine.models.k2.rope import rotate_in_place
from engine.models.router_changes import RouterChange

_FUSE_LIMIT = 1 << 20  # weights up to which two products in a row become one: above, arithmetic outweighs dispatch
_ROW_SUM_LIMIT = 8  # sequences up to which summing rows beats sorting tokens by expert


@dataclass(frozen=True, slots=True, kw_only=True)
class MoeStep:
    """What a MoE layer did in one step."""

    choice: Choice
    routed_BD: Tensor
    shared_BD: Tensor | None


class DecodeLayer:
    """One layer prepared for decoding. Shares the module's large tensors; call in inference mode only."""

    def __init__(self, config: ModelConfig, index: int, layer: DecoderLayer, rows: "ExpertRows") -> None:
        self._input_norm = FastNorm(layer.input_layernorm)
        self._attention = AbsorbedAttention(config, index, layer.self_attn)
        self._post_norm = FastNorm(layer.post_attention_layernorm)
        self._moe = layer.mlp if isinstance(layer.mlp, MoeBlock) else None
        plain = layer.mlp.shared_experts if isinstance(layer.mlp, MoeBlock) else layer.mlp
        self._plain = None if plain is None else _FusedSwiGlu(plain)
        self._rows = rows

    def step(
        self,
        x_BD: Tensor,
        rotations_BP: Tensor,
        caches: Sequence[LatentCache],
        *,
        num_best: int,
        pinned_BK: Tensor | None,
        change: RouterChange | None,
    ) -> tuple[Tensor, MoeStep | None]:
        """The residual stream after this layer, and what its experts did if it has any."""
        x_BD = x_BD + self._attention(self._input_norm(x_BD), rotations_BP, caches)
        normed_BD = self._post_norm(x_BD)
        plain_BD = None if self._plain is None else self._plain(normed_BD)
        if self._moe is None:
            assert plain_BD is not None
            return x_BD + plain_BD, None
        choice = self._moe.gate.choose(normed_BD, num_best=num_best, pinned_NK=pinned_BK, change=change)
        if self._rows.suit(normed_BD, choice):
            routed_BD = self._rows.mix(self._moe.experts, normed_BD, choice)
        else:
            routed_BD = self._moe.experts(normed_BD, choice.ids_NK, choice.weights_NK)
        x_BD = x_BD + routed_BD
        if plain_BD is not None:
            x_BD = x_BD + plain_BD
        return x_BD, MoeStep(choice=choice, routed_BD=routed_BD, shared_BD=plain_BD)


class AbsorbedAttention:
    """MLA over the latents themselves, one query per sequence."""

    def __init__(self, config: ModelConfig, index: int, attention: LatentAttention) -> None:
        self._config = config
        self._index = index
        self._latent_norm = FastNorm(attention.kv_a_layernorm)
        per_head = attention.kv_b_proj.weight.detach().view(config.num_heads, -1, config.kv_lora_rank)
        key_HNR, value_HVR = torch.split(per_head, [config.nope_head_dim, config.value_head_dim], dim=1)
        query = attention.q_proj if config.q_lora_rank is None else attention.q_b_proj
        query_up, self._key_HNR = _absorb_keys(query.weight.detach(), key_HNR, config)
        latent_in = attention.kv_a_proj_with_mqa.weight.detach()
        self._query_norm: FastNorm | None = None
        self._query_up: FastLinear | None = None
        if config.q_lora_rank is None:
            first = query_up
        else:
            first = attention.q_a_proj.weight.detach()
            self._query_norm, self._query_up = FastNorm(attention.q_a_layernorm), FastLinear(query_up)
        self._in = FastLinear(torch.cat((first, latent_in)))
        self._in_widths = [len(first), len(latent_in)]
        out, self._value_HVR = _absorb_values(attention.o_proj.weight.detach(), value_HVR)
        self._out = FastLinear(out)

    def __call__(self, x_BD: Tensor, rotations_BP: Tensor, caches: Sequence[LatentCache]) -> Tensor:
        """Attention output [B, D]; writes each sequence's new row to its cache."""
        query_in, rows_BW = torch.split(self._in(x_BD), self._in_widths, dim=-1)
        q_BHW = self._queries(query_in, rotations_BP).mul_(self._config.attention_scale)
        rank = self._config.kv_lora_rank
        rows_BW[:, :rank] = self._latent_norm(rows_BW[:, :rank])
        rotate_in_place(rows_BW[:, rank:], rotations_BP)
        mixed = []
        for q_HW, row_W, cache in zip(q_BHW.unbind(), rows_BW.unbind(), caches, strict=True):
            rows_SW = cache.layer(self._index)[: cache.length + 1]
            rows_SW[-1] = row_W
            scores_HS = (rows_SW @ q_HW.t()).t()  # in this order the product takes half the time of its transpose
            mixed.append(scores_HS.softmax(-1) @ rows_SW[:, :rank])
        return self._output(mixed[0].unsqueeze(0) if len(mixed) == 1 else torch.stack(mixed))

    def _queries(self, query_in: Tensor, rotations_BP: Tensor) -> Tensor:
        if self._query_norm is not None and self._query_up is not None:
            query_in = self._query_up(self._query_norm(query_in))
        q_BHX = query_in.view(len(query_in), self._config.num_heads, -1)
        rotate_in_place(q_BHX[..., -self._config.rope_head_dim :], rotations_BP.unsqueeze(1))
        if self._key_HNR is None:
            return q_BHX
        plain, turned = torch.split(q_BHX, [self._config.nope_head_dim, self._config.rope_head_dim], dim=-1)
        absorbed = torch.bmm(plain.transpose(0, 1), self._key_HNR).transpose(0, 1)
        return torch.cat((absorbed, turned), dim=-1)

    def _output(self, mixed_BHR: Tensor) -> Tensor:
        if self._value_HVR is not None:
            values_HBV = torch.bmm(mixed_BHR.transpose(0, 1), self._value_HVR.transpose(1, 2))
            mixed_BHR = values_HBV.transpose(0, 1)
        return self._out(mixed_BHR.flatten(1))


class ExpertRows:
    """Runs the experts of a few tokens as weighted sums of rows: two look-up operations per layer.

    torch.embedding_bag streams exactly the chosen experts' rows; separate products per expert took twice as
    long (measured with 32 experts of 256 x 128 float32). The row numbers serve every layer.
    """

    def __init__(self, config: ModelConfig, device: torch.device) -> None:
        num, width, inner = config.num_experts, config.hidden_size, config.expert_width
        self._gate_up_rows_ED = torch.arange(num * width, dtype=torch.int32, device=device).view(num, width)
        self._down_rows_EF = torch.arange(num * inner, dtype=torch.int32, device=device).view(num, inner)
        self._per_token = per_token = config.experts_per_token
        self._gate_up_bags = torch.arange(_ROW_SUM_LIMIT * per_token, dtype=torch.int32, device=device) * width
        self._down_bags = torch.arange(_ROW_SUM_LIMIT, dtype=torch.int32, device=device) * (per_token * inner)

    def suit(self, x_BD: Tensor, choice: Choice) -> bool:
        """Whether this way is the fast one here: float32 on the CPU, few tokens, as many experts as the model has."""
        if choice.ids_NK.shape[1] != self._per_token:
            return False
        return x_BD.is_cpu and x_BD.dtype == torch.float32 and len(x_BD) <= _ROW_SUM_LIMIT

    def mix(self, experts: Experts, x_BD: Tensor, choice: Choice) -> Tensor:
        """Weighted sum [B, D] of the chosen experts' outputs."""
        num_tokens, per_token = choice.ids_NK.shape
        ids_M = choice.ids_NK.flatten()
        inner_MC = _sum_rows(
            experts.gate_up_EDC.detach().flatten(0, 1),
            self._gate_up_rows_ED.index_select(0, ids_M).view(-1),
            self._gate_up_bags[: num_tokens * per_token],
            x_BD.unsqueeze(1).expand(-1, per_token, -1),
        )
        inner_MF = gated(inner_MC).mul_(choice.weights_NK.view(-1, 1))
        return _sum_rows(
            experts.down_EFD.detach().flatten(0, 1),
            self._down_rows_EF.index_select(0, ids_M).view(-1),
            self._down_bags[:num_tokens],
            inner_MF,
        )


class FastLinear:
    """y = x W^T for one row at a time: small float32 matrices on the CPU are summed by rows too.

    A cold 256 x 256 product takes 18 us so, and 38 us as F.linear (measured, one Zen 4 thread).
    """

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight
        self._rows: Tensor | None = None
        if weight.is_cpu and weight.dtype == torch.float32 and weight.numel() <= _FUSE_LIMIT:
            self._rows = weight.t().contiguous()
            self._indices = torch.arange(len(self._rows), dtype=torch.int32)
            self._bags = torch.zeros(1, dtype=torch.int32)
            self._weight = self._rows.t()

    def __call__(self, x: Tensor) -> Tensor:
        """[B, in] to [B, out]."""
        if self._rows is None or x.shape[0] > 1:
            return F.linear(x, self._weight)
        return _sum_rows(self._rows, self._indices, self._bags, x)


class FastNorm:
    """RmsNorm with fewer operations in float32: x / hypot(|x|, sqrt(D eps)) * (weight sqrt(D))."""

    def __init__(self, norm: RmsNorm) -> None:
        self._norm = norm
        width = len(norm.weight)
        self._scaled_weight = norm.weight.detach() * math.sqrt(width)
        self._floor = norm.weight.new_tensor(math.sqrt(width * norm.eps))

    def __call__(self, x: Tensor) -> Tensor:
        """[..., D] to the same shape."""
        if x.dtype != torch.float32:
            normed: Tensor = self._norm(x)
            return normed
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return (x / torch.hypot(length, self._floor)).mul_(self._scaled_weight)


class _FusedSwiGlu:
    """A plain feed-forward with gate and up in one product."""

    def __init__(self, plain: SwiGlu) -> None:
        self._gate_up = FastLinear(torch.cat((plain.gate_proj.weight.detach(), plain.up_proj.weight.detach())))
        self._down = FastLinear(plain.down_proj.weight.detach())

    def __call__(self, x_BD: Tensor) -> Tensor:
        return self._down(gated(self._gate_up(x_BD)))


def _absorb_keys(query: Tensor, key_HNR: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor | None]:
    """Query matrix with the keys' expansion multiplied in; above the limit, the two as they are."""
    num_heads, _, rank = key_HNR.shape
    if num_heads * rank * query.shape[1] > _FUSE_LIMIT:
        return query, key_HNR
    per_head = query.view(num_heads, -1, query.shape[1])
    plain, turning = torch.split(per_head, [config.nope_head_dim, config.rope_head_dim], dim=1)
    absorbed = torch.einsum("hnr,hni->hri", key_HNR.float(), plain.float()).to(query.dtype)
    return torch.cat((absorbed, turning), dim=1).flatten(0, 1), None


def _absorb_values(output: Tensor, value_HVR: Tensor) -> tuple[Tensor, Tensor | None]:
    """Output matrix with the values' expansion multiplied in; above the limit, the two as they are."""
    num_heads, _, rank = value_HVR.shape
    if num_heads * rank * len(output) > _FUSE_LIMIT:
        return output, value_HVR
    per_head = output.view(len(output), num_heads, -1)
    return torch.einsum("dhv,hvr->dhr", per_head.float(), value_HVR.float()).flatten(1).to(output.dtype), None


def _sum_rows(rows_XC: Tensor, indices: Tensor, bags: Tensor, weights: Tensor) -> Tensor:
    # The raw operator: torch.nn.functional's wrapper costs more than the sum does.
    mode_sum = 0
    flat = weights.reshape(-1)
    return torch.embedding_bag(rows_XC, indices, bags, False, mode_sum, False, flat, False)[0]  # noqa: FBT003
