"""Programs changed by hand in training: other numbers and colours, everything in its place, kept by the change."""

import random

import pytest

from engine.artifacts import apply_answer
from engine.train.corpus import Corpus
from engine.train.hand_edits import with_hand_edits
from engine.train.projects import files_of
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
    assert all(before != BEFORE for before, _ in tries())
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


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_the_corpus_has_changes_to_programs_that_no_kind_would_render(split: Split) -> None:
    corpus = Corpus(4, split, kinds=("balls", "snake"))
    for seed in range(20):
        plain, by_hand = (corpus.sample_of(name, random.Random(seed)) for name in ("edit", "edit_by_hand"))
        assert by_hand.before != plain.before
        assert len(by_hand.before) == len(plain.before)
        assert apply_answer(files_of(by_hand.before), by_hand.answer).files == files_of(by_hand.program)
