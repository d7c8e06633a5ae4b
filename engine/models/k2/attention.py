"""Multi-head latent attention (MLA): its parameters, and the form that reads many tokens at once.

Keys and values of all heads are made from one latent vector per token, so only that latent and one rotated key
part are cached. Here they are expanded per head, which is cheapest when many queries meet them; decoding
absorbs the expansion into the queries instead (engine.models.k2.decode).

Legend: N tokens, H heads, Q = nope + rope width of a query head, R latent rank, P rotary width, W = R + P,
V value width, S keys.
"""

import torch
from torch import Tensor, nn

from engine.config import ModelConfig
from engine.models.k2.layers import Linear, RmsNorm
from engine.models.k2.rope import rotate

_LATENT_NORM_EPS = 1e-6  # the architecture's own constant: config.json's eps is for the layer norms only
_QUERY_TILE = 256  # queries scored at once: small enough for the scores to stay in cache


class LatentAttention(nn.Module):
    """The MLA block of one layer. Parameter names are the checkpoint's."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        heads, width = config.num_heads, config.hidden_size
        queries = heads * config.query_head_dim
        if config.q_lora_rank is None:
            self.q_proj = Linear(width, queries)
        else:
            self.q_a_proj = Linear(width, config.q_lora_rank)
            self.q_a_layernorm = RmsNorm(config.q_lora_rank, _LATENT_NORM_EPS)
            self.q_b_proj = Linear(config.q_lora_rank, queries)
        self.kv_a_proj_with_mqa = Linear(width, config.kv_lora_rank + config.rope_head_dim)
        self.kv_a_layernorm = RmsNorm(config.kv_lora_rank, _LATENT_NORM_EPS)
        self.kv_b_proj = Linear(config.kv_lora_rank, heads * (config.nope_head_dim + config.value_head_dim))
        self.o_proj = Linear(heads * config.value_head_dim, width)

    def queries(self, x_ND: Tensor, rotations_NP: Tensor) -> Tensor:
        """Rotated queries [N, H, Q]."""
        config = self.config
        if config.q_lora_rank is None:
            q_NHQ = self.q_proj(x_ND).unflatten(-1, (config.num_heads, -1))
        else:
            q_NHQ = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x_ND))).unflatten(-1, (config.num_heads, -1))
        plain, turning = q_NHQ.split((config.nope_head_dim, config.rope_head_dim), dim=-1)
        return torch.cat((plain, rotate(turning, rotations_NP.unsqueeze(1))), dim=-1)

    def latents(self, x_ND: Tensor, rotations_NP: Tensor) -> tuple[Tensor, Tensor]:
        """What is cached per token: normalised latent [N, R] and rotated shared key part [N, P]."""
        config = self.config
        latent, turning = self.kv_a_proj_with_mqa(x_ND).split((config.kv_lora_rank, config.rope_head_dim), dim=-1)
        return self.kv_a_layernorm(latent), rotate(turning, rotations_NP)

    def expand(self, latent_SR: Tensor, turned_SP: Tensor) -> tuple[Tensor, Tensor]:
        """Keys [S, H, Q] and values [S, H, V] of every head, from what the cache holds."""
        config = self.config
        expanded = self.kv_b_proj(latent_SR).unflatten(-1, (config.num_heads, -1))
        plain, values = expanded.split((config.nope_head_dim, config.value_head_dim), dim=-1)
        turned = turned_SP.unsqueeze(1).expand(-1, config.num_heads, -1)
        return torch.cat((plain, turned), dim=-1), values

    def forward(self, x_ND: Tensor, rotations_NP: Tensor) -> Tensor:
        """Causal attention [N, D] over one whole sequence."""
        return self._attend(x_ND, *self.latents(x_ND, rotations_NP), rotations_NP)

    def extend(self, x_ND: Tensor, rows_SW: Tensor, length: int, rotations_NP: Tensor) -> Tensor:
        """Attention [N, D] of N tokens that follow the `length` cached ones; their rows are written to the cache.

        `rows_SW` is the layer's cache: latent and rotated key part side by side.
        """
        end = length + len(x_ND)
        torch.cat(self.latents(x_ND, rotations_NP), dim=-1, out=rows_SW[length:end])
        widths = [self.config.kv_lora_rank, self.config.rope_head_dim]
        latent_SR, turned_SP = torch.split(rows_SW[:end], widths, dim=-1)
        return self._attend(x_ND, latent_SR, turned_SP, rotations_NP)

    def _attend(self, x_ND: Tensor, latent_SR: Tensor, turned_SP: Tensor, rotations_NP: Tensor) -> Tensor:
        q_NHQ = self.queries(x_ND, rotations_NP)
        k_SHQ, v_SHV = self.expand(latent_SR, turned_SP)
        mixed_HNV = causal_attention(
            q_NHQ.transpose(0, 1), k_SHQ.transpose(0, 1), v_SHV.transpose(0, 1), self.config.attention_scale
        )
        out: Tensor = self.o_proj(mixed_HNV.transpose(0, 1).flatten(-2))
        return out


def causal_attention(q_HNQ: Tensor, k_HSQ: Tensor, v_HSV: Tensor, scale: float) -> Tensor:
    """Attention [H, N, V] of the last N of S positions over everything up to each of them.

    Tiled by queries, so that no tile scores keys that all of its queries must not see.
    """
    num_queries, num_keys = q_HNQ.shape[1], k_HSQ.shape[1]
    cached = num_keys - num_queries
    k_HQS = k_HSQ.transpose(1, 2)
    mixed = []
    for start in range(0, num_queries, _QUERY_TILE):
        end = min(start + _QUERY_TILE, num_queries)
        scores = _scores(q_HNQ[:, start:end], k_HQS[..., : cached + end], scale)
        hidden = _future(end - start, cached + end, scores.device)
        mixed.append(scores.masked_fill(hidden, -torch.inf).softmax(-1) @ v_HSV[:, : cached + end])
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=1)


def _scores(q_HNQ: Tensor, k_HQS: Tensor, scale: float) -> Tensor:
    nothing = q_HNQ.new_zeros(())
    return torch.baddbmm(nothing, q_HNQ, k_HQS, beta=0, alpha=scale)


def _future(num_queries: int, num_keys: int, device: torch.device) -> Tensor:
    """True where a key comes after the query; the queries are the last of the keys' positions."""
    return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).triu(num_keys - num_queries + 1)
