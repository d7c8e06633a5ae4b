"""Talk: words and no code, slots filled in, and wordings that training has in the manner of orders."""

import random
import re
import tomllib

import pytest

from engine.train.corpus import CORPUS_FOLDER, Corpus
from engine.train.phrasing import made_up_word
from engine.train.split import is_held_out


@pytest.fixture(scope="module")
def train() -> Corpus:
    return Corpus(3, "train")


@pytest.fixture(scope="module")
def held_out() -> Corpus:
    return Corpus(3, "held_out")


def test_made_up_words_stand_for_what_nobody_knows(train: Corpus) -> None:
    rng = random.Random(2)
    words = {made_up_word(rng) for _ in range(50)}
    assert len(words) > 45
    said = [train.sample_of("decline", rng).messages[-1]["content"] for _ in range(300)]
    assert not any("{" in text.rpartition("```")[2] for text in said)


def test_a_group_with_a_weight_is_trained_more_often(train: Corpus, held_out: Corpus) -> None:
    def share(corpus: Corpus) -> float:
        rng = random.Random(5)
        return sum(corpus.sample_of("decline", rng).kind == "nonsense" for _ in range(1000)) / 1000

    assert share(train) > 1.2 * share(held_out)


def test_talk_is_opened_as_orders_are_in_training_alone(train: Corpus, held_out: Corpus) -> None:
    groups = tomllib.loads((CORPUS_FOLDER / "outside.toml").read_text("utf-8"))["groups"]
    listed = {f"{name}/{prompt}" for name, group in groups.items() for prompt in group["prompts"]}

    def others(corpus: Corpus) -> set[str]:
        said = {corpus.sample_of("decline", random.Random(seed)).templates[0] for seed in range(1500)}
        return said - listed

    opened = others(train)
    assert len(opened) > 100
    for_nouns = re.compile("(visualize|an animation of|let's have|I'd like to see|a page with|can you show me) [{a]")
    assert {wording.split("/")[0] for wording in opened if for_nouns.search(wording)} == {"apps"}  # which name things
    assert any(re.search("/(great|cool|nice), now ", wording) for wording in opened)  # as a change is ordered
    asked = [wording for wording in opened if re.search("/(how about|why don't|suppose) you ", wording)]
    assert asked
    assert not any(re.search(" you (a|an|the|what|who|how|I|is)\\b| you {", wording) for wording in asked)  # but "make"
    assert not any(is_held_out(wording) for wording in opened)
    assert not others(held_out)


def test_talk_and_outside_requests_get_words_and_no_code(train: Corpus) -> None:
    rng = random.Random(0)
    for sample_type in ("chat", "decline"):
        for _ in range(40):
            sample = train.sample_of(sample_type, rng)
            assert "```" not in sample.answer
            assert sample.ends
            assert "{" not in sample.messages[-1]["content"].split("```")[-1]
