"""Encoding: which tokens the loss counts, and how much; the tokenizer's format."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from engine.train.data import (
    ATTRIBUTE_WEIGHT,
    CONTEXT_ATTRIBUTE_WEIGHT,
    CONTEXT_WEIGHT,
    PROMPT_WEIGHT,
    PROSE_WEIGHT,
    TALK_WEIGHT,
    encode_sample,
)
from engine.train.projects import text_of
from engine.train.sample import Sample, in_context
from engine.train.tokenizer import SPECIAL_TOKENS, load_tokenizer, save_tokenizer, train_tokenizer

PROGRAM = "<!-- snake | speed: fast -->\n<p>go 1234</p>\n"
TEXTS = [PROGRAM, "make a fast snake game, please", "Here is a snake game.", "const speed = 12; let tail = [];"] * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_tokenizer(TEXTS, 300), folder, 512)
    return folder


@pytest.fixture
def tokenizer(folder: Path) -> Tokenizer:
    return load_tokenizer(folder)


def sample(*, before: str, answer: str, spans: tuple[tuple[int, int], ...], ends: bool,
           before_spans: tuple[tuple[int, int], ...] = ()) -> Sample:
    content = f"```html index.html\n{before}```\n\nmake it fast" if before else "a fast snake"
    return Sample(type="create", kind="snake", messages=({"role": "user", "content": content},), answer=answer,
                  spans=spans, ends=ends, asked={}, settings={}, templates=(), before=before,
                  before_spans=before_spans)


def test_an_answer_counts_and_what_was_asked_counts_more(tokenizer: Tokenizer) -> None:
    answer = "Here is a snake game.\n\n```html\n<p>go</p>\n```"
    document = encode_sample(tokenizer, sample(before="", answer=answer, spans=((10, 15),), ends=True))
    pieces = [tokenizer.id_to_token(int(token)).replace("Ġ", " ") for token in document.ids]
    assert pieces[-1] == "<|im_end|>"
    by_weight: dict[float, str] = {}
    for piece, weight in zip(pieces, document.weights, strict=True):
        by_weight[float(weight)] = by_weight.get(float(weight), "") + piece
    assert "snake" in by_weight[ATTRIBUTE_WEIGHT]
    assert "Here" in by_weight[PROSE_WEIGHT]
    assert "go" in by_weight[1.0]
    assert sum(float(weight) >= 1 for weight in document.weights) == len(tokenizer.encode(answer).ids) + 1


def test_an_answer_without_a_program_counts_as_talk(tokenizer: Tokenizer) -> None:
    document = encode_sample(tokenizer, sample(before="", answer="Here is a snake game.", spans=(), ends=True))
    assert set(document.weights[document.prompt_tokens :]) == {TALK_WEIGHT, 1.0}


@pytest.mark.parametrize("sample_type", ["edit_part", "edit_by_hand"])
def test_a_program_that_is_chance_is_not_learnt_for_its_own_sake(tokenizer: Tokenizer, sample_type: str) -> None:
    part = replace(sample(before=PROGRAM, answer="Here", spans=(), ends=True), type=sample_type)
    document = encode_sample(tokenizer, part)
    assert set(document.weights[: document.prompt_tokens]) == {np.float32(PROMPT_WEIGHT)}


def test_a_cut_answer_has_no_end(tokenizer: Tokenizer) -> None:
    document = encode_sample(tokenizer, sample(before="", answer="Here", spans=(), ends=False))
    assert tokenizer.id_to_token(int(document.ids[-1])) != "<|im_end|>"


def test_the_program_in_context_counts_but_not_its_first_line(tokenizer: Tokenizer) -> None:
    document = encode_sample(tokenizer, sample(before=PROGRAM, answer="Here", spans=(), ends=True))
    counted = tokenizer.decode([int(token) for token, weight in zip(document.ids, document.weights, strict=True)
                                if abs(weight - CONTEXT_WEIGHT) < 1e-6])
    assert counted == "<p>go 1234</p>\n"


def test_what_the_first_line_decides_of_a_program_in_context_counts_more(tokenizer: Tokenizer) -> None:
    number = PROGRAM.index("1234")
    document = encode_sample(tokenizer, sample(before=PROGRAM, answer="Here", spans=(), ends=True,
                                               before_spans=((0, 5), (number, number + 4))))
    given = slice(document.prompt_tokens)
    counted = [int(token) for token, weight in zip(document.ids[given], document.weights[given], strict=True)
               if weight == CONTEXT_ATTRIBUTE_WEIGHT]
    assert tokenizer.decode(counted).strip() == "1234"


def test_every_file_of_a_program_in_context_counts(tokenizer: Tokenizer) -> None:
    files = {"index.html": PROGRAM, "tail.js": "let tail = [];\n", "a.js": "const speed = 12;\n"}
    before, number = text_of(files), PROGRAM.index("1234")
    spans = ((0, 5), (number, number + 4), (before.index("12;"), before.index("12;") + 2))
    one = sample(before=before, answer="Here", spans=(), ends=True, before_spans=spans)
    document = encode_sample(tokenizer, replace(one, messages=({"role": "user", "content": in_context(before, "go")},)))
    given = slice(document.prompt_tokens)

    def counted(weight: float) -> str:
        pairs = zip(document.ids[given], document.weights[given], strict=True)
        return tokenizer.decode([int(token) for token, its in pairs if its == np.float32(weight)])

    assert counted(CONTEXT_ATTRIBUTE_WEIGHT) == "12" + "1234"  # a.js comes first in the turn
    assert "let tail" in counted(CONTEXT_WEIGHT)
    assert "speed: fast" in counted(PROMPT_WEIGHT)
    assert "tail" not in counted(PROMPT_WEIGHT).replace("tail.js", "")


def test_transformers_loads_the_tokenizer_with_its_chat_form(folder: Path, tokenizer: Tokenizer) -> None:
    loaded = AutoTokenizer.from_pretrained(folder)
    assert [loaded.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS] == list(range(len(SPECIAL_TOKENS)))
    assert loaded.eos_token_id == 2
    text = loaded.apply_chat_template([{"role": "user", "content": "a fast snake"}], tokenize=False,
                                      add_generation_prompt=True)
    assert text == "<|im_user|>user<|im_middle|>a fast snake<|im_end|><|im_assistant|>assistant<|im_middle|>"
    assert loaded(text).input_ids == tokenizer.encode(text).ids
    for given in (PROGRAM, "tabs\t and  spaces\n\n  ünïcode 雪 12"):
        assert loaded.decode(loaded(given).input_ids) == given


def test_digits_are_tokens_of_their_own(tokenizer: Tokenizer) -> None:
    assert "1" in [tokenizer.id_to_token(token) for token in tokenizer.encode("1234").ids]


def test_too_few_texts_for_the_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match="smaller vocabulary"):
        train_tokenizer(["ab"], 2048)
