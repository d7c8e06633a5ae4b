"""The inspector pane over a trace: live growth, token detail, heat map, and what a trace doesn't hold."""

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.panes.inspector.pages import InspectorPage, TracePage
from app.panes.inspector.pane import InspectorPane
from app.theme.theme import Theme
from engine.trace import Phase, RoutingBlock, RoutingTrace, TraceToken

LAYERS = (1, 2, 3)
EXPERTS, TOP_K = 8, 2


def grow(trace: RoutingTrace, texts: list[str], phase: Phase, *, expert: int, with_weights: bool = True) -> None:
    """Add tokens that all choose `expert` first and the next one second, in every layer."""
    count = len(texts)
    ids = np.empty((count, len(LAYERS), TOP_K), np.uint16)
    ids[..., 0], ids[..., 1] = expert, (expert + 1) % EXPERTS
    block = RoutingBlock(
        layers=LAYERS,
        ids=ids,
        weights=np.tile(np.array([0.75, 0.25], np.float16), (count, len(LAYERS), 1)) if with_weights else None,
        margin=np.full((count, len(LAYERS)), 0.125, np.float16) if with_weights else None,
    )
    tokens = [TraceToken(id=number, text=text, phase=phase, logprob=-0.5) for number, text in enumerate(texts)]
    trace.append(tokens, block)


@pytest.fixture
def trace() -> RoutingTrace:
    trace = RoutingTrace(num_experts=EXPERTS)
    grow(trace, ["make", " it", " night"], "prefill", expert=0)
    grow(trace, ["const", " sun", " =", " 0x", "ffb27a"], "decode", expert=4)
    return trace


@pytest.fixture
def pane(qtbot: QtBot, qapp: QApplication) -> InspectorPane:
    pane = InspectorPane(Theme(qapp, "dark"))
    pane.resize(1200, 300)
    qtbot.addWidget(pane)
    pane.show()
    return pane


def click_token(qtbot: QtBot, pane: InspectorPane, position: int) -> None:
    viewport = pane.tokens.strip.viewport()
    qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=pane.tokens.strip.token_rect(position).center())


def detail_texts(pane: InspectorPane) -> list[list[str]]:
    model = pane.tokens.detail.model()
    return [[model.index(row, column).data() for column in range(7)] for row in range(model.rowCount())]


def test_a_clicked_token_shows_its_experts_weights_and_margin_in_every_layer(
    qtbot: QtBot, pane: InspectorPane, trace: RoutingTrace
) -> None:
    pane.set_trace(trace)
    with qtbot.waitSignal(pane.tokens_selected) as selected:
        click_token(qtbot, pane, 4)
    assert selected.args == [7, 7]
    assert "ffb27a" in pane.tokens.detail.heading()
    assert detail_texts(pane) == [[str(layer), "4 · 5", "", "", ".75", ".125", "—"] for layer in LAYERS]


def test_weights_that_a_trace_does_not_hold_are_absent_not_zero(qtbot: QtBot, pane: InspectorPane) -> None:
    trace = RoutingTrace(num_experts=EXPERTS)
    grow(trace, ["a", "b"], "decode", expert=2, with_weights=False)
    pane.set_trace(trace)
    click_token(qtbot, pane, 0)
    assert detail_texts(pane)[0] == ["1", "2 · 3", "", "", "—", "—", "—"]


def test_the_heat_map_counts_the_answer_and_then_the_selection(
    qtbot: QtBot, pane: InspectorPane, trace: RoutingTrace
) -> None:
    pane.set_trace(trace)

    def bright(expert: int) -> int:
        where = (pane.tokens.heat_map.cell_rect(0, expert).topLeft() + QPointF(4, 4)).toPoint()
        return pane.tokens.heat_map.grab().toImage().pixelColor(where).lightness()

    assert bright(4) > bright(0)
    pane.select_tokens(0, 1)
    assert pane.tokens.strip.selection() == (0, 1)
    assert bright(0) > bright(4)


def test_tokens_that_stream_in_appear_and_keep_the_selection(
    qtbot: QtBot, pane: InspectorPane, trace: RoutingTrace
) -> None:
    pane.set_trace(trace)
    click_token(qtbot, pane, 1)
    grow(trace, [" ;"] * 20, "decode", expert=6)
    pane.trace_grew()
    qtbot.waitUntil(lambda: pane.tokens.strip.token_count() == 25)
    assert pane.tokens.strip.selection() == (1, 1)


def test_without_a_trace_it_says_what_to_do(pane: InspectorPane) -> None:
    pane.set_trace(None)
    assert not pane.tokens.strip.isVisible()


def test_another_trace_takes_over_while_a_token_is_selected(
    qtbot: QtBot, pane: InspectorPane, trace: RoutingTrace
) -> None:
    pane.set_trace(trace)
    click_token(qtbot, pane, 4)
    shorter = RoutingTrace(num_experts=EXPERTS)
    grow(shorter, ["a", "b"], "decode", expert=1)
    with qtbot.waitSignal(pane.tokens_selected) as selected:
        pane.set_trace(shorter)
    assert selected.args == [-1, -1]
    assert pane.trace() is shorter


class Shown(TracePage):
    """Notes what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[RoutingTrace | None, tuple[int, int]]] = []

    def show_trace(self, trace: RoutingTrace | None, selection: tuple[int, int]) -> None:
        self.calls.append((trace, selection))


def test_a_page_of_its_own_is_made_when_shown_and_follows_trace_and_selection(
    qtbot: QtBot, qapp: QApplication, trace: RoutingTrace
) -> None:
    made: list[Shown] = []

    def make() -> Shown:
        made.append(Shown())
        return made[-1]

    pane = InspectorPane(Theme(qapp, "dark"), [InspectorPage(key="usage", title="Usage", make=make)])
    qtbot.addWidget(pane)
    pane.set_trace(trace)
    assert made == []
    pane.show_page("usage")
    pane.select_tokens(3, 4)
    assert made[0].calls == [(trace, (-1, -1)), (trace, (3, 4))]
    with qtbot.waitSignal(pane.tokens_selected) as selected:
        made[0].tokens_wanted.emit(5, 6)
    assert selected.args == [5, 6]
    pane.show_page("experts")
    pane.select_tokens(7, 7)
    assert len(made[0].calls) == 3
    assert len(made) == 1
