"""What of a conversation is sent, and how its length is guessed."""

from app.core.records import Message
from app.core.turns import TokenEstimate, compose_prompt, prompt_budget, turns_of


def path(*texts):
    return [
        Message(id=n, conversation_id=1, parent_id=n - 1, role="assistant" if n % 2 else "user", text=text)
        for n, text in enumerate(texts)
    ]


def test_requests_without_an_answer_are_joined():
    turns = turns_of(path("one", "", "two", "answer", "three"))
    assert [(turn.role, turn.text) for turn in turns] == [
        ("user", "one\n\ntwo"),
        ("assistant", "answer"),
        ("user", "three"),
    ]


def test_the_budget_leaves_room_for_the_answer():
    assert prompt_budget(None, None) is None
    assert prompt_budget(4096, None) == 2560
    assert prompt_budget(4096, 96) == 4000
    assert prompt_budget(4096, 100_000) == 2048


def test_dropping_more_until_nothing_is_left():
    turns = turns_of(path("one", "a", "two", "b", "three"))
    estimate = TokenEstimate()

    def composed(dropped):
        return compose_prompt(turns, {}, system="", budget_tokens=None, estimate=estimate, already_dropped=dropped)

    assert (composed(0).dropped, composed(1).dropped, composed(3).dropped) == (0, 2, 4)
    assert [m["content"] for m in composed(4).messages] == ["three"]
    assert composed(5) is None


def test_the_estimate_learns():
    estimate = TokenEstimate()
    estimate.learn([{"content": "x" * 400}], 100)
    assert estimate.count("x" * 40) == 11
    estimate.learn([{"content": "x"}], 3)
    assert estimate.chars_per_token == 4.0
