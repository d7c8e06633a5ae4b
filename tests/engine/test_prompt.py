"""How conversations and projects become messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.artifacts import apply_answer
from engine.prompt import Turn, compose, earlier_answer, file_fence, user_text


def words(text: str) -> int:
    return len(text.split())


ANSWER = "Here is a snake.\n\n```html index.html\n<p>\n```\nEnjoy.\n"
TURNS = [
    Turn(role="user", text="a snake game"),
    Turn(role="assistant", text=ANSWER),
    Turn(role="user", text="make it faster"),
]


def test_the_last_turn_carries_the_files_and_earlier_answers_only_their_prose() -> None:
    composed = compose(TURNS, {"index.html": "<p>\n", "a.css": "p {}"}, count_tokens=words)
    assert composed.messages == [
        {"role": "user", "content": "a snake game"},
        {"role": "assistant", "content": "Here is a snake.\n\n[index.html]\n\nEnjoy."},
        {"role": "user", "content": "```css a.css\np {}\n```\n\n```html index.html\n<p>\n```\n\nmake it faster"},
    ]
    assert composed.dropped == 0


def test_a_first_request_is_sent_as_it_is_and_the_system_text_comes_first() -> None:
    composed = compose([Turn(role="user", text="hi")], {}, system="Be brief.", count_tokens=words)
    assert composed.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]


def test_the_oldest_turns_go_first_and_an_answer_never_loses_its_question() -> None:
    turns = [*TURNS[:2], Turn(role="user", text="x " * 10), Turn(role="assistant", text="done"), TURNS[2]]
    whole = compose(turns, {}, max_tokens=1000, count_tokens=words)
    assert whole.dropped == 0
    part = compose(turns, {}, max_tokens=42, count_tokens=words)
    assert part.dropped == 2
    assert part.messages[0]["content"].startswith("x x")
    only_answer_fits = compose(turns, {}, max_tokens=20, count_tokens=words)
    assert only_answer_fits.dropped == 4
    assert [message["content"] for message in only_answer_fits.messages] == ["make it faster"]


def test_the_request_with_files_and_the_system_text_stay_however_small_the_room() -> None:
    composed = compose(TURNS, {"index.html": "<p>\n"}, system="Sys", max_tokens=1, count_tokens=words)
    assert [message["role"] for message in composed.messages] == ["system", "user"]
    assert "<p>" in composed.messages[1]["content"]
    assert composed.dropped == 2


def test_turns_must_end_with_a_request() -> None:
    with pytest.raises(ValueError, match="must end with a turn of the user"):
        compose(TURNS[:2], {}, count_tokens=words)


def test_rejected_and_unfinished_blocks_are_shortened_too() -> None:
    assert earlier_answer("Half:\n```html index.html\n<p>") == "Half:\n\n[index.html]"
    assert earlier_answer("```edit a.js\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n```") == "[a.js]"


@given(st.text(alphabet=st.sampled_from("`~a\n <"), min_size=1))
def test_a_fenced_file_reads_back_as_itself(content: str) -> None:
    ended = content if content.endswith("\n") else content + "\n"
    assert apply_answer({}, file_fence("index.html", content)).files == {"index.html": ended}


def test_user_text_orders_files_by_path() -> None:
    text = user_text("go", {"b.js": "b\n", "a.js": "a\n"})
    assert text.index("a.js") < text.index("b.js") < text.index("go")
