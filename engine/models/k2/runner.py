"""Inference over a K2Model: prefill through the module itself, decoding through prepared layers.

Create a new runner after weights have changed: the prepared layers hold products of them. Legend: N tokens,
D width, V vocabulary, L MoE layers, K experts per token, P rotary width, B sequences.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.interventions import Intervention
from engine.models.base import Cache, Capture, Forward, ModelShape
from engine.models.k2.decode import DecodeLayer, ExpertRows, FastLinear, FastNorm
from engine.models.k2.kv_cache import LatentCache
from engine.models.k2.model import DecoderLayer, K2Model
from engine.models.k2.moe import MoeBlock
from engine.models.k2.recorder import RoutingRecorder
from engine.models.k2.rope import rotary_table
from engine.models.router_changes import RouterChange, RouterChanges, change_of_rows

_KNOWN_CHANGES = 64  # requests whose changes are kept as tensors


class K2Runner:
    """A model ready to run; implements engine.models.base.MoeModel."""

    def __init__(self, model: K2Model) -> None:
        self._model = model
        self._config = model.config
        weight = model.embed_tokens.weight
        self._device, self._dtype = weight.device, weight.dtype
        self._num_dense = self._config.num_dense_layers
        self._changes = lru_cache(_KNOWN_CHANGES)(self._make_changes)
        self._table_SP = rotary_table(self._config, self._config.max_position).to(self._device)
        rows = ExpertRows(self._config, self._device)
        with torch.inference_mode():
            self._layers = [
                DecodeLayer(self._config, index, layer, rows) for index, layer in enumerate(model.decoder_layers)
            ]
            self._norm = FastNorm(model.norm)
            self._head = FastLinear((model.lm_head or model.embed_tokens).weight.detach())

    @property
    def shape(self) -> ModelShape:
        """Sizes for cards and displays."""
        config = self._config
        return ModelShape(
            num_layers=config.num_layers,
            moe_layers=config.moe_layers,
            num_experts=config.num_experts,
            experts_per_token=config.experts_per_token,
            num_shared_experts=config.num_shared_experts,
            num_heads=config.num_heads,
            vocab_size=config.vocab_size,
            context_length=config.max_position,
            num_parameters=config.num_parameters,
            num_active_parameters=config.num_active_parameters,
        )

    def new_cache(self) -> LatentCache:
        """An empty cache for one sequence."""
        return LatentCache(self._config, dtype=self._dtype, device=self._device)

    @torch.inference_mode()
    def prefill(
        self,
        tokens: Sequence[int],
        cache: Cache,
        *,
        capture: Capture = "off",
        all_logits: bool = False,
        pinned_NLK: Tensor | None = None,
        interventions: tuple[Intervention, ...] = (),
    ) -> Forward:
        """Append a prompt, or the rest of one; see MoeModel.prefill."""
        assert isinstance(cache, LatentCache)
        assert tokens, "a prefill needs a token, for its logits"
        tokens_N = self._tokens(tokens)
        cache.reserve(len(tokens))
        recorder = None if capture == "off" else RoutingRecorder(self._config, capture, pinned=pinned_NLK is not None)
        changes = self._changes(interventions) if interventions else None
        x_ND = F.embedding(tokens_N, self._model.embed_tokens.weight)
        rotations_NP = self._table_SP[cache.length : cache.length + len(tokens)]
        for index, layer in enumerate(self._model.decoder_layers):
            rows_SW = cache.layer(index)
            x_ND = x_ND + layer.self_attn.extend(layer.input_layernorm(x_ND), rows_SW, cache.length, rotations_NP)
            change = None if changes is None or index < self._num_dense else changes.of(index - self._num_dense)
            x_ND = self._feed_forward(index, layer, x_ND, recorder, pinned_NLK, change)
        cache.advance(len(tokens))
        hidden_ND = self._model.norm(x_ND if all_logits else x_ND[-1:])
        return Forward(
            logits=self._model.logits(hidden_ND).float(),
            recorded=recorder or None,
        )

    @torch.inference_mode()
    def decode(
        self,
        tokens: Sequence[int],
        caches: Sequence[Cache],
        *,
        capture: Capture = "off",
        pinned_NLK: Tensor | None = None,
        interventions: Sequence[tuple[Intervention, ...]] = (),
    ) -> Forward:
        """Append one token to each sequence; see MoeModel.decode."""
        latent_caches = [cache for cache in caches if isinstance(cache, LatentCache)]
        assert len(latent_caches) == len(tokens) > 0
        tokens_B = self._tokens(tokens)
        for cache in latent_caches:
            cache.reserve(1)
        recorder = None if capture == "off" else RoutingRecorder(self._config, capture, pinned=pinned_NLK is not None)
        num_best = self._config.experts_per_token if recorder is None else recorder.num_best
        x_BD = F.embedding(tokens_B, self._model.embed_tokens.weight)
        rotations_BP = self._table_SP[[cache.length for cache in latent_caches]]
        rows = [self._changes(row) for row in interventions] if any(interventions) else None
        for index, layer in enumerate(self._layers):
            pinned_BK = self._pinned(index, pinned_NLK)
            change = None if rows is None or index < self._num_dense else change_of_rows(rows, index - self._num_dense)
            x_BD, moe = layer.step(
                x_BD, rotations_BP, latent_caches, num_best=num_best, pinned_BK=pinned_BK, change=change
            )
            if recorder is not None and moe is not None:
                recorder.add(moe.choice, moe.routed_BD, moe.shared_BD)
        for cache in latent_caches:
            cache.advance(1)
        return Forward(
            logits=self._head(self._norm(x_BD)).float(),
            recorded=recorder or None,
        )

    def _feed_forward(
        self,
        index: int,
        layer: DecoderLayer,
        x_ND: Tensor,
        recorder: RoutingRecorder | None,
        pinned_NLK: Tensor | None,
        change: RouterChange | None,
    ) -> Tensor:
        normed_ND = layer.post_attention_layernorm(x_ND)
        if not isinstance(layer.mlp, MoeBlock):
            plain_ND: Tensor = layer.mlp(normed_ND)
            return x_ND + plain_ND
        num_best = self._config.experts_per_token if recorder is None else recorder.num_best
        pinned_NK = self._pinned(index, pinned_NLK)
        routed_ND, shared_ND, choice = layer.mlp(normed_ND, num_best=num_best, pinned_NK=pinned_NK, change=change)
        if recorder is not None:
            recorder.add(choice, routed_ND, shared_ND)
        x_ND = x_ND + routed_ND
        return x_ND if shared_ND is None else x_ND + shared_ND

    def _make_changes(self, interventions: tuple[Intervention, ...]) -> RouterChanges:
        config = self._config
        return RouterChanges(
            interventions, moe_layers=config.moe_layers, num_experts=config.num_experts,
            top_k=config.experts_per_token, device=self._device,
        )  # fmt: skip

    def _pinned(self, index: int, pinned_NLK: Tensor | None) -> Tensor | None:
        moe_index = index - self._num_dense
        return None if pinned_NLK is None or moe_index < 0 else pinned_NLK[:, moe_index].to(self._device)

    def _tokens(self, tokens: Sequence[int]) -> Tensor:
        highest = max(tokens)
        if min(tokens) < 0 or highest >= self._config.vocab_size:
            raise ValueError(
                f"Token {highest if highest >= self._config.vocab_size else min(tokens)} is outside this model's"
                f" vocabulary of {self._config.vocab_size}. Use the tokenizer that belongs to the model."
            )
        return torch.tensor(tokens, device=self._device)
