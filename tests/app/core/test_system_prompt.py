"""Who is told how to answer: every model but the one trained on it, unless the person says something else."""

import json
import re

import pytest

from app.core.system_prompt import system_prompt
from app.core.web_libraries import LIBRARIES, WebLibraries
from app.core.wire import ModelInfo
from app.resources import resource_path, resource_text
from engine.artifacts import EditBlock, FileBlock, apply_answer, parse_answer, understood

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


def test_the_examples_of_the_guide_are_what_the_program_reads() -> None:
    page, change = (block for block in parse_answer(GUIDE) if isinstance(block, FileBlock | EditBlock))
    assert isinstance(page, FileBlock)
    assert page.path == change.path == "index.html"
    meaning = understood(page.content)
    assert meaning is not None
    assert (meaning.kind, meaning.chips) == ("mountains", ("time: night", "snow", "trees: 80"))
    before = {"index.html": "const balls = 20;\n"}
    edit = GUIDE[GUIDE.index("```edit") : GUIDE.index("Prefer edits")]
    assert apply_answer(before, edit).files == {"index.html": "const balls = 40;\n"}


def test_every_library_of_the_guide_is_served_in_the_version_it_names() -> None:
    libraries = WebLibraries(resource_path("web", "node_modules"))
    pinned = json.loads(resource_text("web", "package.json"))["dependencies"]
    named = dict(re.findall(r"\b([a-z0-9][a-z0-9.-]*)@([0-9.]*[0-9])", GUIDE))
    assert named.keys() == LIBRARIES.keys()
    for name, version in named.items():
        assert pinned[name].startswith(version), name
        assert libraries.local_address(f"https://cdn.jsdelivr.net/npm/{name}@{version}", classic=True), name
    assert "https://cdn.jsdelivr.net/npm/three" not in libraries.rewrite(GUIDE)


def test_the_guide_leaves_the_context_to_the_work() -> None:
    pieces = re.findall(r"[A-Za-z]+|[0-9]|[^\sA-Za-z0-9]+", GUIDE)  # about what tokenizers of large models make of it
    assert len(pieces) < 600
