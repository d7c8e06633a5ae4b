"""The network being trained: a DeepSeek-V3 / Kimi K2 model over packed documents, fused for throughput.

It computes what `engine.models.k2` computes (tests compare it with transformers), but keeps matrices that share an
input in one tensor, experts stacked, and no cache. Names and shapes of the Hugging Face layout are in `weight_table`;
the optimiser reads from the same table which row blocks are matrices of their own.
Legend: T tokens, d hidden, E experts, K chosen, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.train.kernels import MlaAttention, RmsNorm, RoutedExperts, Segment, SwiGlu, WeightedCrossEntropy


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The numbers of a deepseek_v3 config that training needs, under short names."""

    vocab: int
    hidden: int
    layers: int
    dense_layers: int
    intermediate: int
    expert_width: int
    experts: int
    chosen: int
    shared: int
    heads: int
    q_lora: int
    kv_lora: int
    nope: int
    rope: int
    value: int
    scaling: float
    rope_theta: float
    max_position: int
    eps: float

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Shape":
        """Read a Hugging Face config.json; KeyError names a missing key."""
        theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
        return cls(
            vocab=config["vocab_size"], hidden=config["hidden_size"], layers=config["num_hidden_layers"],
            dense_layers=config["first_k_dense_replace"], intermediate=config["intermediate_size"],
            expert_width=config["moe_intermediate_size"], experts=config["n_routed_experts"],
            chosen=config["num_experts_per_tok"], shared=config["n_shared_experts"],
            heads=config["num_attention_heads"], q_lora=config["q_lora_rank"], kv_lora=config["kv_lora_rank"],
            nope=config["qk_nope_head_dim"], rope=config["qk_rope_head_dim"], value=config["v_head_dim"],
            scaling=config["routed_scaling_factor"], rope_theta=theta,
            max_position=config["max_position_embeddings"], eps=config["rms_norm_eps"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One trained tensor: its shape, how it is optimised, and the checkpoint matrices its rows hold in order.

    parts: (checkpoint name, rows); `{e}` in a name stands for the expert, the tensor's first dimension.
    """

    name: str
    shape: tuple[int, ...]
    parts: tuple[tuple[str, int], ...]
    matrix: bool
    init_std: float


def weight_table(shape: Shape) -> list[Weight]:
    """Every trained tensor of a model of this shape."""
    d = shape.hidden
    table = [_plain("embed", "model.embed_tokens.weight", (shape.vocab, d), 0.1)]
    for layer in range(shape.layers):
        table += _attention_weights(shape, layer)
        table += _dense_weights(shape, layer) if layer < shape.dense_layers else _moe_weights(shape, layer)
    return [*table, _plain("norm", "model.norm.weight", (d,), 0.0),
            _plain("head", "lm_head.weight", (shape.vocab, d), 0.02)]


def _plain(name: str, hf_name: str, shape: tuple[int, ...], std: float) -> Weight:
    """A tensor that AdamW trains; a norm when it has one dimension."""
    return Weight(name=name, shape=shape, parts=((hf_name, shape[0]),), matrix=False, init_std=std)


def _matrix(name: str, parts: list[tuple[str, int]], columns: int, std: float, experts: int | None = None) -> Weight:
    """A tensor that Muon trains, made of row blocks, stacked if it belongs to experts."""
    rows = sum(count for _name, count in parts)
    stack = () if experts is None else (experts,)
    return Weight(name=name, shape=(*stack, rows, columns), parts=tuple(parts), matrix=True, init_std=std)


def _attention_weights(s: Shape, layer: int) -> list[Weight]:
    """Norms and projections of one attention block; q_a and kv_a read the same input and share a tensor."""
    here, there = f"layers.{layer}.", f"model.layers.{layer}."
    attention = there + "self_attn."
    out_std = 0.5 * (s.heads * s.value) ** -0.5 / s.layers ** 0.5
    return [
        _plain(here + "norm1", there + "input_layernorm.weight", (s.hidden,), 0.0),
        _matrix(here + "a", [(attention + "q_a_proj.weight", s.q_lora),
                             (attention + "kv_a_proj_with_mqa.weight", s.kv_lora + s.rope)], s.hidden, s.hidden**-0.5),
        _plain(here + "q_norm", attention + "q_a_layernorm.weight", (s.q_lora,), 0.0),
        _plain(here + "kv_norm", attention + "kv_a_layernorm.weight", (s.kv_lora,), 0.0),
        _matrix(here + "q_b", [(attention + "q_b_proj.weight", s.heads * (s.nope + s.rope))], s.q_lora, s.q_lora**-0.5),
        _matrix(here + "kv_b", [(attention + "kv_b_proj.weight", s.heads * (s.nope + s.value))], s.kv_lora,
                s.kv_lora**-0.5),
        _matrix(here + "o", [(attention + "o_proj.weight", s.hidden)], s.heads * s.value, out_std),
        _plain(here + "norm2", there + "post_attention_layernorm.weight", (s.hidden,), 0.0),
    ]


def _dense_weights(s: Shape, layer: int) -> list[Weight]:
    """The gated MLP of a dense layer."""
    here, there = f"layers.{layer}.", f"model.layers.{layer}.mlp."
    return _gated(here + "mlp", there, s.intermediate, s, None)


def _moe_weights(s: Shape, layer: int) -> list[Weight]:
    """Router, routed experts and shared expert of one layer."""
    here, there = f"layers.{layer}.", f"model.layers.{layer}.mlp."
    return [
        _matrix(here + "gate", [(there + "gate.weight", s.experts)], s.hidden, 0.5 * s.hidden**-0.5),
        *_gated(here + "experts", there + "experts.{e}.", s.expert_width, s, s.experts),
        *_gated(here + "shared", there + "shared_experts.", s.expert_width * s.shared, s, None),
    ]


def _gated(name: str, prefix: str, width: int, s: Shape, experts: int | None) -> list[Weight]:
    """gate and up in one tensor, and down."""
    down_std = 0.5 * width**-0.5 / s.layers**0.5
    return [
        _matrix(name + ".gate_up", [(prefix + "gate_proj.weight", width), (prefix + "up_proj.weight", width)], s.hidden,
                s.hidden**-0.5, experts),
        _matrix(name + ".down", [(prefix + "down_proj.weight", s.hidden)], width, down_std, experts),
    ]


def bias_name(layer: int) -> str:
    """Checkpoint name of a layer's balancing bias."""
    return f"model.layers.{layer}.mlp.gate.e_score_correction_bias"


def initial_masters(shape: Shape, seed: int) -> dict[str, Tensor]:
    """Fresh float32 weights: norms one, everything else normal with the table's standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    masters = {}
    for weight in weight_table(shape):
        if weight.init_std:
            masters[weight.name] = torch.randn(weight.shape, generator=generator) * weight.init_std
        else:
            masters[weight.name] = torch.ones(weight.shape)
    return masters


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Packed documents: tokens and targets [T] int64, positions [T] restarting with each document, loss weights [T]."""

    tokens_T: Tensor
    targets_T: Tensor
    positions_T: Tensor
    weights_T: Tensor
    segments: list[Segment]


class Network:
    """Compute copies of the weights and the forward pass.

    weights: what autograd differentiates, in the compute type (the router gates stay float32, as the model runs them).
    biases: [layers, E] float32 balancing biases; unused rows for dense layers. After `loss`, `counts` holds tokens
    per expert [layers, E] and `top_logits` the largest attention logit [layers, H] of that batch.
    """

    def __init__(self, shape: Shape, masters: dict[str, Tensor], biases_LE: Tensor, dtype: torch.dtype) -> None:
        self.shape, self.table = shape, weight_table(shape)
        self.biases_LE = biases_LE
        device = biases_LE.device
        self.weights = {
            name: master.to(device, torch.float32 if name.endswith("gate") else dtype, copy=True).requires_grad_()
            for name, master in masters.items()
        }
        self.counts_LE = torch.zeros(shape.layers, shape.experts, device=device)
        self.top_logits_LH = torch.zeros(shape.layers, shape.heads, device=device)
        self.cos, self.sin = _rope_tables(shape, device)

    def parameters(self) -> Iterator[tuple[Weight, Tensor]]:
        """Each table entry with its compute tensor."""
        return ((weight, self.weights[weight.name]) for weight in self.table)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Weighted mean cross entropy to differentiate, and the plain loss of each row in nats (0 for rows left out).

        Rows that count less than 1 are a sample: see `sampled_rows`.
        """
        x_Td = self.hidden(batch)
        rows = sampled_rows(batch.weights_T)
        loss, row_loss = WeightedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            x_Td.index_select(0, rows), self.weights["head"], batch.targets_T[rows], batch.weights_T[rows].clamp_min(1))
        all_rows = torch.zeros(len(batch.weights_T), device=row_loss.device)
        all_rows[rows] = row_loss
        return loss, all_rows

    def hidden(self, batch: Batch) -> Tensor:
        """Final normalised hidden states [T, d]."""
        dtype = self.weights["embed"].dtype
        cos_TR, sin_TR = (table[batch.positions_T].to(dtype) for table in (self.cos, self.sin))
        x_Td = F.embedding(batch.tokens_T, self.weights["embed"])
        for layer in range(self.shape.layers):
            x_Td = x_Td + self._attention(layer, self._norm(x_Td, f"layers.{layer}.norm1"), cos_TR, sin_TR, batch)
            h_Td = self._norm(x_Td, f"layers.{layer}.norm2")
            x_Td = x_Td + (self._mlp(f"layers.{layer}.mlp", h_Td) if layer < self.shape.dense_layers
                           else self._moe(layer, h_Td))
        return self._norm(x_Td, "norm")

    def _norm(self, x_Td: Tensor, name: str) -> Tensor:
        """RMSNorm with a named weight."""
        normed: Tensor = RmsNorm.apply(x_Td, self.weights[name], self.shape.eps)  # type: ignore[no-untyped-call]
        return normed

    def _attention(self, layer: int, x_Td: Tensor, cos_TR: Tensor, sin_TR: Tensor, batch: Batch) -> Tensor:
        """MLA without its residual."""
        s, here, w = self.shape, f"layers.{layer}.", self.weights
        q_a, kv_a, key_rope = torch.split(F.linear(x_Td, w[here + "a"]), [s.q_lora, s.kv_lora, s.rope], 1)
        q_T = F.linear(self._norm(q_a, here + "q_norm"), w[here + "q_b"])
        kv_T = F.linear(self._norm(kv_a, here + "kv_norm"), w[here + "kv_b"])
        out_T, top_H = MlaAttention.apply(q_T, kv_T, key_rope, cos_TR, sin_TR, batch.segments, s.heads, s.nope)  # type: ignore[no-untyped-call]
        self.top_logits_LH[layer] = top_H
        return F.linear(out_T, w[here + "o"])

    def _mlp(self, name: str, x_Td: Tensor) -> Tensor:
        """down(silu(gate) * up)."""
        return F.linear(SwiGlu.apply(F.linear(x_Td, self.weights[name + ".gate_up"])), self.weights[name + ".down"])  # type: ignore[no-untyped-call]

    def _moe(self, layer: int, x_Td: Tensor) -> Tensor:
        """Sigmoid routing, chosen with the bias and weighted without it, plus the shared expert."""
        here, shape = f"layers.{layer}.", self.shape
        scores_TE = torch.sigmoid(F.linear(x_Td.float(), self.weights[here + "gate"]))
        with torch.no_grad():
            ids_TK = torch.topk(scores_TE + self.biases_LE[layer], shape.chosen, -1, sorted=False).indices
            counts_E = torch.bincount(ids_TK.reshape(-1), minlength=shape.experts)
            self.counts_LE[layer] = counts_E
        chosen_TK = scores_TE.gather(1, ids_TK)
        chosen_TK = chosen_TK / (chosen_TK.sum(1, keepdim=True) + 1e-20) * shape.scaling
        routed: Tensor = RoutedExperts.apply(  # type: ignore[no-untyped-call]
            x_Td, ids_TK, chosen_TK, self.weights[here + "experts.gate_up"], self.weights[here + "experts.down"],
            counts_E.tolist())
        return routed + self._mlp(here + "shared", x_Td)


def sampled_rows(weights_T: Tensor) -> Tensor:
    """Which rows the loss looks at, as indices: all of weight 1 and more, and of the others a share of w, to count 1.

    The head is a fifth of a step, and half of its rows are requests and programs in the context, which count little.
    Systematic sampling: a row is taken where the running sum of min(w, 1) passes an integer, so that the expected loss
    is the weighted one and nothing is drawn at random.
    """
    shares_T = weights_T.double().clamp_max(1)
    passed_T = shares_T.cumsum(0).floor()
    return torch.nonzero((weights_T >= 1) | (passed_T.diff(prepend=passed_T.new_zeros(1)) > 0))[:, 0]


def _rope_tables(shape: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos and sin [positions, R/2], float32."""
    rates = shape.rope_theta ** (-torch.arange(0, shape.rope, 2, device=device, dtype=torch.float32) / shape.rope)
    angles = torch.outer(torch.arange(shape.max_position, device=device, dtype=torch.float32), rates)
    return angles.cos(), angles.sin()
