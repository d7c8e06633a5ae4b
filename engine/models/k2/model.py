"""A DeepSeek-V3 / Kimi K2 language model as a module: its parameters and the pass that trains it.

This is the definition of the maths. Inference runs over the same parameters in engine.models.k2.runner; reading
and writing checkpoints is engine.weights. Legend: B sequences, T their length, N = B * T tokens, D width, V
vocabulary, L MoE layers, E experts, H heads.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.config import ModelConfig
from engine.models.k2.attention import LatentAttention, PackedDocuments
from engine.models.k2.layers import Linear, RmsNorm, SwiGlu
from engine.models.k2.moe import MoeBlock
from engine.models.k2.rope import rotary_table


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutput:
    """What one training pass gives; turn chunks of `hidden` into logits with `K2Model.logits`."""

    hidden_BTD: Tensor  # after the final norm, in the compute dtype
    max_attention_logits_LH: Tensor | None  # every layer (dense ones too), float32, no gradient
    load_LE: Tensor  # tokens per expert and MoE layer, int64; padding not counted


class DecoderLayer(nn.Module):
    """Attention and feed-forward of one layer, each behind a norm and added to the stream."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = LatentAttention(config)
        self.post_attention_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp: SwiGlu | MoeBlock
        if index < config.num_dense_layers:
            self.mlp = SwiGlu(config.hidden_size, config.dense_width)
        else:
            self.mlp = MoeBlock(config)


class K2Model(nn.Module):
    """All parameters of the model. Names are the checkpoint's without the leading "model.", but for the experts,
    which are stacked per layer (`layers.3.mlp.experts.gate_up_EDC`).

    Fresh parameters are undefined until `init_weights` or a checkpoint fills them.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = Linear(config.hidden_size, config.vocab_size)  # [V, D], used as a look-up
        self.layers = nn.ModuleList(DecoderLayer(config, index) for index in range(config.num_layers))
        self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.lm_head = None if config.tie_word_embeddings else Linear(config.hidden_size, config.vocab_size)
        self._rotations_SP: Tensor | None = None

    @property
    def moe_blocks(self) -> list[MoeBlock]:
        """The routing blocks, in layer order."""
        return [layer.mlp for layer in self.layers if isinstance(layer.mlp, MoeBlock)]

    @torch.no_grad()
    def init_weights(self, *, seed: int) -> None:
        """Fill every parameter from `seed`: variance 1/inputs, and less for what adds to the residual stream."""
        generator = torch.Generator(device=self.norm.weight.device).manual_seed(seed)
        residual = (2 * self.config.num_layers) ** -0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0)
            elif name in ("embed_tokens.weight", "lm_head.weight"):
                is_head = name.startswith("lm_head") or self.lm_head is None
                parameter.normal_(std=0.02 if is_head else 1.0, generator=generator)
            else:
                adds = "o_proj" in name or "down" in name
                num_inputs = parameter.shape[-2 if parameter.dim() == 3 else -1]
                std = num_inputs**-0.5 * (residual if adds else 1.0)
                parameter.normal_(std=std, generator=generator)
        for block in self.moe_blocks:
            block.gate.e_score_correction_bias.zero_()

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary logits [..., V] of final hidden states [..., D], in their dtype."""
        head = self.embed_tokens if self.lm_head is None else self.lm_head
        out: Tensor = head(hidden)
        return out

    def forward_train(
        self,
        tokens_BT: Tensor,
        *,
        segment_ids_BT: Tensor | None = None,
        compute_dtype: torch.dtype = torch.float32,
        want_max_logits: bool = False,
    ) -> TrainOutput:
        """Run whole sequences with gradients; parameters stay as they are and are cast where they are used.

        `segment_ids_BT` numbers the documents packed into each row (attention and positions stay inside one);
        a negative number marks padding. `want_max_logits` costs one more pass over the attention scores.
        """
        documents = self._documents(tokens_BT, segment_ids_BT)
        counted_N = None if segment_ids_BT is None else segment_ids_BT.flatten() >= 0
        x_ND = F.embedding(tokens_BT.flatten(), self.embed_tokens.weight).float()
        highest, loads = [], []
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            normed = layer.input_layernorm(x_ND).to(compute_dtype)
            mixed, highest_H = layer.self_attn(normed, documents, want_max_logits=want_max_logits)
            x_ND = x_ND + mixed
            normed = layer.post_attention_layernorm(x_ND).to(compute_dtype)
            if isinstance(layer.mlp, MoeBlock):
                out_ND, shared_ND, choice = layer.mlp(normed, num_best=self.config.experts_per_token)
                out_ND = out_ND if shared_ND is None else out_ND + shared_ND
                counted = choice.ids_NK if counted_N is None else choice.ids_NK[counted_N]
                loads.append(torch.bincount(counted.flatten(), minlength=self.config.num_experts))
            else:
                out_ND = layer.mlp(normed)
            x_ND = x_ND + out_ND
            highest.append(highest_H)
        return TrainOutput(
            hidden_BTD=self.norm(x_ND).to(compute_dtype).view(*tokens_BT.shape, -1),
            max_attention_logits_LH=torch.stack(highest) if want_max_logits else None,
            load_LE=torch.stack(loads) if loads else torch.zeros(0, self.config.num_experts, dtype=torch.int64),
        )

    def _documents(self, tokens_BT: Tensor, segment_ids_BT: Tensor | None) -> PackedDocuments:
        num_rows, length = tokens_BT.shape
        device = tokens_BT.device
        if segment_ids_BT is None:
            starts = torch.arange(0, num_rows * length, length, device=device)
        else:
            begins_BT = torch.ones_like(segment_ids_BT, dtype=torch.bool)
            begins_BT[:, 1:] = segment_ids_BT[:, 1:] != segment_ids_BT[:, :-1]
            starts = begins_BT.flatten().nonzero().squeeze(-1)
        bounds = torch.cat((starts, starts.new_tensor([num_rows * length])))
        lengths = bounds.diff()
        tokens_N = torch.arange(num_rows * length, device=device)
        positions_N = tokens_N - starts.repeat_interleave(lengths, output_size=num_rows * length)
        return PackedDocuments(
            bounds=tuple(bounds.tolist()),
            offsets=bounds.to(torch.int32),
            longest=length,
            rotations_NP=self.rotations(length, device)[positions_N],
        )

    def rotations(self, num_positions: int, device: torch.device) -> Tensor:
        """The rotary table for at least `num_positions`, kept between calls."""
        table = self._rotations_SP
        if table is None or len(table) < num_positions or table.device != device:
            table = rotary_table(self.config, max(num_positions, self.config.max_position)).to(device)
            self._rotations_SP = table
        return table
