"""Programs changed by hand in training: other numbers and colours, everything in its place, kept by the change."""

import random

import pytest

from engine.train.corpus import Corpus
from engine.train.hand_edits import with_hand_edits
from engine.train.split import Split

BEFORE = "<!-- balls | count: 12 -->\nconst count = 12, pull = 0.35;\nconst sky = '#0b132b';\nstart(400, 300);"
AFTER = BEFORE.replace("count: 12", "count: 30").replace("count = 12", "count = 30")


def tries() -> list[tuple[str, str]]:
    return [with_hand_edits(BEFORE, AFTER, random.Random(seed)) for seed in range(200)]


def test_lines_keep_their_length_and_the_first_one_its_words() -> None:
    for before, _ in tries():
        assert [len(line) for line in before.split("\n")] == [len(line) for line in BEFORE.split("\n")]
        assert before.split("\n")[0] == BEFORE.split("\n")[0]


def test_what_the_change_leaves_alone_is_the_same_in_both() -> None:
    assert any(before != BEFORE for before, _ in tries())
    assert any("0.35" not in before.split("\n")[1] for before, _ in tries())
    for before, after in tries():
        old, new = before.split("\n"), after.split("\n")
        assert old[2:] == new[2:]
        assert old[1].partition("pull")[2] == new[1].partition("pull")[2]  # tried by hand, and kept by the change
        assert "count = 30" in new[1]


def test_numbers_and_colours_change_and_nothing_else() -> None:
    for before, _ in tries():
        assert all(now == was or was in "0123456789abcdef" for now, was in zip(before, BEFORE, strict=True))
        assert "const count = 0" not in before


@pytest.mark.parametrize(("split", "some"), [("train", True), ("held_out", False)])
def test_the_corpus_trains_with_such_programs_and_holds_none_out(
    split: Split, some: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus(4, split, kinds=("balls", "snake"))

    def programs() -> list[str]:
        return [corpus.sample_of("edit", random.Random(seed)).before for seed in range(20)]

    with_some = programs()
    monkeypatch.setattr("engine.train.corpus.HAND_RATE", 0.0)
    assert (with_some != programs()) == some
