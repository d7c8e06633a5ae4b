"""A stored layout comes back; whatever else is in its file, the window starts."""

import pytest

from app.shell.window_layout import WindowLayout


def test_what_is_stored_comes_back():
    layout = WindowLayout(
        geometry="AAEC", splitters=("AA==",), mode="code", sidebar=False, panel="console", panel_folded=False,
        panel_px=210, chat_px=420, conversations=(3, -1),
    )  # fmt: skip
    value = {**layout.to_json(), "splitters": ["AA=="], "conversations": [3, -1]}  # as JSON gives it back
    assert WindowLayout.from_json(value) == layout


@pytest.mark.parametrize("value", [[], {}, "x", None, 5])
def test_nothing_usable_is_nothing(value):
    assert WindowLayout.from_json(value) is None


@pytest.mark.parametrize("nonsense", [None, "\u00fc", [1], {"a": 1}, 10**30, -1, 1.5])
def test_nonsense_falls_back_to_defaults(nonsense):
    names = ("geometry", "splitters", "mode", "sidebar", "panel_folded", "panel_px", "chat_px", "conversations")
    layout = WindowLayout.from_json(dict.fromkeys(names, nonsense))
    assert layout is not None
    assert (layout.geometry, layout.mode, layout.sidebar) == ("", "split", True)
    assert (layout.panel_px, layout.chat_px) == (300, 0)
    assert all(isinstance(number, int) for number in layout.conversations)
