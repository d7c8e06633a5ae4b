"""Who is told how to answer: every model but the one trained on it, unless the person says something else."""

import pytest

from app.core.system_prompt import system_prompt
from app.core.web_libraries import LIBRARIES
from app.core.wire import ModelInfo
from app.resources import resource_text
from engine.artifacts import parse_answer, understood

GUIDE = resource_text("prompts", "system.md")


@pytest.mark.parametrize(
    ("chosen", "model", "expected"),
    [
        ("", ModelInfo(id="nano"), ""),
        ("", ModelInfo(id="Kimi-K2-Instruct"), GUIDE),
        ("", None, ""),
        ("Answer in rhyme.", ModelInfo(id="Kimi-K2-Instruct"), "Answer in rhyme."),
        ("Answer in rhyme.", ModelInfo(id="nano"), "Answer in rhyme."),
    ],
)
def test_the_guide_goes_to_models_that_were_not_trained_on_it(
    chosen: str, model: ModelInfo | None, expected: str
) -> None:
    assert system_prompt(chosen, GUIDE, model) == expected


def test_the_guide_names_what_the_preview_serves_and_formats_that_are_understood() -> None:
    text = GUIDE.lower()
    assert all(name in text for name in LIBRARIES)
    example = GUIDE[GUIDE.index("```edit index.html") : GUIDE.index("- Prefer edits")]
    kinds = [type(block).__name__ for block in parse_answer("\n".join(line.strip() for line in example.splitlines()))]
    assert "EditBlock" in kinds
    first_line = understood("<!-- mountains | time: night | snow | trees: 80 -->\n")
    assert first_line is not None
    assert first_line.kind == "mountains"
    assert len(GUIDE) < 3200
