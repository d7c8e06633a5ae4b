"""From the routing a model returns (tensors on its device) to RoutingBlock (arrays on the host).

Decoding steps are gathered and converted together when a chunk is sent, so that a step itself waits for nothing.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.models.base import Routing
from engine.trace import F16, U16, RoutingBlock

_BY_PLACE = ("ids", "weights")
_FIELDS = {"ids": "ids_NLK", "weights": "weights_NLK", "margin": "margin_NL", "shared": "shared_NL",
           "candidates": "candidates_NLC", "raw": "raw_NLC", "biased": "biased_NLC"}


def to_block(routing: Routing, layers: tuple[int, ...]) -> RoutingBlock:
    """Convert the routing of a prefill: one row per token."""
    arrays = {name: _stored(name, tensor.cpu().numpy()) for name, field in _FIELDS.items()
              if (tensor := getattr(routing, field)) is not None}
    return RoutingBlock(layers=layers, **arrays)


def rows_to_block(
    rows: list[tuple[Routing, int]], layers: tuple[int, ...], *, full: bool, width: int
) -> RoutingBlock:
    """Convert rows of several decoding steps, one (routing of the step, row in its batch) per token.

    `width` is the sequence's own number of places: another one in the batch may have more.
    """
    names = list(_FIELDS) if full else ["ids", "weights", "margin", "shared"]
    arrays: dict[str, Any] = {}
    for name in names:
        tensors: list[Tensor | None] = [getattr(routing, _FIELDS[name]) for routing, _ in rows]
        known = [(tensor, row) for tensor, (_, row) in zip(tensors, rows, strict=True) if tensor is not None]
        if len(known) == len(rows):
            picked = _picked(known)
            arrays[name] = _stored(name, picked[:, :, :width] if name in _BY_PLACE else picked)
    return RoutingBlock(layers=layers, **arrays)


def _picked(known: list[tuple[Tensor, int]]) -> npt.NDArray[Any]:
    """One row of each tensor, on the host."""
    if known[0][0].is_cpu:  # numpy's slices take a third of the time of torch's
        return np.concatenate([tensor.numpy()[row : row + 1] for tensor, row in known])
    picked: npt.NDArray[Any] = torch.cat([tensor[row : row + 1] for tensor, row in known]).cpu().numpy()
    return picked


def _stored(name: str, array: npt.NDArray[Any]) -> Any:
    if name in ("ids", "candidates"):
        ids: U16 = array.astype(np.uint16)
        return ids
    with np.errstate(over="ignore"):  # a score beyond float16 reads as infinite
        values: F16 = array.astype(np.float16)
    return values
