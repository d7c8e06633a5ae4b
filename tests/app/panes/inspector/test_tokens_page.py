"""The tokens' page: colourings and their legends, the phase switch, the heat map's choices, live growth, export."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QColor, QHelpEvent, QImage
from PySide6.QtWidgets import QApplication, QComboBox, QFileDialog, QScrollBar, QToolTip, QWidget
from pytestqt.qtbot import QtBot

from app.panes.inspector import tokens_page
from app.panes.inspector.export_menu import ExportMenu
from app.panes.inspector.pane import InspectorPane
from app.panes.inspector.tokens_page import TokensPage
from app.theme.theme import Theme
from engine.routing_stats import expert_load
from engine.trace import Phase, RoutingBlock, RoutingTrace, TraceToken

LAYERS = (1, 2)
EXPERTS, TOP_K = 12, 2


def grow(trace: RoutingTrace, experts: list[int], phase: Phase, *, bare: bool = False) -> None:
    """Add a token for each expert, which leads in layer 1 when it is read; in layer 2 the one after it does."""
    count = len(experts)
    ids = np.empty((count, len(LAYERS), TOP_K), np.uint16)
    for row, expert in enumerate(experts):
        ids[row, 0], ids[row, 1] = (expert, (expert + 1) % EXPERTS), ((expert + 1) % EXPERTS, (expert + 2) % EXPERTS)
    weights = np.tile(np.array([0.75, 0.25], np.float16), (count, len(LAYERS), 1))
    steps = (0.05 * np.arange(len(trace), len(trace) + count)).astype(np.float16)[:, None].repeat(len(LAYERS), axis=1)
    candidates = np.concatenate([ids, (ids + 5) % EXPERTS], axis=2).astype(np.uint16)
    scores = np.tile(np.array([0.9, 0.8, 0.7, 0.6], np.float16), (count, len(LAYERS), 1))
    full = {} if bare else {"weights": weights, "margin": steps, "shared": steps, "candidates": candidates,
                            "raw": (scores - 0.1).astype(np.float16), "biased": scores}
    tokens = [
        TraceToken(id=row, text=f"t{len(trace) + row}", phase=phase,
                   logprob=None if bare or phase == "prefill" else float(np.log(0.25)))
        for row in range(count)
    ]  # fmt: skip
    trace.append(tokens, RoutingBlock(layers=LAYERS, ids=ids, **full))


@pytest.fixture
def trace() -> RoutingTrace:
    trace = RoutingTrace(num_experts=EXPERTS, model={"id": "nano"}, fingerprint="abc")
    grow(trace, [0, 0, 4], "prefill")  # reading a token writes the next: the answer's were written by 4 4 4 4 5 5 6
    grow(trace, [4, 4, 4, 5, 5, 6, 6], "decode")
    return trace


@pytest.fixture
def pane(qtbot: QtBot, qapp: QApplication, trace: RoutingTrace) -> InspectorPane:
    pane = InspectorPane(Theme(qapp, "dark"))
    pane.resize(1300, 300)
    qtbot.addWidget(pane)
    pane.show()
    pane.set_trace(trace)
    return pane


@pytest.fixture
def page(pane: InspectorPane) -> TokensPage:
    return pane.tokens


def choose(qtbot: QtBot, box: QComboBox, text: str) -> None:
    """Choose an entry with the keyboard, as a person would."""
    box.setFocus()
    position = box.findText(text)
    assert position >= 0
    qtbot.keyClick(box, Qt.Key.Key_Home)
    for _ in range(position):
        qtbot.keyClick(box, Qt.Key.Key_Down)
    assert box.currentText() == text


def edge(page: TokensPage, position: int) -> QColor:
    rect = page.strip.token_rect(position)
    return page.strip.viewport().grab().toImage().pixelColor(rect.left() + 2, rect.center().y())


def names(widget: QWidget) -> list[str]:
    """Names of what the Tab key reaches."""
    reached = [each for each in widget.findChildren(QWidget) if each.focusPolicy() & Qt.FocusPolicy.TabFocus]
    return [each.accessibleName() for each in reached if each.isVisible() and not isinstance(each, QScrollBar)]


# --- colourings


def test_tokens_led_by_the_same_expert_have_the_same_colour_and_the_legend_says_whose(page: TokensPage) -> None:
    assert edge(page, 0) == edge(page, 3) != edge(page, 4)
    assert [item.text for item in page.column.legend.legend().items] == ["4 · 57%", "5 · 29%", "6 · 14%"]
    assert "4 · 57%" in page.column.legend.accessibleDescription()


def test_another_layer_colours_by_its_own_leading_experts(qtbot: QtBot, page: TokensPage) -> None:
    choose(qtbot, page.column.layer_box, "layer 2")
    assert [item.short for item in page.column.legend.legend().items] == ["5", "6", "7"]


def test_experts_beyond_the_seven_most_frequent_share_a_grey(qtbot: QtBot, page: TokensPage) -> None:
    trace = RoutingTrace(num_experts=EXPERTS)
    grow(trace, [0], "prefill")
    grow(trace, [*[expert for expert in range(9) for _ in range(10 - expert)][1:], 8], "decode")
    page.show_trace(trace, (-1, -1))
    items = page.column.legend.legend().items
    assert [item.short for item in items] == ["0", "1", "2", "3", "4", "5", "6", "others"]
    assert items[-1].text == f"others · {5 / 54:.0%}"


@pytest.mark.parametrize(("coloring", "low", "high"), [
    ("Entropy", "≤ 0.81", "≥ 0.81"), ("Margin", "0.000", "≥ 0.385"), ("Surprise", "0.0 bits", "≥ 8.0 bits"),
    ("Shared", "≤ 2%", "≥ 38%"),
])  # fmt: skip
def test_a_value_s_colouring_has_a_scale_with_its_numbers(
    qtbot: QtBot, page: TokensPage, coloring: str, low: str, high: str
) -> None:
    choose(qtbot, page.column.coloring_box, coloring)
    legend = page.column.legend.legend()
    assert legend.gradient is not None
    assert (legend.low, legend.high) == (low, high)


def test_larger_margins_are_brighter(qtbot: QtBot, page: TokensPage) -> None:
    choose(qtbot, page.column.coloring_box, "Margin")
    light = [edge(page, position).lightness() for position in range(7)]
    assert light == sorted(light)
    assert light[-1] > light[0] + 60


def test_prompt_and_answer_are_coloured_apart_and_both_shown(qtbot: QtBot, page: TokensPage) -> None:
    choose(qtbot, page.column.coloring_box, "Phase")
    assert page.strip.token_count() == 10
    assert not page.column.layer_box.isVisible()
    assert edge(page, 0) == edge(page, 2) != edge(page, 3)
    assert [item.text for item in page.column.legend.legend().items] == ["prompt", "answer"]


def test_what_has_no_value_is_outlined_and_named_in_the_legend(qtbot: QtBot, page: TokensPage) -> None:
    qtbot.mouseClick(page.column.phase_button(None), Qt.MouseButton.LeftButton)
    choose(qtbot, page.column.coloring_box, "Surprise")
    assert [item.text for item in page.column.legend.legend().items] == ["not given"]
    assert edge(page, 0) == page.strip.palette().base().color()
    assert edge(page, 5) != page.strip.palette().base().color()


def test_a_colouring_that_a_trace_can_t_have_is_off_with_its_reason(qtbot: QtBot, page: TokensPage) -> None:
    choose(qtbot, page.column.coloring_box, "Margin")
    bare = RoutingTrace(num_experts=EXPERTS)
    grow(bare, [1, 2, 3], "decode", bare=True)
    page.show_trace(bare, (-1, -1))
    items = page.column.coloring_box.model()
    off = [items.item(row).text() for row in range(items.rowCount()) if not items.item(row).isEnabled()]
    assert off == ["Entropy", "Margin", "Surprise", "Shared"]
    assert "holds no weights" in items.item(1).toolTip()
    assert page.column.coloring_box.currentText() == "Expert"
    assert not page.heat.metric_box.model().item(1).isEnabled()


def test_surprise_becomes_possible_when_the_first_answered_token_comes(qtbot: QtBot, page: TokensPage) -> None:
    trace = RoutingTrace(num_experts=EXPERTS)
    grow(trace, [1, 2], "prefill")
    page.show_trace(trace, (-1, -1))
    assert not page.column.coloring_box.model().item(3).isEnabled()
    grow(trace, [1, 2], "decode")
    page.show_trace(trace, (-1, -1))
    assert page.column.coloring_box.model().item(3).isEnabled()


# --- phases, heat map


def test_the_switch_shows_and_counts_prompt_answer_or_both(qtbot: QtBot, page: TokensPage) -> None:
    seen = []
    for phase in ("decode", "prefill", None):
        qtbot.mouseClick(page.column.phase_button(phase), Qt.MouseButton.LeftButton)
        seen.append((page.strip.token_count(), page.heat.caption.full_text()))
    assert seen == [(7, "7 answer tokens"), (3, "3 prompt tokens"), (10, "10 prompt and answer tokens")]


def test_a_selection_survives_the_switch_where_its_tokens_are_shown(qtbot: QtBot, pane: InspectorPane) -> None:
    pane.select_tokens(4, 5)
    qtbot.mouseClick(pane.tokens.column.phase_button(None), Qt.MouseButton.LeftButton)
    assert (pane.selection(), pane.tokens.strip.selection()) == ((4, 5), (4, 5))
    qtbot.mouseClick(pane.tokens.column.phase_button("prefill"), Qt.MouseButton.LeftButton)
    assert (pane.selection(), pane.tokens.strip.selection()) == ((-1, -1), (-1, -1))


def test_several_tokens_are_counted_alone_and_listed_by_use(page: TokensPage, pane: InspectorPane) -> None:
    pane.select_tokens(3, 7)
    assert page.heat.caption.full_text() == "5 selected answer tokens"
    model = page.detail.model()
    first = [model.index(0, column).data() for column in range(model.columnCount())]
    assert first == ["1", "5 · 4", "5", "100%", "6.0", "1.8"]
    assert model.index(1, 1, model.index(0, 0)).data() == "4"
    assert model.index(1, 2, model.index(0, 0)).data() == "4"


def test_one_token_is_outlined_in_the_map_of_all(page: TokensPage, pane: InspectorPane) -> None:
    pane.select_tokens(3, 3)
    assert page.heat.caption.full_text() == "7 answer tokens · outlined: token 3"


def test_the_map_shows_share_weight_or_difference_by_index_or_load(qtbot: QtBot, page: TokensPage) -> None:
    heat = page.heat
    ends = []
    for metric in ("Share of tokens", "Summed weight", "Against chance"):
        choose(qtbot, heat.metric_box, metric)
        ends.append((heat.legend.legend().low, heat.legend.legend().high))
    assert ends == [("0%", "100%"), ("0", "3"), ("−75 points", "+75 points")]
    assert heat.legend.legend().mark_text == "chance 16.7%"
    choose(qtbot, heat.order_box, "by load")
    assert page.heat_map.expert_at(0, 0) == 5
    assert page.heat_map.expert_at(1, 0) == 6
    assert "ranked" in heat.caption.full_text()


def test_a_chosen_expert_s_tokens_stand_out_and_are_counted(qtbot: QtBot, page: TokensPage) -> None:
    where = page.heat_map.cell_rect(0, 4).center().toPoint()
    qtbot.mouseClick(page.heat_map, Qt.MouseButton.LeftButton, pos=where)
    assert page.strip.marked_count() == 4
    assert page.heat.caption.full_text().startswith("expert 4 of layer 1: 4 tokens")
    qtbot.keyClick(page.heat_map, Qt.Key.Key_Escape)
    assert page.strip.marked_count() == 0


# --- detail


def test_the_detail_lists_scores_and_runners_up_of_a_layer(qtbot: QtBot, page: TokensPage, pane: InspectorPane) -> None:
    pane.select_tokens(3, 3)
    model, tree = page.detail.model(), page.detail.tree()
    layer = model.index(0, 0)
    assert tree.isExpanded(layer)
    assert not tree.isExpanded(model.index(1, 0))
    rows = [[model.index(row, column, layer).data() for column in range(1, 5)] for row in range(model.rowCount(layer))]
    assert rows == [["4", ".800", ".900", ".750"], ["5", ".700", ".800", ".250"], ["9 runner-up", ".600", ".700", ""],
                    ["10 runner-up", ".500", ".600", ""]]
    qtbot.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=tree.visualRect(model.index(1, 1)).center())
    assert page.column.layer_box.currentText() == "layer 2"
    assert tree.isExpanded(model.index(1, 0))


def test_the_detail_says_which_pass_its_experts_belong_to(page: TokensPage, pane: InspectorPane) -> None:
    pane.select_tokens(2, 2)
    assert "experts that read it" in page.detail.note()
    pane.select_tokens(8, 8)
    assert "experts that wrote it, having read “t7”" in page.detail.note()
    model = page.detail.model()
    assert model.index(0, 1).data() == "5 · 6"
    answer = RoutingTrace(num_experts=EXPERTS)
    grow(answer, [1, 2], "decode")
    page.show_trace(answer, (0, 0))
    assert "the pass that wrote it is not in this trace" in page.detail.note()


def test_scores_that_a_source_does_not_give_are_said_to_be_absent(page: TokensPage) -> None:
    bare = RoutingTrace(num_experts=EXPERTS)
    grow(bare, [1, 2], "decode", bare=True)
    page.show_trace(bare, (0, 0))
    model = page.detail.model()
    cell = model.index(0, 2, model.index(0, 0))
    assert cell.data() == "—"
    assert cell.data(Qt.ItemDataRole.AccessibleTextRole) == "raw not given"
    assert "not given by this source" in page.detail.note()


# --- live


def test_tokens_that_come_in_are_counted_and_coloured_without_moving_the_old_ones(
    qtbot: QtBot, page: TokensPage, pane: InspectorPane, trace: RoutingTrace
) -> None:
    before = edge(page, 0)
    grow(trace, [9] * 30, "decode")
    pane.trace_grew()
    qtbot.waitUntil(lambda: page.strip.token_count() == 37)
    assert page.heat.caption.full_text() == "37 answer tokens"
    assert edge(page, 0) == before
    assert page.column.legend.legend().items[0].text == "9 · 78%"  # 29 of 37: another wrote the first


def test_a_long_trace_is_counted_in_parts_and_ends_as_the_statistics_say(
    qtbot: QtBot, page: TokensPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_page, "CHUNK_TOKENS", 50)
    monkeypatch.setattr(tokens_page, "COUNT_MS", 0)
    long = RoutingTrace(num_experts=EXPERTS)
    grow(long, [row % 7 for row in range(420)], "decode")
    page.show_trace(long, (300, 301))
    assert page.strip.token_count() == 50
    assert "370 to come" in page.heat.caption.full_text()
    qtbot.waitUntil(lambda: page.strip.token_count() == 420)
    assert page.strip.selection() == (300, 301)
    table = list(csv.DictReader(page.heat.table().as_csv().splitlines()))
    assert [int(row["chosen"]) for row in table] == expert_load(long, long.passes([300, 301])).ravel().tolist()


# --- reading aloud, hovering, exporting


def test_every_control_has_a_name_and_the_selected_token_is_described(page: TokensPage, pane: InspectorPane) -> None:
    assert len(names(page)) > 8
    assert "" not in names(page)
    pane.select_tokens(3, 3)
    description = page.strip.accessibleDescription()
    assert "answer token 3" in description
    assert "probability 25.0%" in description
    assert "layer 1: expert 4 (0.75), 5 (0.25)" in description


def test_hovering_shows_a_token_s_experts_and_a_cell_s_numbers(page: TokensPage) -> None:
    def hover(widget: QWidget, position: QPoint) -> str:
        event = QHelpEvent(QEvent.Type.ToolTip, position, widget.mapToGlobal(position))
        QApplication.sendEvent(widget, event)
        return QToolTip.text()

    token = hover(page.strip.viewport(), page.strip.token_rect(0).center())
    assert "“t3” · token 3 · p 25.0%" in token
    assert "layer 2: expert 5 (0.75), 6 (0.25)" in token
    cell = hover(page.heat_map, page.heat_map.cell_rect(0, 4).center().toPoint())
    assert "Layer 1, expert 4: 4 of 7 tokens (57.1%)" in cell
    assert "standard deviations" in cell


def run(menu: ExportMenu, text: str) -> None:
    next(action for action in menu.entries.actions() if action.text() == text).trigger()


@pytest.mark.parametrize("view", ["column", "heat", "detail"])
def test_every_view_is_saved_as_a_picture_and_as_numbers(
    page: TokensPage, pane: InspectorPane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    pane.select_tokens(3, 3)
    menu = next(each for each in getattr(page, view).findChildren(ExportMenu))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "out.png"), ""))
    run(menu, "Save picture as PNG…")
    picture = QImage(str(tmp_path / "out.png"))
    assert picture.width() > 300
    assert "nano (abc)" in picture.text("Description")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "out"), ""))
    run(menu, "Save numbers as CSV…")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text("utf-8").splitlines()))
    counts = {"column": 7, "heat": len(LAYERS) * EXPERTS, "detail": len(LAYERS) * 2 * TOP_K}
    assert len(rows) == counts[view]
    assert rows[0]["model"] == "nano (abc)"
    if view == "detail":
        assert (rows[0]["expert"], rows[0]["weight"], rows[2]["weight"]) == ("4", "0.75", "")


def test_a_file_that_can_t_be_written_is_said(
    page: TokensPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("app.panes.inspector.export_menu.QMessageBox.warning", lambda *args: said.append(args[2]))
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "file" / "out.csv"), ""))
    run(page.heat.export, "Save numbers as CSV…")
    assert "Choose another folder" in said[0]


def test_a_trace_without_an_answer_says_so_and_what_the_tab_key_reaches_is_framed(
    qtbot: QtBot, page: TokensPage
) -> None:
    trace = RoutingTrace(num_experts=EXPERTS)
    grow(trace, [1, 2], "prefill")
    page.show_trace(trace, (-1, -1))
    empty = page.strip.viewport().grab().toImage()
    qtbot.mouseClick(page.column.phase_button("prefill"), Qt.MouseButton.LeftButton)
    assert page.strip.token_count() == 2
    assert page.strip.viewport().grab().toImage() != empty
    for widget in (page.strip, page.heat_map):
        before = widget.grab().toImage()
        widget.setFocus(Qt.FocusReason.TabFocusReason)
        assert widget.grab().toImage() != before
