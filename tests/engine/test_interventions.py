"""Interventions as values: what is read, and what is refused with which words."""

from typing import Any

import pytest

from engine.interventions import Intervention, parse_interventions, places, variant_of, width

MODEL: dict[str, Any] = {"moe_layers": (1, 2, 3), "num_experts": 8, "top_k": 2}
MUTE = {"layers": [1, 2], "experts": [5, 5, 0], "action": "mute"}


def test_the_api_s_form_is_read_and_written() -> None:
    wire = [
        MUTE,
        {"layers": [3, 3], "experts": [1], "action": "force"},
        {"layers": [0, 9], "experts": [2], "action": "boost", "value": -0.5},
        {"layers": [2, 3], "action": "top_k", "value": 4},
    ]
    found = parse_interventions(wire, **MODEL)
    assert found[0] == Intervention(first=1, last=2, action="mute", experts=(5, 0))
    assert [one.to_json() for one in found] == [{**MUTE, "experts": [5, 0]}, *wire[1:]]
    assert [places(found, layer, 2) for layer in (1, 2, 3)] == [2, 4, 4]
    assert width(found, 2) == 4
    assert variant_of(found) != variant_of(found[:1])
    assert variant_of(()) == ""


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        ({**MUTE, "expert": [1]}, "unknown field 'expert'"),
        ({**MUTE, "action": "kill"}, "mute, force, boost, top_k"),
        ({**MUTE, "layers": [0, 0]}, "1 to 3"),
        ({**MUTE, "layers": [2, 1]}, "1 to 3"),
        ({**MUTE, "layers": "1-2"}, "first and the last layer"),
        ({**MUTE, "layers": [1, True]}, "first and the last layer"),
        ({**MUTE, "experts": [8]}, "0 to 7"),
        ({**MUTE, "experts": []}, "names no experts"),
        ({**MUTE, "experts": ["1"]}, "list of expert numbers"),
        ({**MUTE, "value": 1}, "mute has no value"),
        ({**MUTE, "action": "boost"}, "added to the biased score"),
        ({**MUTE, "action": "boost", "value": float("nan")}, "added to the biased score"),
        ({"layers": [1, 2], "action": "top_k", "value": 9}, "from 1 to 8"),
        ({"layers": [1, 2], "action": "top_k", "value": 1.5}, "from 1 to 8"),
        ({"layers": [1, 2], "action": "top_k", "value": 1, "experts": [1]}, "Leave experts out"),
        ({**MUTE, "experts": [0, 1, 2, 3, 4, 5, 6]}, "Only 1 experts of layer 1 are not muted"),
        ({**MUTE, "action": "force", "experts": [0, 1, 2]}, "3 experts are forced in layer 1"),
    ],
)
def test_what_can_t_be_done_is_refused_with_a_way_out(wire: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_interventions([wire], **MODEL)


def test_muting_and_forcing_the_same_expert_is_refused() -> None:
    with pytest.raises(ValueError, match="muted and forced"):
        parse_interventions([MUTE, {**MUTE, "action": "force", "experts": [5]}], **MODEL)
