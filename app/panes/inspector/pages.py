"""What a page of the inspector is, and how one is registered. Imports no NumPy: the window knows the tabs at once.

To add a page: make a `TracePage` in a module of its own (usage.py, specialisation.py, anatomy.py, bench.py), and add an
`InspectorPage` with its key, tab title and maker to `_PaneMakers.inspector_pages` of app/bootstrap.py. The maker
imports the module when it is called, which is when the page is first shown. The tabs themselves are the bottom
panel's (app/shell/docks.py), in the order of registration after "Experts".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

if TYPE_CHECKING:
    from engine.trace import RoutingTrace

Selection = tuple[int, int]
NO_SELECTION: Selection = (-1, -1)
BENCH_KEY = "bench"


class TracePage(QWidget):
    """One view of the trace on show. A page takes its theme in its constructor and follows `theme_changed` itself.

    Signals:
        tokens_wanted: (first, last) token indices of the trace that the page asks to be selected everywhere.
    """

    tokens_wanted = Signal(int, int)

    def show_trace(self, trace: "RoutingTrace | None", selection: Selection) -> None:
        """Show a trace, or say what to do when there is none.

        Called while the page is on show: when it is first shown, and when the trace, its length or the selection is
        another one; at most 15 times a second while tokens stream in. The trace is borrowed and only grows at its
        end, so a page may keep sums and add what is new. `selection` is the first and last selected token of the
        trace, both included, or NO_SELECTION.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorPage:
    """A tab of the inspector. `make` is called once, when the page is first shown."""

    key: str
    title: str
    make: Callable[[], TracePage]
