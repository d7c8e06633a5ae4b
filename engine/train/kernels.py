"""The four products of a training step that plain autograd does slowly, with their gradients written out.

RMSNorm, MLA's attention over packed documents, the routed experts, and the weighted cross entropy. They hold
no weights and know no layer names; `network.py` calls them. Written for few CPU threads (large matrix products, work
kept in the cache, no [tokens, vocabulary] tensor), and plain torch, so that they run on CUDA unchanged.
Legend: T tokens, d hidden, H heads, N no-position width, R rotary width, V value width, E experts, K chosen, F expert
width, S = T*K rows sorted by expert, C vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE_TOKENS = 256  # queries per attention tile: scores of one tile stay in the cache
LOSS_ROWS = 256    # rows of logits alive at once


class RmsNorm(torch.autograd.Function):
    """y = x * rsqrt(mean(x^2) + eps) * weight, row by row, without a float32 copy of x_Td."""

    @staticmethod
    def forward(ctx: Any, x_Td: Tensor, weight_d: Tensor, eps: float) -> Tensor:
        """Normalise x_Td."""
        norm_T = torch.linalg.vector_norm(x_Td, dim=-1, keepdim=True, dtype=torch.float32)
        rstd_T = torch.rsqrt(norm_T.square().div_(x_Td.shape[-1]).add_(eps)).to(x_Td.dtype)
        hat_Td = x_Td * rstd_T
        ctx.save_for_backward(hat_Td, rstd_T, weight_d)
        return hat_Td * weight_d

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_Td: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of x_Td and the weight."""
        hat_Td, rstd_T, weight_d = ctx.saved_tensors
        product_Td = grad_Td * hat_Td
        weight_grad_d = product_Td.sum(0)
        mean_T1 = torch.mv(product_Td, weight_d).div_(hat_Td.shape[-1]).unsqueeze(1)
        x_grad_Td = (grad_Td * weight_d).addcmul_(hat_Td, mean_T1, value=-1).mul_(rstd_T)
        return x_grad_Td, weight_grad_d, None


def rotate(x_TR: Tensor, cos_TR: Tensor, sin_TR: Tensor, out_TR: Tensor) -> None:
    """Write interleaved RoPE of x into out, pairs (2i, 2i+1) going to (i, i + R/2).

    The reordering is the same for queries and keys, so their products do not change.
    """
    half = x_TR.shape[-1] // 2
    even, odd = x_TR[..., 0::2], x_TR[..., 1::2]
    out_TR[..., :half] = even * cos_TR - odd * sin_TR
    out_TR[..., half:] = odd * cos_TR + even * sin_TR


def unrotate(grad_TR: Tensor, cos_TR: Tensor, sin_TR: Tensor, out_TR: Tensor) -> None:
    """Gradient of `rotate`: the inverse rotation, put back in interleaved order."""
    half = grad_TR.shape[-1] // 2
    first, second = grad_TR[..., :half], grad_TR[..., half:]
    out_TR[..., 0::2] = first * cos_TR + second * sin_TR
    out_TR[..., 1::2] = second * cos_TR - first * sin_TR


class Segment:
    """A run of tokens that attend among themselves: one document, or several short ones under a mask.

    mask_LL is additive (0 or -inf), None for a single document, whose causal mask is made tile by tile.
    """

    __slots__ = ("mask_LL", "start", "stop")

    def __init__(self, start: int, stop: int, mask_LL: Tensor | None) -> None:
        self.start, self.stop, self.mask_LL = start, stop, mask_LL


