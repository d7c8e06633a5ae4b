"""Changes to routing as the expert bench makes them: read from what a person types, said in words, compared in diffs.

A change is a mapping in the API's form (engine/interventions.py checks it against the model). No Qt, no network.
"""

import difflib
import random
from collections.abc import Mapping, Sequence
from typing import Any

from app.core.problem import Problem

Change = Mapping[str, Any]
_VERBS = {"mute": "mute", "force": "force", "boost": "boost"}


def read_experts(text: str, num_experts: int) -> tuple[int, ...]:
    """Expert numbers from "3, 7 12-14". Raises Problem when there are none, or one that the model hasn't."""
    numbers: list[int] = []
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise Problem("The experts can't be read.", f"{part!r} is no number.", "Type numbers, such as 3, 7, 12-14.")
        numbers += range(int(first), int(last or first) + 1)
    wrong = next((number for number in numbers if number >= num_experts), None)
    if not numbers or wrong is not None:
        why = "No expert is named." if wrong is None else f"There is no expert {wrong}."
        raise Problem("The change was not added.", why, f"Type numbers from 0 to {num_experts - 1}.")
    return tuple(dict.fromkeys(numbers))


def in_words(change: Change) -> str:
    """One change: "mute experts 3, 7 in layers 1-5"."""
    first, last = change["layers"]
    where = f"layer {first}" if first == last else f"layers {first}-{last}"
    if change["action"] == "top_k":
        return f"{change['value']} experts per token in {where}"
    experts = change["experts"]
    named = f"expert{'s' if len(experts) > 1 else ''} {', '.join(map(str, experts))}"
    by = f" by {change['value']:+g}" if change["action"] == "boost" else ""
    return f"{_VERBS[change['action']]} {named}{by} in {where}"


def all_in_words(changes: Sequence[Change]) -> str:
    """Several changes, or "" for none."""
    return "; ".join(map(in_words, changes))


def random_control(changes: Sequence[Change], num_experts: int, seed: int) -> tuple[Change, ...]:
    """The same changes to as many other experts, drawn at random: what any experts would have done.

    An expert that is named anywhere is not drawn, unless too few others are left.
    """
    rng = random.Random(seed)  # noqa: S311
    named = {expert for change in changes for expert in change.get("experts", ())}
    others = [expert for expert in range(num_experts) if expert not in named]
    control: list[Change] = []
    for change in changes:
        count = len(change.get("experts", ()))
        pool = others if len(others) >= count else range(num_experts)
        control.append({**change, "experts": sorted(rng.sample(list(pool), count))} if count else change)
    return tuple(control)


def difference(before: str, after: str) -> str:
    """A unified diff of two answers with three lines of context; "" where they are the same."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "as it was", "with the changes", lineterm="")
    return "\n".join(lines)
