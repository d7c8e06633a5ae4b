"""An answer read in pieces gives the same blocks as one read at once, and closed blocks never change."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core import stream as stream_module
from app.core.stream import AnswerStream, blocks_of, split_paragraphs
from engine.artifacts import EditBlock, FileBlock, parse_answer

ANSWER = """Here is a scene. Drag to orbit.

Second paragraph.

```html index.html
<!-- mountains | snow -->
<p>`quoted`</p>
```

Then an edit:

```edit index.html
<<<<<<< SEARCH
<p>a</p>
=======
<p>b</p>
>>>>>>> REPLACE
```

- one

- two

```c
int shown_only(void);

int no_file;
```

game.js

```js
let x = 1;
```
Done."""

PIECES = [
    "Prose here. ",
    "\n",
    "\n\n",
    "```html index.html\n",
    "```\n",
    "````md notes.md\n",
    "````\n",
    "```js\n",
    "``",
    "`",
    "```edit index.html\n",
    "<<<<<<< SEARCH\n",
    "=======\n",
    ">>>>>>> REPLACE\n",
    "<p>x</p>\n",
    "game.js\n",
    "~~~py main.py\n",
    "~~~\n",
    "- item\n",
    "const a = `t`;\n",
    "ü😀 ",
]


def test_the_blocks_of_an_answer():
    kinds = [(block.kind, block.path, block.language) for block in blocks_of(ANSWER)]
    assert kinds == [
        ("prose", "", ""),
        ("prose", "", ""),
        ("file", "index.html", "html"),
        ("prose", "", ""),
        ("edit", "index.html", "diff"),
        ("prose", "", ""),
        ("prose", "", ""),
        ("prose", "", ""),
        ("file", "game.js", "js"),
        ("prose", "", ""),
    ]
    blocks = blocks_of(ANSWER)
    assert blocks[2].text == "<!-- mountains | snow -->\n<p>`quoted`</p>\n"
    assert blocks[4].text.startswith("<<<<<<< SEARCH")
    assert blocks[4].text.endswith(">>>>>>> REPLACE\n")
    assert "int no_file;" in blocks[6].text
    for block in blocks:
        assert ANSWER[block.content_start :].startswith(block.text)
        assert block.closed


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_pieces_of_any_size_give_the_same_blocks(size):
    stream = AnswerStream()
    seen = []
    for at in range(0, len(ANSWER), size):
        update = stream.feed(ANSWER[at : at + size])
        seen += update.closed
        assert stream.blocks == [*seen, *([update.open] if update.open else [])]
    seen += stream.finish().closed
    assert seen == blocks_of(ANSWER)
    assert stream.text == ANSWER


@example(parts=["game.js\n", "``", "``"], sizes=[1])
@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14), st.lists(st.integers(1, 12), min_size=1, max_size=12))
def test_any_answer_in_any_pieces(parts, sizes):
    text = "".join(parts)
    stream = AnswerStream()
    seen = []
    at = turn = 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        seen += stream.feed(text[at : at + size]).closed
        at, turn = at + size, turn + 1
    seen += stream.finish().closed
    assert [block.index for block in seen] == list(range(len(seen)))
    whole = [segment for segment in parse_answer(text + "\n") if isinstance(segment, FileBlock | EditBlock)]
    found = [block for block in seen if block.kind != "prose"]
    assert [(b.path, b.start, b.content_start, b.closed) for b in found] == [
        (segment.path, segment.start, min(segment.content_start, len(text)), segment.closed) for segment in whole
    ]  # a fence that ends the text has nothing behind it, not even the newline added above
    for block in seen:
        assert text[block.content_start :].startswith(block.text)
    assert seen == blocks_of(text)


def test_the_open_block_shows_what_came_so_far():
    stream = AnswerStream()
    update = stream.feed("Here.\n\n```html index.html\n<p>one")
    assert [block.text for block in update.closed] == ["Here.\n\n"]
    assert update.open is not None
    assert (update.open.kind, update.open.path, update.open.text) == ("file", "index.html", "<p>one")
    update = stream.feed("</p>\n")
    assert update.closed == ()
    assert update.open is not None
    assert update.open.text == "<p>one</p>\n"
    assert update.open.end == stream.length
    [last] = stream.finish().closed
    assert not last.closed
    assert last.text == "<p>one</p>\n"


def test_a_long_open_block_is_not_parsed_again_for_each_piece(monkeypatch):
    parsed = []

    def counting(text):
        parsed.append(len(text))
        return parse_answer(text)

    monkeypatch.setattr(stream_module, "parse_answer", counting)
    stream = AnswerStream()
    stream.feed("```js game.js\nlet start;\n")
    for number in range(500):
        stream.feed(f"let v{number} = {number};\n")
    assert len(parsed) < 5
    update = stream.feed("```\n")
    assert update.closed[0].text.count("\n") == 501


def test_closed_prose_is_not_parsed_again(monkeypatch):
    longest = []
    monkeypatch.setattr(stream_module, "parse_answer", lambda text: longest.append(len(text)) or parse_answer(text))
    stream = AnswerStream()
    for number in range(200):
        stream.feed(f"Paragraph {number} is short.\n\n")
    assert max(longest) < 100


def test_paragraphs_keep_lists_and_fences_whole():
    text = "a\n\n- x\n\n- y\n\nb\n\n```c\n1\n\n2\n```\n\nc"
    pieces = split_paragraphs(text)
    assert pieces == ["a\n\n- x\n\n- y\n\n", "b\n\n", "```c\n1\n\n2\n```\n\n", "c"]
    assert "".join(pieces) == text
