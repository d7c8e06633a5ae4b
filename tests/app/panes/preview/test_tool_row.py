"""The row of tools over the page at every width."""

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.panes.preview.tool_row import ToolRow
from app.theme.theme import Theme


@pytest.fixture
def tools(theme: Theme, qtbot: QtBot) -> Iterator[ToolRow]:
    around = QWidget()  # whose size is not bound by what is in it
    qtbot.addWidget(around)
    around.resize(1000, 100)
    tools = ToolRow(theme)
    tools.setParent(around)
    around.show()
    yield tools
    around.close()


@pytest.mark.parametrize(("spare", "run", "screenshot"), [(0, "Run", "Screenshot"), (-1, "Run", ""), (-400, "", "")])
def test_words_go_one_by_one_where_there_is_no_room_for_them(
    tools: ToolRow, spare: int, run: str, screenshot: str
) -> None:
    tools.show_fps(60)
    tools.resize(1000, tools.height())
    assert (tools.run_button.text(), tools.screenshot_button.text()) == ("Run", "Screenshot")
    tools.resize(tools.sizeHint().width() + spare, tools.height())
    assert (tools.run_button.text(), tools.screenshot_button.text()) == (run, screenshot)
    assert tools.run_button.accessibleName() == "Run"
    assert tools.screenshot_button.accessibleName() == "Screenshot"
    tools.resize(1000, tools.height())
    assert tools.screenshot_button.text() == "Screenshot"


def test_a_longer_text_takes_the_room_of_words(tools: ToolRow) -> None:
    tools.resize(tools.sizeHint().width(), tools.height())
    assert tools.screenshot_button.text() == "Screenshot"
    tools.show_network(on=False, blocked=12)
    assert not tools.screenshot_button.text()
