"""Key-value caches of finished sequences, kept so that the next turn need not read its beginning again.

An entry holds the tokens that were fed, the model's cache of them and, where it was recorded, their routing.
Only the worker thread uses it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.events import CAPTURE_LEVELS, CaptureLevel
from engine.models.base import Cache
from engine.trace import RoutingBlock, slice_rows


@dataclass(slots=True, kw_only=True, eq=False)
class _Entry:
    ids: npt.NDArray[np.int64]
    cache: Cache
    capture: CaptureLevel
    block: RoutingBlock | None
    variant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """A sequence's beginning that need not be computed: its cache, its length and its routing."""

    cache: Cache
    length: int
    block: RoutingBlock | None


class PrefixCache:
    """Least recently used entries up to `max_tokens` tokens in all.

    `variant` names what else changes a cache's content (interventions): entries of another one don't match.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._entries: list[_Entry] = []  # least recently used first

    @property
    def num_tokens(self) -> int:
        """Tokens held in all entries."""
        return sum(len(entry.ids) for entry in self._entries)

    def take(self, ids: Sequence[int], capture: CaptureLevel, *, variant: str = "") -> Prefix | None:
        """Find the longest known beginning of `ids`, at most all but the last, whose routing is at hand.

        The cache in the answer belongs to the caller: an entry that continues differently is copied, one that
        is wholly a beginning of `ids` is handed over.
        """
        wanted = np.asarray(ids, np.int64)
        best, shared = None, 0
        for entry in self._entries:
            level_suffices = CAPTURE_LEVELS.index(entry.capture) >= CAPTURE_LEVELS.index(capture)
            if entry.variant == variant and level_suffices:
                length = min(_common(entry.ids, wanted), len(wanted) - 1)
                if length > shared:
                    best, shared = entry, length
        if best is None:
            return None
        self._entries.remove(best)
        if shared == len(best.ids):
            cache = best.cache
        else:
            self._entries.append(best)
            cache = best.cache.copy()
            cache.truncate(shared)
        block = None if best.block is None or capture == "off" else _reduced(best.block, shared, capture)
        return Prefix(cache=cache, length=shared, block=block)

    def put(self, ids: Sequence[int], cache: Cache, capture: CaptureLevel, block: RoutingBlock | None, *,
            variant: str = "") -> None:
        """Keep a sequence; the caller must not use `cache` any more."""
        assert cache.length == len(ids)
        assert capture == "off" or (block is not None and len(block) == len(ids))
        new = np.asarray(ids, np.int64)
        level = CAPTURE_LEVELS.index(capture)
        self._entries = [
            entry for entry in self._entries
            if entry.variant != variant or CAPTURE_LEVELS.index(entry.capture) > level
            or _common(entry.ids, new) < len(entry.ids)
        ]
        self._entries.append(_Entry(ids=new, cache=cache, capture=capture, block=block, variant=variant))
        while self._entries and self.num_tokens > self._max_tokens:
            self._entries.pop(0)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


def _common(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> int:
    size = min(len(left), len(right))
    differing = np.flatnonzero(left[:size] != right[:size])
    return int(differing[0]) if len(differing) else size


def _reduced(block: RoutingBlock, length: int, capture: CaptureLevel) -> RoutingBlock:
    rows = slice_rows(block, 0, length)
    if capture == "full":
        return rows
    return RoutingBlock(layers=rows.layers, ids=rows.ids, weights=rows.weights, margin=rows.margin, shared=rows.shared)
