"""What a model is asked in an evaluation: held-out requests, the same ones for the same corpus and seed."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from engine.train.corpus import Corpus
from engine.train.sample import Message, Sample

SHARES = {"create": 0.5, "edit": 0.2, "edit_by_hand": 0.1, "switch": 0.05, "fix": 0.05, "decline": 0.125, "chat": 0.075}
# as many times more, for finer rates of what takes few tokens to answer
TIMES = {"edit": 2, "edit_by_hand": 2, "decline": 3, "chat": 3}
LEAST_PER_KIND = 4  # new programs of each kind, however many kinds there are


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One held-out request with what the corpus answers to it."""

    key: str
    sample: Sample

    @property
    def request(self) -> str:
        """What the person says, without the program that stands before it."""
        said = self.sample.messages[-1]["content"]
        return said.rpartition("```\n\n")[2]


def held_out_items(kinds: Sequence[str], count: int, seed: int) -> list[Item]:
    """At least `count` requests, in the proportions of SHARES but for TIMES, the kinds taking turns in each type.

    A kind's requests stay what they are when other kinds come in, but for those that show another kind's program.
    """
    corpus = Corpus(seed, "held_out", kinds=tuple(kinds))
    items: dict[str, Item] = {}
    for sample_type, share in SHARES.items():
        wanted = round(count * share) * TIMES.get(sample_type, 1)
        if sample_type == "create":
            wanted = max(wanted, LEAST_PER_KIND * len(kinds))
        have, tries = 0, Counter[str]()
        while have < wanted:
            kind = kinds[have % len(kinds)]
            rng = random.Random(f"evaluation/{seed}/{sample_type}/{kind}/{tries[kind]}")  # noqa: S311
            tries[kind] += 1
            sample = corpus.sample_of(sample_type, rng, kind)
            key = message_key(sample.messages)
            have += key not in items
            items.setdefault(key, Item(key=key, sample=sample))
    return list(items.values())


def message_key(messages: Sequence[Message]) -> str:
    """A name for what a model is given, whatever else changes."""
    return hashlib.sha256(json.dumps(list(messages)).encode()).hexdigest()[:16]
