"""The corpus's own pages: what answers are held to, and the proof that every kind of program runs clean.

They need no model, so they can be run while one is being trained.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from engine.train.evaluate.items import Item
from engine.train.evaluate.judge import PAGE_TYPES
from engine.train.evaluate.page_probes import attribute_pages, page_probes
from engine.train.evaluate.pages import Report, Runners
from engine.train.evaluate.summary import Figure, share
from engine.train.kinds import Kind

NEW_TYPES = ("create", "switch")  # new programs are used, with keys and mouse; changed ones only looked at


class CorpusPages:
    """The pages that a set of held-out requests should lead to, and those that show what an attribute decides."""

    def __init__(self, items: Sequence[Item], kinds: Mapping[str, Kind], runners: Runners) -> None:
        self._items = [item for item in items if item.sample.type in PAGE_TYPES]
        self._kinds, self._runners = kinds, runners
        self._shown_by: dict[str, Mapping[str, frozenset[str]]] = {}

    def run(self, tell: Callable[[str], None]) -> None:
        """Run those that have not been run."""
        used = [item.sample.program for item in self._items if item.sample.type in NEW_TYPES]
        self._runners.used.run(used, lambda text: tell(f"the corpus's {text}"))
        self._runners.seen.run([item.sample.program for item in self._items], lambda text: tell(f"the corpus's {text}"))
        self._shown_by = {name: page_probes(kind, self._runners.seen, tell) for name, kind in self._kinds.items()}

    def report(self, item: Item) -> Report | None:
        """What the page did that a request should have led to."""
        return self._runners.seen.report(item.sample.program)

    def reactions(self, item: Item) -> list[str]:
        """What that page reacted to; nothing for a change, whose page is only looked at."""
        report = self._runners.used.report(item.sample.program) if item.sample.type in NEW_TYPES else None
        return [] if report is None else list(report["reacted_to"])

    def shown_by(self, kind: str) -> Mapping[str, frozenset[str]]:
        """The facts of a page that show each attribute of a kind."""
        return self._shown_by.get(kind, {})

    def not_shown(self) -> dict[str, list[str]]:
        """The attributes, by kind, that no fact of a page shows."""
        return {kind: [name for name, probe in probes.items() if not probe] for kind, probes in self._shown_by.items()}

    def clean(self) -> dict[str, Figure]:
        """How many pages of each kind ran clean."""
        pages: defaultdict[str, set[str]] = defaultdict(set)
        for item in self._items:
            pages[item.sample.kind].add(item.sample.program)
        for name, kind in self._kinds.items():
            pages[name].update(program for programs in attribute_pages(kind).values() for program in programs)
        return {kind: share(({"program": program} for program in programs), self._ran_clean)
                for kind, programs in sorted(pages.items())}

    def _ran_clean(self, record: Mapping[str, str]) -> bool:
        report = self._runners.seen.report(record["program"])
        return report is not None and bool(report["ok"])
