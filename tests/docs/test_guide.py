"""The guide and its notebook: the cells run as they stand, the figure is the window's, every picture is there."""

import json
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from engine.routing_usage import usage
from engine.trace import RoutingTrace

DOCS = Path(__file__).parents[2] / "resources" / "docs"


def test_the_notebook_runs_and_its_figure_shows_the_window_s_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(DOCS)
    mpl.use("Agg")
    notebook = json.loads((DOCS / "reading-a-trace.ipynb").read_text())
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    trace = RoutingTrace.load(DOCS / "example.moetrace")
    layer = usage(trace, trace.rows_of("decode")).layers[0]
    bars = [bar.get_height() for bar in names["axes"].patches[: trace.num_experts]]
    assert bars == sorted(layer.load.tolist(), reverse=True)
    assert names["axes"].lines[0].get_ydata()[0] == layer.load_by_chance
    assert "tokens of nano" in capsys.readouterr().out
    names["plt"].close("all")
    assert np.isfinite(names["table"].log_odds).all()


def test_every_picture_and_link_of_the_guide_is_there() -> None:
    text = (DOCS / "reading-the-experts.md").read_text()
    named = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(named) >= 6
    assert [name for name in named if not (DOCS / name).is_file()] == []