class MlaAttention(torch.autograd.Function):
    """MLA's attention from its projections; also returns the largest logit of each head, for QK-clip.

    q_T: [T, H*(N+R)], kv_T: [T, H*(N+V)], key_rope_TR: [T, R]. Softmax scale 1/sqrt(N+R).
    """

    @staticmethod
    def forward(
        ctx: Any, q_T: Tensor, kv_T: Tensor, key_rope_TR: Tensor, cos_TR: Tensor, sin_TR: Tensor,
        segments: list[Segment], heads: int, nope: int,
    ) -> tuple[Tensor, Tensor]:
        """Return (output_T [T, H*V], largest logit [H])."""
        tokens, rope = key_rope_TR.shape
        value = kv_T.shape[1] // heads - nope
        q_HTD, k_HTD, v_HTV = _heads(q_T, kv_T, key_rope_TR, cos_TR, sin_TR, heads, nope)
        out_THV = q_T.new_empty(tokens, heads, value)
        out_HTV = out_THV.transpose(0, 1)
        top_H = torch.full((heads,), -torch.inf, device=q_T.device)
        probs: list[Tensor] = []
        for start, begin, stop, mask in _tiles(segments, q_T):
            scores = torch.bmm(q_HTD[:, begin:stop], k_HTD[:, start:stop].transpose(1, 2))
            scores[:, :, -mask.shape[1]:] += mask
            top_H = torch.maximum(top_H, scores.amax((1, 2)).float())
            weights = torch.softmax(scores, -1)
            out_HTV[:, begin:stop] = torch.bmm(weights, v_HTV[:, start:stop])
            probs.append(weights)
        ctx.save_for_backward(q_HTD, k_HTD, v_HTV, cos_TR, sin_TR, *probs)
        ctx.segments, ctx.nope, ctx.rope = segments, nope, rope
        ctx.mark_non_differentiable(top_H)
        return out_THV.view(tokens, heads * value), top_H

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_T: Tensor, _grad_top: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients of the three projections."""
        q_HTD, k_HTD, v_HTV, cos_TR, sin_TR, *probs = ctx.saved_tensors
        heads, tokens, _ = q_HTD.shape
        grad_HTV = grad_T.view(tokens, heads, -1).transpose(0, 1).contiguous()
        dq_HTD, dk_HTD, dv_HTV = torch.empty_like(q_HTD), torch.zeros_like(k_HTD), torch.zeros_like(v_HTV)
        for index, (start, begin, stop, _mask) in enumerate(_tiles(ctx.segments, q_HTD)):
            weights, grad_out = probs[index], grad_HTV[:, begin:stop]
            dv_HTV[:, start:stop] += torch.bmm(weights.transpose(1, 2), grad_out)
            grad_weights = torch.bmm(grad_out, v_HTV[:, start:stop].transpose(1, 2))
            grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)  # noqa: SLF001
            dq_HTD[:, begin:stop] = torch.bmm(grad_scores, k_HTD[:, start:stop])
            dk_HTD[:, start:stop] += torch.bmm(grad_scores.transpose(1, 2), q_HTD[:, begin:stop])
        return (*_projections(dq_HTD, dk_HTD, dv_HTV, cos_TR, sin_TR, ctx.nope), None, None, None, None, None)


def _heads(
    q_T: Tensor, kv_T: Tensor, key_rope_TR: Tensor, cos_TR: Tensor, sin_TR: Tensor, heads: int, nope: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut the projections into heads, rotate, and scale the queries: three [H, T, width] tensors."""
    tokens, rope = key_rope_TR.shape
    q_THD, kv_THD = q_T.view(tokens, heads, nope + rope), kv_T.view(tokens, heads, -1)
    q_HTD = q_T.new_empty(heads, tokens, nope + rope)
    k_HTD = torch.empty_like(q_HTD)
    scale = (nope + rope) ** -0.5
    torch.mul(q_THD[..., :nope].transpose(0, 1), scale, out=q_HTD[..., :nope])
    rotate(q_THD[..., nope:].transpose(0, 1), cos_TR * scale, sin_TR * scale, q_HTD[..., nope:])
    k_HTD[..., :nope] = kv_THD[..., :nope].transpose(0, 1)
    rotate(key_rope_TR, cos_TR, sin_TR, k_HTD[0, :, nope:])
    k_HTD[1:, :, nope:] = k_HTD[:1, :, nope:]
    return q_HTD, k_HTD, kv_THD[..., nope:].transpose(0, 1).contiguous()


