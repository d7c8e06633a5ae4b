"""Does a page show what was asked: facts of a checked page, and which of them each attribute of a kind decides.

Facts are what the checker tells of scene, charts, document and picture. Of each attribute, pages with its different
settings are run once; the facts that differ between them are its probe. A page is right in an attribute when these
facts are those of the page that the corpus has for the same request.
"""

from collections.abc import Callable, Mapping
from typing import Any

from engine.train.evaluate.pages import Pages, Report
from engine.train.evaluate.source_probes import variants
from engine.train.kinds import Kind

PAGES_PER_ATTRIBUTE = 2
COLOR_STEP = 12         # of 255: a smaller change of a cell's mean colour is none
NUMBER_STEP = 0.02      # of the larger: a smaller change of a number is none
_PAGE_FACTS = ("title", "text_length", "canvases", "svg_shapes", "charts")
_LEFT_OUT = ("scene.scenes", "scene.objects")  # follow from the others
Facts = dict[str, Any]


def facts_of(report: Report) -> Facts:
    """The facts of a page by dotted names: numbers, words, and colours as three numbers."""
    facts: Facts = {"moved": report["moved"]}
    page = report.get("page", {})
    _flatten("scene", report.get("scene") or {}, facts)
    for name in _PAGE_FACTS:
        _flatten(name, page.get(name, 0), facts)
    for index, color in enumerate(report.get("colors", ())):
        facts[f"color.{index}"] = tuple(color)
    return {name: value for name, value in facts.items() if name not in _LEFT_OUT}


def agree(left: object, right: object) -> bool:
    """Whether two values of a fact are the same to the eye."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        return all(abs(one - other) <= COLOR_STEP for one, other in zip(left, right, strict=True))
    if isinstance(left, int | float) and isinstance(right, int | float):
        return abs(left - right) <= NUMBER_STEP * max(abs(left), abs(right))
    return left == right


def differing(left: Facts, right: Facts) -> set[str]:
    """Names of the facts in which two pages differ."""
    return {name for name in left.keys() | right.keys() if not agree(left.get(name), right.get(name))}


def attribute_pages(kind: Kind) -> dict[str, list[str]]:
    """Programs of a kind by attribute: the defaults, and a few other settings of this attribute."""
    base = kind.defaults()
    return {
        name: [kind.render({**base, name: setting}).text
               for setting in (attribute.default, *variants(attribute, attribute.default)[: PAGES_PER_ATTRIBUTE - 1])]
        for name, attribute in kind.attributes.items()
    }


def page_probes(kind: Kind, pages: Pages, tell: Callable[[str], None]) -> dict[str, frozenset[str]]:
    """Facts that each attribute decides; none for what a page does not show to the checker, such as a speed."""
    programs = attribute_pages(kind)
    pages.run([program for each in programs.values() for program in each], lambda text: tell(f"{kind.name} {text}"))
    probes: dict[str, frozenset[str]] = {}
    for name, each in programs.items():
        first, *others = (facts_of(report) for report in map(pages.report, each) if report is not None)
        probes[name] = frozenset().union(*(differing(first, other) for other in others))
    return probes


def is_shown(probe: frozenset[str], got: Report, wanted: Report) -> bool:
    """Whether a page agrees with the corpus's in all facts of a probe."""
    return not probe & differing(facts_of(got), facts_of(wanted))


def _flatten(name: str, value: object, facts: Facts) -> None:
    if isinstance(value, Mapping):
        for key, part in value.items():
            _flatten(f"{name}.{key}", part, facts)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _flatten(f"{name}.{index}", part, facts)
    else:
        facts[name] = value
