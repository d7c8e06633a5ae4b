"""Interventions on routing: which experts are muted, forced or boosted, or how many a token gets, in which layers.

Values and their checks; what they do to a router's scores is engine/models/router_changes.py. The JSON form is the
API's: {"layers": [from, to], "experts": [...], "action": "mute" | "force" | "boost" | "top_k", "value": x}, layers
as the checkpoint counts them, both ends included.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

Action = Literal["mute", "force", "boost", "top_k"]
ACTIONS: tuple[Action, ...] = get_args(Action)
_FIELDS = {"layers", "experts", "action", "value"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervention:
    """One change to the routers of layers `first` to `last`.

    mute: the experts are out before the choice. force: each takes the last place, with its own score. boost: `value`
    is added to their biased scores. top_k: a token gets `value` experts; `experts` is empty.
    """

    first: int
    last: int
    action: Action
    experts: tuple[int, ...] = ()
    value: float = 0.0

    def covers(self, layer: int) -> bool:
        """Whether it changes this layer."""
        return self.first <= layer <= self.last

    def to_json(self) -> dict[str, Any]:
        """The API's form."""
        wire: dict[str, Any] = {"layers": [self.first, self.last], "action": self.action}
        if self.action != "top_k":
            wire["experts"] = list(self.experts)
        if self.action in ("boost", "top_k"):
            wire["value"] = int(self.value) if self.action == "top_k" else self.value
        return wire


def parse_interventions(
    given: Iterable[Mapping[str, Any]], *, moe_layers: Sequence[int], num_experts: int, top_k: int
) -> tuple[Intervention, ...]:
    """Read the API's form and check it against a model.

    Raises:
        ValueError: a field is missing or wrong, or what is asked for leaves a layer without enough experts.
    """
    found = tuple(_parsed(index, wire, moe_layers, num_experts) for index, wire in enumerate(given))
    for layer in moe_layers:
        _check_layer(layer, [one for one in found if one.covers(layer)], num_experts, top_k)
    return found


def places(interventions: Iterable[Intervention], layer: int, top_k: int) -> int:
    """How many experts a token gets in a layer; the last top_k there counts."""
    return next((int(one.value) for one in reversed(tuple(interventions)) if one.action == "top_k"
                 and one.covers(layer)), top_k)


def width(interventions: Iterable[Intervention], top_k: int) -> int:
    """The most experts a token gets in any layer: how wide the rows of the routing are."""
    return max([top_k, *(int(one.value) for one in interventions if one.action == "top_k")])


def variant_of(interventions: Sequence[Intervention]) -> str:
    """Names what the interventions make of a model, for caches: equal for equal ones, "" for none."""
    return json.dumps([one.to_json() for one in interventions]) if interventions else ""


def _parsed(index: int, wire: Mapping[str, Any], moe_layers: Sequence[int], num_experts: int) -> Intervention:
    name = f"interventions[{index}]"
    unknown = sorted(set(wire) - _FIELDS)
    if unknown:
        raise ValueError(f"{name} has an unknown field {unknown[0]!r}. Use layers, experts, action and value.")
    action = wire.get("action")
    if action not in ACTIONS:
        raise ValueError(f"{name}.action is {action!r}. Use one of {', '.join(ACTIONS)}.")
    first, last = _layers(f"{name}.layers", wire.get("layers"), moe_layers)
    experts = _experts(f"{name}.experts", wire.get("experts") or [], num_experts)
    if action == "top_k" and experts:
        raise ValueError(f"{name} names experts, but top_k changes how many a token gets. Leave experts out.")
    if action != "top_k" and not experts:
        raise ValueError(f"{name} names no experts. List at least one in experts.")
    value = _value(f"{name}.value", action, wire.get("value"), num_experts)
    return Intervention(first=first, last=last, action=cast("Action", action), experts=experts, value=value)


def _layers(name: str, given: Any, moe_layers: Sequence[int]) -> tuple[int, int]:
    if not (isinstance(given, Sequence) and len(given) == 2 and all(type(layer) is int for layer in given)):
        raise ValueError(f"{name} is {given!r}. Give the first and the last layer, such as [{moe_layers[0]}, "
                         f"{moe_layers[-1]}].")
    first, last = given
    if first > last or not any(first <= layer <= last for layer in moe_layers):
        raise ValueError(f"{name} is {list(given)}, where no layer has experts. The layers with experts are "
                         f"{moe_layers[0]} to {moe_layers[-1]}.")
    return first, last


def _experts(name: str, given: Any, num_experts: int) -> tuple[int, ...]:
    if not (isinstance(given, Sequence) and all(type(expert) is int for expert in given)):
        raise ValueError(f"{name} is {given!r}. Give a list of expert numbers.")
    wrong = next((expert for expert in given if not 0 <= expert < num_experts), None)
    if wrong is not None:
        raise ValueError(f"{name} has expert {wrong}, but the experts are 0 to {num_experts - 1}.")
    return tuple(dict.fromkeys(given))


def _value(name: str, action: Any, given: Any, num_experts: int) -> float:
    if action in ("mute", "force"):
        if given is not None:
            raise ValueError(f"{name} is {given!r}, but {action} has no value. Leave it out.")
        return 0.0
    is_number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    if action == "boost" and not is_number:
        raise ValueError(f"{name} is {given!r}. Give the number that is added to the biased score, such as 0.5.")
    if action == "top_k" and (not is_number or given != int(given) or not 1 <= given <= num_experts):
        raise ValueError(f"{name} is {given!r}. Give a whole number of experts from 1 to {num_experts}.")
    return float(given)


def _check_layer(layer: int, here: list[Intervention], num_experts: int, top_k: int) -> None:
    named = {action: {expert for one in here if one.action == action for expert in one.experts} for action in ACTIONS}
    both = sorted(named["mute"] & named["force"])
    if both:
        raise ValueError(f"Expert {both[0]} of layer {layer} is muted and forced. Do one or the other.")
    wanted = places(here, layer, top_k)
    if len(named["force"]) > wanted:
        raise ValueError(f"{len(named['force'])} experts are forced in layer {layer}, where a token gets {wanted}. "
                         "Force fewer, or raise top_k.")
    left = num_experts - len(named["mute"])
    if left < wanted:
        raise ValueError(f"Only {left} experts of layer {layer} are not muted, and a token gets {wanted}. Mute fewer, "
                         "or lower top_k.")