def _projections(
    dq_HTD: Tensor, dk_HTD: Tensor, dv_HTV: Tensor, cos_TR: Tensor, sin_TR: Tensor, nope: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of `_heads`."""
    heads, tokens, width = dq_HTD.shape
    scale = width ** -0.5
    dq_THD = dq_HTD.new_empty(tokens, heads, width)
    dkv_THD = dq_HTD.new_empty(tokens, heads, nope + dv_HTV.shape[2])
    dq_THD[..., :nope] = dq_HTD[..., :nope].transpose(0, 1) * scale
    unrotate(dq_HTD[..., nope:].transpose(0, 1), cos_TR[:, None] * scale, sin_TR[:, None] * scale, dq_THD[..., nope:])
    dkv_THD[..., :nope] = dk_HTD[..., :nope].transpose(0, 1)
    dkv_THD[..., nope:] = dv_HTV.transpose(0, 1)
    dkey_TR = dq_HTD.new_empty(tokens, width - nope)
    unrotate(dk_HTD[..., nope:].sum(0), cos_TR, sin_TR, dkey_TR)
    return dq_THD.view(tokens, -1), dkv_THD.view(tokens, -1), dkey_TR


def _tiles(segments: list[Segment], like: Tensor) -> list[tuple[int, int, int, Tensor]]:
    """(first key, first query, last, additive mask over the tile's last columns) for every tile."""
    causal = torch.full((TILE_TOKENS, TILE_TOKENS), -torch.inf, dtype=like.dtype, device=like.device).triu_(1)
    tiles = []
    for segment in segments:
        if segment.mask_LL is not None:
            tiles.append((segment.start, segment.start, segment.stop, segment.mask_LL))
            continue
        for begin in range(segment.start, segment.stop, TILE_TOKENS):
            stop = min(begin + TILE_TOKENS, segment.stop)
            tiles.append((segment.start, begin, stop, causal[: stop - begin, : stop - begin]))
    return tiles


class RoutedExperts(torch.autograd.Function):
    """sum over a token's K experts of weight * down(silu(gate(x)) * up(x)), one product per expert and matrix."""

    @staticmethod
    def forward(
        ctx: Any, x_Td: Tensor, ids_TK: Tensor, weights_TK: Tensor, gate_up_EGd: Tensor, down_EdF: Tensor,
        counts: list[int],
    ) -> Tensor:
        """Return [T, d]; counts is how many of ids_TK each expert has."""
        order_S = torch.argsort(ids_TK.reshape(-1), stable=True)
        token_S = order_S // ids_TK.shape[1]
        place_TK = torch.empty_like(order_S)
        place_TK[order_S] = torch.arange(len(order_S), device=order_S.device)
        place_TK = place_TK.view_as(ids_TK)
        x_Sd = x_Td.index_select(0, token_S)
        weight_S1 = weights_TK.reshape(-1)[order_S].to(x_Td.dtype).unsqueeze(1)
        width = down_EdF.shape[2]
        gate_up_SG = x_Td.new_empty(len(order_S), 2 * width)
        hidden_SF = x_Td.new_empty(len(order_S), width)
        y_Sd = torch.empty_like(x_Sd)
        for expert, rows in _expert_rows(counts):
            gate_up = torch.mm(x_Sd[rows], gate_up_EGd[expert].t(), out=gate_up_SG[rows])
            hidden = torch.mul(F.silu(gate_up[:, :width]), gate_up[:, width:], out=hidden_SF[rows])
            torch.mm(hidden * weight_S1[rows], down_EdF[expert].t(), out=y_Sd[rows])
        ctx.save_for_backward(x_Sd, weight_S1, gate_up_SG, hidden_SF, place_TK, token_S, gate_up_EGd, down_EdF)
        ctx.counts = counts
        return F.embedding_bag(place_TK, y_Sd, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_Td: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the tokens, the routing weights and both expert stacks."""
        x_Sd, weight_S1, gate_up_SG, hidden_SF, place_TK, token_S, gate_up_EGd, down_EdF = ctx.saved_tensors
        width = down_EdF.shape[2]
        grad_Sd = grad_Td.index_select(0, token_S)
        dx_Sd, dweight_S = torch.empty_like(x_Sd), torch.empty_like(weight_S1[:, 0])
        dgate_up_EGd, ddown_EdF = torch.zeros_like(gate_up_EGd), torch.zeros_like(down_EdF)
        for expert, rows in _expert_rows(ctx.counts):
            gate, up = gate_up_SG[rows, :width], gate_up_SG[rows, width:]
            hidden, grad, weight = hidden_SF[rows], grad_Sd[rows], weight_S1[rows]
            torch.mm(grad.t(), hidden * weight, out=ddown_EdF[expert])
            dhidden = torch.mm(grad, down_EdF[expert])
            dweight_S[rows] = (dhidden * hidden).sum(1)
            dhidden.mul_(weight)
            dgate_up = torch.empty_like(gate_up_SG[rows])
            torch.mul(dhidden, F.silu(gate), out=dgate_up[:, width:])
            dgate_up[:, :width] = torch.ops.aten.silu_backward(dhidden.mul_(up), gate)
            torch.mm(dgate_up.t(), x_Sd[rows], out=dgate_up_EGd[expert])
            torch.mm(dgate_up, gate_up_EGd[expert], out=dx_Sd[rows])
        dx_Td = F.embedding_bag(place_TK, dx_Sd, mode="sum")
        return dx_Td, None, dweight_S[place_TK].float(), dgate_up_EGd, ddown_EdF, None


def _expert_rows(counts: list[int]) -> list[tuple[int, slice]]:
    """(expert, its rows among the sorted ones) of every expert that has any."""
    start, rows = 0, []
    for expert, count in enumerate(counts):
        if count:
            rows.append((expert, slice(start, start + count)))
        start += count
    return rows


class SwiGlu(torch.autograd.Function):
    """silu(gate) * up from their joint projection [T, 2F]."""

    @staticmethod
    def forward(ctx: Any, gate_up_TG: Tensor) -> Tensor:
        """Return [T, F]."""
        ctx.save_for_backward(gate_up_TG)
        gate, up = gate_up_TG.chunk(2, -1)
        return F.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_TF: Tensor) -> Tensor:
        """Gradient of the joint projection."""
        (gate_up_TG,) = ctx.saved_tensors
        gate, up = gate_up_TG.chunk(2, -1)
        out = torch.empty_like(gate_up_TG)
        dgate, dup = out.chunk(2, -1)
        torch.mul(grad_TF, F.silu(gate), out=dup)
        dgate.copy_(torch.ops.aten.silu_backward(grad_TF * up, gate))
        return out


class WeightedCrossEntropy(torch.autograd.Function):
    """sum(weight * -log p(target)) / sum(weight), LOSS_ROWS rows at a time, gradients made on the way."""

    @staticmethod
    def forward(ctx: Any, x_Td: Tensor, head_Cd: Tensor, target_T: Tensor, weight_T: Tensor) -> tuple[Tensor, Tensor]:
        """Return (mean loss, loss of each row in nats, float32)."""
        scale = 1.0 / float(weight_T.sum().clamp_min(1e-9))
        dx_Td, dhead_Cd = torch.empty_like(x_Td), torch.zeros_like(head_Cd, dtype=torch.float32)
        loss_T = torch.empty(len(x_Td), device=x_Td.device)
        for start in range(0, len(x_Td), LOSS_ROWS):
            rows = slice(start, start + LOSS_ROWS)
            x, target = x_Td[rows], target_T[rows].unsqueeze(1)
            log_probs = torch.log_softmax(torch.mm(x, head_Cd.t()).float(), -1)
            loss_T[rows] = -log_probs.gather(1, target)[:, 0]
            dlogits = log_probs.exp_().scatter_add_(1, target, log_probs.new_full(target.shape, -1.0))
            dlogits = dlogits.mul_((weight_T[rows] * scale).unsqueeze(1)).to(x.dtype)
            torch.mm(dlogits, head_Cd, out=dx_Td[rows])
            dhead_Cd += torch.mm(dlogits.t(), x)
        ctx.save_for_backward(dx_Td, dhead_Cd.to(head_Cd.dtype))
        ctx.mark_non_differentiable(loss_T)
        return (loss_T * weight_T).sum() * scale, loss_T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _grad_rows: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients of the hidden states and the head, scaled by the incoming one."""
        dx_Td, dhead_Cd = ctx.saved_tensors
        return dx_Td * grad.to(dx_Td.dtype), dhead_Cd * grad.to(dhead_Cd.dtype), None, None
