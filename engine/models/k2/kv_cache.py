"""The latent cache of one sequence: per layer and token one normalised latent and one rotated key part.

Legend: S capacity in tokens, W = latent rank R + rotary width P.
"""

import torch
from torch import Tensor

from engine.config import ModelConfig

_FIRST_CAPACITY = 256


class LatentCache:
    """Grows by doubling. Writers fill rows from `length` on in every layer, then call `advance` once."""

    def __init__(self, config: ModelConfig, *, dtype: torch.dtype, device: torch.device) -> None:
        self._config = config
        self._length = 0
        self._layers = self._allocate(0, dtype, device)

    @property
    def length(self) -> int:
        """Tokens held."""
        return self._length

    def reserve(self, num_tokens: int) -> None:
        """Make room for `num_tokens` more; ValueError when that passes the model's context."""
        needed = self._length + num_tokens
        if needed > self._config.max_position:
            raise ValueError(
                f"The sequence would grow to {needed} tokens; this model's context holds {self._config.max_position}."
                " Shorten the conversation or the prompt."
            )
        old = self._layers
        if needed > len(old[0]):
            capacity = min(max(needed, 2 * len(old[0]), _FIRST_CAPACITY), self._config.max_position)
            self._layers = self._allocate(capacity, old[0].dtype, old[0].device)
            for layer, previous in zip(self._layers, old, strict=True):
                layer[: self._length] = previous[: self._length]

    def layer(self, index: int) -> Tensor:
        """All rows [S, W] of a layer, those past `length` undefined. Valid until the next `reserve`."""
        return self._layers[index]

    def advance(self, num_tokens: int) -> None:
        """Count rows that were written in every layer."""
        self._length += num_tokens

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens; ValueError when fewer are held."""
        if not 0 <= length <= self._length:
            raise ValueError(f"The cache holds {self._length} tokens; it cannot be cut to {length}.")
        self._length = length

    def copy(self) -> "LatentCache":
        """An independent cache with the same content, room for it only."""
        twin = LatentCache(self._config, dtype=self._layers[0].dtype, device=self._layers[0].device)
        twin._layers = [layer[: self._length].clone() for layer in self._layers]
        twin._length = self._length
        return twin

    def _allocate(self, capacity: int, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
        width = self._config.kv_lora_rank + self._config.rope_head_dim
        shape = (self._config.num_layers, capacity, width)
        return list(torch.empty(shape, dtype=dtype, device=device).unbind())
