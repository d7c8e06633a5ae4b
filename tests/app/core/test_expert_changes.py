"""What a person types on the expert bench, what is said of it, and its control."""

import pytest

from app.core.expert_changes import all_in_words, difference, random_control, read_experts
from app.core.problem import Problem

MUTE = {"layers": [1, 5], "experts": [3, 7], "action": "mute"}
BOOST = {"layers": [2, 2], "experts": [4], "action": "boost", "value": -0.5}
FEWER = {"layers": [1, 5], "action": "top_k", "value": 2}


def test_expert_numbers_and_ranges_are_read() -> None:
    assert read_experts("3, 7 12-14,3", 32) == (3, 7, 12, 13, 14)


@pytest.mark.parametrize(("text", "words"), [("", "No expert"), ("x", "'x' is no number"), ("3-", "no number"),
                                             ("32", "no expert 32")])
def test_what_names_no_expert_is_refused(text: str, words: str) -> None:
    with pytest.raises(Problem, match=words):
        read_experts(text, 32)


def test_changes_are_said_in_words() -> None:
    assert all_in_words([MUTE, BOOST, FEWER]) == (
        "mute experts 3, 7 in layers 1-5; boost expert 4 by -0.5 in layer 2; 2 experts per token in layers 1-5"
    )


def test_the_control_has_as_many_other_experts() -> None:
    control = random_control([MUTE, BOOST, FEWER], 32, seed=1)
    assert [len(change.get("experts", ())) for change in control] == [2, 1, 0]
    assert not {3, 4, 7} & {expert for change in control for expert in change.get("experts", ())}
    assert control == random_control([MUTE, BOOST, FEWER], 32, seed=1)
    assert control != random_control([MUTE, BOOST, FEWER], 32, seed=2)
    assert control[2] == FEWER


def test_a_control_of_most_experts_takes_any() -> None:
    most = {**MUTE, "experts": list(range(6))}
    assert len(random_control([most], 8, seed=0)[0]["experts"]) == 6


def test_the_difference_of_two_answers() -> None:
    assert difference("a\nb\n", "a\nb\n") == ""
    assert "-b" in difference("a\nb\n", "a\nc\n").splitlines()
