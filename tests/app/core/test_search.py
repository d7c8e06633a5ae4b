"""Search finds any part of a word in titles, messages and code."""

import pytest

from app.core.history import History
from app.core.records import AnswerOrigin, AnswerOutcome
from app.core.search import snippet_of, split_query


@pytest.fixture
def history(tmp_path):
    opened = History(tmp_path / "history.sqlite3")
    for title, request, answer in [
        (
            "Snowy mountains",
            "a snowy mountain scene",
            "```html index.html\nconst renderer = new THREE.WebGLRenderer();\n```",
        ),
        ("Solar system", "planets please", "Here is Saturn, with rings. Zq"),
        ("Café", "ÉTÉ in Paris", "x"),
    ]:
        conversation = opened.create_conversation(title=title)
        message = opened.add_request(conversation.id, None, request)
        reply = opened.begin_answer(conversation.id, message.id, AnswerOrigin())
        opened.finish_answer(reply.id, AnswerOutcome(text=answer, state="complete"))
    yield opened
    opened.close()


def found(history, query):
    return [(hit.title, hit.role) for hit in history.search(query)]


def test_code_is_found_by_a_part_of_a_word_whatever_the_case(history):
    assert found(history, "glrend") == [("Snowy mountains", "assistant")]
    [hit] = history.search("WEBGLRENDERER")
    assert hit.snippet[hit.match_start : hit.match_start + hit.match_length] == "WebGLRenderer"


def test_all_words_must_occur_and_quotes_make_one(history):
    assert found(history, "rings saturn") == [("Solar system", "assistant")]
    assert found(history, "rings mountain") == []
    assert found(history, '"saturn, with"') == [("Solar system", "assistant")]
    assert found(history, '"with saturn"') == []


def test_titles_come_first(history):
    assert found(history, "mountain") == [("Snowy mountains", None), ("Snowy mountains", "user")]
    assert found(history, "CAFÉ") == [("Café", None)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("zq", [("Solar system", "assistant")]),  # the very end of a text
        ("q", [("Solar system", "assistant")]),
        ("x", [("Café", "assistant"), ("Snowy mountains", "assistant")]),
        ("été", [("Café", "user")]),
        (
            "in",
            [("Café", "user"), ("Solar system", "assistant")]
            + [("Snowy mountains", role) for role in (None, "user", "assistant")],
        ),
        ("ww", []),
        ("a snowy", [("Snowy mountains", None), ("Snowy mountains", "user")]),
        ("", []),
        ("   ", []),
        ('"', []),
    ],
)
def test_short_and_odd_queries(history, query, expected):
    assert sorted(found(history, query), key=str) == sorted(expected, key=str)


def test_an_answer_is_found_when_it_is_finished_and_after_it_changed(history):
    conversation = history.create_conversation(title="t")
    request = history.add_request(conversation.id, None, "r")
    answer = history.begin_answer(conversation.id, request.id, AnswerOrigin())
    history.update_answer(answer.id, "halfwaytext")
    history.finish_answer(answer.id, AnswerOutcome(text="finishedtext", state="stopped"))
    assert len(history.search("finishedtext")) == 1
    assert history.search("halfwaytext") == []
    history.reopen_answer(answer.id)
    history.finish_answer(answer.id, AnswerOutcome(text="continuedtext", state="complete"))
    assert history.search("finishedtext") == []
    assert len(history.search("continuedtext")) == 1
    assert history._database.execute("INSERT INTO message_fts(message_fts) VALUES ('integrity-check')")


@pytest.mark.parametrize("query", ['a"b', "NEAR(a b)", "text:foo", "-x*", "%", "_", "'", "(", "AND OR"])
def test_no_query_is_a_syntax_error(history, query):
    assert isinstance(history.search(query), list)


def test_many_trigrams_fall_back_to_the_newest_texts(tmp_path):
    history = History(tmp_path / "history.sqlite3")
    conversation = history.create_conversation(title="t")
    history.add_request(conversation.id, None, " ".join(f"e{chr(0x4E00 + n)}z" for n in range(400)))
    assert [hit.role for hit in history.search("e")] == ["user"]
    history.close()


def test_snippet_is_one_line_around_the_match():
    snippet, start, length = snippet_of("line one\n" + "-" * 50 + "\nThe Needle here " + "y" * 200, ["needle"])
    assert "\n" not in snippet
    assert snippet[start : start + length] == "Needle"
    assert snippet.startswith("…")
    assert snippet.endswith("…")


def test_split_query():
    assert split_query('Foo "Bar baz" q') == ["foo", "bar baz", "q"]
