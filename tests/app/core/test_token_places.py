"""Tokens of an answer in the files it wrote, before and after the file is edited."""

import re

from app.core.token_places import block_around, place_tokens
from engine.trace import Phase, TraceToken

PAGE = "let a = 1;\nlet b = 22;\ngo(a, b);\n"
ANSWER = f"Here.\n\n```js a.js\n{PAGE}```\n"
EDIT = "Done.\n\n```edit a.js\n<<<<<<< SEARCH\nlet b = 22;\n=======\nlet b = 333;\n>>>>>>> REPLACE\n```\n"


def tokens_of(answer: str, phase: Phase = "decode") -> list[TraceToken]:
    return [TraceToken(id=0, text=match[0], phase=phase, start=match.start(), end=match.end())
            for match in re.finditer(r"\s*\w+|\W", answer)]


def words(answer: str, file_text: str, path: str = "a.js") -> dict[str, str]:
    """Text of each placed token, and what the file says at its place."""
    tokens = tokens_of(answer)
    return {tokens[place.token].text: file_text[place.start:place.end]
            for place in place_tokens(answer, tokens, path, file_text)}


def test_every_token_of_the_file_stands_at_its_place() -> None:
    found = words(ANSWER, PAGE)
    assert found[" 22"] == " 22"
    assert all(text.strip() == placed.strip() for text, placed in found.items())
    assert "Here" not in found
    assert words(ANSWER, PAGE, "b.js") == {}


def test_lines_that_moved_keep_their_tokens_and_changed_ones_lose_them() -> None:
    edited = "// mine\n" + PAGE.replace("go(a, b)", "go(b)")
    found = words(ANSWER, edited)
    assert found[" 22"] == " 22"
    assert "go" not in found


def test_an_edit_s_new_text_is_found_in_the_file() -> None:
    found = words(EDIT, PAGE.replace("22", "333"))
    assert found[" 333"] == " 333"
    assert " 22" not in found


def test_prompt_tokens_are_nowhere() -> None:
    assert place_tokens(ANSWER, tokens_of(ANSWER, "prefill"), "a.js", PAGE) == []


def test_the_block_around_a_place() -> None:
    text = "let a;\nfunction f(x) {\n  if (x) {\n    go();\n  }\n  return 1;\n}\nlet b;\n"
    start, end = block_around(text, text.index("return"))
    assert text[start:end] == text[text.index("function"):text.index("\nlet b")]
    start, end = block_around(text, text.index("go()"))
    assert text[start:end] == "  if (x) {\n    go();\n  }"
    start, end = block_around(text, text.index("let b"))
    assert text[start:end] == "let b;"
    assert block_around("", 0) == (0, 0)
