"""The anatomy page: the trace's model, or the loaded one, beside published ones."""

import json

import pytest
from pytestqt.qtbot import QtBot

from app.core.known_models import known_models
from app.panes.inspector.anatomy_drawing import parameters, short
from app.panes.inspector.anatomy_page import AnatomyPage
from app.panes.inspector.pages import NO_SELECTION
from app.resources import resource_text
from app.theme.theme import Theme
from engine.trace import RoutingTrace

NANO = json.loads(resource_text("models", "nano", "config.json"))


@pytest.fixture
def page(qtbot: QtBot, theme: Theme) -> AnatomyPage:
    page = AnatomyPage(theme, known_models(), lambda: ("nano", {"config": NANO}))
    page.resize(1000, 420)
    qtbot.addWidget(page)
    page.show()
    return page


def test_the_loaded_model_stands_beside_the_published_ones(page: AnatomyPage) -> None:
    page.show_trace(None, NO_SELECTION)
    assert [model.name for model in page.models()] == ["Nano", "Kimi K2", "DeepSeek-V3"]
    text = page.drawing.accessibleDescription()
    assert "384 experts, of which 8 run per token" in text
    assert "671B parameters" in text


def test_a_trace_s_model_goes_first_and_one_that_says_nothing_is_said(page: AnatomyPage) -> None:
    wide = {**NANO, "n_routed_experts": 64}
    page.show_trace(RoutingTrace(num_experts=64, model={"id": "wide", "config": wide}), NO_SELECTION)
    assert page.models()[0].shape.num_experts == 64
    page.show_trace(RoutingTrace(num_experts=64, model={"id": "wide"}), NO_SELECTION)
    assert len(page.models()) == 2
    assert "doesn't say how it is built" in page.note.full_text()
    page.show_trace(RoutingTrace(num_experts=64, model={"id": "x", "config": {"hidden_size": 1}}), NO_SELECTION)
    assert "config.json has no usable" in page.note.full_text()


def test_a_longer_context_makes_attention_dearer(page: AnatomyPage) -> None:
    page.show_trace(None, NO_SELECTION)
    before, picture = page.drawing.accessibleDescription(), page.drawing.grab().toImage()
    page.context.setCurrentIndex(page.context.count() - 1)
    assert page.drawing.accessibleDescription() != before
    assert page.drawing.grab().toImage() != picture
    assert len(page._table().as_csv().splitlines()) == 1 + 3 * 7


def test_numbers_are_written_as_people_do() -> None:
    assert [short(value, "B") for value in (70_272, 3.3e10, 1.03e12, 12)] == ["70.3 kB", "33.0 GB", "1.03 TB", "12 B"]
    assert [parameters(value) for value in (671e9, 18.6e6, 1.026e12)] == ["671B", "18.6M", "1.03T"]
