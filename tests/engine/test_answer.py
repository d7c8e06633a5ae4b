"""The text side of an answer, against a plain reading of what stop strings mean."""


import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.answer import AnswerText
from engine.events import GenerateRequest
from engine.sampling import Sampled
from engine.tokenizer import ChatTokenizer, PromptText, load_tokenizer
from tests.tiny_model import make_tiny_checkpoint


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return load_tokenizer(make_tiny_checkpoint(tmp_path_factory.mktemp("tiny")))


def expected(tokenizer: ChatTokenizer, ids: list[int], stops: tuple[str, ...]) -> str:
    """Cut at the first stop string in the text after each token."""
    for size in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:size])
        found = [text.find(stop) for stop in stops if stop in text]
        if found:
            return text[: min(found)]
    return tokenizer.decode(ids)


@settings(max_examples=150)
@given(text=st.text("ab日 ", max_size=25), stops=st.lists(st.text("ab日 ", min_size=1, max_size=4), max_size=3),
       flushes=st.lists(st.booleans(), min_size=30, max_size=30))
def test_stop_strings_never_show_whenever_text_is_sent(
        tokenizer: ChatTokenizer, text: str, stops: list[str], flushes: list[bool]) -> None:
    ids = tokenizer.encode_answer(text)
    answer = AnswerText(GenerateRequest(prompt=PromptText(ids=(1,)), stop=tuple(stops)), tokenizer)
    sent = ""
    for token, flush in zip(ids, flushes * 4, strict=False):
        if answer.add(Sampled(token_id=token, logprob=-1.0), ends=False):
            break
        if flush:
            delta = answer.delta(routed=False)
            sent += delta.text if delta else ""
    answer.finish()
    last = answer.delta(routed=False)
    sent += last.text if last else ""
    assert sent == expected(tokenizer, ids, tuple(stops))


def test_held_back_text_comes_as_soon_as_it_is_no_stop_string(tokenizer: ChatTokenizer) -> None:
    answer = AnswerText(GenerateRequest(prompt=PromptText(ids=(1,)), stop=("<|end|>",)), tokenizer)
    seen = []
    for token in tokenizer.encode_answer("a<b"):
        answer.add(Sampled(token_id=token, logprob=-1.0), ends=False)
        delta = answer.delta(routed=False)
        seen.append(delta.text if delta else "")
    assert seen == ["a", "", "<b"]


def test_a_continued_answer_counts_from_its_beginning_and_sends_only_what_is_new(tokenizer: ChatTokenizer) -> None:
    given_ids = tuple(tokenizer.encode_answer("ab日"))
    answer = AnswerText(GenerateRequest(prompt=PromptText(ids=(1,)), continue_ids=given_ids), tokenizer)
    assert [(token.start, token.end) for token in answer.given][-1] == (2, 3)
    answer.add(Sampled(token_id=tokenizer.encode_answer("x")[0], logprob=-1.0), ends=False)
    delta = answer.delta(routed=False)
    assert delta is not None
    assert delta.text == "x"
    rest = answer.rest()
    assert rest is not None
    assert [(token.start, token.end) for token in rest.tokens] == [(3, 4)]
