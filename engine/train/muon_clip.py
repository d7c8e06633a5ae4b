"""MuonClip: Muon with RMS matching for matrices, AdamW for the rest, and QK-clip after the step.

Sources: Kimi K2 report, algorithm 1 (arXiv 2507.20534); Newton-Schulz coefficients, Nesterov momentum 0.95 and
AdamW's values from Moonlight. Works on float32 masters and the `Weight` table of `network.py`; knows nothing of the
loss or the data.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.train.network import Shape, Weight

NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NS_STEPS = 5
NS_EPS = 1e-7
UPDATE_RMS = 0.2  # AdamW's typical update RMS, which Muon's is matched to


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Hyperparameters of both halves. decay is decoupled and not applied to norms (one-dimensional tensors)."""

    momentum: float = 0.95
    decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    adam_eps: float = 1e-8


def orthogonalise(updates_BNM: Tensor) -> Tensor:
    """Newton-Schulz on a stack of matrices: singular values pushed towards one; returns bfloat16 of the same shape."""
    tall = updates_BNM.shape[-2] > updates_BNM.shape[-1]
    x = updates_BNM.bfloat16()
    x = x.mT.contiguous() if tall else x.contiguous()
    norms = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True, dtype=torch.float32)
    x = x / norms.clamp_min(NS_EPS).to(x.dtype)
    a, b, c = NS_COEFFICIENTS
    for _ in range(NS_STEPS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class MuonClip:
    """Optimiser state and step over named float32 masters, changed in place."""

    def __init__(self, table: Sequence[Weight], masters: Mapping[str, Tensor], rates: Rates) -> None:
        self.table, self.masters, self.rates = list(table), masters, rates
        self.steps = 0
        self.state: dict[str, Tensor] = {}
        for weight in self.table:
            master = masters[weight.name]
            self.state[weight.name + ".m"] = torch.zeros_like(master)
            if not weight.matrix:
                self.state[weight.name + ".v"] = torch.zeros_like(master)

    @torch.no_grad()
    def step(self, gradients: Mapping[str, Tensor | None], lr: float) -> None:
        """Update every master that has a gradient; a name with None is left alone."""
        self.steps += 1
        for weight in self.table:
            gradient = gradients[weight.name]
            if gradient is None:
                continue
            if weight.matrix:
                self._muon(weight, gradient, lr)
            else:
                self._adam(weight, gradient, lr)

    def _muon(self, weight: Weight, gradient: Tensor, lr: float) -> None:
        """Nesterov momentum, then each row block of each expert orthogonalised as a matrix of its own."""
        master, momentum = self.masters[weight.name], self.state[weight.name + ".m"]
        mu = self.rates.momentum
        gradient = gradient.to(momentum.dtype)
        momentum.lerp_(gradient, 1 - mu)
        update = gradient.lerp(momentum, mu).view(-1, *master.shape[-2:])
        target = master.view(-1, *master.shape[-2:])
        target.mul_(1 - lr * self.rates.decay)
        start = 0
        for _name, rows in weight.parts:
            block = slice(start, start + rows)
            scale = lr * UPDATE_RMS * math.sqrt(max(rows, target.shape[2]))
            target[:, block].add_(orthogonalise(update[:, block]), alpha=-scale)
            start += rows

    def _adam(self, weight: Weight, gradient: Tensor, lr: float) -> None:
        """AdamW with bias correction."""
        master, rates = self.masters[weight.name], self.rates
        first, second = self.state[weight.name + ".m"], self.state[weight.name + ".v"]
        gradient = gradient.to(first.dtype)
        first.lerp_(gradient, 1 - rates.beta1)
        second.mul_(rates.beta2).addcmul_(gradient, gradient, value=1 - rates.beta2)
        if master.ndim > 1:
            master.mul_(1 - lr * rates.decay)
        root = second.div(1 - rates.beta2**self.steps).sqrt_().add_(rates.adam_eps)
        master.addcdiv_(first, root, value=-lr / (1 - rates.beta1**self.steps))


@torch.no_grad()
def clip_heads(masters: Mapping[str, Tensor], shape: Shape, top_logits_LH: Tensor, tau: float) -> int:
    """QK-clip: shrink the query and key rows of each head whose largest logit exceeded tau; returns how many.

    g = tau / S_max: no-position rows of q_b and kv_b times sqrt(g), rotary rows of q_b times g; the shared rotary key
    and the values stay. Other heads are not written to.
    """
    clipped = 0
    for layer, head in (top_logits_LH > tau).nonzero().tolist():
        g = tau / float(top_logits_LH[layer, head])
        q_HDd = masters[f"layers.{layer}.q_b"].view(shape.heads, shape.nope + shape.rope, -1)
        kv_HDd = masters[f"layers.{layer}.kv_b"].view(shape.heads, shape.nope + shape.value, -1)
        q_HDd[head, : shape.nope] *= math.sqrt(g)
        q_HDd[head, shape.nope:] *= g
        kv_HDd[head, : shape.nope] *= math.sqrt(g)
        clipped += 1
    return clipped


@torch.no_grad()
def balance(biases_LE: Tensor, counts_LE: Tensor, gamma: float) -> None:
    """Raise the bias of experts below their layer's mean load by gamma and lower the others; idle layers stay."""
    mean_L1 = counts_LE.mean(1, keepdim=True)
    biases_LE.add_(torch.sign(mean_L1 - counts_LE), alpha=gamma)
