"""Reading answers and applying them to a project's files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.artifacts import (
    EditBlock,
    FileBlock,
    Prose,
    Understood,
    apply_answer,
    parse_answer,
    safe_path,
    understood,
    with_understood,
)

PAGE = "<!-- mountains | time: night -->\n<!DOCTYPE html>\n<p>hi</p>\n"


def answer(info: str = "html index.html", content: str = PAGE) -> str:
    return f"Here it is.\n\n```{info}\n{content}```\n"


def edit(*parts: tuple[str, str], path: str = "index.html") -> str:
    body = "".join(f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n" for old, new in parts)
    return f"Done.\n\n```edit {path}\n{body}```\n"


def test_a_file_block_has_its_path_content_and_offsets() -> None:
    text = answer() + "Enjoy."
    prose, block, after = parse_answer(text)
    assert isinstance(prose, Prose)
    assert prose.text == "Here it is.\n\n"
    assert isinstance(block, FileBlock)
    assert (block.path, block.language, block.content, block.closed) == ("index.html", "html", PAGE, True)
    assert text[block.content_start:].startswith("<!-- mountains")
    assert text[block.start:block.end] == "```html index.html\n" + PAGE + "```\n"
    assert isinstance(after, Prose)
    assert after.text == "Enjoy."


def test_an_unfinished_block_is_open_and_holds_back_a_partial_fence() -> None:
    text = answer()
    opened = parse_answer(text[: text.index("<p>")])[-1]
    assert isinstance(opened, FileBlock)
    assert not opened.closed
    assert opened.content.endswith("<!DOCTYPE html>\n")
    almost = parse_answer(text[:-2])[-1]
    assert isinstance(almost, FileBlock)
    assert almost.content == PAGE
    assert parse_answer("Hello\n```html ind") == [Prose(text="Hello\n", start=0, end=6)]


def test_content_never_shrinks_while_an_answer_arrives() -> None:
    text = answer()
    seen = ""
    for end in range(len(text)):
        for segment in parse_answer(text[:end]):
            if isinstance(segment, FileBlock):
                assert segment.content.startswith(seen)
                seen = segment.content
    assert seen == PAGE


@pytest.mark.parametrize(("info", "content", "path"), [
    ("html", PAGE, "index.html"),
    ("", PAGE, "index.html"),
    ("css", "p {}\n", "style.css"),
    ("js", "f()\n", "script.js"),
    ("javascript", "f()\n", "script.js"),
    ("python", "print(1)\n", "main.py"),
    ("index.html", PAGE, "index.html"),
    ("html:pages/a.html", PAGE, "pages/a.html"),
    ('html title="a b.html"', PAGE, "a b.html"),
    ('html filename="a.html"', PAGE, "a.html"),
    ("html `a.html`", PAGE, "a.html"),
    ("HTML index.html", PAGE, "index.html"),
])
def test_paths_that_weak_models_leave_out_or_misplace(info: str, content: str, path: str) -> None:
    block = parse_answer(answer(info, content))[1]
    assert isinstance(block, FileBlock)
    assert block.path == path


def test_a_path_on_the_line_above_the_fence() -> None:
    block = parse_answer(f"**scenes/night.html**\n\n```html\n{PAGE}```\n")[1]
    assert isinstance(block, FileBlock)
    assert block.path == "scenes/night.html"


@pytest.mark.parametrize("info", ["bash", "text", "json", "", "mermaid"])
def test_a_snippet_without_a_path_stays_prose(info: str) -> None:
    text = answer(info, "npm install\n")
    assert parse_answer(text) == [Prose(text=text, start=0, end=len(text))]


def test_longer_fences_and_markdown_files_may_hold_fences() -> None:
    block = parse_answer("````html index.html\n```\nx\n````\n")[0]
    assert isinstance(block, FileBlock)
    assert block.content == "```\nx\n"
    readme = parse_answer("```markdown README.md\nRun:\n```bash\nls\n```\nEnd\n```\n")[0]
    assert isinstance(readme, FileBlock)
    assert readme.content.endswith("End\n")


@given(st.text(alphabet=st.sampled_from("`~<=> ahtmlSEARCHREPLACE.\n/ed|\r\u2028é"), max_size=200))
def test_parsing_never_raises_and_keeps_offsets(text: str) -> None:
    end = 0
    for segment in parse_answer(text):
        assert end <= segment.start <= segment.end <= len(text)
        end = segment.end
    apply_answer({"index.html": "a\n"}, text)


def test_a_file_is_created_then_replaced() -> None:
    created = apply_answer({}, answer())
    assert created.files == {"index.html": PAGE}
    assert [(c.path, c.kind, c.added, c.removed) for c in created.changes] == [("index.html", "created", 3, 0)]
    replaced = apply_answer(created.files, answer(content="<p>hi</p>\n<p>two</p>\n"))
    assert [(c.kind, c.added, c.removed) for c in replaced.changes] == [("replaced", 1, 2)]
    assert created.files == {"index.html": PAGE}


def test_edits_apply_in_turn_and_give_line_counts() -> None:
    applied = apply_answer({"index.html": "a\nb\nc\n"}, edit(("b", "B\nB2"), ("c", "")))
    assert applied.files == {"index.html": "a\nB\nB2\n"}
    assert [(c.kind, c.added, c.removed) for c in applied.changes] == [("edited", 2, 2)]
    assert applied.rejects == []


def test_a_part_said_again_word_for_word_counts_once() -> None:
    changed, added = ("a", "A"), ("b", "b\nconst n = 1;")
    applied = apply_answer({"index.html": "a\nb\n"}, edit(changed, added, changed, added))
    assert applied.files == {"index.html": "A\nb\nconst n = 1;\n"}
    assert applied.rejects == []


def test_a_tolerant_match_takes_the_files_indentation() -> None:
    files = {"index.html": "if (x) {\n\tfor (y) {\n\t\tgo( 1 );\n\n\t}\n}\n"}
    applied = apply_answer(files, edit(("for (y) {\n  go( 1  );\n}", "for (y) {\n  go( 2 );\n    deep();\n}")))
    assert applied.files["index.html"] == "if (x) {\n\tfor (y) {\n\t\tgo( 2 );\n\t\t  deep();\n\t}\n}\n"


def test_a_tolerant_match_removes_surplus_indentation() -> None:
    applied = apply_answer({"a.js": "a();\nb();\n"}, edit(("    b();", "    c();\n  d();"), path="a.js"))
    assert applied.files["a.js"] == "a();\nc();\nd();\n"


def test_part_of_a_line_matches_when_it_is_unique() -> None:
    applied = apply_answer({"index.html": "let n = 80;\n"}, edit(("n = 80", "n = 9")))
    assert applied.files["index.html"] == "let n = 9;\n"


def test_crlf_files_keep_their_line_ends() -> None:
    assert apply_answer({"index.html": "a\r\nb\r\n"}, edit(("b", "x\ny"))).files["index.html"] == "a\r\nx\r\ny\r\n"


@pytest.mark.parametrize(("files", "text", "reason"), [
    ({"index.html": "a\na\n"}, edit(("a", "b")), "occurs 2 times"),
    ({"index.html": " a\n  a\n"}, edit(("   a", "b")), "occurs 2 times"),
    ({"index.html": "let speed = 3\n"}, edit(("let sped = 3", "b")), "nearest to its first line is line 1"),
    ({"index.html": "a\n"}, edit(("", "b")), "SEARCH part is empty"),
    ({}, edit(("a", "b")), "no file index.html"),
    ({"index.html": "a\n"}, edit(("a", "// ... existing code ...")), "not complete"),
    ({"index.html": "a\n"}, "```edit index.html\nhello\n```\n", "no <<<<<<< SEARCH"),
    ({"index.html": "a\n"}, "```edit index.html\n<<<<<<< SEARCH\na\n```\n", "no ======= line"),
    ({"index.html": "a\n"}, "```edit index.html\n<<<<<<< SEARCH\na\n=======\nb\n```\n", "no closing >>>>>>> REPLACE"),
    ({"index.html": "a\n"}, "```html index.html\n<p>half", "not finished"),
    ({"index.html": "a\n"}, answer("html ../../etc/passwd"), "leaves the project"),
    ({"index.html": "a\n"}, answer("html /etc/passwd.html"), "absolute"),
    ({"index.html": "a\n"}, answer(content="<p>\n<!-- rest of the code unchanged -->\n"), "not complete"),
])
def test_what_is_rejected_leaves_the_files_alone(files: dict[str, str], text: str, reason: str) -> None:
    applied = apply_answer(files, text)
    assert applied.files == files
    assert applied.changes == []
    assert len(applied.rejects) == 1
    assert reason in applied.rejects[0].reason
    assert applied.rejects[0].block


def test_a_rejected_part_does_not_take_the_good_ones_along() -> None:
    applied = apply_answer({"index.html": "a\nb\n"}, edit(("zzz", "y"), ("b", "B")))
    assert applied.files["index.html"] == "a\nB\n"
    assert [reject.block.split("\n")[1] for reject in applied.rejects] == ["zzz"]


def test_an_edit_creates_a_file_from_an_empty_search() -> None:
    assert apply_answer({}, edit(("", "<p></p>"))).files == {"index.html": "<p></p>\n"}


def test_search_replace_in_a_plain_fence_is_an_edit() -> None:
    block = parse_answer(edit(("a", "b")).replace("```edit", "```html"))[1]
    assert isinstance(block, EditBlock)
    assert (block.parts[0].search, block.parts[0].replace) == ("a", "b")


@pytest.mark.parametrize("line", [
    "// ... existing code ...", "<!-- rest of the code unchanged -->", "/* ... rest of your styles here ... */",
    "# rest of the code remains the same", "...the rest of the file...", "// ...",
    "// Rest of the script stays the same",
    "{/* ... existing code ... */}", "// previous code here", "[... remaining functions ...]",
])
def test_placeholders_are_noticed(line: str) -> None:
    assert apply_answer({}, answer(content=f"<p>\n{line}\n</p>\n")).rejects


@pytest.mark.parametrize("line", [
    "// keep the rest of the mountains dark", "const rest = [...existing, code];", "<p>Wait...</p>", "f(...args);",
    "// the original code of this effect is by hand", "  ...", "# Unchanged pixels are skipped", "loading...",
])
def test_ordinary_lines_are_no_placeholders(line: str) -> None:
    assert apply_answer({}, answer(content=f"<p>\n{line}\n</p>\n")).rejects == []


def test_a_placeholder_line_that_was_in_the_file_before_is_kept() -> None:
    files = {"index.html": "<p>\n// ...\n"}
    assert apply_answer(files, answer(content="<b>\n// ...\n")).files["index.html"] == "<b>\n// ...\n"


@pytest.mark.parametrize(("path", "safe"), [
    ("index.html", "index.html"), ("./src//a.js", "src/a.js"), ("src\\a.js", "src/a.js"), (" a b.txt ", "a b.txt"),
    (".gitignore", ".gitignore"),
])
def test_safe_paths(path: str, safe: str) -> None:
    assert safe_path(path) == safe


@pytest.mark.parametrize("path", [
    "", "/etc/passwd", "C:\\x", "C:x", "~/x", "../x", "a/../../x", "a\\..\\..\\x", "a/", ".", ".git/config", "a/.GIT/x",
    "con", "aux.txt", "a\x00b", "a?b", "x" * 300, "name.", "a /b ",
])
def test_unsafe_paths(path: str) -> None:
    with pytest.raises(ValueError, match="Use a path inside the project"):
        safe_path(path)


def test_the_understood_line() -> None:
    line = understood("<!-- mountains | time: night | snow -->\n<!DOCTYPE html>")
    assert line == Understood(kind="mountains", chips=("time: night", "snow"))
    assert understood("<!DOCTYPE html>\n") is None
    assert understood("// just a comment\n") is None
    assert understood("// snake | speed: 3\n") == Understood(kind="snake", chips=("speed: 3",))


def test_the_understood_line_is_rewritten_in_place() -> None:
    line = Understood(kind="mountains", chips=("time: day",))
    assert with_understood(PAGE, line) == PAGE.replace("night", "day")
    assert with_understood("<p>\n", line) == "<!-- mountains | time: day -->\n<p>\n"
    assert with_understood("# a | b\nx\n", line) == "# mountains | time: day\nx\n"
    with pytest.raises(ValueError, match="can't be part"):
        with_understood(PAGE, Understood(kind="mountains", chips=("a --> b",)))
