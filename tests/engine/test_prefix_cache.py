"""Which beginnings are reused, copied, handed over or forgotten."""

from dataclasses import dataclass

import numpy as np

from engine.prefix_cache import PrefixCache
from engine.trace import RoutingBlock


@dataclass(eq=False)
class ListCache:
    """A model's cache, as far as the prefix cache knows it."""

    ids: list[int]

    @property
    def length(self) -> int:
        return len(self.ids)

    def truncate(self, length: int) -> None:
        del self.ids[length:]

    def copy(self) -> "ListCache":
        return ListCache(list(self.ids))


def block(ids: list[int]) -> RoutingBlock:
    return RoutingBlock(layers=(1,), ids=np.array(ids, np.uint16)[:, None, None])


def test_the_longest_beginning_is_copied_when_it_goes_on_differently() -> None:
    prefixes = PrefixCache(1000)
    prefixes.put([1, 2, 3], ListCache([1, 2, 3]), "off", None)
    longest = ListCache([1, 2, 9, 9, 9])
    prefixes.put(longest.ids, longest, "ids", block(longest.ids))
    found = prefixes.take([1, 2, 9, 9, 5, 6], "ids")
    assert found is not None
    assert found.length == found.cache.length == 4
    assert found.cache is not longest
    assert longest.length == 5
    assert found.block is not None
    assert found.block.ids[:, 0, 0].tolist() == [1, 2, 9, 9]
    assert prefixes.num_tokens == 8


def test_a_whole_beginning_is_handed_over() -> None:
    prefixes = PrefixCache(1000)
    cache = ListCache([1, 2, 3])
    prefixes.put([1, 2, 3], cache, "off", None)
    found = prefixes.take([1, 2, 3, 4], "off")
    assert found is not None
    assert found.cache is cache
    assert prefixes.num_tokens == 0


def test_one_token_is_always_left_to_compute() -> None:
    prefixes = PrefixCache(1000)
    prefixes.put([1, 2, 3], ListCache([1, 2, 3]), "off", None)
    found = prefixes.take([1, 2, 3], "off")
    assert found is not None
    assert found.length == 2
    assert prefixes.take([1], "off") is None
    assert prefixes.take([7, 8], "off") is None


def test_another_variant_and_less_routing_do_not_match() -> None:
    prefixes = PrefixCache(1000)
    prefixes.put([1, 2, 3], ListCache([1, 2, 3]), "ids", block([1, 2, 3]), variant="mute 3")
    assert prefixes.take([1, 2, 3, 4], "ids") is None
    assert prefixes.take([1, 2, 3, 4], "full", variant="mute 3") is None
    assert prefixes.take([1, 2, 3, 4], "ids", variant="mute 3") is not None


def test_the_least_recently_used_goes_first_and_beginnings_of_a_new_entry_at_once() -> None:
    prefixes = PrefixCache(8)
    prefixes.put([1, 1], ListCache([1, 1]), "off", None)
    prefixes.put([2, 2, 2], ListCache([2, 2, 2]), "off", None)
    prefixes.put([2, 2, 2, 2], ListCache([2, 2, 2, 2]), "off", None)
    assert prefixes.num_tokens == 6
    prefixes.take([1, 1], "off")
    prefixes.put([3, 3, 3], ListCache([3, 3, 3]), "off", None)
    assert prefixes.take([2, 2, 5], "off") is None
    assert prefixes.take([1, 1, 5], "off") is not None
    prefixes.clear()
    assert prefixes.num_tokens == 0
