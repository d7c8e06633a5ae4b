"""From the routing a model returns (tensors on its device) to RoutingBlock (arrays on the host).

Decoding steps are gathered, computed and converted together when a chunk is sent, so that a step waits for nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from engine.models.base import Recorded, Routing
from engine.trace import F16, U16, RoutingBlock

_BY_PLACE = ("ids", "weights")
_FULL = ("candidates", "raw", "biased")
_FIELDS = {"ids": "ids_NLK", "weights": "weights_NLK", "margin": "margin_NL", "shared": "shared_NL",
           "candidates": "candidates_NLC", "raw": "raw_NLC", "biased": "biased_NLC"}


def to_block(routing: Routing, layers: tuple[int, ...]) -> RoutingBlock:
    """Convert the routing of a prefill: one row per token."""
    return RoutingBlock(layers=layers, **{name: _stored(name, tensor) for name, tensor in _fields(routing)})


def rows_to_block(
    rows: Sequence[tuple[Recorded, int]], layers: tuple[int, ...], *, full: bool, width: int
) -> RoutingBlock:
    """Convert rows of several decoding steps, one (record of the step, row in its batch) per token.

    `width` is the sequence's own number of places, `full` what it asked for: another one in the batch may have more.
    """
    steps = [step for step, _ in rows]
    routing = steps[0].routing(steps[1:])
    starts = np.cumsum([0, *map(len, steps[:-1])])
    index = starts + [row for _, row in rows]
    arrays = {name: _stored(name, tensor)[index] for name, tensor in _fields(routing) if full or name not in _FULL}
    places = {name: array[:, :, :width] for name, array in arrays.items() if name in _BY_PLACE}
    return RoutingBlock(layers=layers, **{**arrays, **places})


def _fields(routing: Routing) -> list[tuple[str, Tensor]]:
    """What the routing holds, by its name in a trace."""
    return [(name, tensor) for name, field in _FIELDS.items() if (tensor := getattr(routing, field)) is not None]


def _stored(name: str, tensor: Tensor) -> npt.NDArray[Any]:
    """On the host, as a trace keeps it."""
    array = tensor.cpu().numpy()
    if name in ("ids", "candidates"):
        ids: U16 = array.astype(np.uint16)
        return ids
    with np.errstate(over="ignore"):  # a score beyond float16 reads as infinite
        values: F16 = array.astype(np.float16)
    return values
