"""Talk that needs no program (chat.toml) or gets none (outside.toml): groups of requests, their answers, their wording.

In training a line is often begun and ended as an order for a program or a change is, and slots and groups with a weight
come more often. A held-out line gets no words around it.
"""

import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.train.phrasing import (
    EDIT_FRAMES,
    NOUN_OPENER_RATE,
    TYPO_RATES,
    made_up_word,
    wants_a_verb,
    with_full_stop,
    with_opener,
    with_typo,
)
from engine.train.split import Split, is_of_split

SLOTTED_WEIGHT = 4.0  # of a line with slots, which stands for many, in training
FRAMED_RATE = 0.15  # of lines without an opener: as an order to change the program that is there
_NOUN_STARTS = ("{", "a ", "an ")
_SLOT = re.compile(r"\{(\w+)\}")
_ORDER = re.compile(  # "write a poem about snow": what can follow "what if you"
    r"(add|animate|book|build|calculate|code|compose|convert|create|define|describe|design|draw|explain|generate|give|help"
    r"|list|make|name|order|paint|play|program|render|search|show|solve|suggest|summarise|teach|tell|translate|write)\b"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A group of requests that share their answers, trained `weight` times as often as the others.

    Those of a group of `wishes` that start with a noun name a thing, as many requests for a program do.
    """

    name: str
    weight: float
    wishes: bool
    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    slots: Mapping[str, tuple[str, ...]]


def load_talks(path: Path, lists: Mapping[str, str]) -> list[Talk]:
    """The groups of a file of talk; an answer gets the text of `lists` for each {name}, "none" where there is none."""
    data: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    slots = {name: tuple(words) for name, words in data.get("slots", {}).items()}
    return [
        Talk(
            name=name,
            weight=group.get("weight", 1.0),
            wishes=group.get("wishes", False),
            prompts=tuple(group["prompts"]),
            answers=tuple(
                _filled(answer, lists) for answer in data["groups"][group.get("answers_of", name)]["answers"]
            ),
            slots=slots,
        )
        for name, group in data["groups"].items()
    ]


def _filled(answer: str, lists: Mapping[str, str]) -> str:
    return _SLOT.sub(lambda slot: lists.get(slot[1], "none"), answer)


def say(talks: Sequence[Talk], split: Split, rng: random.Random) -> tuple[Talk, str, str]:
    """A group, the wording of one of its requests on this side of the split, and that request as somebody types it."""
    there = [
        (talk, [prompt for prompt in talk.prompts if is_of_split(f"{talk.name}/{prompt}", split)]) for talk in talks
    ]
    there = [(talk, prompts) for talk, prompts in there if prompts]
    talk, prompts = rng.choices(there, [talk.weight if split == "train" else 1.0 for talk, _ in there])[0]
    weights = [SLOTTED_WEIGHT if "{" in prompt and split == "train" else 1.0 for prompt in prompts]
    wording = rng.choices(prompts, weights)[0]
    if split == "train":
        wording = _as_order(talk, wording, rng)
    text = _SLOT.sub(lambda slot: made_up_word(rng) if slot[1] == "word" else rng.choice(talk.slots[slot[1]]), wording)
    text = text[0].upper() + text[1:] if rng.random() < 0.5 else text
    return talk, wording, with_typo(text, rng) if rng.random() < TYPO_RATES[split] else text


def _as_order(talk: Talk, wording: str, rng: random.Random) -> str:
    """The wording begun and ended as orders for programs and changes are, now and then: this decides nothing."""
    is_noun = talk.wishes and wording.startswith(_NOUN_STARTS)
    frames = [frame for frame in EDIT_FRAMES if is_of_split(f"edit/{frame}", "train")]
    if not _ORDER.match(wording):
        frames = [frame for frame in frames if not wants_a_verb(frame)]
    ordered = with_opener(wording, rng, noun_rate=NOUN_OPENER_RATE if is_noun else 0.0)
    if ordered == wording and rng.random() < FRAMED_RATE:
        ordered = rng.choice(frames).replace("{e}", wording)
    ordered = with_full_stop(ordered, rng)
    return ordered if is_of_split(f"{talk.name}/{ordered}", "train") else wording
