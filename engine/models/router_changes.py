"""What interventions do to a router's scores, as tensors: one change per MoE layer, for all rows of a pass.

A row is a token; rows of different requests may be changed differently. Legend: N rows (1 where all are changed
alike), E experts, K places.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.interventions import Intervention, places, width


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterChange:
    """The change of one layer. `added_NE` holds boosts, and -inf for muted experts; `width` is the widest row."""

    added_NE: Tensor
    forced_NE: Tensor
    places_N: Tensor
    width: int


class RouterChanges:
    """The changes of every MoE layer for one request."""

    def __init__(
        self, interventions: Sequence[Intervention], *, moe_layers: Sequence[int], num_experts: int, top_k: int,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.width = width(interventions, top_k)
        self._by_layer = [
            self._change([one for one in interventions if one.covers(layer)], layer, num_experts, top_k, device)
            for layer in moe_layers
        ]

    def of(self, moe_index: int) -> RouterChange:
        """The change of a MoE layer, counted from 0."""
        return self._by_layer[moe_index]

    def _change(
        self, here: Sequence[Intervention], layer: int, num_experts: int, top_k: int, device: torch.device
    ) -> RouterChange:
        added_E, forced_E = torch.zeros(num_experts), torch.zeros(num_experts, dtype=torch.bool)
        for one in here:
            experts = list(one.experts)
            if one.action == "mute":
                added_E[experts] = -torch.inf
            elif one.action == "boost":
                added_E[experts] += one.value
            elif one.action == "force":
                forced_E[experts] = True
        return RouterChange(
            added_NE=added_E.to(device).unsqueeze(0),
            forced_NE=forced_E.to(device).unsqueeze(0),
            places_N=torch.tensor([places(here, layer, top_k)], device=device),
            width=self.width,
        )


def change_of_rows(rows: Sequence[RouterChanges], moe_index: int) -> RouterChange:
    """One change whose row i is that of the i-th request."""
    parts = [changes.of(moe_index) for changes in rows]
    return RouterChange(
        added_NE=torch.cat([part.added_NE for part in parts]),
        forced_NE=torch.cat([part.forced_NE for part in parts]),
        places_N=torch.cat([part.places_N for part in parts]),
        width=max(part.width for part in parts),
    )
