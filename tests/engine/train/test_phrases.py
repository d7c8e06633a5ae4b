"""Phrases of code as tokens: what may merge, and that the finished tokenizer is sound."""

from collections.abc import Iterable

import pytest
from tokenizers import Regex, Tokenizer, pre_tokenizers

from engine.train.corpus import Corpus
from engine.train.phrases import LONGEST_PHRASE, code_pieces, learn_phrases
from engine.train.tokenizer import train_tokenizer

KINDS = ("balls", "galaxy")


@pytest.fixture(scope="module")
def programs() -> list[str]:
    corpus = Corpus(1, "train", kinds=KINDS)
    return [sample.answer for sample in map(corpus.sample, range(150)) if sample.type == "create"]


@pytest.fixture(scope="module")
def pieces() -> list[str]:
    corpus = Corpus(1, "train", kinds=KINDS)
    return [piece for sample in map(corpus.sample, range(150)) if sample.type == "create"
            for piece in code_pieces(sample)]


@pytest.fixture(scope="module")
def tokenizer(programs: list[str], pieces: list[str]) -> Tokenizer:
    return train_tokenizer(programs, 1000, pieces)


def merges(words: Iterable[tuple[str, int]], room: int) -> tuple[list[str], list[tuple[int, int]]]:
    letters = sorted({letter for word, _ in words for letter in word})
    texts = list(letters)
    found = learn_phrases([([letters.index(letter) for letter in word], count) for word, count in words], texts, room)
    return texts[len(letters):], found


def test_the_most_frequent_neighbours_merge_first() -> None:
    grown, found = merges([("abcab", 3), ("abc", 1), ("zz", 1)], 2)
    assert grown == ["ab", "abc"]
    assert len(found) == 2


def test_digits_and_long_phrases_never_merge() -> None:
    assert merges([("a1", 9)], 5)[0] == []
    grown, _ = merges([("x" * 3 * LONGEST_PHRASE, 5)], 200)
    assert max(map(len, grown)) <= LONGEST_PHRASE


def test_pieces_are_cut_where_the_request_shows(pieces: list[str]) -> None:
    assert "const balls = [];\n" in pieces
    assert not any("<!-- balls" in piece or "\n" in piece[:-1] for piece in pieces)
    background = [piece for piece in pieces if "margin: 0; overflow: hidden; background:" in piece]
    assert background
    assert all("#" not in piece for piece in background)


def test_code_gets_short_and_comes_back_unchanged(tokenizer: Tokenizer, programs: list[str]) -> None:
    words_only = train_tokenizer(programs, 500)
    for program in programs[:5]:
        ids = tokenizer.encode(program).ids
        assert tokenizer.decode(ids) == program
        assert len(ids) < 0.8 * len(words_only.encode(program).ids)


def test_the_split_of_numbers_alone_gives_the_same_tokens(tokenizer: Tokenizer, programs: list[str]) -> None:
    """llama.cpp knows that split as superbpe; equality is what lets an exported model run there."""
    bare = Tokenizer.from_str(tokenizer.to_str())
    bare.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{N}+"), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    for program in programs[:5]:
        assert bare.encode(program).ids == tokenizer.encode(program).ids
