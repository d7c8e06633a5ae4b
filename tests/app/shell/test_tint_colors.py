"""Colours of code by the tokens that wrote it, and who wrote a selection."""

import numpy as np
import pytest

from app.shell.tint_colors import tint_colors, writers_in_words
from app.theme.theme import Theme
from engine.routing_stats import leading_expert
from engine.trace import RoutingBlock, RoutingTrace
from tests.app.panes.inspector.traces import NUMBER_EXPERT, planted_trace

PLANTED = planted_trace(300)
TRACE = RoutingTrace(num_experts=8)  # the planted expert reads numbers; here it writes them, one pass earlier
TRACE.append(PLANTED.tokens, RoutingBlock(layers=(1, 2), ids=np.roll(PLANTED.ids, -1, axis=0), weights=PLANTED.weights))


@pytest.mark.parametrize("kind", ["entropy", "surprise"])
def test_every_answer_token_has_a_colour_and_the_colours_a_legend(theme: Theme, kind: str) -> None:
    colors = tint_colors(TRACE, kind, 0, theme)
    assert set(colors.groups) == set(TRACE.rows_of("decode").tolist())
    assert all(css.startswith("rgba(") for css in colors.css)
    assert colors.legend


def test_tokens_with_the_same_leading_expert_have_the_same_colour(theme: Theme) -> None:
    colors = tint_colors(TRACE, "leader", 1, theme)
    leaders = leading_expert(TRACE, 1, TRACE.passes())
    by_leader = {int(leaders[row]): group for row, group in colors.groups.items()}
    assert len(by_leader) == 7  # seven hues, for eight experts
    assert all(group == by_leader[int(leaders[row])] for row, group in colors.groups.items())
    assert len(set(by_leader.values())) == 7


def test_what_a_trace_does_not_hold_is_said(theme: Theme) -> None:
    colors = tint_colors(TRACE, "margin", 0, theme)
    assert (colors.groups, colors.css) == ({}, ())
    assert "no margins" in colors.legend[0][1]


def test_the_class_of_an_expert_colours_its_tokens(theme: Theme) -> None:
    ids = TRACE.ids.copy()
    for row, token in enumerate(TRACE.tokens):
        if token.text.strip().isdigit() and NUMBER_EXPERT not in ids[row - 1, 1, 1:]:
            ids[row - 1, 1, 0] = NUMBER_EXPERT  # it leads
    trace = RoutingTrace(num_experts=8)
    trace.append(TRACE.tokens, RoutingBlock(layers=(1, 2), ids=ids, weights=TRACE.weights))
    colors = tint_colors(trace, "class", 1, theme)
    assert any(words.startswith("number") for _, words in colors.legend)
    leaders = leading_expert(trace, 1, trace.passes())
    assert {leaders[row] for row in colors.groups} == {NUMBER_EXPERT}
    assert "no expert" in tint_colors(trace, "class", 0, theme).legend[0][1]


def test_who_wrote_a_selection_stands_beside_the_rest() -> None:
    numbers = [row for row, token in enumerate(TRACE.tokens)
               if token.text == " 42" and NUMBER_EXPERT in TRACE.ids[row - 1, 1]]
    words = writers_in_words(TRACE, numbers[0], numbers[0], 1)
    assert words.startswith("1 token, layer 2: experts ")
    assert f"{NUMBER_EXPERT} (100%, elsewhere" in words
    assert writers_in_words(TRACE, 0, 0, 1) == ""
