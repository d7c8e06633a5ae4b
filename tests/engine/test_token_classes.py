"""Classes of tokens, read from answers as models write them."""

from engine.specialisation import NO_CLASS
from engine.token_classes import CLASSES, classify
from engine.trace import Phase, TraceToken

PAGE = 'Here it is.\n\n```html index.html\n<p class="a">hi</p>\n<script>\n// sun\nconst sun = 42;\n</script>\n```\n'
EDIT = "```edit a.js\n<<<<<<< SEARCH\nlet a = 1;\n=======\nlet a = 'x';\n>>>>>>> REPLACE\n```\n"


def tokens_of(*texts: str, phase: Phase = "decode", message: int | None = None) -> list[TraceToken]:
    tokens, at = [], 0
    for text in texts:
        tokens.append(TraceToken(id=0, text=text, phase=phase, start=at, end=at + len(text), message=message))
        at += len(text)
    return tokens


def named(tokens: list[TraceToken]) -> dict[str, str]:
    return {token.text: CLASSES[label] if label != NO_CLASS else "none"
            for token, label in zip(tokens, classify(tokens), strict=True)}


def split_at(text: str, *words: str) -> list[str]:
    pieces, rest = [], text
    for word in words:
        before, found, rest = rest.partition(word)
        pieces += [before, found]
    return [piece for piece in [*pieces, rest] if piece]


def test_a_page_s_words_have_their_classes() -> None:
    words = ("Here", "```html index.html", "p", "class", '"a"', "hi", "// sun", "const", " sun", " =", " 42", ";", "\n")
    found = named(tokens_of(*split_at(PAGE, *words)))
    assert {word: found[word] for word in words} == {
        "Here": "prose", "```html index.html": "none", "p": "name", "class": "name", '"a"': "string", "hi": "prose",
        "// sun": "comment", "const": "keyword", " sun": "name", " =": "operator", " 42": "number", ";": "operator",
        "\n": "white space"}


def test_an_edit_is_code_and_its_marks_are_nothing() -> None:
    found = named(tokens_of(*split_at(EDIT, "<<<<<<< SEARCH", "let", "1", "=======", "'x'", ">>>>>>> REPLACE")))
    assert [found[word] for word in ("<<<<<<< SEARCH", "let", "1", "=======", "'x'", ">>>>>>> REPLACE")] == [
        "none", "keyword", "number", "none", "string", "none"]


def test_an_answer_that_stops_inside_a_script_is_code_as_far_as_it_came() -> None:
    found = named(tokens_of(*split_at("```html index.html\n<script>\nconst sun = 42", "const", "42")))
    assert (found["const"], found["42"]) == ("keyword", "number")


def test_a_token_is_what_most_of_it_is() -> None:
    found = named(tokens_of("```js a.js\n", "const ", "mountain = 1", ";\n```"))
    assert found["const "] == "keyword"
    assert found["mountain = 1"] == "name"


def test_template_tokens_have_no_class_and_prompts_are_read_apart() -> None:
    tokens = [TraceToken(id=1, text="<|im_user|>", phase="prefill"),
              *tokens_of("Why", " const", phase="prefill", message=0), *tokens_of("Because")]
    assert [int(label) for label in classify(tokens)] == [NO_CLASS, *[CLASSES.index("prose")] * 3]
