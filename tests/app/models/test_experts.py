"""One token's routing, a range's use, and the tree over both."""

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QApplication

from app.models.experts import (
    RANGE_COLUMNS,
    TOKEN_COLUMNS,
    TOKEN_TABLE,
    RoutingTreeModel,
    layer_routings,
    most_used,
    range_rows,
    token_rows,
    token_table,
)
from engine.routing_tally import RoutingTally, Usage
from engine.trace import UNUSED_EXPERT, RoutingBlock, RoutingTrace, TraceToken


@pytest.fixture
def trace() -> RoutingTrace:
    """One token: in layer 1 the second place is empty, in layer 2 an expert that was no candidate was forced in."""
    trace = RoutingTrace(num_experts=8)
    block = RoutingBlock(
        layers=(1, 2),
        ids=np.array([[[3, UNUSED_EXPERT], [4, 7]]], np.uint16),
        weights=np.array([[[1.0, 0.0], [0.25, 0.75]]], np.float16),
        margin=np.array([[0.5, 0.25]], np.float16),
        candidates=np.array([[[3, 5, 1, 0], [4, 2, 1, 0]]], np.uint16),
        raw=np.array([[[0.5, 0.75, 0.25, 0.125]] * 2], np.float16),
        biased=np.array([[[1.0, 0.5, 0.25, 0.125]] * 2], np.float16),
    )
    trace.append([TraceToken(id=1, text="x", phase="decode")], block)
    return trace


def test_the_chosen_come_by_weight_then_the_runners_up_and_what_is_not_given_is_none(trace: RoutingTrace) -> None:
    first, second = layer_routings(trace, 0)
    assert (first.experts, first.weights) == ((3,), (1.0,))
    assert [each.expert for each in first.candidates] == [3, 5, 1, 0]
    assert (second.experts, second.weights) == ((7, 4), (0.75, 0.25))
    forced = second.candidates[0]
    assert (forced.raw, forced.biased, forced.is_chosen) == (None, None, True)
    assert (second.candidates[2].expert, second.candidates[2].raw, second.candidates[2].weight) == (2, 0.75, None)
    assert (first.margin, first.shared) == (0.5, None)


def test_the_table_has_every_candidate_with_its_numbers(trace: RoutingTrace) -> None:
    rows = [dict(zip(TOKEN_TABLE, row, strict=True)) for row in token_table(trace, 0)]
    assert len(rows) == 9
    assert (rows[0]["layer"], rows[0]["expert"], rows[0]["raw"], rows[0]["weight"]) == (1, 3, 0.5, 1.0)
    assert (rows[4]["layer"], rows[4]["expert"], rows[4]["raw"], rows[4]["is_chosen"]) == (2, 7, None, 1)


def test_the_most_used_experts_of_equals_the_lower_number_first() -> None:
    usage = Usage(load=np.array([[2, 5, 2, 0], [0, 0, 1, 1]]), weights=None, num_tokens=5, top_k=1)
    assert most_used(usage).tolist() == [[1, 0, 2, 3], [2, 3, 0, 1]]
    assert most_used(usage, 2).tolist() == [[1, 0], [2, 3]]


def test_a_range_s_rows_list_use_beside_chance(trace: RoutingTrace) -> None:
    tally = RoutingTally(trace)
    tally.update()
    rows = range_rows(tally.usage(), trace.layers)
    assert rows[0].cells == ("1", "3", "1", "100%", "8.0", "1.0")
    assert rows[1].cells == ("2", "4 · 7", "1", "100%", "4.0", "0.2")
    assert [child.cells[1] for child in rows[1].children] == ["4", "7"]
    none = range_rows(tally.usage("prefill"), trace.layers)
    assert none[0].cells == ("1", "none ran", "0", "0%", "—", "—")


def test_the_tree_keeps_qt_s_rules_and_says_what_is_absent(qapp: QApplication, trace: RoutingTrace) -> None:
    model = RoutingTreeModel()
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    model.set_content(TOKEN_COLUMNS, token_rows(layer_routings(trace, 0)))
    layer = model.index(1, 0)
    assert [model.index(row, 1, layer).data() for row in range(model.rowCount(layer))] == [
        "7", "4", "2 runner-up", "1 runner-up", "0 runner-up"
    ]  # fmt: skip
    assert model.index(0, 6).data() == "—"
    assert model.index(0, 6).data(Qt.ItemDataRole.AccessibleTextRole) == "shared not given"
    faint = model.index(2, 1, layer).data(Qt.ItemDataRole.ForegroundRole)
    assert faint is not None
    assert model.headerData(3, Qt.Orientation.Horizontal) == "biased"
    model.set_content(RANGE_COLUMNS, [])
    assert (model.rowCount(), model.columnCount()) == (0, len(RANGE_COLUMNS))
    del tester
