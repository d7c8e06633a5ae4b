"""A DeepSeek-V3 / Kimi K2 language model as a module: its parameters, and the plain pass that defines the maths.

Every faster path is tested against `K2Model.forward`, which keeps no cache and can be differentiated. Inference runs
over the same parameters in engine.models.k2.runner; reading and writing checkpoints is engine.weights. Legend: T
tokens of one sequence, D width, V vocabulary.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from engine.config import ModelConfig
from engine.models.k2.attention import LatentAttention
from engine.models.k2.layers import Linear, RmsNorm, SwiGlu
from engine.models.k2.moe import MoeBlock
from engine.models.k2.rope import rotary_table


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

    Fresh parameters are undefined until a checkpoint fills them.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = Linear(config.hidden_size, config.vocab_size)  # [V, D], used as a look-up
        self.layers = nn.ModuleList(DecoderLayer(config, index) for index in range(config.num_layers))
        self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.lm_head = None if config.tie_word_embeddings else Linear(config.hidden_size, config.vocab_size)

    @property
    def decoder_layers(self) -> list[DecoderLayer]:
        """The layers, typed."""
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]

    @property
    def moe_blocks(self) -> list[MoeBlock]:
        """The routing blocks, in layer order."""
        return [layer.mlp for layer in self.decoder_layers if isinstance(layer.mlp, MoeBlock)]

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary logits [..., V] of final hidden states [..., D], in their dtype."""
        head = self.embed_tokens if self.lm_head is None else self.lm_head
        out: Tensor = head(hidden)
        return out

    def forward(self, tokens_T: Tensor) -> Tensor:
        """Logits [T, V] after every token of one sequence."""
        rotations_TP = rotary_table(self.config, len(tokens_T)).to(tokens_T.device)
        x_TD = F.embedding(tokens_T, self.embed_tokens.weight)
        for layer in self.decoder_layers:
            x_TD = x_TD + layer.self_attn(layer.input_layernorm(x_TD), rotations_TP)
            normed_TD = layer.post_attention_layernorm(x_TD)
            if isinstance(layer.mlp, MoeBlock):
                routed_TD, shared_TD, _ = layer.mlp(normed_TD, num_best=self.config.experts_per_token)
                x_TD = x_TD + routed_TD if shared_TD is None else x_TD + routed_TD + shared_TD
            else:
                x_TD = x_TD + layer.mlp(normed_TD)
        return self.logits(self.norm(x_TD))
