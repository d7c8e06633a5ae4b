"""Markdown, diffs and code views."""

from PySide6.QtCore import QUrl

from app.panes.chat.blocks import FOLDED_LINES, CodeCard, edit_lines
from app.panes.chat.composer import short_count
from app.panes.chat.markdown import CodePart, RichPart, split_prose
from app.panes.chat.text_views import CodeView, ProseView


def test_code_in_prose_stands_alone():
    parts = split_prose("Before *it*.\n\n```python\nprint(1)\n```\n\nAfter.")
    assert [type(part) for part in parts] == [RichPart, CodePart, RichPart]
    assert parts[1] == CodePart("print(1)", "python")
    assert "<em>it</em>" in parts[0].html


def test_raw_html_of_an_answer_stays_text():
    (part,) = split_prose("<img src=x onerror=alert(1)> <b>bold</b>")
    assert "<img" not in part.html
    assert "&lt;b&gt;" in part.html


def test_prose_loads_no_files_and_opens_only_links(qtbot, theme, tmp_path, monkeypatch):
    view = ProseView(theme)
    qtbot.addWidget(view)
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    assert view.loadResource(2, QUrl.fromLocalFile(str(secret))) is None
    opened = []
    monkeypatch.setattr("app.panes.chat.text_views.QDesktopServices.openUrl", lambda url: opened.append(url.toString()))
    view.anchorClicked.emit(QUrl("file:///etc/passwd"))
    view.anchorClicked.emit(QUrl("https://example.org/"))
    assert opened == ["https://example.org/"]


def test_prose_is_as_tall_as_its_text(qtbot, theme):
    view = ProseView(theme)
    qtbot.addWidget(view)
    view.resize(300, 10)
    view.show()
    view.set_html("<p>one</p>")
    short = view.height()
    view.set_html("<p>" + "word " * 200 + "</p>")
    tall = view.height()
    assert tall > 5 * short
    view.resize(900, view.height())
    assert view.height() < tall


def test_an_edit_marks_only_lines_that_change():
    body = "<<<<<<< SEARCH\nsame\nold\nend\n=======\nsame\nnew\nnewer\nend\n>>>>>>> REPLACE"
    assert edit_lines(body) == [
        (" ", "  same"), ("-", "- old"), ("+", "+ new"), ("+", "+ newer"), (" ", "  end"),
    ]  # fmt: skip


def test_an_edit_still_being_written_shows_what_is_there():
    assert edit_lines("<<<<<<< SEARCH\nold") in ([("-", "- old")], [(" ", "")])
    assert edit_lines("") == [(" ", "")]


def test_code_grows_by_appending_and_keeps_its_text(qtbot, theme):
    view = CodeView(theme, "javascript")
    qtbot.addWidget(view)
    view.set_code("const a", final=False)
    view.set_code("const a = 1;\nlet", final=False)
    view.set_code("const a = 1;\nlet b;", final=True)
    assert view.toPlainText() == view.code() == "const a = 1;\nlet b;"
    view.set_code("other", final=True)
    assert view.toPlainText() == "other"
    formats = view.document().firstBlock().layout().formats()
    assert all(one.start + one.length <= 5 for one in formats)


def test_picking_counts_code_points_not_utf16_units(qtbot, theme):
    view = CodeView(theme)
    qtbot.addWidget(view)
    view.set_code("😀x = 1")
    view.mark_range(1, 2)
    assert view.extraSelections()[0].cursor.selectedText() == "x"


def test_long_code_folds_to_its_first_lines_and_opens(qtbot, theme):
    card = CodeCard(theme, "a.js", "javascript")
    qtbot.addWidget(card)
    card.resize(400, 300)
    card.show()
    code = "\n".join(f"line{number}" for number in range(60))
    card.show_code(code, final=False)
    qtbot.waitUntil(lambda: card.view.verticalScrollBar().value() == card.view.verticalScrollBar().maximum() > 0)
    card.show_code(code, final=True)
    assert card.view.verticalScrollBar().value() == 0
    folded = card.view.height()
    assert card.fold_button.text() == "Show all 60 lines"
    card.fold_button.click()
    assert card.view.height() > 3 * folded
    card.fold_button.click()
    assert card.view.height() == folded
    assert FOLDED_LINES * 18 <= folded <= (FOLDED_LINES + 2) * 18


def test_copying_code_gives_plain_text(qtbot, theme):
    view = CodeView(theme, "javascript")
    qtbot.addWidget(view)
    view.set_code("const a = 1;\nb();")
    view.selectAll()
    data = view.createMimeDataFromSelection()
    assert data.text() == "const a = 1;\nb();"
    assert not data.hasHtml()


def test_short_counts():
    assert [short_count(count) for count in (0, 999, 1300, 4096, 4000)] == ["0", "999", "1.3k", "4.1k", "4k"]
